"""What each part of the model is worth: Table II and its neighbours, trained under the same folds and seeds.

    python scripts/ablations.py dataset=chbmit dataset.root=FOLDER split=window,subject seed=0,1,2

A cell is one variant under one protocol with one seed. ``results/<name>.csv`` holds one row a fold of a cell;
what runs the cells is ``cells``. The printed table pools seeds and folds of a variant in one row.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.config.studies import ALL, AblationsSettings, key_of, last_of
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.by_person import less
from distilclip_eeg.report.columns import aligned
from distilclip_eeg.report.tables import ALWAYS, cell
from distilclip_eeg.runs import Run, public_command
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.scoring.answers import fold_metrics
from distilclip_eeg.scoring.metrics import COLUMNS
from distilclip_eeg.scoring.persons import Paired, holm
from distilclip_eeg.studies import cells as runner
from distilclip_eeg.studies import others, persons
from distilclip_eeg.studies.cells import Cell, Grid, composed, digest_key, made
from distilclip_eeg.studies.expected import expect

SCRIPT = "scripts/ablations.py"
USUAL = "teacher_tiny"
FULL, ALONE, DISTILLED = "base_lp", "student alone", "student distilled"
BESIDE = "not trained here"
"""Stands for the model of other detectors and of "always seizure"."""
ROWS = ("eeg_lp", "text_wp", "text_lp", "text_hp", "base_wp")
"""Of Table II, but for the full model."""
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "table2": {
        **{name: (f"experiment=ablation_{name}",) for name in ROWS},
        FULL: ("experiment=ablation_base_lp",),
    },
    "targets": {
        f"targets={name}": (f"loss.targets={name}",)
        for name in ("identity", "text_identity", "class_prompt", "sigmoid")
    },
    "text": {
        "text.detail=full": ("text.detail=full",),
        "text.source=metadata": ("text.source=metadata",),
        "text.source=class_template": ("text.source=class_template",),
        "text_encoder=minilm": ("text_encoder=minilm",),
        "head.input=fused": ("head.input=fused",),
        "head.inference=prompt": ("head.inference=prompt",),
    },
    "student": {DISTILLED: (), ALONE: ()},
}
"""Groups of variants: a label, and what it tells train.py beyond the full model."""
SHOWN = ("accuracy", "precision", "recall", "f1", "balanced_accuracy", "auroc")
HEADS = ("Acc %", "Pre %", "Rec %", "F1 %", "BAcc %", "AUROC %")
KEY = ["split", "variant", "seed", "reading"]
PAGE = 1000
"""Columns of the page below ``results``, which is a file: one table a protocol, as wide as it is."""


def cells_of(settings: AblationsSettings, words: Sequence[str]) -> list[Cell]:
    """Every cell of a table.

    Args:
        words: of train, for all cells alike; ``model=`` is the teacher's preset.

    Raises:
        ConfigError: the teacher's config names no student, or the words are wrong.
    """
    model = last_of(list(words), "model") or USUAL
    words = [word for word in words if key_of(word) != "model"]
    groups = list(VARIANTS) if ALL in settings.what else settings.what
    student = composed((f"model={model}",)).model.student
    if student is None:
        raise ConfigError(f"model={model}: its config names no student; expected model.student=NAME.")
    cells = []
    for split in settings.protocols:
        for seed in settings.seeds:
            command = public_command(SCRIPT, (f"split={split}", f"model={model}", f"seed={seed}", *words))
            for variant, own in ((v, w) for group in groups for v, w in VARIANTS[group].items()):
                told = (f"seed={seed}", *words, *own, f"ablation_reading={settings.ablation_reading}")
                trained = student if variant == ALONE else model
                train = (f"split={split}", f"model={trained}", *told)
                distill = (f"split={split}", f"model={student}", *told) if variant == DISTILLED else None
                label = f"{split} {variant} seed {seed}"
                key = f"{variant}-{digest_key(train)}".replace(" ", "")
                cells.append(Cell(label, train, key, command, distill, study=variant))
    return cells


def rows_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """A row a fold of the cell's last run."""
    run, folds = runs[-1], runs[-1].folds_done()
    settings = run.settings
    about = {
        **{"dataset": settings.dataset.name, "split": one.settings.split.name, "variant": one.study},
        **{"model": settings.model.name, "seed": settings.seed, "reading": settings.ablation_reading},
    }
    steps = {"steps": run.metrics(folds[0])["steps"], "leak_note": run.data["leak_note"]}
    how = steps | made(one, run, "key", per=len(folds))
    return [about | row[["fold", "n", *COLUMNS]].to_dict() | how for _, row in fold_metrics(run).iterrows()]


def persons_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """A row a person that the cell's last run has tested."""
    about = {"variant": one.study, "reading": runs[-1].settings.ablation_reading}
    return [about | row for row in persons.rows_of(one, runs[-1:])]


def base_of(variant: str) -> str:
    """What a variant is compared with."""
    return ALONE if variant == DISTILLED else FULL


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
        against = rows[(rows["split"] == split) & (rows["reading"] == reading)]
        against = against[against["variant"] == base_of(variant)]
        pairs = group.merge(against, on=["seed", "fold"], suffixes=("", "_base"))
        pairs = pairs[pairs["model"] == pairs["model_base"]]
        gain = pairs["auroc"] - pairs["auroc_base"]
        out.append(row | {"gain": gain.mean(), "gain_sd": gain.std(ddof=1)})
    order = [name for group in VARIANTS.values() for name in group]
    ranks = {
        "variant": lambda name: (order.index(name), "") if name in order else (len(order), name),
        "model": lambda name: (name == BESIDE, name.startswith("student"), name),
    }
    return pd.DataFrame(out).sort_values(
        ["split", "reading", "model", "variant"],
        key=lambda column: column.map(ranks.get(column.name, str)),
        ignore_index=True,
    )


def named(detector: str) -> dict[str, str]:
    """The columns that name another detector."""
    return {"variant": detector, "model": BESIDE, "reading": "–"}


def always(rows: pd.DataFrame) -> list[str]:
    """The line of an answer that is "seizure" for every window.

    How many windows are ictal follows from the figures of any network: its accuracy is its recall on these
    and its specificity on the rest.

    Args:
        rows: of one protocol, a fold each.
    """
    rows = rows[rows["model"] != BESIDE].assign(apart=rows["recall"] - rows["specificity"])
    rows = rows.loc[rows["apart"].abs().fillna(0).groupby(rows["fold"]).idxmax()]
    ictal = ((rows["accuracy"] - rows["specificity"]) / rows["apart"]).to_numpy()
    half = np.full_like(ictal, 0.5)
    figures = {"accuracy": ictal, "precision": ictal, "recall": np.ones_like(ictal), "auroc": half}
    figures |= {"f1": 2 * ictal / (1 + ictal), "balanced_accuracy": half}
    numbers = [
        cell(figures[c].mean(), np.std(figures[c], ddof=1) if len(ictal) > 1 else np.nan) for c in SHOWN
    ]
    return [BESIDE, "–", ALWAYS, f"– x {len(ictal)}", *numbers, "–"]


def table(path: Path) -> str:
    """The pooled rows as text, the protocol's leak note above each part."""
    rows = read_csv(path)
    parts = []
    for split, group in rows.groupby("split", sort=False):
        pool = pooled(group)
        body = []
        for _, row in pool.iterrows():
            numbers = ["–" if np.isnan(row[c]) else cell(row[c], row[f"{c}_sd"]) for c in SHOWN]
            alone = np.isnan(row["gain"]) or row["variant"] in (FULL, ALONE)
            gain = "–" if alone else cell(row["gain"], row["gain_sd"])
            words = [row["model"], row["reading"], row["variant"], f"{row['seeds']} x {row['folds']}"]
            body.append([*words, *numbers, gain])
        body.append(always(group))
        head = ["model", "reading", "variant", "seeds x folds", *HEADS, "AUROC against base"]
        parts.append(f"{rows['dataset'].iloc[0]}, split={split}: {group['leak_note'].iloc[0]}")
        parts.append(aligned(head, body, 3, width=PAGE))
    note = (
        "mean ± SD over seeds and folds (not a confidence interval). The last column pairs seeds and folds "
        "with "
        f"{FULL}, for '{DISTILLED}' with '{ALONE}'; an SD above the difference: the runs do not tell the two "
        "apart."
    )
    return "\n".join([*parts, note])


def by_person(path: Path) -> str:
    """Each variant's AUROC less that of its base, paired over persons, as text; empty where none is known.

    A person's figure is the mean over seeds. Holm's correction is over the variants of a protocol and model.
    """
    rows = read_csv(path) if path.exists() else pd.DataFrame(columns=[*KEY, "model", "subject"])
    rows = rows.drop_duplicates([*KEY, "model", "subject"], keep="last")
    body = []
    for (split, model), group in rows.groupby(["split", "model"], sort=False):
        auroc = group.pivot_table(index="variant", columns="subject", values="auroc", sort=False)
        names = [name for name in auroc.index if base_of(name) in auroc.index and base_of(name) != name]
        found = [Paired.of(auroc.loc[name], auroc.loc[base_of(name)]) for name in names]
        for name, paired, p in zip(names, found, holm([one.p for one in found]), strict=True):
            seeds = group.loc[group["variant"] == name, "seed"].nunique()
            words = [str(split), str(model), name, str(seeds), str(paired.n)]
            body.append([*words, less(paired, p), f"{paired.rank_biserial:+.2f}"])
    if not body:
        return ""
    head = ["protocol", "model", "variant", "seeds", "persons", "AUROC less base, p", "rank-biserial"]
    note = (
        f"AUROC of each person less that of {FULL} (of '{DISTILLED}': of '{ALONE}'), in points, mean over\n"
        "persons [95 % interval from resampled persons], p by Wilcoxon's signed ranks with Holm's correction."
    )
    return f"\n{aligned(head, body, 3, width=PAGE)}\n{note}"


def draw(path: Path) -> str:
    """The tables, written beside ``path`` as text."""
    page = table(path) + by_person(runner.beside(path, "persons"))
    write_atomic(path.with_suffix(".txt"), f"{page}\n".encode())
    return page


def ablations(settings: AblationsSettings, words: Sequence[str]) -> None:
    """Run what is lacking of the table and print it; see the module.

    Args:
        words: of train, for all cells alike: ``settings.train_words`` of the command line.

    Raises:
        ConfigError: no cell could be run.
    """
    cells = cells_of(settings, words)
    path = runner.csv_path(settings, "ablations", cells)
    expected = partial(expect, cells=cells, results=path.parent)
    more = {"persons": persons_of}
    grid = Grid("ablations", path, cells, rows_of, partial(draw, path), expected, key="key", beside=more)
    runner.fill(grid, settings)
    if not path.exists():
        raise ConfigError(f"{path}: no cell could be run; see the lines above.")
    others.add(grid, settings.score_files, SCRIPT, lambda found: found.to_dict("records"), named)
    print(draw(path))
