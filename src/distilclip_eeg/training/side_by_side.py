"""Folds and seeds side by side: each fold a process of its own, here or on a cluster.

Who asks begins the run's folder, once. A process trains its fold as it would be trained alone, prints into
``logs/fold<k>.log`` of the run and writes its counts beside, which are added up to one bar. Bytes are those
of one fold after another, as long as a process may use as many threads as that one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from distilclip_eeg.config.experiment import RunSettings, SideBySide
from distilclip_eeg.files.folders import make_folder
from distilclip_eeg.progress import Posted, added_up
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import UserError
from distilclip_eeg.training import distillation, pipeline
from distilclip_eeg.training.crossval import CrossValidation, line_of, sum_up
from distilclip_eeg.training.descriptions import MEASURED
from distilclip_eeg.training.engine import Timed
from distilclip_eeg.training.opening import Planned, check_made_from, made_from
from distilclip_eeg.workers import Failed, spread

LOGS = "logs"
"""In a run folder: what its folds printed side by side, and the cluster's own files."""


@dataclass(frozen=True)
class Job:
    """One fold of one run."""

    settings: RunSettings
    path: Path
    """Of the run, whose folder is begun."""
    fold: int

    def __str__(self) -> str:
        return f"{self.path.name}, fold {self.fold}"

    @property
    def log(self) -> Path:
        """What it prints."""
        return self.path / LOGS / f"fold{self.fold}.log"

    @property
    def counts(self) -> Path:
        """What it has done so far, while it is at work."""
        return self.log.with_suffix(".progress")


def one_fold(job: Job) -> str:
    """Train one fold in a process of its own; the line that is said of it."""
    teacher, run = job.settings.teacher, Run(job.path)
    if teacher is None:
        planned = pipeline.plan(job.settings, report=False)
    else:
        planned = distillation.plan(job.settings, Run(Path(teacher)))
    check_made_from(run, made_from(planned.data))
    learning, ticker = job.settings.learning, partial(Posted, path=job.counts)
    tasks = planned.tasks(planned.data)
    with Timed() as timed:
        CrossValidation(learning, planned.data, run, [job.fold], tasks, ticker).train()
    return f"{job.path.name}: {line_of(run, job.fold, timed.seconds)}"


def log_of(job: Job) -> Path:
    """Where what a job prints goes."""
    return job.log


def train(plans: Iterable[Planned], how: SideBySide) -> list[Run]:
    """Train every fold of several runs that is not finished; a fold that fails does not end the others.

    Args:
        plans: each is begun and let go before the next is asked for.

    Raises:
        UserError: of the first fold that failed, once the others are done.
    """
    runs: dict[Run, int | None] = {}
    expected: list[tuple[Job, int]] = []
    for plan in plans:
        run, todo = begun(plan)
        runs[run] = plan.data.split.n_folds
        expected += todo
        del plan
    failed = run_all([job for job, _ in expected], {job.counts: units for job, units in expected}, how)
    for run, n_folds in runs.items():
        sum_up(run, n_folds)
    if failed:
        raise next((one.error for one in failed if isinstance(one.error, UserError)), failed[0].error)
    return list(runs)


def begun(plan: Planned) -> tuple[Run, list[tuple[Job, int]]]:
    """A run with its folder begun, and its jobs, each with what the bar counts of it."""
    cross, settings = plan.begin(), plan.settings
    todo = cross.todo()
    if todo and settings.learning.uses_text and settings.text.source in MEASURED:
        plan.data.measures(settings.text.context_s)  # once, not by every fold
    settings = replace(settings, run=replace(settings.run, fresh=False))
    return cross.run, [(Job(settings, cross.run.path, fold), cross.units(fold)) for fold in todo]


def run_all(jobs: Sequence[Job], expected: Mapping[Path, int], how: SideBySide) -> list[Failed]:
    """Run the jobs, a line for each as it ends; those that failed."""
    failed: list[Failed] = []
    if not jobs:
        return failed
    for job in jobs:
        make_folder(job.log.parent)
    logs = jobs[0].log.parent
    queue = partial(spread, jobs=how.jobs, cluster=how.cluster, slurm=how.slurm)
    with added_up(expected, f"{len(jobs)} folds"):
        for said in queue(one_fold, [(job,) for job in jobs], name="folds", logs=logs, log_of=log_of):
            if isinstance(said, Failed):
                failed.append(said)
                said = f"failed: {said}"
            print(said, flush=True)
    return failed
