"""The verbs a user types. Errors are one line; ``-m``, ``--help`` and ``--cfg`` are Hydra's own."""

import sys
from pathlib import Path

import hydra
from omegaconf import OmegaConf

from distilclip_eeg.config import CONFIG_DIR, load
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import ConfigError, UserError

NOTE = "Research software, not a medical device: not for diagnosis, monitoring or treatment."


def train(overrides: list[str]) -> None:
    """Cross-validate one model: ``python train.py dataset=chbmit model=teacher_small``."""
    from distilclip_eeg import pipeline
    from distilclip_eeg.report.tables import run_table

    for config in each_seed(load("train", overrides)):
        run = pipeline.train(config)
        print(run_table([run]))


def distill(overrides: list[str]) -> None:
    """Distil a student from a finished teacher run: ``python distill.py teacher=RUN``."""
    from distilclip_eeg import pipeline
    from distilclip_eeg.report.tables import run_table

    config = load("distill", [*student_of(overrides), *overrides])
    teacher = find_teacher(config)
    print(f"teacher={teacher.path}")
    run = pipeline.distill(with_teacher_data(config, teacher, overrides), teacher)
    print(run_table([teacher, run]))


def evaluate(overrides: list[str]) -> None:
    """Metric tables from saved predictions: ``python evaluate.py run=RUN``."""
    from distilclip_eeg.report.tables import write_evaluation

    config = load("evaluate", overrides)
    root = Path(config["root"])
    if config["run"] == "all":
        runs = find_runs(root)
        if not runs:
            raise ConfigError(
                f"{root}: no finished run found. Run `python train.py` first, or set root=FOLDER."
            )
    else:
        runs = [open_finished(Path(config["run"]))]
    print(write_evaluation(runs, root))


VERBS = {"train": train, "distill": distill, "evaluate": evaluate}
DATA_KEYS = ("dataset", "signals", "windows", "split", "seed", "text")


def each_seed(config: dict) -> list[dict]:
    """One config a seed."""
    seeds = config["seed"] if isinstance(config["seed"], list) else [config["seed"]]
    return [{**config, "split": dict(config["split"]), "seed": seed} for seed in seeds]


def option(overrides: list[str], key: str) -> str | None:
    """The value of ``key=`` on the command line."""
    values = [o.partition("=")[2] for o in overrides if o.startswith(f"{key}=")]
    return values[-1] if values else None


def open_finished(path: Path) -> Run:
    """The finished run at ``path``."""
    run = Run(path)
    if not (path / "config.json").exists():
        raise ConfigError(f"run={path}: no run folder (it has no config.json). Give runs/DATASET/NAME.")
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
    root = Path(config["run"]["root"])
    found = [r for r in find_runs(root) if r.config["model"]["kind"] == "teacher"]
    if not found:
        raise ConfigError(
            f"teacher=latest: {root} holds no finished teacher run. Run `python train.py` first, "
            "or give teacher=RUN."
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
    for key in DATA_KEYS:
        said = [o for o in overrides if o.startswith((f"{key}=", f"{key}."))]
        if said and not said[0].startswith("dataset.root="):
            raise ConfigError(
                f"{said[0]}: a student shares its teacher's {key}; leave it out, or train a teacher with it."
            )
    root = option(overrides, "dataset.root")
    config |= {key: teacher.config[key] for key in DATA_KEYS}
    if root:
        config["dataset"]["root"] = config["dataset"]["corpus"]["root"] = root
    config["text_encoder"] = teacher.config["text_encoder"]
    return config


def run(verb: str, argv: list[str] | None = None) -> None:
    """Entry of the launchers; exits with the error's code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if any(a.startswith("-") for a in argv):
            hydra_main(verb, argv)
        else:
            VERBS[verb](argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command continues where this one ended", file=sys.stderr)
        sys.exit(130)


def hydra_main(verb: str, argv: list[str]) -> None:
    """Sweeps (``-m seed=0,1``), ``--help`` and ``--cfg job`` through Hydra itself."""
    from hydra.core.hydra_config import HydraConfig

    @hydra.main(config_path=str(CONFIG_DIR), config_name=verb, version_base="1.3")
    def job(node) -> None:
        OmegaConf.resolve(node)
        try:
            VERBS[verb](list(HydraConfig.get().overrides.task))
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    quiet = [
        "hydra.output_subdir=null",
        "hydra.run.dir=.",
        "hydra.job.chdir=false",
        "hydra/job_logging=disabled",
        "hydra/hydra_logging=disabled",
    ]
    sys.argv = [f"{verb}.py", *argv, *(quiet if "--help" not in argv else [])]
    job()


def main() -> None:
    """``distilclip-eeg VERB key=value …``."""
    argv = sys.argv[1:]
    if not argv or argv[0] not in VERBS:
        lines = [f"  {name:10s}{(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()]
        print("usage: distilclip-eeg VERB [key=value …]\n" + "\n".join(lines) + f"\n{NOTE}")
        sys.exit(0 if argv[:1] in ([], ["--help"], ["-h"]) else 2)
    run(argv[0], argv[1:])
