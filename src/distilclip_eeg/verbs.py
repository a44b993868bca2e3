"""The verbs a user types; each takes the command line's settings and does one thing.

What is heavy is imported inside, so that a wrong setting is told before torch is loaded.
"""

import re
import sys
from contextlib import nullcontext
from pathlib import Path

from distilclip_eeg.commands.which_run import (
    each_seed,
    existing,
    find_teacher,
    newest,
    newest_teacher,
    open_finished,
    option,
    student_of,
    with_teacher_data,
)
from distilclip_eeg.config.compose import TUNE, check_type, load
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import NOTE, ConfigError, UserError, check_choice


def train(overrides: list[str]) -> None:
    """Cross-validate one model: ``python train.py dataset=chbmit model=teacher_small``."""
    configs = each_seed(load("train", overrides))  # a wrong setting is told before torch is loaded
    from distilclip_eeg.report.tables import run_table
    from distilclip_eeg.training import pipeline

    for config in configs:
        run = pipeline.train(config)
        print(run_table([run]))


def distill(overrides: list[str]) -> None:
    """Distil a student from a finished teacher run: ``python distill.py teacher=RUN``."""
    config = load("distill", [*student_of(overrides), *overrides])
    teacher = find_teacher(config)
    print(f"teacher={teacher.path}", flush=True)
    from distilclip_eeg.report.tables import run_table
    from distilclip_eeg.training import pipeline

    run = pipeline.distill(with_teacher_data(config, teacher, overrides), teacher)
    print(run_table([teacher, run]))


def tune(overrides: list[str]) -> None:
    """Search settings by macro F1 on validation: ``python scripts/tune.py model=teacher_small trials=30``."""
    from distilclip_eeg.studies.tuning import search, space

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
    from distilclip_eeg.report.tables import write_evaluation
    from distilclip_eeg.scoring.answers import Reading

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


def report(overrides: list[str]) -> None:
    """Every table and figure of the article and one page: ``python scripts/report.py [dataset=chbmit]``."""
    config = load("report", overrides)
    root, dataset = Path(config["root"]), config.get("dataset", {}).get("name")
    runs = find_runs(root, finished=False)
    if config["run"] != "all":
        runs = [open_finished(Path(config["run"]))]
    from distilclip_eeg.report.build import write_report
    from distilclip_eeg.report.entries import choose

    entries = choose(runs, dataset)
    if not entries:
        where = f"{root}, dataset={dataset}" if dataset else str(root)
        raise ConfigError(f"{where}: no finished run found. Run `python train.py` first, or set root=FOLDER.")
    folder = root / "report"
    print(*write_report(entries, folder, Path(config["results"])), sep="\n")
    print(f"{NOTE}\nnext: open {folder / 'index.html'} in a browser")


def transfer(config: dict, overrides: list[str]) -> Run:
    """``evaluate run=RUN dataset=OTHER``: the run's models on another corpus, in the run's own montage."""
    from distilclip_eeg.training import transfer

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
    from distilclip_eeg.studies import probes

    config = load("probe", overrides)
    latest = config["run"] == "latest"
    run = newest_teacher(Path("runs"), "run") if latest else existing(Path(config["run"]))
    print(f"run={run.path}")
    table = probes.probe(run, device=config["device"], n_jobs=config["n_jobs"], **roots(config))
    print(f"{probes.page(table)}\nwritten: {run.path / probes.TABLE}")
    if config["table"]:
        probes.add(table, run, Path(config["table"]))


def continuous(overrides: list[str]) -> None:
    """Seizure events in whole recordings: ``python scripts/continuous.py run=RUN``."""
    from distilclip_eeg.config.compose import read
    from distilclip_eeg.report.event_tables import FOLDER, write_event_tables
    from distilclip_eeg.scoring.events.detect import DetectConfig
    from distilclip_eeg.training import traces

    config = load("continuous", overrides)
    detect = read(DetectConfig, config["detect"], "detect")
    run = whole_run(config["run"])
    print(f"run={run.path}")
    settings = {k: config[k] for k in ("hop_s", "device", "n_jobs")}
    traces.score(run, **settings, **roots(config))
    print(f"{write_event_tables(run, detect, config['threshold'])}\nwritten: {run.path / FOLDER}")


def whole_run(named: str) -> Run:
    """The run of that folder; ``latest``: the newest whose protocol keeps recordings whole."""
    if named != "latest":
        return existing(Path(named))
    from distilclip_eeg.report.event_tables import WHOLE

    what = "run that keeps recordings whole"
    return newest(Path("runs"), "run", what, lambda run: run.config["split"]["name"] in WHOLE)


def export(overrides: list[str]) -> None:
    """A run's model as one folder, for new recordings: ``python scripts/export.py run=RUN weights=final``."""
    config = load("export", overrides)
    latest = config["run"] == "latest"
    run = newest(Path("runs"), "run", "run", lambda _: True) if latest else existing(Path(config["run"]))
    print(f"run={run.path}", flush=True)
    from distilclip_eeg.deploy import export

    output = Path(config["output"]) if config["output"] else None
    settings = {k: config[k] for k in ("onnx", "device", "n_jobs")}
    print(export.page(export.export(run, config["weights"], output, **settings, **roots(config))))


def detect(overrides: list[str]) -> None:
    """EDF in, seizure events out: ``python scripts/detect.py weights=DIR input=FILE|FOLDER output=DIR``.

    Ends with 0 where all files were read, 1 where some could not be, 3 where none could, and with 2 where a
    setting is wrong.
    """
    config = load("detect", overrides)
    from distilclip_eeg.deploy import screen

    failed = screen.screen(config)
    print(NOTE)
    if failed:
        sys.exit(1)


def rehearse(overrides: list[str]) -> None:
    """``detect.py`` on what each fold has not seen, scored: ``python scripts/rehearse.py run=RUN``."""
    config = load("rehearse", overrides)
    run = whole_run(config["run"])
    print(f"run={run.path}", flush=True)
    from distilclip_eeg.studies import rehearsal

    settings = {k: config[k] for k in ("hop_s", "device", "n_jobs")}
    text = rehearsal.rehearse(run, **settings, **roots(config))
    print(f"{text}\nwritten: {run.path / rehearsal.FOLDER}\n{NOTE}")


def search(overrides: list[str]) -> None:
    """Recordings searched by words: ``python scripts/search.py weights=DIR input=FOLDER query=TEXT``."""
    config = load("search", overrides)
    from distilclip_eeg.deploy import search

    search.search(config)
    print(NOTE)


def explain(overrides: list[str]) -> None:
    """Where a network looks, for the report: ``python scripts/explain.py run=RUN fold=0``."""
    from distilclip_eeg.explain import run as explaining
    from distilclip_eeg.explain.page import page

    config = load("explain", overrides)
    ask = explaining.Ask(**{key: config[key] for key in ("fold", "method", "windows")})
    given = {key: config[key] for key in ("device", "n_jobs", "fresh")}
    named = config["run"] not in ("latest", "all")
    runs = [existing(Path(config["run"]))] if named else explaining.networks(Path(config["root"]))
    if config["run"] == "latest":
        runs = runs[-1:]
    for run in runs:
        print(f"run={run.path}", flush=True)
        try:
            print(page(explaining.explain(run, ask, **given, **roots(config))))
        except UserError as error:
            if config["run"] != "all":
                raise
            print(f"left out: {error}")
    print("next: python scripts/report.py")


def prepare(overrides: list[str]) -> None:
    """Recordings to the store only, with a report: ``python scripts/prepare.py dataset=tusz``."""
    import joblib

    from distilclip_eeg.config.compose import build, read
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
    from distilclip_eeg.config.compose import build
    from distilclip_eeg.corpora import survey
    from distilclip_eeg.progress import track

    config = load("describe", overrides)
    corpus = build(config["dataset"]["corpus"])
    print(survey.describe(corpus, survey.survey(corpus, n_jobs=config["n_jobs"], progress=track)))


def check(overrides: list[str]) -> None:
    """One JSON line a file, by the reader that training uses: ``python scripts/check.py path=FOLDER``."""
    import json

    from distilclip_eeg.corpora import filecheck

    config = load("check", overrides)
    recording = config["recording"]
    for line in filecheck.check(Path(config["path"]), Path(recording) if recording else None):
        print(json.dumps(line), flush=True)


def synthesize(overrides: list[str]) -> None:
    """An invented corpus in a native layout: ``python scripts/synthesize.py layout=tusz root=FOLDER``."""
    from distilclip_eeg.corpora.invented.layouts import tree

    config = load("synthesize", overrides)
    layout, root = config.pop("layout"), Path(config.pop("root"))
    truth = tree.synthesize(layout, root, **config)
    dataset = f"dataset={layout} dataset.root={root}"
    left_out = sum(truth["skipped"].values())
    odd = f", {left_out} of them of the kind that is left out" if left_out else ""
    total = truth["recordings"] + left_out
    print(f"{root}: {total} invented recordings in the layout of {layout}{odd}; counts in {tree.TRUTH}")
    print(f"python scripts/describe.py {dataset}\npython train.py {dataset}")


def roots(config: dict) -> dict[str, str | None]:
    """Where a run's data are now, if not where the run had them."""
    return {"dataset": config["dataset"]["root"], "store": config["store"]["root"]}


def benchmark(overrides: list[str]) -> None:
    """Time and memory on this machine: ``python scripts/benchmark.py what=detect``."""
    config = load("benchmark", overrides)
    check_choice("what", config["what"], ("detect",))
    from distilclip_eeg.deploy.benchmark import benchmark

    for line in benchmark(config):
        print(line, flush=True)


VERBS = {
    "train": train,
    "distill": distill,
    "tune": tune,
    "evaluate": evaluate,
    "report": report,
    "probe": probe,
    "continuous": continuous,
    "explain": explain,
    "export": export,
    "detect": detect,
    "rehearse": rehearse,
    "benchmark": benchmark,
    "search": search,
    "prepare": prepare,
    "describe": describe,
    "check": check,
    "synthesize": synthesize,
}
