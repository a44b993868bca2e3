"""Folds and seeds side by side end with the files of one after another, however they are stopped."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from test_stops import RUN_FILES, digests, once
from warm import Started

from distilclip_eeg import endings, workers
from distilclip_eeg.commands import cli
from distilclip_eeg.files.locks import Lock
from distilclip_eeg.progress import Posted, added_up
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import MachineError
from distilclip_eeg.training import crossval, side_by_side

TWO = ["split.n_folds=2", "trainer.epochs=1"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Path:
    """A folder of runs: one training, one fold after another."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    cli.act("train", [*tiny, *TWO, f"run.root={runs}"])
    return runs


def only_run(root: Path) -> Run:
    (path,) = (root / "synthetic").iterdir()
    return Run(path)


def test_jobs_of_a_queue_leave_the_bytes_of_one_fold_after_another(tiny, trained, here, capsys):
    cli.act("train", [*tiny, *TWO, "run.root=parts", "cluster=debug"])
    said = capsys.readouterr().out
    whole = digests(trained, RUN_FILES)
    assert len(whole) == 11 and digests(here / "parts", RUN_FILES) == whole
    assert [said.count(f"fold {k}: test accuracy") for k in (0, 1)] == [1, 1]
    assert said.count("mean ± SD over folds") == 1  # one table, when all folds are there
    run = only_run(here / "parts")
    assert "fold 1: test accuracy" in (run.path / "logs" / "fold1.log").read_text()
    assert not list((run.path / "logs").glob("*.progress"))
    cli.act("train", [*tiny, *TWO, "run.root=parts", "run.fresh=true", "fold=0", "cluster=debug"])
    assert run.folds_done() == [0] and not run.finished  # what side by side left is ours to delete


def test_a_student_s_folds_are_distilled_side_by_side_too(tiny, sizes, trained, here):
    shutil.copytree(trained, here / "runs")
    small = [*sizes, "trainer.epochs=1", *(word for word in tiny if word.startswith("store.root="))]
    cli.act("distill", [*small, "run.name=whole"])
    cli.act("distill", [*small, "run.name=parts", "cluster=debug"])
    whole, parts = (digests(here / "runs" / "synthetic" / name, RUN_FILES) for name in ("whole", "parts"))
    assert len(whole) == 9 and parts == whole


def test_a_fold_that_another_process_holds_is_told_and_the_others_are_trained(tiny, here, capsys):
    cli.act("train", [*tiny, *TWO, "fold=1"])
    run = only_run(here / "runs")
    run.forget(1)
    with Lock(run.fold(1) / ".lock", "fold 1"), pytest.raises(MachineError, match="fold1 is held by"):
        cli.act("train", [*tiny, *TWO, "cluster=debug"])
    assert f"failed: {run.path.name}, fold 1: " in capsys.readouterr().out
    assert run.folds_done() == [0] and not run.finished


def test_a_bug_in_one_fold_leaves_its_traceback_in_the_log_and_ends_no_other(tiny_data, here, monkeypatch):
    right = crossval.floor_fold

    def broken(net, data, run, fold):
        return right(net, data, run, fold) if fold else {}["a bug of ours"]

    monkeypatch.setattr(crossval, "floor_fold", broken)
    words = [*tiny_data, "n_jobs=1", "split.n_folds=2", "model=logreg_bandpower", "cluster=debug"]
    with pytest.raises(RuntimeError, match="KeyError: 'a bug of ours' .traceback in .*fold0.log"):
        cli.act("train", words)
    run = only_run(here / "runs")
    assert run.folds_done() == [1]
    assert "in broken" in (run.path / "logs" / "fold0.log").read_text()


def test_the_last_fold_s_end_may_have_been_lost_and_the_run_is_summed_up_all_the_same(tiny, trained, here):
    shutil.copytree(trained, here / "runs")
    run = only_run(here / "runs")
    whole = (run.path / "metrics.json").read_bytes()
    (run.path / "metrics.json").unlink()
    cli.act("train", [*tiny, *TWO, "jobs=2"])  # starts no process
    assert (run.path / "metrics.json").read_bytes() == whole


def test_counts_of_several_processes_are_one_bar(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("distilclip_eeg.progress.POST_S", 0.01)
    monkeypatch.setattr("distilclip_eeg.progress.QUIET_S", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    one, two = tmp_path / "one", tmp_path / "two"
    with added_up({one: 10, two: 20}, "2 folds"):
        with Posted(10, "fold 0", path=one) as ticker:
            time.sleep(0.02)
            ticker.advance(4)
            ticker.expect(2)  # patience: it will end at 6 of 10
        said, until = "", time.monotonic() + 10
        while "2 folds: 4/26, " not in said and time.monotonic() < until:  # 6 and 20
            time.sleep(0.02)
            said += capsys.readouterr().out
    assert "2 folds: 4/26, " in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "visible, number, expected", [("", 1, "0"), ("", 4, "1"), ("2,5,7", 2, "5"), ("2,5,7", 4, "2")]
)
def test_processes_take_turns_at_the_gpus_that_this_one_may_use(visible, number, expected, monkeypatch):
    n = len(visible.split(",")) if visible else 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr("torch.cuda.device_count", lambda: n)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    monkeypatch.setattr(workers, "current_process", lambda: type("P", (), {"_identity": (number,)}))
    workers.take_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_a_job_asks_for_another_turn_only_when_its_step_is_done(monkeypatch):
    heard = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(SystemExit) as ended:
            workers._Queued()(step_that_is_interrupted, (heard,), None)
        assert heard == ["step done", signal.SIGUSR2] and ended.value.code == 128 + signal.SIGUSR2
        assert signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL  # as it was
    finally:
        signal.signal(signal.SIGUSR2, before)


def step_that_is_interrupted(heard):
    with endings.unbroken():
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(0.01)
        heard.append("step done")


SLURM = {
    "sbatch": """
cp "$1" {folder}/job.sh
for k in 0 1; do
  (
    export SLURM_JOB_ID=$((77 + k)) SLURM_ARRAY_JOB_ID=77 SLURM_ARRAY_TASK_ID=$k SLURM_PROCID=0
    export SLURM_LOCALID=0 SLURM_NTASKS=1 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=n1
    again=yes
    while [ $again ]; do
      again=
      sh {folder}/job.sh
      if [ -e {folder}/again_77_$k ]; then rm {folder}/again_77_$k; echo x >> {folder}/turns; again=yes; fi
    done
    touch {folder}/over_$k
  ) > /dev/null 2>&1 &
done
echo Submitted batch job 77
""",
    "srun": """
while [ "${{1#--}}" != "$1" ]; do case $1 in --output | --error) shift ;; esac; shift; done
echo $$ > {folder}/pid_$SLURM_ARRAY_TASK_ID
exec "$@"
""",
    "sacct": """
echo "JobID|State|NodeList"
for k in 0 1; do
  if [ -e {folder}/over_$k ]; then echo "77_$k|COMPLETED|n1"; else echo "77_$k|RUNNING|n1"; fi
done
""",
    "scontrol": "\ntouch {folder}/again_$2\n",
}
"""Commands of a cluster of one machine: an array of two jobs, started again when they ask for it."""


@pytest.fixture
def slurm(tmp_path):
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, script in SLURM.items():
        (folder / name).write_text("#!/bin/sh" + script.format(folder=folder))
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
def test_slurm_gets_an_array_and_a_preempted_fold_goes_on(tiny, slurm, tmp_path, monkeypatch):
    words = ["train.py", *tiny, "split.n_folds=2", "trainer.epochs=4", "trainer.batch_size=4"]
    once([*words, "run.root=whole"], tmp_path)
    words += ["run.root=parts", "cluster=slurm", "jobs=2", "slurm.partition=gpu", "slurm.gpus_per_node=1"]
    monkeypatch.setenv("PATH", str(slurm), prepend=":")
    process = Started(words, tmp_path)
    while not list(tmp_path.glob("parts/*/*/fold0/checkpoint.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(int((slurm / "pid_0").read_text()), signal.SIGUSR2)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and out.count("test accuracy") == 2, err
    assert (slurm / "turns").read_text() == "x\n"
    whole = digests(tmp_path / "whole", RUN_FILES)
    assert len(whole) == 11 and digests(tmp_path / "parts", RUN_FILES) == whole
    asked = (slurm / "job.sh").read_text()
    for flag in ("array=0-1%2", "partition=gpu", "gpus-per-node=1", "cpus-per-task=4", "signal=USR2@90"):
        assert f"#SBATCH --{flag}\n" in asked


@pytest.mark.slow
def test_two_seeds_in_two_processes_are_stopped_and_go_on_to_the_same_bytes(tiny, tmp_path):
    words = ["train.py", *tiny, "split.n_folds=2", "seed=[0,1]", "trainer.epochs=4", "trainer.batch_size=4"]
    once([*words, "run.root=whole"], tmp_path)
    words += ["run.root=parts"]
    process = Started([*words, "jobs=2"], tmp_path)
    while not list(tmp_path.glob("parts/*/*/fold1/checkpoint.pt")):  # both are at work
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (143, "stopped; the same command continues where this one ended\n")
    once(words, tmp_path)
    whole = digests(tmp_path / "whole", RUN_FILES)
    assert len(whole) == 22 and digests(tmp_path / "parts", RUN_FILES) == whole
    assert not list((tmp_path / "parts").rglob(".*"))
    assert side_by_side.LOGS in {p.parent.name for p in (tmp_path / "parts").rglob("fold1.log")}
