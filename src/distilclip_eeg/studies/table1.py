"""Table I of the article: every model under the same folds, ours beside the published figures.

    python scripts/reproduce_table1.py dataset=chbmit dataset.root=FOLDER split=window,subject models=all

A *cell* is one model under one protocol (teacher and student share one, since the student needs its teacher).
Cells are runs like any other: an interrupted one continues, a finished one is found again. Their rows stand
in ``results/<name>.csv``; a cell whose digest is there is not run again.
"""

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from distilclip_eeg.commands.which_run import with_teacher_data
from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.progress import clock, track
from distilclip_eeg.report.comparison import BASELINES, EXTRA, FLOORS, comparison, settings_of
from distilclip_eeg.report.published import COLUMNS
from distilclip_eeg.report.tables import ALWAYS, summary_rows
from distilclip_eeg.runs import Run, commit, digest_of, public_command, read_json, write_atomic
from distilclip_eeg.schema import ConfigError, UserError, check_choice
from distilclip_eeg.scoring.answers import Reading
from distilclip_eeg.scoring.metrics import PAPER_COLUMNS
from distilclip_eeg.signals.splits import KINDS, OWN_NUMBER
from distilclip_eeg.studies.speed import SPEED, hardware, speeds, with_speed
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.data import Data, load_data, train_rows
from distilclip_eeg.training.engine import make_accelerator
from distilclip_eeg.workers import spread

NETWORK_ONLY = ("trainer.", "augment=", "optim.")
"""Overrides that mean nothing to a floor."""


@dataclass(frozen=True)
class Cell:
    """One model (or a teacher with its student) under one protocol."""

    split: str
    model: str
    overrides: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.split} {self.model}"

    def words(self, model: str | None = None) -> list[str]:
        """What ``train.py`` is told."""
        dropped = NETWORK_ONLY if self.model in FLOORS else ()
        dropped += ("split.n_folds=",) if self.split in OWN_NUMBER else ()
        kept = [o for o in self.overrides if not o.startswith(dropped)]
        return [f"split={self.split}", f"model={model or self.model}", *kept]

    @property
    def own(self) -> list[str]:
        """The overrides of the network itself."""
        return [o for o in self.overrides if o.lstrip("+").startswith("model.")]

    @property
    def names(self) -> list[str]:
        """The models whose rows it gives."""
        if self.model.startswith("teacher"):
            return [self.model, self.model.replace("teacher", "student")]
        named = [o.partition("=")[2] for o in self.own if o.startswith("model.name=")]
        return named[-1:] or [self.model]

    def nets(self) -> dict[str, dict]:
        """``model.net`` of its networks by ``net_key``."""
        if self.model in FLOORS:
            return {}
        configs = self.names if self.model.startswith("teacher") else [self.model]
        return {
            net_key(name, self.own): load("train", [f"model={name}", *self.own])["model"]["net"]
            for name in configs
        }

    @property
    def digest(self) -> str:
        """Stands for every setting of the cell, its folds included."""
        config = load("train", self.words())
        fold = config["fold"] if config["fold"] is not None else "all"
        return f"{digest_of(config)}-{fold}".replace(" ", "")


def net_key(model: str, own: list[str]) -> str:
    """What ``speed.csv`` calls a network: its config and what the command line changes of it."""
    return shlex.join([model, *own])


def all_models(ours: str) -> list[str]:
    """What ``models=all`` stands for, in the table's order; ``ours`` is the size of our pair."""
    return [*BASELINES, *EXTRA, f"teacher_{ours}", *FLOORS]


def cells_of(models: str, splits: str, ours: str, overrides: list[str]) -> list[Cell]:
    """Every cell of a table; names are checked before anything is read."""
    chosen = all_models(ours) if models == "all" else models.split(",")
    known = sorted(p.stem for p in (CONFIG_DIR / "model").glob("*.yaml"))
    for name in chosen:
        check_choice("models", name, known)
        if name.startswith("student"):
            raise ConfigError(f"models={name}: a student comes with its teacher; name the teacher.")
    for split in splits.split(","):
        check_choice("split", split, KINDS)
    return [Cell(split, model, tuple(overrides)) for split in splits.split(",") for model in chosen]


def run_cell(one: Cell, log: Path) -> list[dict]:
    """Train a cell, or find it finished, and describe it: one row a model. What it prints goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
        config = load("train", one.words())
        runs = [pipeline.train(config)]
        if one.model.startswith("teacher"):
            student = load("distill", one.words(one.model.replace("teacher", "student")))
            runs.append(pipeline.distill(with_teacher_data(student, runs[0], []), runs[0]))
        return [row_of(run, one, key) for run, key in zip(runs, one.nets() or [one.model], strict=True)]


def attempt(one: Cell, log: Path) -> list[dict] | str:
    """``run_cell``, or what went wrong: one cell that cannot be run does not stop the others."""
    try:
        return run_cell(one, log)
    except UserError as problem:
        return f"{one}: {problem}"


def row_of(run: Run, one: Cell, net: str) -> dict:
    """A finished run's row: metrics, sizes, and how it was made; ``net`` finds its speed."""
    table = summary_rows([run])
    row = table[table["model"] != ALWAYS].iloc[0].to_dict()
    always = table[table["model"] == ALWAYS].iloc[0]
    info, folds = read_json(run.path / "data.json"), run.folds_done()
    steps = [read_json(run.fold(k) / "metrics.json").get("steps") for k in folds]
    seconds = sum(v for k, v in read_json(run.path / "timing.json").items() if k.startswith("fold"))
    row |= {f"always_{c}": always[c] for c in COLUMNS} | sizes_of(run)
    row |= {f"shares_{name}": share for name, share in info["audit"].items()}
    paper = summary_rows([run], Reading("paper")).iloc[0]
    row |= {f"paper_{c}{kind}": paper[f"{c}{kind}"] for c in PAPER_COLUMNS for kind in ("", "_sd")}
    return row | {
        "steps_per_fold": steps[0] if steps[0] is not None else "",
        "minutes": round(seconds / 60, 2),
        "leak_note": info["leak_note"],
        "net": net,
        "hardware": hardware(run.config["device"]),
        "commit": commit(),
        "command": command(one),
        "digest": one.digest,
    }


def command(one: Cell) -> str:
    """What to type for this cell alone."""
    ours = (f"ours={one.model.partition('_')[2]}",) if one.model.startswith("teacher") else ()
    words = (f"split={one.split}", f"models={one.model}", *ours, *one.overrides)
    return public_command("scripts/reproduce_table1.py", words)


def sizes_of(run: Run) -> dict:
    """Channels, samples and classes, as its predictions and settings tell."""
    config = run.config
    with (run.path / "data_report.txt").open(encoding="utf-8") as page:
        n_chans = int(page.readline().rpartition(" channels")[0].rpartition(" ")[2])
    classes = run.predictions(run.folds_done()[0])["classes"]
    n_times = round(config["windows"]["length_s"] * config["signals"]["sfreq"])
    return {"n_chans": n_chans, "n_times": n_times, "n_outputs": len(classes)}


def expected_s(one: Cell, data: Data, speed: pd.DataFrame) -> float:
    """Seconds a cell will take on one core: its steps, and a prediction an epoch."""
    config = load("train", one.words())
    if config["split"]["n_folds"] is None:
        config["split"]["n_folds"] = data.windows["subject"].nunique()
    folds = len(pipeline.chosen_folds(config))
    if one.model in FLOORS:
        return 10.0 * folds
    trainer, rows = config["trainer"], len(train_rows(data, 0, config["seed"]))
    per_epoch = -(-rows // trainer["batch_size"])
    steps = min(trainer["max_steps"] or np.inf, trainer["epochs"] * per_epoch)
    scored = len(data.rows(0, "val")) * (1 + -(-steps // per_epoch)) + len(data.rows(0, "test"))
    seconds = [
        steps * speed.loc[net, "step_ms"] / 1000 * trainer["batch_size"] / 32
        + scored / speed.loc[net, "windows_per_s"]
        for net in one.nets()
    ]
    return folds * sum(seconds)


def announce(todo: list[Cell], data: Data, speed: pd.DataFrame, jobs: int) -> None:
    """What will be run and how long it should take, before it starts."""
    total = 0.0
    for one in todo:
        seconds = expected_s(one, data, speed)
        total += seconds
        print(f"  {one.split:23s}{one.model:18s}{clock(seconds):>10s}")
    print(f"expected: {clock(total)} on one core, about {clock(total / jobs)} with jobs={jobs}", flush=True)


def fill(cells: list[Cell], path: Path, own: dict) -> None:
    """Run the cells that ``path`` lacks; rows and printed table are written as each one is done."""
    known = set(pd.read_csv(path)["digest"]) if path.exists() else set()
    todo = [one for one in cells if one.digest not in known]
    print(f"{len(cells) - len(todo)} of {len(cells)} cells stand in {path} already")
    if not todo:
        return
    config = load("train", todo[0].words())
    with contextlib.redirect_stdout(None):
        data = load_data(config)
    device = make_accelerator("fp32", config["device"]).device
    nets = {key: net for one in cells for key, net in one.nets().items()}
    announce(todo, data, speeds(nets, data, device, path.parent / SPEED), own["jobs"])
    logs, failed = path.parent.parent / "runs" / "table1", []
    items = [(one, logs / f"{one.split}-{one.model}.log") for one in todo]
    how = {key: own[key] for key in ("jobs", "cluster", "slurm")}
    done = spread(attempt, items, **how, name="table1", logs=logs)
    for rows in track(done, len(todo), "cells"):
        if isinstance(rows, str):
            failed.append(rows)
            continue
        before = [pd.read_csv(path)] if path.exists() else []
        table = pd.concat([*before, pd.DataFrame(rows)], ignore_index=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, table.to_csv(index=False).encode())
        page(cells, path)
    for line in failed:
        print(f"not run: {line}", flush=True)


def page(cells: list[Cell], path: Path) -> str:
    """The table as it stands, written beside ``path`` as markdown; what it lacks reads 'not run'."""
    dataset = load("train", cells[0].words())["dataset"]["name"]
    asked = [(dataset, one.split, settings_of(command(one)), name) for one in cells for name in one.names]
    if path.exists():
        rows = pd.read_csv(path)
    else:
        rows = pd.DataFrame(columns=["dataset", "split", "model", "command"])
    text = comparison(with_speed(rows, path.parent / SPEED), asked, rates())
    if len(rows):
        write_atomic(path.with_suffix(".md"), text.encode())
    return text


def rates() -> dict[str, float]:
    """The learning rate of every network's config."""
    files = {path.stem: path for path in (CONFIG_DIR / "model").glob("*.yaml") if path.stem not in FLOORS}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items()}
    return {name: yaml.safe_load(text)["optim"]["lr"] for name, text in texts.items()}


def settings(overrides: list[str]) -> dict:
    """Our own words out of a command line, and their defaults; the rest is training's."""
    own = {"models": "all", "split": "window", "ours": "tiny", "jobs": "1", "cluster": "", "name": ""}
    slurm: dict[str, int | str] = {}
    for word in list(overrides):
        key, _, value = word.partition("=")
        if key in own:
            own[key] = value
        elif key.startswith("slurm."):
            slurm[key.removeprefix("slurm.")] = int(value) if value.isdecimal() else value
        else:
            continue
        overrides.remove(word)
    if not own["jobs"].isdecimal() or own["jobs"] == "0":
        raise ConfigError(f"jobs={own['jobs']}: expected a whole number above 0.")
    return {**own, "jobs": int(own["jobs"]), "cluster": own["cluster"] or None, "slurm": slurm}


def reproduce(overrides: list[str], root: Path = Path("results")) -> None:
    """``python scripts/reproduce_table1.py``; see the module."""
    overrides = list(overrides)
    own = settings(overrides)
    cells = cells_of(own["models"], own["split"], own["ours"], overrides)
    dataset = load("train", cells[0].words())["dataset"]["name"]
    path = root / f"{own['name'] or f'table1_{dataset}'}.csv"
    fill(cells, path, own)
    print(page(cells, path))
