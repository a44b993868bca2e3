"""Table I of the article: every model under the same folds, ours beside the published figures.

    python scripts/reproduce_table1.py dataset=chbmit dataset.root=FOLDER split=window,subject models=all

A *cell* is one model under one protocol (teacher and student share one, since the student needs its teacher).
Cells are runs like any other: an interrupted one continues, a finished one is found again. Their rows stand
in ``results/<name>.csv``; a cell whose digest is there is not run again.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg import cli, pipeline
from distilclip_eeg.config import CONFIG_DIR, load
from distilclip_eeg.data import Data, load_data, train_rows
from distilclip_eeg.metrics import PAPER_COLUMNS
from distilclip_eeg.progress import clock, track
from distilclip_eeg.report.published import COLUMNS as SHOWN
from distilclip_eeg.report.published import TABLE_1, table_1
from distilclip_eeg.report.scores import Reading
from distilclip_eeg.report.tables import ALWAYS, cell, summary_rows
from distilclip_eeg.runs import Run, commit, digest_of, provenance, public_command, read_json, write_atomic
from distilclip_eeg.schema import ConfigError, UserError, check_choice
from distilclip_eeg.signals.splits import KINDS, OWN_NUMBER
from distilclip_eeg.speed import SIZES, SPEED, speeds
from distilclip_eeg.workers import spread

FLOORS = ("logreg_bandpower", "random_forest")
EXTRA = ("zhu_transformer", "eeg_conformer")
"""Beside the article's sixteen: the transformer that its EEGNet row cites, and Song's conformer."""
BASELINES = tuple(name for name in TABLE_1 if name not in ("teacher", "student"))
NETWORK_ONLY = ("trainer.", "augment=", "optim.")
"""Overrides that mean nothing to a floor."""
HEAD = (
    "| model | Acc % | Pre % | Rec % | F1 % | AUROC % | article, full corpus: Acc / Pre / Rec / F1 "
    "| min | parameters | ms a step | windows/s |"
)
MATCHES = ("window",)
"""Protocols whose figures may stand beside the article's; the others are there to show the difference."""


@dataclass(frozen=True)
class Cell:
    """One model (or a teacher with its student) under one protocol."""

    split: str
    model: str
    overrides: tuple[str, ...]

    def words(self, model: str | None = None) -> list[str]:
        """What ``train.py`` is told."""
        dropped = NETWORK_ONLY if self.model in FLOORS else ()
        dropped += ("split.n_folds=",) if self.split in OWN_NUMBER else ()
        kept = [o for o in self.overrides if not o.startswith(dropped)]
        return [f"split={self.split}", f"model={model or self.model}", *kept]

    @property
    def digest(self) -> str:
        """Stands for every setting of the cell, its folds included."""
        config = load("train", self.words())
        fold = config["fold"] if config["fold"] is not None else "all"
        return f"{digest_of(config)}-{fold}".replace(" ", "")


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
            runs.append(pipeline.distill(cli.with_teacher_data(student, runs[0], []), runs[0]))
        return [row_of(run, one) for run in runs]


def attempt(one: Cell, log: Path) -> list[dict] | str:
    """``run_cell``, or what went wrong: one cell that cannot be run does not stop the others."""
    try:
        return run_cell(one, log)
    except UserError as problem:
        return f"{one.split} {one.model}: {problem}"


def row_of(run: Run, one: Cell) -> dict:
    """A finished cell's row: metrics, size, speed, and how it was made."""
    table = summary_rows([run])
    row = table[table["model"] != ALWAYS].iloc[0].to_dict()
    always = table[table["model"] == ALWAYS].iloc[0]
    info, folds = read_json(run.path / "data.json"), run.folds_done()
    steps = [read_json(run.fold(k) / "metrics.json").get("steps") for k in folds]
    seconds = sum(v for k, v in read_json(run.path / "timing.json").items() if k.startswith("fold"))
    row |= {f"always_{c}": always[c] for c in SHOWN} | sizes_of(run)
    row |= {f"shares_{name}": share for name, share in info["audit"].items()}
    paper = summary_rows([run], Reading("paper")).iloc[0]
    row |= {f"paper_{c}{kind}": paper[f"{c}{kind}"] for c in PAPER_COLUMNS for kind in ("", "_sd")}
    return row | {
        "steps_per_fold": steps[0] if steps[0] is not None else "",
        "minutes": round(seconds / 60, 2),
        "leak_note": info["leak_note"],
        "hardware": provenance()["machine"],
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


def networks(cells: list[Cell]) -> list[str]:
    """Every network of a table, a teacher's student included, in order."""
    names = []
    for one in cells:
        if one.model not in FLOORS:
            names.append(one.model)
        if one.model.startswith("teacher"):
            names.append(one.model.replace("teacher", "student"))
    return list(dict.fromkeys(names))


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
        steps * speed.loc[name, "step_ms"] / 1000 * trainer["batch_size"] / 32
        + scored / speed.loc[name, "windows_per_s"]
        for name in networks([one])
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


def fill(cells: list[Cell], path: Path, *, jobs: int, cluster: str | None = None) -> None:
    """Run the cells that ``path`` lacks and add their rows, each as soon as it is there."""
    known = set(pd.read_csv(path)["digest"]) if path.exists() else set()
    todo = [one for one in cells if one.digest not in known]
    print(f"{len(cells) - len(todo)} of {len(cells)} cells stand in {path} already")
    with contextlib.redirect_stdout(None):
        data = load_data(load("train", cells[0].words()))
    speed = speeds(networks(cells), data, path.parent / SPEED)
    if not todo:
        return
    announce(todo, data, speed, jobs)
    logs = path.parent.parent / "runs" / "table1"
    items = [(one, logs / f"{one.split}-{one.model}.log") for one in todo]
    done = spread(attempt, items, jobs=jobs, cluster=cluster, name="table1", logs=logs)
    failed = []
    for rows in track(done, len(todo), "cells"):
        if isinstance(rows, str):
            failed.append(rows)
            continue
        before = pd.read_csv(path) if path.exists() else pd.DataFrame()
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pd.concat([before, pd.DataFrame(rows)], ignore_index=True)
        write_atomic(path, table.to_csv(index=False).encode())
    for line in failed:
        print(f"not run: {line}", flush=True)


def markdown(path: Path, models: list[str]) -> str:
    """Table I as printed: accuracy, precision, recall and F1 of each model, ours beside the article's."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["dataset", "split", "model"])
    speed = path.parent / SPEED
    if len(rows) and speed.exists():
        columns = ["model", "parameters", "step_ms", "windows_per_s"]
        table = pd.read_csv(speed)
        mine = (table[SIZES] == rows[SIZES].iloc[0]).all(axis=1)
        rows = rows.merge(table.loc[mine, columns], on="model", how="left")
    names = [
        n for m in models for n in ([m, m.replace("teacher", "student")] if m.startswith("teacher") else [m])
    ]
    parts = []
    for (dataset, split), group in rows.groupby(["dataset", "split"], sort=False):
        first = group.iloc[0]
        parts.append(
            f"**{dataset}, split={split}** ({int(first['folds'])} folds, mean ± SD over folds; test windows: "
            f"{'balanced' if first['balanced_test'] else 'natural prevalence'}). {first['leak_note']}\n"
        )
        parts.append(HEAD)
        parts.append("|" + "---|" * 11)
        parts += [line_of(group[group["model"] == name], name, dataset, split) for name in names]
        always = " | ".join(f"{100 * first[f'always_{c}']:.1f}" for c in SHOWN)
        parts.append(f"| {ALWAYS} | {always} | 50.0 | – | – | – | – | – |\n")
    return "\n".join(parts)


def line_of(found: pd.DataFrame, name: str, dataset: str, split: str) -> str:
    """One model's line; 'not run' where there is no row."""
    said = table_1(name, dataset)
    article = " / ".join(f"{said[c]:.2f}" for c in SHOWN) if said and split in MATCHES else "–"
    if found.empty:
        return f"| {name} | " + " | ".join(["not run"] * 5) + f" | {article} | – | – | – | – |"
    row = found.iloc[-1]
    ours = " | ".join(cell(row[c], row[f"{c}_sd"]) for c in (*SHOWN, "auroc"))
    speed = "– | – | –"
    if not pd.isna(row["parameters"]):
        speed = f"{row['parameters']:,.0f} | {row['step_ms']:.0f} | {row['windows_per_s']:,.0f}"
    return f"| {name} | {ours} | {article} | {row['minutes']:.1f} | {speed} |"


def settings(overrides: list[str]) -> dict[str, str]:
    """Our own words out of a command line, and their defaults; the rest is training's."""
    own = {"models": "all", "split": "window", "ours": "tiny", "jobs": "1", "cluster": "", "name": ""}
    for word in list(overrides):
        key, _, value = word.partition("=")
        if key in own:
            own[key] = value
            overrides.remove(word)
    if not own["jobs"].isdecimal() or own["jobs"] == "0":
        raise ConfigError(f"jobs={own['jobs']}: expected a whole number above 0.")
    return own


def reproduce(overrides: list[str], root: Path = Path("results")) -> None:
    """``python scripts/reproduce_table1.py``; see the module."""
    overrides = list(overrides)
    own = settings(overrides)
    cells = cells_of(own["models"], own["split"], own["ours"], overrides)
    dataset = load("train", cells[0].words())["dataset"]["name"]
    path = root / f"{own['name'] or f'table1_{dataset}'}.csv"
    fill(cells, path, jobs=int(own["jobs"]), cluster=own["cluster"] or None)
    page = markdown(path, list(dict.fromkeys(one.model for one in cells)))
    if path.exists():
        write_atomic(path.with_suffix(".md"), f"{page}\n".encode())
    print(page)
