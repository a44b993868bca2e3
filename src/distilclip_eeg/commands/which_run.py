"""Which run a command means: ``run=``, ``teacher=`` and what ``latest`` stands for."""

import re
from collections.abc import Callable
from pathlib import Path

from distilclip_eeg.config.compose import CONFIG_DIR
from distilclip_eeg.runs import Run, find_runs, find_scored
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.event_scores import WHOLE

TEACHERS_OWN = ("dataset", "signals", "windows", "split", "seed", "text", "text_encoder")
"""Settings that a student has from its teacher."""


def option(words: list[str], key: str) -> str | None:
    """The value of ``key=`` on the command line."""
    values = [w.partition("=")[2].strip("'\"") for w in words if w.startswith(f"{key}=")]
    return values[-1] if values else None


def existing(path: Path) -> Run:
    """The run at ``path``, finished or not.

    Raises:
        ConfigError: there is none.
    """
    if not (path / "config.yaml").exists():
        raise ConfigError(f"run={path}: no run folder (it has no config.yaml). Give runs/DATASET/NAME.")
    return Run(path)


def open_finished(path: Path) -> Run:
    """The finished run at ``path``.

    Raises:
        ConfigError: there is none, or some of its folds are to be trained yet.
    """
    run = existing(path)
    if not run.finished:
        raise ConfigError(
            f"run={path}: {run.part or 'no fold'} finished, and all are needed. Run the command that made it "
            "again, without fold= where it had one; it continues."
        )
    return run


def open_scored(path: Path) -> Run:
    """The run at ``path``, of which a fold or more is finished.

    Raises:
        ConfigError: there is none, or none of its folds is finished.
    """
    run = existing(path)
    if not run.folds_done():
        raise ConfigError(
            f"run={path}: no fold is finished yet. Run the command that made it again; it continues."
        )
    return run


def newest(root: Path, key: str, words: str, wanted: Callable[[Run], bool], *, whole: bool = False) -> Run:
    """The newest finished run that is ``wanted``, said in ``words``; unreadable ones are passed over.

    Args:
        whole: never one that lacks folds; else the newest of those, where no finished one is there.

    Raises:
        ConfigError: there is none.
    """
    finished = find_runs(root)
    begun = [] if whole else [run for run in find_scored(root) if not run.finished]
    for run in (*reversed(finished), *reversed(begun)):
        try:
            if wanted(run):
                return run
        except DataError as problem:
            print(f"passed over: {problem}", flush=True)
    raise ConfigError(
        f"{key}=latest: {root} holds no finished {words}. Run `python train.py` first, or give "
        f"{key}=RUN, the folder of one."
    )


def is_teacher(run: Run) -> bool:
    """Whether it trained a teacher."""
    return run.settings.model.kind == "teacher"


def keeps_weights(run: Run) -> bool:
    """Whether it has networks of its own: no floor, and no scores on another corpus."""
    return run.settings.model.kind not in ("floor", "transfer")


def find_teacher(named: str, root: Path) -> Run:
    """``teacher=``: a finished run, or the newest one of a teacher."""
    if named != "latest":
        run = open_finished(Path(named))
        if not keeps_weights(run):
            raise ConfigError(
                f"teacher={named}: {run.settings.model.name} ({run.settings.model.kind}) has no network "
                "that could teach. Give the run of a teacher.",
                reason="no_teacher",
            )
        return run
    return newest(root, "teacher", "teacher run", is_teacher, whole=True)


def whole_run(named: str) -> Run:
    """The run of that folder; ``latest``: the newest whose protocol keeps recordings whole."""
    if named != "latest":
        return existing(Path(named))
    what = "run that keeps recordings whole"
    return newest(Path("runs"), "run", what, lambda run: run.settings.split.name in WHOLE)


def student_of(words: list[str]) -> list[str]:
    """The preset of the teacher's student, unless the command line names a model."""
    if option(words, "model"):
        return []
    teacher = find_teacher(option(words, "teacher") or "latest", Path(option(words, "run.root") or "runs"))
    name = teacher.settings.model.student
    known = name is not None and (CONFIG_DIR / "model" / f"{name}.yaml").exists()
    return [f"model={name}"] if known else []


def check_words(words: list[str]) -> None:
    """Refuse to change for a student what it has from its teacher.

    Raises:
        ConfigError: one of the words does.
    """
    for said in words:
        key = re.split(r"[=.@]", said.lstrip("+~"))[0]
        if key in TEACHERS_OWN and not said.startswith("dataset.root="):
            raise ConfigError(
                f"{said}: a student shares its teacher's {key}; leave it out, or train a teacher with it."
            )
