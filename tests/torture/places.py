"""Two hosts on one store, a disk that is full, a machine without a network."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from torture.base import REPO, Command, Part, contents, difference
from torture.ending import NAMES, place, unbroken
from torture.guards import sitecustomize as guards
from torture.tiny import VERBS, go, road

FAST = (
    *("test_config.py", "test_store.py", "test_windows.py", "test_splits.py", "test_metrics.py"),
    *("test_edf.py", "test_export.py", "test_losses.py", "test_tasks.py", "test_detector.py"),
)
"""Files of the suite that are run without a network."""


def hosts(part: Part) -> None:
    """Two processes that say they are of two hosts build, or train, the same thing on one disk."""
    base = road(part.scratch)
    for case in part.numbers():
        name = ("prepare", "train")[case % 2]
        expected, noise, seconds = unbroken(base, name)
        where = place(base, part.folder / "shared", name)
        first = Command(*VERBS[name], where, lambda: guards.rename("alpha"))
        time.sleep(float(part.rng.uniform(0.1, 0.8) * seconds))
        stopped = bool(part.rng.random() < 0.5)  # as a process of another host looks: no such pid here
        if stopped:
            first.send(signal.SIGSTOP)
        second = Command(*VERBS[name], where, lambda: guards.rename("beta"))
        time.sleep(min(5.0, 0.5 * seconds))
        first.send(signal.SIGCONT)
        ends = [first.done(), second.done()]
        fault = ends[0].fault or ends[1].fault
        if not fault and ends[0].code != 0 and ends[1].code != 0:
            fault = "neither came through"
        last = go(name, where)
        fault = fault or last.fault or (f"exit {last.code} afterwards" if last.code else "")
        left = difference(contents(where), expected, noise)
        part.judge(fault or left, f"{name}{', one held' if stopped else ''}", last.seconds)


def small_files(size: int) -> None:
    """From now on no file of this process grows beyond ``size`` bytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def full(part: Part) -> None:
    """A write fails at a random size: told in one line, and afterwards the same command ends as ever."""
    base = road(part.scratch)
    for case in part.numbers():
        name = (*NAMES[:4],)[case % 4]
        expected, noise, _ = unbroken(base, name)
        where = place(base, part.folder / "disk", name)
        size = int(10 ** part.rng.uniform(1.5, 6.2))
        done = Command(*VERBS[name], where, lambda size=size: small_files(size)).done()
        last = go(name, where)
        fault = done.fault or last.fault or (f"exit {last.code} afterwards" if last.code else "")
        part.judge(
            fault or difference(contents(where), expected, noise), f"{name} {size} bytes", done.seconds
        )


def blocked_environment() -> dict[str, str]:
    """Of processes that reach no other machine."""
    paths = [str(Path(guards.__file__).parent), str(REPO / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TORTURE_BLOCK_SOCKETS": "1"}


def sockets(part: Part) -> None:
    """Commands, and files of the suite, where every connection beyond this machine is refused."""
    base = road(part.scratch)
    for name in VERBS:
        where = part.folder / name
        shutil.rmtree(where, ignore_errors=True)
        shutil.copytree(base, where)
        done = Command(*VERBS[name], where, guards.block).done()
        part.judge(done.fault or ("" if done.code == 0 else f"exit {done.code}"), name, done.seconds)
    for name in FAST:
        if not part.goes_on():
            break
        words = ["-m", "pytest", "-q", "-x", "--block-sockets", "-m", "not slow", f"tests/{name}"]
        try:
            ran = subprocess.run(
                [sys.executable, *words], cwd=REPO, env=blocked_environment(), capture_output=True, text=True,
                timeout=max(30.0, part.started + part.seconds - time.monotonic()),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            continue
        failed = re.search(r"^FAILED (\S+)", ran.stdout, re.MULTILINE)
        part.judge(failed[1] if failed else "" if ran.returncode == 0 else f"exit {ran.returncode}", name)
