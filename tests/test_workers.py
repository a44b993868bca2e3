"""Work spread over processes or a queue: results as they come, lost jobs named, wrong settings refused."""

import sys

import pytest

from distilclip_eeg.schema import ConfigError, MachineError
from distilclip_eeg.workers import Failed, queue, spread


@pytest.fixture
def double(tmp_path, monkeypatch):
    """Twice a number, plus another; the process ends without an answer at 3. Found by other processes too."""
    (tmp_path / "doubling.py").write_text(
        "import os\n"
        "def double(number, step):\n"
        "    if number == 3:\n"
        "        os._exit(9)\n"
        "    return 2 * number + step\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    from doubling import double

    yield double
    del sys.modules["doubling"]


@pytest.mark.parametrize("cluster", [None, "debug"])
def test_every_item_gives_its_result_in_this_process_too(double, cluster, tmp_path):
    found = spread(double, [(1, 0), (2, 1)], jobs=1, cluster=cluster, name="x", logs=tmp_path)
    assert sorted(found) == [2, 5]


def test_a_lost_job_is_named_and_the_others_give_their_results(double, tmp_path):
    found = list(spread(double, [(1, 0), (3, 0)], jobs=2, cluster="local", name="x", logs=tmp_path))
    assert 2 in found and len(found) == 2
    (lost,) = (done for done in found if done != 2)
    assert isinstance(lost, Failed) and isinstance(lost.error, MachineError)
    assert str(lost).startswith("3: Job") and "\n" not in str(lost)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A machine on which SLURM's command is found."""
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def test_sbatch_is_told_how_many_items_at_once_and_the_user_s_settings(slurm, tmp_path):
    words = {"partition": "gpu", "gpus_per_node": 1, "cpus_per_task": 8}
    found = queue("slurm", 3, "table1", tmp_path / "logs", words)._executor.parameters
    assert (found["array_parallelism"], found["partition"], found["job_name"]) == (3, "gpu", "table1")
    assert (found["gpus_per_node"], found["cpus_per_task"], found["time"]) == (1, 8, 24 * 60)


@pytest.mark.parametrize(
    "cluster, words, message",
    [
        ("slurm", {"partitoin": "gpu"}, "cluster=slurm: Unknown argument 'partitoin'"),
        ("moon", {}, "cluster='moon' is not one of"),
    ],
)
def test_a_queue_that_cannot_be_is_one_line(slurm, tmp_path, cluster, words, message):
    with pytest.raises(ConfigError, match=message) as caught:
        queue(cluster, 1, "x", tmp_path / "logs", words)
    assert "\n" not in str(caught.value)


def test_a_machine_without_slurm_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="cluster=slurm: .*srun"):
        queue("slurm", 1, "x", tmp_path / "logs", {})
