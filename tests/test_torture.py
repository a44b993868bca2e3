"""A handful of cases of each part of the long trial (tests/torture); ``make torture`` runs thousands."""

import os
import re
import socket
import subprocess
import sys

import numpy as np
import pytest
from torture import __main__ as trial
from torture.base import REPO, Part, Row, difference, table
from torture.crafted import hostile
from torture.damage import KINDS, damage
from torture.ending import interrupted, killed, terminated
from torture.guards import sitecustomize as guards
from torture.inputs import annotations, headers, known, mutated_edf, mutated_text
from torture.places import blocked_environment, full, hosts, sockets


def of(name, folder, most, seed=0):
    """A part with so many cases and no end of time."""
    return Part(name, seed, folder, 900.0, most=most)


def right(part):
    """All its cases went as they should."""
    assert part.cases and not part.faults, part.row().line()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One folder, so that the road is made once."""
    return tmp_path_factory.mktemp("torture")


def test_mutated_headers_are_read_or_refused(scratch):  # kinds 16 and 19
    part = of("headers", scratch, 100)
    headers(part)
    right(part)


def test_mutated_annotations_of_every_layout_are_read_or_refused(scratch):  # kind 19
    part = of("annotations", scratch, 40)
    annotations(part)
    right(part)


@pytest.mark.shared
def test_the_known_bad_files_are_met_within_time_and_memory(scratch):  # kinds 16 and 19
    part = of("known", scratch, 10**6)
    known(part)
    assert part.cases in (0, 105)
    assert not part.faults, part.row().line()


KIND = {kind.name: kind for kind in KINDS}


@pytest.mark.slow
@pytest.mark.parametrize(
    "run, most",
    [
        (killed, 2),
        (terminated, 2),
        (interrupted, 2),
        (hostile, 8),
        (hosts, 2),
        (full, 3),
        (sockets, 2),
    ],
)
def test_a_part_of_the_trial(run, most, scratch):
    part = of(run.__name__, scratch, most)
    run(part)
    right(part)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, most",
    [
        ("store", 5),
        ("run", 5),
        ("weights", 5),
        ("checkpoint", 4),
        ("artefact", 5),
        ("index", 5),
    ],
)
def test_damage_is_told_or_harmless(name, most, scratch):
    part = of(f"damage-{name}", scratch, most)
    damage(part, (KIND[name],), flips=most - 2, cuts=2)
    right(part)


# ---------------------------------------------------------------------------------- the trial's own parts


def test_the_table_counts_and_names_the_commonest_fault(tmp_path):
    part = of("x", tmp_path, 10)
    part.judge("", "fine", 0.5)
    for fault in ("leaks A", "leaks B", "leaks B"):
        part.judge(fault, "case")
    row = part.row()
    assert (row.cases, row.right, row.wrong) == (4, 1, 3)
    assert row.worst == "case: leaks B (2); case: leaks A (1)"
    lines = table([row, Row("y", 1000, 1000, 0, 60.0, "slowest")]).splitlines()
    assert lines[-1].split() == ["all", "1,004", "1,001", "3", "60"]


def test_a_part_ends_with_its_cases_or_its_time(tmp_path):
    part = of("x", tmp_path, 3)
    for _ in part.numbers():
        part.right()
    assert part.cases == 3
    assert not Part("y", 0, tmp_path, seconds=-1.0).goes_on()


def test_the_same_seed_gives_the_same_mutations_and_another_others(tmp_path):
    def first(seed):
        rng = Part("headers", seed, tmp_path, 1.0).rng
        return [mutated_edf(bytes(2000), rng), mutated_text(b"a,b\n1,2\n", rng)]

    assert first(0) == first(0) != first(1)


def test_folders_are_compared_by_every_file_but_the_noise():
    assert difference({"a": "1"}, {"a": "1"}) == ""
    assert difference({"x/a": "1"}, {"x/a": "2"}) == "a other bytes"
    assert difference({}, {"x/a": "2"}) == "a missing" and difference({"b": "1"}, {}) == "b left over"
    assert difference({"b": "1"}, {}, {"b"}) == ""


def test_a_command_line_that_is_wrong_is_told():
    for word, said in (("part=kill", "expected seed="), ("parts=kil", "there is kill")):
        with pytest.raises(SystemExit, match=said):
            trial.main([word])


def test_a_run_of_the_trial_writes_its_table(tmp_path, capsys):
    trial.main(["seed=1", "minutes=0.02", "parts=headers", f"results={tmp_path / 'r' / 't.txt'}"])
    said = (tmp_path / "r" / "t.txt").read_text()
    assert re.match(r"torture: seed 1, \d{4}-\d\d-\d\d, commit \w*", said) and "headers" in said
    assert said in capsys.readouterr().out


def test_blocked_sockets_let_nothing_out_but_loopback():
    code = (
        "import socket\n"
        "for host in ('192.0.2.1', '2001:db8::1'):\n"
        "    try: socket.create_connection((host, 80), timeout=1)\n"
        "    except OSError as error: print('blocked' in str(error))\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    print(bool(socket.create_connection(server.getsockname(), timeout=1)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=blocked_environment(), capture_output=True, text=True
    )
    assert ran.stdout.split() == ["True", "True", "True"], ran.stderr


def test_a_process_may_have_another_hosts_name():
    code = "import os, platform, socket; print(socket.gethostname(), platform.node(), os.uname().nodename)"
    env = blocked_environment() | {"TORTURE_HOST": "beta"}
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert ran.stdout.split() == ["beta"] * 3, ran.stderr
    assert os.uname().nodename != "beta"


def test_the_option_blocks_sockets_in_tests_and_in_what_they_start(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import socket, subprocess, sys, pytest\n"
        "def test_it():\n"
        "    with pytest.raises(OSError, match='blocked'):\n"
        "        socket.create_connection(('192.0.2.1', 80), timeout=1)\n"
        "    code = \"import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)\"\n"
        "    ran = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)\n"
        "    assert 'sockets are blocked' in ran.stderr\n"
    )
    (tmp_path / "conftest.py").write_text((REPO / "tests" / "conftest.py").read_text())
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPO / "tests"), str(REPO / "src")])}
    words = [sys.executable, "-m", "pytest", "-q", "--block-sockets", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert guards.block.__doc__ and socket.socket.connect is not None


def test_mutations_change_what_they_are_given():
    rng, raw = np.random.default_rng(0), bytes(range(256)) * 8
    assert sum(mutated_edf(raw, rng) != raw for _ in range(100)) > 95
    assert (
        sum(mutated_text(b"onset,label\n1,seiz\n", rng) != b"onset,label\n1,seiz\n" for _ in range(100)) > 90
    )
