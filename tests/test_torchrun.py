"""``torchrun --nproc_per_node 2 train.py …``: one fold by two processes, as a user types it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_engine import outcome
from warm import REPO, Started, environment

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def start(words, cwd: Path) -> subprocess.Popen:
    command = [*TORCHRUN, str(REPO / "train.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, env=environment(), **pipes)


def pair(words, cwd: Path) -> str:
    """What the two processes say that torchrun would start, out of the warm server; each ends well."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    both = environment() | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    both |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [both | {"RANK": number, "LOCAL_RANK": number} for number in "01"]
    started = [Started(["train.py", *words], cwd, rank) for rank in ranks]
    said = [one.communicate(timeout=600) for one in started]
    assert [one.returncode for one in started] == [0, 0], said
    return "".join(out for out, _ in said)


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
        "trainer.epochs=4",
        "trainer.batch_size=8",
        "run.name=r",
        "trainer.log_every=5",
    ]
    out = pair([*words, f"run.root={tmp_path / 'whole'}"], tmp_path)
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
