"""Files behind digests, locks over processes and hosts, and how a command ends before it is done."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from distilclip_eeg import endings
from distilclip_eeg.commands import cli
from distilclip_eeg.endings import Stop, listening, unbroken
from distilclip_eeg.files import digests, locks
from distilclip_eeg.files.digests import DIGESTS, sign, write_atomic
from distilclip_eeg.files.folders import check_writable, remove_left
from distilclip_eeg.files.locks import Lock, Owner
from distilclip_eeg.files.reading import read_bytes, read_parquet
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.models import weights
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError, MachineError
from distilclip_eeg.training.crossval import OF_FOLD
from distilclip_eeg.training.opening import SIGNED

OLDER = Path(__file__).parent / "older" / "run"


# ----------------------------------------------------------------------------------------- digests


def flipped(body: bytes, bit: int) -> bytes:
    """The same with one bit turned over."""
    return body[: bit // 8] + bytes([body[bit // 8] ^ 1 << bit % 8]) + body[bit // 8 + 1 :]


def test_a_signed_file_is_read_and_one_changed_bit_of_it_is_told(tmp_path):
    write_atomic(tmp_path / "a", b"four")
    sign(tmp_path, ["a", "not there"])
    assert read_bytes(tmp_path / "a") == b"four"
    for bit in range(32):
        (tmp_path / "a").write_bytes(flipped(b"four", bit))
        with pytest.raises(DataError, match="/a: changed since it was written") as caught:
            read_bytes(tmp_path / "a")
        assert caught.value.reason == "file_changed" and "\n" not in str(caught.value)
    assert digests.changed(tmp_path) == ["a"]


def test_what_is_written_anew_is_unsigned_and_never_a_wrong_alarm(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    write_json(tmp_path / "b.json", {"x": 1})
    sign(tmp_path, ["a.json", "b.json"])
    write_json(tmp_path / "a.json", {"x": 2})
    assert list(digests.digests(tmp_path)) == ["b.json"]
    assert read_bytes(tmp_path / "a.json")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "b.json", DIGESTS]


def test_a_damaged_list_of_digests_names_itself(tmp_path):
    write_atomic(tmp_path / "a", b"x")
    sign(tmp_path, ["a"])
    (tmp_path / DIGESTS).write_text("{")
    with pytest.raises(DataError, match=f"{DIGESTS}: damaged"):
        read_bytes(tmp_path / "a")
    sign(tmp_path, ["a"])  # whoever makes the file again mends it
    assert read_bytes(tmp_path / "a") == b"x"


def test_processes_that_sign_at_once_lose_nothing(tmp_path):
    for name in "abcdefgh":
        write_atomic(tmp_path / name, name.encode())
    many = [threading.Thread(target=sign, args=(tmp_path, [name])) for name in "abcdefgh"]
    [thread.start() for thread in many]
    [thread.join() for thread in many]
    assert sorted(digests.digests(tmp_path)) == list("abcdefgh")


@pytest.fixture
def run(tmp_path):
    """A whole run of two folds, signed as training signs it."""
    import shutil

    shutil.copytree(OLDER, tmp_path / "run")
    for fold in (0, 1):
        sign(tmp_path / "run" / f"fold{fold}", (*OF_FOLD, "metrics.json"))
    sign(tmp_path / "run", (*SIGNED, "metrics.json", "timing.json"))
    return Run(tmp_path / "run")


def read_all(run):
    """Everything that commands read of a run, by what they read it with."""
    from distilclip_eeg.files.reading import read_json
    from distilclip_eeg.report.figures import histories

    fresh, entry = Run(run.path), type("Entry", (), {"run": run})
    found = [fresh.settings, fresh.data, fresh.seconds, histories(entry)]
    for k in fresh.folds_done():
        network = weights.load_encoder(fresh.fold(k)).state_dict()
        found += [fresh.metrics(k), fresh.predictions(k), network, read_bytes(fresh.fold(k) / weights.TEXT)]
    found += [read_parquet(run.path / "folds.parquet"), read_bytes(run.path / "data_report.txt")]
    return [*found, read_json(run.path / "provenance.json"), read_json(run.path / "metrics.json")]


def test_every_flipped_bit_of_a_run_is_told_in_one_line_that_names_the_file(run):
    rng, told = np.random.default_rng(0), 0
    assert len(read_all(run)) == 16
    for path in sorted(p for p in run.path.rglob("*") if p.is_file() and p.name != DIGESTS):
        good = path.read_bytes()
        for bit in rng.integers(0, 8 * len(good), 3):
            path.write_bytes(flipped(good, int(bit)))
            with pytest.raises(DataError, match=path.name) as caught:
                read_all(run)
            assert "\n" not in str(caught.value), path
            told += 1
        path.write_bytes(good)
    assert told >= 50
    read_all(run)


def test_a_flipped_bit_in_the_digests_is_told_or_changes_nothing(run):
    path = run.fold(0) / DIGESTS
    good, rng = path.read_bytes(), np.random.default_rng(1)
    whole = str(run.predictions(0)["logits_NK"])
    for bit in rng.integers(0, 8 * len(good), 60):
        path.write_bytes(flipped(good, int(bit)))
        try:
            assert str(run.predictions(0)["logits_NK"]) == whole
        except DataError as error:
            assert error.reason == "file_changed"


# ------------------------------------------------------------------------------------------- locks


def other(**change) -> Owner:
    """A living process of another host."""
    return replace(Owner.me(), **({"host": "elsewhere", "machine": "0" * 8, "pid": 7, "token": "x"} | change))


def put(path: Path, owner: Owner, age_s: float = 0.0) -> None:
    """A lock file as ``owner`` leaves it, touched so many seconds ago."""
    path.write_text(json.dumps(asdict(owner)))
    os.utime(path, (time.time() - age_s,) * 2)


def test_a_lock_is_one_file_while_it_is_held_and_none_after(tmp_path):
    with Lock(tmp_path / "lock", "fold 0") as lock:
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
        lock.check()
    assert not os.listdir(tmp_path)


def test_who_comes_second_is_told_host_process_and_since_when(tmp_path):
    put(tmp_path / "lock", other(since="2026-01-02 03:04:05"))
    with pytest.raises(
        MachineError, match=r"fold 0 is held by elsewhere \(process 7, since 2026-01-02"
    ) as it:
        Lock(tmp_path / "lock", "fold 0").__enter__()
    assert (it.value.reason, it.value.exit_code) == ("held", 4)
    assert os.listdir(tmp_path) == ["lock"]


@pytest.mark.parametrize("age_s, taken", [(0, False), (50, False), (70, True)])
def test_the_heartbeat_alone_decides_over_a_process_that_cannot_be_seen(tmp_path, age_s, taken):
    """Its number, 7 or even our own, says nothing in another container."""
    for pid in (7, os.getpid()):
        put(tmp_path / "lock", other(pid=pid), age_s)
        if taken:
            with Lock(tmp_path / "lock", "fold 0"):
                pass
        else:
            with pytest.raises(MachineError):
                Lock(tmp_path / "lock", "fold 0").__enter__()


def test_a_process_of_this_machine_that_is_gone_is_taken_over_at_once(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    put(tmp_path / "lock", replace(Owner.me(), pid=child.pid))
    with Lock(tmp_path / "lock", "fold 0"):
        pass
    put(tmp_path / "lock", replace(Owner.me(), born="1"))  # the number is ours now, and was another's
    with Lock(tmp_path / "lock", "fold 0"):
        pass


def test_an_empty_lock_file_is_one_that_is_being_written_until_it_is_old(tmp_path):
    (tmp_path / "lock").touch()
    with pytest.raises(MachineError, match="another process"):
        Lock(tmp_path / "lock", "fold 0").__enter__()
    os.utime(tmp_path / "lock", (time.time() - 70,) * 2)
    with Lock(tmp_path / "lock", "fold 0"):
        pass


def test_a_holder_touches_its_lock_and_one_that_slept_too_long_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.02)
    path = tmp_path / "lock"
    with Lock(path, "fold 0") as lock:
        os.utime(path, (1, 1))
        time.sleep(0.3)
        assert time.time() - path.stat().st_mtime < 10
        put(path, other())
        with pytest.raises(MachineError, match="taken over by elsewhere"):
            lock.check()
    assert path.exists(), "the other one's"


def test_who_waits_goes_on_when_the_other_is_done_and_only_one_is_in_at_a_time(tmp_path):
    inside, most = [], []

    def work():
        with Lock(tmp_path / "lock", "x", wait=True):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    many = [threading.Thread(target=work) for _ in range(6)]
    [thread.start() for thread in many]
    [thread.join() for thread in many]
    assert most == [1] * 6


def test_only_temporary_files_of_dead_owners_are_removed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    mine, old = locks.machine(), time.time() - 7200
    names = {
        f".a.tmp.{mine}-{child.pid}": True,
        f".a.tmp.{mine}-{os.getppid()}": False,
        f".a.tmp.{mine}-{os.getpid()}": False,
        ".a.tmp.00000000-7": False,
        ".b.tmp.00000000-7": True,
        ".c.tmp.7": True,
        "a.tmp.txt": False,
    }
    for name in names:
        (tmp_path / name).touch()
    for name in (".b.tmp.00000000-7", ".c.tmp.7"):
        os.utime(tmp_path / name, (old, old))
    remove_left(tmp_path)
    assert {name: not (tmp_path / name).exists() for name in names} == names


# ----------------------------------------------------------------------------------------- endings


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_a_stop_with_its_own_exit_code(number, code):
    with listening(), pytest.raises(Stop) as caught:
        os.kill(os.getpid(), number)
        time.sleep(1)
    assert caught.value.code == code
    assert endings.asked() is None and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_must_not_be_torn_goes_on_to_its_end():
    done = []
    with listening(), pytest.raises(Stop):
        with unbroken():
            with unbroken():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append(endings.asked())
            done.append("inner")
        done.append("not reached")
    assert done == [signal.SIGTERM, "inner"]


def test_the_second_signal_of_a_kind_does_not_wait():
    with listening(), pytest.raises(Stop):
        with unbroken():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
            pytest.fail("waited")


def torch_says():
    import torch

    torch.empty(1 << 60)


def numpy_says():
    np.empty(1 << 60, np.uint8)


@pytest.mark.parametrize("broken", [torch_says, numpy_says, lambda: bytes(1 << 62)])
def test_memory_that_is_used_up_is_one_line_with_the_batch_size(broken, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "train", replace(cli.COMMANDS["train"], run=lambda *_: broken()))
    with pytest.raises(SystemExit) as ended:
        cli.run("train", ["model=eegnet", "trainer.batch_size=48"])
    err = capsys.readouterr().err
    assert ended.value.code == 4 and err.count("\n") == 1, err
    assert err.startswith("error: train: out of memory (") and "trainer.batch_size=48 (lower it)" in err


@pytest.mark.parametrize(
    "error, used_up",
    [
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_are_not_taken_for_it(error, used_up):
    assert endings.memory_used_up(error) == used_up


INVENTED = ["dataset.root=DATA", "dataset.corpus.n_subjects=1", "dataset.corpus.recording_s=40"]
"""A corpus that is written in a moment."""


def test_a_folder_that_can_be_written_is_not_made_by_the_question(tmp_path):
    check_writable("output", tmp_path / "a" / "b")
    assert not os.listdir(tmp_path)


NOWHERE = "/proc/nowhere/x" if Path("/proc/self").exists() else "/dev/null/x"


@pytest.mark.parametrize(
    "verb, words",
    [
        ("train", ["run.root=WHERE"]),
        ("distill", ["run.root=WHERE", "teacher=x"]),
        ("tune", ["run.root=WHERE"]),
        ("prepare", ["store.root=WHERE", *INVENTED]),
        ("train", ["store.root=WHERE", *INVENTED]),
        ("evaluate", ["root=WHERE"]),
        ("report", ["root=WHERE"]),
        ("export", ["run=x", "output=WHERE"]),
        ("detect", ["weights=x", "input=x", "output=WHERE"]),
        ("search", ["weights=x", "input=x", "output=WHERE", "query=x"]),
        ("download", ["dataset=chbmit", "root=WHERE"]),
        ("synthesize", ["layout=tusz", "root=WHERE"]),
        ("table1", ["results=WHERE"]),
        ("ablations", ["run.root=WHERE"]),
        ("gap", ["results=WHERE"]),
        ("layouts", ["results=WHERE"]),
        ("parameters", ["model=eegnet", "csv=WHERE/x.csv"]),
    ],
)
@pytest.mark.parametrize("where", [NOWHERE, "file/x"])
def test_a_folder_that_cannot_be_written_is_told_before_work(
    verb, words, where, tmp_path, monkeypatch, capsys, tiny_root
):
    if verb == "distill":
        monkeypatch.setitem(cli.COMMANDS, verb, replace(cli.COMMANDS[verb], complete=lambda words: words))
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    said = [w.replace("WHERE", where).replace("DATA", str(tiny_root / "writable")) for w in words]
    with pytest.raises(SystemExit) as ended:
        cli.run(verb, said)
    err = capsys.readouterr().err
    key = next(w for w in words if "WHERE" in w).partition("=")[0]
    assert ended.value.code == 2 and err.count("\n") == 1, err
    assert err.startswith(f"error: {key}={where}".removesuffix("/x.csv")) and "nothing can be written" in err
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_a_config_error_is_what_it_is(tmp_path):
    with pytest.raises(ConfigError) as caught:
        check_writable("output", Path(NOWHERE))
    assert caught.value.reason == "not_writable"


def test_a_lock_that_is_stopped_while_it_is_taken_is_not_left(tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    for part in ("json.dump", "threading.Thread"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"distilclip_eeg.files.locks.{part}", stopped)
            with Lock(tmp_path / ".lock", "a fold"):
                pytest.fail("it was taken")
        assert not list(tmp_path.iterdir())
    with Lock(tmp_path / ".lock", "a fold"):
        assert (tmp_path / ".lock").exists()
