"""Which run a command means: ``run=``, ``teacher=`` and what ``latest`` stands for."""

import re
from collections.abc import Callable
from pathlib import Path

from distilclip_eeg.config.compose import CONFIG_DIR, check_type
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import ConfigError

DATA_KEYS = ("dataset", "signals", "windows", "split", "seed", "text")


def each_seed(config: dict) -> list[dict]:
    """One config a seed."""
    seeds = config["seed"] if isinstance(config["seed"], list) else [config["seed"]]
    for seed in seeds:
        check_type("seed", seed, int)
    return [{**config, "split": dict(config["split"]), "seed": seed} for seed in seeds]


def option(overrides: list[str], key: str) -> str | None:
    """The value of ``key=`` on the command line."""
    values = [o.partition("=")[2].strip("'\"") for o in overrides if o.startswith(f"{key}=")]
    return values[-1] if values else None


def existing(path: Path) -> Run:
    """The run at ``path``, finished or not."""
    if not (path / "config.yaml").exists():
        raise ConfigError(f"run={path}: no run folder (it has no config.yaml). Give runs/DATASET/NAME.")
    return Run(path)


def open_finished(path: Path) -> Run:
    """The finished run at ``path``."""
    run = existing(path)
    if not run.finished:
        raise ConfigError(
            f"run={path}: {len(run.folds_done())} folds are finished, not all of them. "
            "Run the command that made it again; it continues."
        )
    return run


def find_teacher(config: dict) -> Run:
    """``teacher=``: a finished teacher run, or the newest one."""
    if config["teacher"] != "latest":
        return open_finished(Path(config["teacher"]))
    return newest_teacher(Path(config["run"]["root"]), "teacher")


def newest_teacher(root: Path, key: str) -> Run:
    """What ``latest`` stands for where a teacher is wanted."""
    return newest(root, key, "teacher run", lambda run: run.config["model"]["kind"] == "teacher")


def newest(root: Path, key: str, words: str, wanted: Callable[[Run], bool]) -> Run:
    """The newest finished run that is ``wanted``, said in ``words``."""
    found = [run for run in find_runs(root) if wanted(run)]
    if not found:
        raise ConfigError(
            f"{key}=latest: {root} holds no finished {words}. Run `python train.py` first, or give "
            f"{key}=RUN, the folder of one."
        )
    return found[-1]


def student_of(overrides: list[str]) -> list[str]:
    """The student preset beside the teacher's, unless the command line names a model."""
    if option(overrides, "model"):
        return []
    root = option(overrides, "run.root")
    teacher = option(overrides, "teacher") or "latest"
    config = find_teacher({"teacher": teacher, "run": {"root": root or "runs"}}).config
    name = config["model"]["name"].replace("teacher", "student")
    known = (CONFIG_DIR / "model" / f"{name}.yaml").exists()
    return [f"model={name}"] if known else []


def with_teacher_data(config: dict, teacher: Run, overrides: list[str]) -> dict:
    """``config`` with the teacher's data settings, which a student must share."""
    for said in overrides:
        key = re.split(r"[=.@]", said.lstrip("+~"))[0]
        if key in (*DATA_KEYS, "text_encoder") and not said.startswith("dataset.root="):
            raise ConfigError(
                f"{said}: a student shares its teacher's {key}; leave it out, or train a teacher with it."
            )
    root = option(overrides, "dataset.root")
    config |= {key: teacher.config[key] for key in DATA_KEYS}
    if root:
        config["dataset"]["root"] = config["dataset"]["corpus"]["root"] = root
    config["text_encoder"] = teacher.config["text_encoder"]
    return config
