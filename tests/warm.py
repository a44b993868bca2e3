"""Launchers in processes of their own, forked from one that has imported everything already.

The words, folder, environment, streams, signals and exit codes are those of ``python train.py …``; only the
seconds are saved that each new process spends on importing torch and its like.
"""

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[1]

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when torch is imported
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        *("distilclip_eeg.training.side_by_side", "distilclip_eeg.training.forecast"),
        *("distilclip_eeg.training.distillation", "distilclip_eeg.studies.tuning.search"),
        *("distilclip_eeg.deploy.export", "distilclip_eeg.report.tables", "distilclip_eeg.commands.cli"),
        "transformers.models.bert.modeling_bert",
    ]
)


def environment() -> dict[str, str]:
    """The caller's, with one thread and none of our own switches."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DISTILCLIP_EEG_")}
    return kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def act(words: list[str], cwd: Path, env: dict[str, str], out: str, err: str) -> None:
    """In the new process: become the launcher."""
    gc.freeze()  # what was imported before stays
    gc.set_threshold(20_000, 20, 20)
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    script = str(REPO / words[0])
    sys.argv = [script, *words[1:]]
    sys.path[:0] = [str(Path(script).parent), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing's children skip them


class Started:
    """A running launcher, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, words: list[str], cwd: Path, env: dict[str, str] | None = None):
        self.files = [tempfile.NamedTemporaryFile("r") for _ in range(2)]
        told = [file.name for file in self.files]
        self.args = words
        self.process = context.Process(target=act, args=(words, cwd, env or environment(), *told))
        self.process.start()
        self.pid: int = self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
        return tuple(Path(file.name).read_text(encoding="utf-8") for file in self.files)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    words: list[str], cwd: Path, env: dict[str, str] | None = None, timeout: float = 900
) -> subprocess.CompletedProcess:
    """A launcher from start to end."""
    started = Started(words, cwd, env)
    try:
        out, err = started.communicate(timeout)
    except subprocess.TimeoutExpired:
        started.kill()
        raise
    return subprocess.CompletedProcess(words, started.returncode, out, err)
