"""What each part of the model is worth: Table II and its neighbours, trained under the same folds and seeds.

    python scripts/ablations.py dataset=chbmit dataset.root=FOLDER split=window,subject seed=0,1,2

A *cell* is one variant under one protocol with one seed: a run like any other, so an interrupted one
continues. ``results/<name>.csv`` holds one row a fold of a cell; a cell that stands there is not run again.
The printed table pools seeds and folds of a variant in one row.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from distilclip_eeg.commands.which_run import with_teacher_data
from distilclip_eeg.config.compose import load
from distilclip_eeg.progress import track
from distilclip_eeg.report.tables import aligned, cell
from distilclip_eeg.runs import commit, digest_of, provenance, public_command, read_json, write_atomic
from distilclip_eeg.schema import ConfigError, UserError, check_choice
from distilclip_eeg.scoring.answers import fold_metrics
from distilclip_eeg.scoring.metrics import COLUMNS
from distilclip_eeg.training import pipeline
from distilclip_eeg.workers import spread

FULL, ALONE, DISTILLED = "base_lp", "student alone", "student distilled"
VARIANTS = {
    "table2": {
        name: (f"experiment=ablation_{name}",)
        for name in ("eeg_lp", "text_wp", "text_lp", "text_hp", "base_wp")
    }
    | {FULL: ("experiment=ablation_base_lp",)},
    "targets": {
        f"targets={name}": (f"loss.targets={name}",)
        for name in ("identity", "text_identity", "class_prompt", "sigmoid")
    },
    "text": {
        "text.detail=full": ("text.detail=full",),
        "text.source=metadata": ("text.source=metadata",),
        "text.source=class_template": ("text.source=class_template",),
        "head.input=fused": ("head.input=fused",),
        "head.inference=prompt": ("head.inference=prompt",),
    },
    "student": {DISTILLED: (), ALONE: ()},
}
"""Groups of variants: a label, and what it tells train.py beyond the full model."""
SHOWN = ("accuracy", "precision", "recall", "f1", "balanced_accuracy", "auroc")
HEADS = ("Acc %", "Pre %", "Rec %", "F1 %", "BAcc %", "AUROC %")
KEY = ["split", "variant", "seed", "reading"]


@dataclass(frozen=True)
class Cell:
    """One variant under one protocol with one seed."""

    split: str
    variant: str
    seed: int
    model: str
    reading: str
    own: tuple[str, ...]
    common: tuple[str, ...]

    def words(self, verb: str = "train") -> list[str]:
        """What ``train.py`` or ``distill.py`` is told."""
        model = self.model.replace("teacher", "student") if self.student or verb == "distill" else self.model
        words = [f"split={self.split}", f"model={model}", f"seed={self.seed}", *self.common, *self.own]
        return [*words, f"ablation_reading={self.reading}"]

    @property
    def student(self) -> bool:
        """Whether the cell trains a student without a teacher."""
        return self.variant == ALONE

    @property
    def key(self) -> str:
        """Stands for every setting and for the folds."""
        config = load("train", self.words())
        fold = "all" if config["fold"] is None else config["fold"]
        return f"{self.variant}-{digest_of(config)}-{fold}".replace(" ", "")


def cells_of(own: dict[str, str], common: list[str]) -> list[Cell]:
    """Every cell of a table; names are checked before anything is read."""
    groups = list(VARIANTS) if own["what"] == "all" else own["what"].split(",")
    for group in groups:
        check_choice("what", group, (*VARIANTS, "all"))
    if not own["model"].startswith("teacher"):
        raise ConfigError(f"model={own['model']}: expected a teacher, such as teacher_tiny or teacher_small.")
    return [
        Cell(split, variant, int(seed), own["model"], own["ablation_reading"], words, tuple(common))
        for split in own["split"].split(",")
        for seed in own["seed"].split(",")
        for group in groups
        for variant, words in VARIANTS[group].items()
    ]


def run_cell(one: Cell, log: Path) -> list[dict] | str:
    """Train a cell, or find it finished: its rows, or why there are none. What it prints goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("a", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
            run = pipeline.train(load("train", one.words()), report=False)
            if one.variant == DISTILLED:
                config = load("distill", one.words("distill"))
                run = pipeline.distill(with_teacher_data(config, run, []), run)
    except UserError as problem:
        return f"{one.split} {one.variant} seed {one.seed}: {problem}"
    config, info = run.config, read_json(run.path / "data.json")
    seconds = sum(v for k, v in read_json(run.path / "timing.json").items() if k.startswith("fold"))
    words = (f"split={one.split}", f"model={one.model}", f"seed={one.seed}", *one.common)
    about = {
        **{"dataset": config["dataset"]["name"], "split": one.split, "variant": one.variant},
        **{"model": config["model"]["name"], "seed": one.seed, "reading": one.reading},
    }
    made = {
        "steps": read_json(run.fold(run.folds_done()[0]) / "metrics.json")["steps"],
        "minutes": round(seconds / 60 / len(run.folds_done()), 2),
        "leak_note": info["leak_note"],
        "hardware": provenance()["machine"],
        "commit": commit(),
        "command": public_command("scripts/ablations.py", words),
        "key": one.key,
    }
    folds = fold_metrics(run)
    return [about | row[["fold", "n", *COLUMNS]].to_dict() | made for _, row in folds.iterrows()]


def fill(cells: list[Cell], path: Path, *, jobs: int, cluster: str | None) -> None:
    """Run the cells that ``path`` lacks and add their rows, each as soon as it is there."""
    known = set(pd.read_csv(path)["key"]) if path.exists() else set()
    todo = [one for one in cells if one.key not in known]
    print(f"{len(cells) - len(todo)} of {len(cells)} cells stand in {path} already", flush=True)
    logs = path.parent.parent / "runs" / "ablations"
    items = [(one, logs / f"{one.split}-{one.variant.replace(' ', '_')}-{one.seed}.log") for one in todo]
    failed = []
    done = spread(run_cell, items, jobs=jobs, cluster=cluster, name="ablations", logs=logs)
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


def pooled(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a protocol, model and variant: mean and SD over seeds and folds, and what it gains.

    The gain in AUROC over the full model (of a distilled student over one trained alone) is the mean over the
    (seed, fold) pairs that both have, its SD that of the pairs.
    """
    rows = rows.drop_duplicates([*KEY, "model", "fold"], keep="last")
    out = []
    for (split, reading, model, variant), group in rows.groupby(
        ["split", "reading", "model", "variant"], sort=False
    ):
        about = {"split": split, "reading": reading, "model": model, "variant": variant}
        row = about | {"seeds": group["seed"].nunique(), "folds": group["fold"].nunique()}
        for column in SHOWN:
            row[column], row[f"{column}_sd"] = group[column].mean(), group[column].std(ddof=1)
        base = ALONE if variant == DISTILLED else FULL
        against = rows[(rows["split"] == split) & (rows["reading"] == reading) & (rows["variant"] == base)]
        pairs = group.merge(against, on=["seed", "fold"], suffixes=("", "_base"))
        pairs = pairs[pairs["model"] == pairs["model_base"]]
        gain = pairs["auroc"] - pairs["auroc_base"]
        out.append(row | {"gain": gain.mean(), "gain_sd": gain.std(ddof=1)})
    order = [name for group in VARIANTS.values() for name in group]
    ranks = {"variant": order.index, "model": lambda name: (name.startswith("student"), name)}
    return pd.DataFrame(out).sort_values(
        ["split", "reading", "model", "variant"],
        key=lambda column: column.map(ranks.get(column.name, str)),
        ignore_index=True,
    )


def table(path: Path) -> str:
    """The pooled rows as text, the protocol's leak note above each part."""
    rows = pd.read_csv(path)
    parts = []
    for split, group in rows.groupby("split", sort=False):
        pool = pooled(group)
        body = []
        for _, row in pool.iterrows():
            numbers = [cell(row[c], row[f"{c}_sd"]) for c in SHOWN]
            gain = "–" if row["variant"] in (FULL, ALONE) else cell(row["gain"], row["gain_sd"])
            words = [row["model"], row["reading"], row["variant"], f"{row['seeds']} x {row['folds']}"]
            body.append([*words, *numbers, gain])
        head = ["model", "reading", "variant", "seeds x folds", *HEADS, "AUROC against base"]
        parts.append(f"{rows['dataset'].iloc[0]}, split={split}: {group['leak_note'].iloc[0]}")
        parts.append(aligned(head, body, 3))
    note = (
        "mean ± SD over seeds and folds (not a confidence interval). The last column pairs seeds and folds "
        "with "
        f"{FULL}, for '{DISTILLED}' with '{ALONE}'; an SD above the difference: the runs do not tell the two "
        "apart."
    )
    return "\n".join([*parts, note])


def settings(words: list[str]) -> dict[str, str]:
    """Our own words out of a command line, and their defaults; the rest is training's."""
    own = {"what": "all", "model": "teacher_tiny", "split": "window,subject", "seed": "0"}
    own |= {"ablation_reading": "placement", "jobs": "1", "cluster": "", "name": ""}
    for word in list(words):
        key, _, value = word.partition("=")
        if key in own:
            own[key] = value.strip("[]")
            words.remove(word)
    for key in ("jobs", "seed"):
        if not all(part.isdecimal() for part in own[key].split(",")) or own["jobs"] == "0":
            raise ConfigError(f"{key}={own[key]}: expected whole numbers, such as jobs=2 seed=0,1,2.")
    return own


def study(words: list[str], root: Path = Path("results")) -> None:
    """``python scripts/ablations.py``; see the module."""
    words = list(words)
    own = settings(words)
    cells = cells_of(own, words)
    dataset = load("train", cells[0].words())["dataset"]["name"]
    path = root / f"{own['name'] or f'ablations_{dataset}'}.csv"
    fill(cells, path, jobs=int(own["jobs"]), cluster=own["cluster"] or None)
    if not path.exists():
        raise ConfigError(f"{path}: no cell could be run; see the lines above.")
    page = table(path)
    write_atomic(path.with_suffix(".txt"), f"{page}\n".encode())
    print(page)
