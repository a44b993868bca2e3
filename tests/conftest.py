"""A tiny synthetic corpus that is made once, and the launchers as a user starts them."""

import gc
import io
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import warm
from warm import REPO, environment

from distilclip_eeg.endings import SIGNALS

SIZES = [
    *("model.net.dim=8", "model.net.heads=2", "model.net.embed=8", "model.net.depth=1"),
    *("model.net.filters=4", "model.net.n_prompts=1", "trainer.epochs=2", "trainer.batch_size=32"),
    *("device=cpu", "n_jobs=1", "trainer.log_with=none"),
]
"""For teacher and student alike: seconds for five folds, without the pictures that a tracker is shown."""


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """Folder of the tiny corpus and of its store, filled on first use."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def tiny_data(tiny_root) -> list[str]:
    """Overrides that choose the tiny corpus: five people, one recording of 40 s each."""
    return [
        *("split=subject", "dataset.corpus.n_subjects=5", "+dataset.corpus.recordings_per_subject=1"),
        *("+dataset.corpus.recording_s=40", f"dataset.root={tiny_root / 'data'}"),
        f"store.root={tiny_root / 'store'}",
    ]


@pytest.fixture(scope="session")
def sizes() -> list[str]:
    """Overrides that make any network and its training tiny."""
    return list(SIZES)


@pytest.fixture(scope="session")
def tiny(tiny_data) -> list[str]:
    """Overrides for a training of seconds on the tiny corpus."""
    return [*tiny_data, *SIZES, "text_encoder.dim=8", "text_encoder.depth=1", "text_encoder.n_prompts=1"]


@pytest.fixture(scope="session")
def command():
    """``command("train", "key=value")``: the launcher's command line."""
    return lambda verb, *argv: [sys.executable, str(REPO / f"{verb}.py"), *argv]


@pytest.fixture(scope="session")
def launch():
    """``launch("train", "key=value", cwd=folder)``: the launcher in a process of its own."""
    return lambda verb, *argv, cwd: warm.run([f"{verb}.py", *argv], cwd)


@pytest.fixture(scope="session")
def child():
    """``child("train", "key=value", cwd=folder)``: the same, left running."""
    return lambda verb, *argv, cwd: warm.Started([f"{verb}.py", *argv], cwd)


@pytest.fixture(scope="session")
def as_script():
    """``as_script("train.py", "key=value", cwd=folder)``: a script run as ``__main__`` in this process.

    The same words, the same file and the same streams as ``launch``, without the seconds that a new process
    spends on imports.
    """

    def start(name: str, *argv: str, cwd: Path = REPO) -> subprocess.CompletedProcess:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.setattr(sys, "argv", [name, *argv])
            patch.chdir(cwd)
            for key in set(os.environ) - set(environment()):
                patch.delenv(key)
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            try:
                runpy.run_path(str(REPO / name), run_name="__main__")
            except SystemExit as end:  # as Python itself ends
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
                if isinstance(end.code, str):
                    print(end.code, file=err)
            except Exception:
                code = 1
                traceback.print_exc(file=err)
            finally:
                for number, handler in handlers.items():  # a process that ends need not put them back
                    signal.signal(number, handler)
        return subprocess.CompletedProcess([name, *argv], code, out.getvalue(), err.getvalue())

    return start


LONGEST = (
    *("side_by_side", "stops", "pages", "torchrun", "table1", "layouts", "tuning", "torture", "explain"),
    *("detect_cli", "baselines", "onnx", "report", "demo", "rehearsal", "estimator", "real_recordings"),
    *("cli", "foreign_runs", "contributing", "notebooks"),
)
"""Of the files with slow tests those that take longest: begun first, so that no process is waited for at the
end; before all others those that mostly wait."""


def pytest_collection_modifyitems(items):
    """Files of fast tests first, so that their failures are told first; then those with slow ones."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    rank = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (item.path in slow, rank.get(item.path.stem, len(rank))))


gc.disable()  # until all is imported


def pytest_collection_finish():
    """What is imported by now stays: looking for garbage in it again and again took a sixth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_addoption(parser):
    parser.addoption(
        "--block-sockets", action="store_true", help="refuse every connection beyond this machine"
    )


@pytest.fixture(scope="session", autouse=True)
def no_network(request):
    """With ``--block-sockets``: neither tests nor the processes that they start reach another machine."""
    if not request.config.getoption("--block-sockets"):
        yield
        return
    from torture.guards import sitecustomize

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, getattr(socket.socket, name))  # put back afterwards
        sitecustomize.block()
        guards = str(Path(sitecustomize.__file__).parent)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [guards, os.environ.get("PYTHONPATH", "")])))
        patch.setenv("TORTURE_BLOCK_SOCKETS", "1")
        yield


@pytest.fixture
def drawn(monkeypatch):
    """Every figure that would be saved, as matplotlib's object, saved as one pixel; nothing is rendered."""
    from tools import unrendered

    return unrendered(monkeypatch)
