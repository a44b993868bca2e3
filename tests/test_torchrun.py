"""``torchrun --nproc_per_node 2 train.py …``: one fold by two processes, as a user types it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_engine import outcome
from warm import REPO, environment

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def start(words, cwd: Path) -> subprocess.Popen:
    command = [*TORCHRUN, str(REPO / "train.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment(), **pipes)


def workers(process: subprocess.Popen) -> list[int]:
    """Its two processes, the first one first."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    number = {}
    for child in map(int, children):
        settings = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        number |= {int(one[5:]): child for one in settings if one.startswith(b"RANK=")}
    return [number[k] for k in sorted(number)]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are found by /proc")
def test_two_processes_leave_one_run_and_after_a_kill_of_either_the_same(tiny, tmp_path):
    words = [
        *tiny,
        "fold=0",
        "trainer.epochs=5",
        "trainer.batch_size=8",
        "run.name=r",
        "trainer.log_every=5",
    ]
    whole = start([*words, f"run.root={tmp_path / 'whole'}"], tmp_path)
    out, err = whole.communicate(timeout=600)
    assert whole.returncode == 0, err
    assert (
        out.count("fold 0: test accuracy") == out.count("run folder: ") == out.count("split=subject: ") == 1
    )
    assert [path.name for path in (tmp_path / "whole").glob("*/*")] == ["r"]
    expected = outcome(tmp_path / "whole")
    assert len(expected) == 5

    root = tmp_path / "killed"
    checkpoint, killed = root / "synthetic" / "r" / "fold0" / "checkpoint.pt", 0
    for victim in (1, 0, None):
        was = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start([*words, f"run.root={root}"], tmp_path)
        while victim is not None and process.poll() is None:
            if checkpoint.exists() and checkpoint.stat().st_mtime_ns != was:
                os.kill(workers(process)[victim], 9)
                killed += 1
                break
            time.sleep(0.005)
        out, err = process.communicate(timeout=600)
        assert (process.returncode == 0) == (victim is None), err
        assert "error:" not in err or "another process of this job ended" in err
    assert killed == 2 and out.count("fold 0: test accuracy") == 1
    assert outcome(root) == expected
    assert not list(root.rglob(".lock"))
