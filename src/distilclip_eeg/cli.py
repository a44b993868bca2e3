"""The verbs a user types. Errors are one line; ``-m``, ``--help`` and ``--cfg`` are Hydra's own."""

import re
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from distilclip_eeg.config import CONFIG_DIR, TUNE, check_type, defaults, load, opened
from distilclip_eeg.deploy.verbs import benchmark, detect
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import NOTE, ConfigError, UserError


def train(overrides: list[str]) -> None:
    """Cross-validate one model: ``python train.py dataset=chbmit model=teacher_small``."""
    configs = each_seed(load("train", overrides))  # a wrong setting is told before torch is loaded
    from distilclip_eeg import pipeline
    from distilclip_eeg.report.tables import run_table

    for config in configs:
        run = pipeline.train(config)
        print(run_table([run]))


def distill(overrides: list[str]) -> None:
    """Distil a student from a finished teacher run: ``python distill.py teacher=RUN``."""
    config = load("distill", [*student_of(overrides), *overrides])
    teacher = find_teacher(config)
    print(f"teacher={teacher.path}", flush=True)
    from distilclip_eeg import pipeline
    from distilclip_eeg.report.tables import run_table

    run = pipeline.distill(with_teacher_data(config, teacher, overrides), teacher)
    print(run_table([teacher, run]))


def tune(overrides: list[str]) -> None:
    """Search settings by macro F1 on validation: ``python scripts/tune.py model=teacher_small trials=30``."""
    try:
        from distilclip_eeg.tuning import search, space
    except ImportError as error:
        if error.name not in ("optuna", "filelock"):
            raise
        raise ConfigError(f"tune needs {error.name}: pip install 'distilclip-eeg[sweep]'") from None
    given = []
    if option(overrides, "teacher"):
        given = student_of(overrides) + ([] if option(overrides, "space") else ["space=student"])
    config = load("tune", [*given, *overrides])
    check_type("seed", config["seed"], int)
    own = {key: config.pop(key) for key in (*TUNE, "space")}
    searched = [key for key, _ in space.leaves(own["space"])]
    # A run wants all folds, whichever the search was given.
    dropped = (*own, *searched, "fold", "teacher")
    keys = {o: re.split(r"[=@]", o.lstrip("+~"))[0] for o in overrides}
    said = [o for o, key in keys.items() if key not in dropped and not key.startswith("space.")]
    if config["teacher"] is None:
        teacher, command = None, ["python", "train.py", *said]
        del config["teacher"], config["distill"]
    else:
        teacher = find_teacher(config).path
        command = ["python", "distill.py", f"teacher={teacher}", *said]
        config = with_teacher_data(config, Run(teacher), overrides)
    held = {key: space.value_of(config, key) for key in searched if option(overrides, key)}
    search.tune(search.Search(config, teacher, held=held, command=command, **own))


def evaluate(overrides: list[str]) -> None:
    """Metric tables from saved predictions: ``python evaluate.py run=RUN [dataset=OTHER]``."""
    from distilclip_eeg.report.scores import Reading
    from distilclip_eeg.report.tables import write_evaluation

    config = load("evaluate", overrides)
    root = Path(config["root"])
    reading = Reading(config["metrics"], config["calibration"], config["threshold"])
    if "dataset" in config:
        print(write_evaluation([transfer(config, overrides)], root, reading))
        return
    if config["run"] == "all":
        runs = find_runs(root)
        if not runs:
            raise ConfigError(
                f"{root}: no finished run found. Run `python train.py` first, or set root=FOLDER."
            )
    else:
        runs = [open_finished(Path(config["run"]))]
    print(write_evaluation(runs, root, reading))


def transfer(config: dict, overrides: list[str]) -> Run:
    """``evaluate run=RUN dataset=OTHER``: the run's models on another corpus, in the run's own montage."""
    from distilclip_eeg import transfer

    if config["run"] == "all":
        raise ConfigError(f"dataset={config['dataset']['name']}: say which model to test on it, run=RUN.")
    run = open_finished(Path(config["run"]))
    for said in overrides:
        if said.startswith(("signals.", "windows.", "split")):
            raise ConfigError(f"{said}: a model is tested as it was trained; leave it out.")
    montage = run.config["signals"].get("montage", "native")
    config = load("evaluate", [*overrides, f"signals.montage={montage}"])
    places = Path(config["store"]["root"]), Path(config["root"])
    target = transfer.Target(config["dataset"], *places, config["device"], config["n_jobs"])
    return transfer.transfer(run, target)


def probe(overrides: list[str]) -> None:
    """What a teacher's text gives away of class and person: ``python scripts/probe.py run=RUN``."""
    from distilclip_eeg import probes

    config = load("probe", overrides)
    latest = config["run"] == "latest"
    run = newest_teacher(Path("runs"), "run") if latest else existing(Path(config["run"]))
    print(f"run={run.path}")
    roots = {"dataset": config["dataset"]["root"], "store": config["store"]["root"]}
    table = probes.probe(run, device=config["device"], n_jobs=config["n_jobs"], **roots)
    print(f"{probes.page(table)}\nwritten: {run.path / probes.TABLE}")
    if config["table"]:
        probes.add(table, run, Path(config["table"]))


def export(overrides: list[str]) -> None:
    """A run's model as one folder, for new recordings: ``python scripts/export.py run=RUN weights=final``."""
    config = load("export", overrides)
    run = newest_run(Path("runs")) if config["run"] == "latest" else existing(Path(config["run"]))
    print(f"run={run.path}", flush=True)
    from distilclip_eeg.deploy import export

    output = Path(config["output"]) if config["output"] else None
    where = {
        "dataset": config["dataset"]["root"],
        "store": config["store"]["root"],
        "n_jobs": config["n_jobs"],
    }
    folder = export.export(
        run, config["weights"], output, onnx=config["onnx"], device=config["device"], **where
    )
    print(export.page(folder))


def prepare(overrides: list[str]) -> None:
    """Recordings to the store only, with a report: ``python scripts/prepare.py dataset=tusz``."""
    import joblib

    from distilclip_eeg.config import build, read
    from distilclip_eeg.progress import track
    from distilclip_eeg.runs import write_atomic
    from distilclip_eeg.signals import store
    from distilclip_eeg.signals.preprocess import SignalConfig

    config = load("prepare", overrides)
    signals = read(SignalConfig, config["signals"], "signals")
    corpus, root = build(config["dataset"]["corpus"]), Path(config["store"]["root"])
    workers = {"backend": config["backend"], "n_jobs": config["n_jobs"]}
    with joblib.parallel_config(**workers) if config["backend"] else nullcontext():
        made = store.prepare(corpus, signals, root, n_jobs=config["n_jobs"], progress=track)
    table = made.path / "recordings.csv"
    write_atomic(table, made.recordings.to_csv(index=False).encode())
    print(f"{store.data_report(made)}\nstore: {made.path}\nevery recording: {table}")


def describe(overrides: list[str]) -> None:
    """What is on disk, beside the published totals: ``python scripts/describe.py dataset=chbmit``."""
    from distilclip_eeg import survey
    from distilclip_eeg.config import build
    from distilclip_eeg.progress import track

    config = load("describe", overrides)
    corpus = build(config["dataset"]["corpus"])
    print(survey.describe(corpus, survey.survey(corpus, n_jobs=config["n_jobs"], progress=track)))


def check(overrides: list[str]) -> None:
    """One JSON line a file, by the reader that training uses: ``python scripts/check.py path=FOLDER``."""
    import json

    from distilclip_eeg import filecheck

    config = load("check", overrides)
    recording = config["recording"]
    for line in filecheck.check(Path(config["path"]), Path(recording) if recording else None):
        print(json.dumps(line), flush=True)


def synthesize(overrides: list[str]) -> None:
    """An invented corpus in a native layout: ``python scripts/synthesize.py layout=tusz root=FOLDER``."""
    from distilclip_eeg.corpora.layouts import tree

    config = load("synthesize", overrides)
    layout, root = config.pop("layout"), Path(config.pop("root"))
    truth = tree.synthesize(layout, root, **config)
    dataset = f"dataset={layout} dataset.root={root}"
    left_out = sum(truth["skipped"].values())
    odd = f", {left_out} of them of the kind that is left out" if left_out else ""
    total = truth["recordings"] + left_out
    print(f"{root}: {total} invented recordings in the layout of {layout}{odd}; counts in {tree.TRUTH}")
    print(f"python scripts/describe.py {dataset}\npython train.py {dataset}")


VERBS = {
    "train": train,
    "distill": distill,
    "tune": tune,
    "evaluate": evaluate,
    "probe": probe,
    "export": export,
    "detect": detect,
    "benchmark": benchmark,
    "prepare": prepare,
    "describe": describe,
    "check": check,
    "synthesize": synthesize,
}
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


def newest_run(root: Path) -> Run:
    """The finished run that was made last."""
    found = find_runs(root)
    if not found:
        raise ConfigError(f"run=latest: {root} holds no finished run. Run `python train.py` first.")
    return found[-1]


def newest_teacher(root: Path, key: str) -> Run:
    """What ``latest`` stands for."""
    found = [r for r in find_runs(root) if r.config["model"]["kind"] == "teacher"]
    if not found:
        raise ConfigError(
            f"{key}=latest: {root} holds no finished teacher run. Run `python train.py` first, or give "
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
    # Hydra wants its flags before the overrides; here they may stand anywhere.
    said = [a for a in argv if not a.startswith("-") and ("=" in a or a.startswith("~"))]
    flags = [a for a in argv if a not in said]
    said = [opened(a) for a in said]
    if "--help" in flags or "-h" in flags:
        print(help_of(verb))
        return
    load(verb, first_of_sweep(said))  # a wrong setting is one line, not Hydra's several

    @hydra.main(config_path=str(CONFIG_DIR), config_name=verb, version_base="1.3")
    def job(node) -> None:
        overrides = list(HydraConfig.get().overrides.task)
        outer = GlobalHydra.instance()
        held, outer.hydra = outer.hydra, None  # the verb composes its own config
        try:
            VERBS[verb](overrides)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        finally:
            outer.hydra = held

    with tempfile.TemporaryDirectory() as scratch:  # for Hydra's multirun.yaml, which holds machine paths
        quiet = [
            "hydra.output_subdir=null",
            "hydra.run.dir=.",
            f"hydra.sweep.dir={scratch}",
            "hydra.sweep.subdir=.",
            "hydra.job.chdir=false",
            "hydra/job_logging=disabled",
            "hydra/hydra_logging=disabled",
        ]
        sys.argv = [f"{verb}.py", *flags, *said, *quiet]
        job()


def first_of_sweep(overrides: list[str]) -> list[str]:
    """``overrides`` with the first value of each sweep."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split()), reason="bad_config") from None
    return [
        f"{o.get_key_element()}={next(o.sweep_string_iterator())}" if o.is_sweep_override() else o.input_line
        for o in parsed
    ]


def help_of(verb: str) -> str:
    """What ``--help`` prints: the choices of every group, and every setting with its default."""
    groups = [f"  {f.name}={'|'.join(sorted(p.stem for p in f.glob('*.yaml')))}" for f in group_folders()]
    settings = OmegaConf.to_yaml(OmegaConf.create(defaults(verb)))
    return (
        f"{VERBS[verb].__doc__}\n\nGroups:\n" + "\n".join(groups) + f"\n\nSettings (key=value, or "
        f"group.key=value):\n{settings}\n-m KEY=A,B runs a sweep; --cfg job prints the config.\n{NOTE}"
    )


def group_folders() -> list[Path]:
    return sorted(f for f in CONFIG_DIR.iterdir() if f.is_dir() and any(f.glob("*.yaml")))


def main() -> None:
    """``distilclip-eeg VERB key=value …``."""
    argv = sys.argv[1:]
    if not argv or argv[0] not in VERBS:
        lines = [f"  {name:10s}{(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()]
        print("usage: distilclip-eeg VERB [key=value …]\n" + "\n".join(lines) + f"\n{NOTE}")
        sys.exit(0 if argv[:1] in ([], ["--help"], ["-h"]) else 2)
    run(argv[0], argv[1:])
