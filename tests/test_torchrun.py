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


def pair(words, cwd: Path) -> list[Started]:
    """The two processes that torchrun would start, out of the warm server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    both = environment() | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    both |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [both | {"RANK": number, "LOCAL_RANK": number} for number in "01"]
    return [Started(["train.py", *words], cwd, rank) for rank in ranks]


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
    first, second = pair([*words, f"run.root={tmp_path / 'whole'}"], tmp_path)
    out = first.communicate(timeout=600)[0] + second.communicate(timeout=600)[0]
    assert (first.returncode, second.returncode) == (0, 0), out
    assert (
        out.count("fold 0: test accuracy") == out.count("run folder: ") == out.count("split=subject: ") == 1
    )
    assert [path.name for path in (tmp_path / "whole").glob("*/*")] == ["r"]
    expected = outcome(tmp_path / "whole")
    assert len(expected) == 5

    root = tmp_path / "killed"
    words.append(f"run.root={root}")
    checkpoint = root / "synthetic" / "r" / "fold0" / "checkpoint.pt"

    def saved_again(process):
        was = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == was:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)

    process = start(words, tmp_path)
    saved_again(process)
    os.kill(workers(process)[1], 9)
    _, err = process.communicate(timeout=600)
    assert process.returncode != 0 and ("error:" not in err or "another process of this job ended" in err), (
        err
    )
    first, second = pair(words, tmp_path)
    saved_again(first)
    first.kill()
    _, err = second.communicate(timeout=600)
    assert (second.returncode, err) == (4, "")  # it ends by itself; what there is to say the first one says
    process = start(words, tmp_path)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0 and out.count("fold 0: test accuracy") == 1, err
    assert outcome(root) == expected
    assert not list(root.rglob(".lock"))
