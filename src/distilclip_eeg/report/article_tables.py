"""Tables I to V of the article from run folders and the CSVs of ``results``, beside the published figures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report import published
from distilclip_eeg.report.comparison import COMPARABLE, in_order, settings_of
from distilclip_eeg.report.entries import FULL, Entry
from distilclip_eeg.report.grid import Grid
from distilclip_eeg.report.tables import ALWAYS, HEADS
from distilclip_eeg.scoring.answers import Answer, Reading, class_rows, fold_metrics
from distilclip_eeg.scoring.metrics import always_seizure

PAPER = Reading("paper")
Row = dict[str, Any]
"""A row of a ``Grid``: its words, and figures by key."""
ROW_NAMES = {
    "eeg_lp": "EEG encoder with learnable prompt (EEG-LP)",
    "text_wp": "Only text encoder without prompt (Text-WP)",
    "text_lp": "Text encoder with learnable prompt (Text-LP)",
    "text_hp": "Text encoder with handcrafted prompt (Text-HP)",
    "base_wp": "Basemodel without prompt (Base-WP)",
    FULL: "Basemodel with learnable prompt (Base-LP)",
}
SPREAD = "Ours: mean ± SD over folds (not a confidence interval)."
AVERAGES = (
    "The article's averages: of the seizure class where there are two classes; of more, precision and F1 "
    "weighted by support, recall and specificity macro."
)
STANDARD = "Standard averages: of the seizure class where there are two classes, macro where there are more."
RECALL = "What the article calls a class's accuracy is its recall."
NO_AREA = (
    "AUC*, the article's: the mean of recall and specificity of hard answers, no area; AUROC: the area of "
    "the scores."
)


def heads(columns: Iterable[str]) -> dict[str, str]:
    """The measures of a ``Grid``: each column with its head."""
    return {column: HEADS[column] for column in columns}


def article(figures: dict[str, float], split: str) -> dict[str, float]:
    """Published per cent as a row's ``_article`` fractions; none under another protocol than its own."""
    return {f"{k}_article": v / 100 for k, v in figures.items()} if split in COMPARABLE else {}


def beside(dataset: str, split: str) -> str:
    """What the note says of the published figures."""
    if dataset not in published.CORPORA:
        return "The article has no figures of this corpus."
    if split not in COMPARABLE:
        return f"The article has no figures under split={split}."
    return "Article: full corpus, windows split at random, balanced test folds."


def scored(
    entry: Entry, columns: Iterable[str], answer: Answer | None = None, reading: Reading = PAPER
) -> dict[str, float]:
    """Mean and SD (``_sd``) of each column over the folds of a run.

    Args:
        answer: as ``answers.fold_metrics`` takes it.
    """
    folds = fold_metrics(entry.run, answer, reading)
    return {c: folds[c].mean() for c in columns} | {f"{c}_sd": folds[c].std(ddof=1) for c in columns}


def splits_of(entries: Sequence[Entry]) -> list[str]:
    """Protocols of some entries, each once, in the order of the entries."""
    return list(dict.fromkeys(entry.split for entry in entries))


def setting_of(entries: Sequence[Entry]) -> str:
    """Split and folds of entries under one split: once where they agree."""
    return "; ".join(dict.fromkeys(entry.setting for entry in entries))


def audit_of(entries: Sequence[Entry]) -> str:
    """What their split lets through: once where they agree."""
    return " ".join(dict.fromkeys(entry.leak_note for entry in entries))


def table_1(dataset: str, entries: Sequence[Entry], results: Path) -> list[Grid]:
    """Every network under each protocol, from runs; below it what stands in ``results/table1_*.csv``."""
    main = [entry for entry in entries if not entry.ablated]
    made = rows_of(results, "table1_*.csv", dataset)
    grids = []
    for split in splits_of(main):
        group = [entry for entry in main if entry.split == split]
        names = in_order({entry.model for entry in group})
        rows: list[Row] = []
        for name in names:
            found = [entry for entry in group if entry.model == name]
            said = article(published.table_1(name, dataset), split)
            rows += [{"model": e.label, **scored(e, published.COLUMNS), **said} for e in found]
            rows += [] if found or len(made) else [{"model": name, **said}]
        rows.append({"model": ALWAYS, **scored(group[0], published.COLUMNS, always_seizure)})
        notes = (f"{dataset}, {setting_of(group)}.", SPREAD, AVERAGES, beside(dataset, split))
        title, measures = f"Table I, {dataset}, split={split}", heads(published.COLUMNS)
        grids.append(Grid(title, notes, ("model",), measures, rows, audit=audit_of(group)))
    return grids + ([] if made.empty else table_1_of_results(dataset, made))


def table_1_of_results(dataset: str, made: pd.DataFrame) -> list[Grid]:
    """One table a protocol and setting of the rows that ``scripts/reproduce_table1.py`` wrote."""
    grids = []
    made = made.assign(settings=made["command"].map(settings_of))
    for (split, settings), part in made.groupby(["split", "settings"], sort=False):
        newest = part.drop_duplicates("model", keep="last").set_index("model")
        rows: list[Row] = []
        for name in in_order(set(newest.index)):
            said = article(published.table_1(name, dataset), split)
            ours: dict[str, float] = {}
            if name in newest.index:
                ours = newest.loc[name, [c for m in published.COLUMNS for c in (m, f"{m}_sd")]].to_dict()
            rows.append({"model": name, **ours, **said})
        first = newest.iloc[0]
        rows.append({"model": ALWAYS, **{c: first[f"always_{c}"] for c in published.COLUMNS}})
        about = f"{dataset}, split={split}, {int(first['folds'])} folds."
        where = f"results/table1_*.csv{', ' if settings else ''}{settings}."
        notes = (about, where, SPREAD, STANDARD, beside(dataset, split))
        title = f"Table I, {dataset}, split={split}, of scripts/reproduce_table1.py"
        measures, note = heads(published.COLUMNS), first["leak_note"]
        grids.append(Grid(title, notes, ("model",), measures, rows, audit=note, stored=True))
    return grids


def rows_of(results: Path, pattern: str, dataset: str) -> pd.DataFrame:
    """Rows of one corpus in all CSVs of a kind, oldest first; empty where there are none."""
    tables = [read_csv(path) for path in sorted(results.glob(pattern))]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["dataset", "model"])
    return rows[rows["dataset"] == dataset]


def table_2(dataset: str, entries: Sequence[Entry], results: Path) -> list[Grid]:
    """The ablations of every teacher under each protocol; below them those of ``results/ablations_*.csv``."""
    teachers = [entry for entry in entries if entry.row]
    measures = heads(published.TABLE_2_COLUMNS)
    grids = []
    for split, family in dict.fromkeys((entry.split, entry.family) for entry in teachers):
        group = {e.row: e for e in teachers if (e.split, e.family) == (split, family)}
        rows: list[Row] = []
        for name, words in ROW_NAMES.items():
            ours = scored(group[name], measures) if name in group else {}
            rows.append({"method": words, **ours, **article(published.table_2(name, dataset), split)})
        found = list(group.values())
        notes = (f"{dataset}, {family}, {setting_of(found)}.", SPREAD, AVERAGES, beside(dataset, split))
        title = f"Table II, {dataset}, {family}, split={split}"
        grids.append(Grid(title, notes, ("method",), measures, rows, audit=audit_of(found)))
    return grids + table_2_of_results(dataset, rows_of(results, "ablations_*.csv", dataset), measures)


def table_2_of_results(dataset: str, made: pd.DataFrame, measures: dict[str, str]) -> list[Grid]:
    """One table a protocol, reading and model of the rows that ``scripts/ablations.py`` wrote."""
    if made.empty:
        return []
    grids = []
    made = made[made["variant"].isin(ROW_NAMES)]
    made = made.drop_duplicates(["split", "reading", "model", "variant", "seed", "fold"], keep="last")
    for (split, reading, model), part in made.groupby(["split", "reading", "model"], sort=False):
        rows: list[Row] = []
        for name, words in ROW_NAMES.items():
            found = part[part["variant"] == name][list(measures)]
            ours = found.mean().to_dict() | found.std(ddof=1).add_suffix("_sd").to_dict()
            ours = ours if len(found) else {}
            rows.append({"method": words, **ours, **article(published.table_2(name, dataset), split)})
        seeds, folds = part["seed"].nunique(), part["fold"].nunique()
        notes = (
            f"{dataset}, {model}, split={split}, {seeds} seeds x {folds} folds, ablation_reading={reading}.",
            "results/ablations_*.csv; mean ± SD over seeds and folds (not a confidence interval).",
            *(STANDARD, beside(dataset, split)),
        )
        title = f"Table II, {dataset}, {model}, split={split}, {reading}, of scripts/ablations.py"
        note = part["leak_note"].iloc[-1]
        grids.append(Grid(title, notes, ("method",), measures, rows, audit=note, stored=True))
    return grids


def pair(entries: Sequence[Entry]) -> list[Entry]:
    """The teachers and students that are whole."""
    return [entry for entry in entries if entry.kind in ("teacher", "student") and not entry.ablated]


def by_class(dataset: str, entries: Sequence[Entry], number: str) -> list[Grid]:
    """Tables III and IV, or their form on another corpus: each class against the rest, and overall."""
    measures = heads(published.CLASS_COLUMNS)
    found = pair(entries)
    grids = []
    for split in splits_of(found) or ["window"]:
        group = [entry for entry in found if entry.split == split]
        rows = [row for entry in group for row in class_figures(entry)]
        if not group:
            rows = [row for who in ("teacher", "student") for row in published_classes(dataset, who, split)]
        order = list(dict.fromkeys(row["class"] for row in rows))
        rows.sort(key=lambda row: order.index(row["class"]))
        about = f"{dataset}, {setting_of(group)}." if group else f"{dataset}: not run."
        notes = (about, SPREAD, RECALL, beside(dataset, split))
        title, words = f"Table {number}, {dataset}, split={split}", ("class", "model")
        audit, stored = audit_of(group), not group
        grids.append(Grid(title, notes, words, measures, rows, "class", audit, stored))
    return grids


def class_figures(entry: Entry) -> list[Row]:
    """Rows of one run for Tables III and IV: each class, then all of them together."""
    columns, who = published.CLASS_COLUMNS, (entry.dataset, published.article_name(entry.model))
    rows: list[Row] = []
    for _, row in class_rows(entry.run, PAPER).iterrows():
        said = dict(zip(columns, published.CLASSES.get(who, {}).get(row["class"], ()), strict=False))
        ours = row[[*columns, *(f"{c}_sd" for c in columns)]].to_dict()
        rows.append({"class": row["class"], "model": entry.label, **ours, **article(said, entry.split)})
    said = dict(zip(columns, published.OVERALL.get(who, ())[1:], strict=False))
    together = {**scored(entry, columns), **article(said, entry.split)}
    return [*rows, {"class": "overall", "model": entry.label, **together}]


def published_classes(dataset: str, who: str, split: str) -> list[Row]:
    """The article's own rows of Tables III and IV for ``teacher`` or ``student``, where nothing was run."""
    columns = published.CLASS_COLUMNS
    printed = published.CLASSES[dataset, who] | {"overall": published.OVERALL[dataset, who][1:]}
    return [
        {"class": name, "model": who, **article(dict(zip(columns, figures, strict=True)), split)}
        for name, figures in printed.items()
    ]


def table_5(dataset: str, entries: Sequence[Entry]) -> list[Grid]:
    """AUC of each class, macro and micro; the article's reading of it and the area of the scores."""
    measures = {"auc": HEADS["auc"], "auroc": HEADS["auroc"]}
    found = pair(entries)
    grids = []
    for split in splits_of(found):
        group = [entry for entry in found if entry.split == split]
        rows = [row for entry in group for row in areas(entry)]
        order = list(dict.fromkeys(row["class"] for row in rows))
        rows.sort(key=lambda row: order.index(row["class"]))
        notes = (f"{dataset}, {setting_of(group)}.", SPREAD, NO_AREA, beside(dataset, split))
        title, words = f"Table V, {dataset}, split={split}", ("class", "model")
        grids.append(Grid(title, notes, words, measures, rows, "class", audit_of(group)))
    return grids


def areas(entry: Entry) -> list[Row]:
    """Table V's rows of one run: its classes, macro and micro; of two classes the seizure's alone."""
    hard = class_rows(entry.run, PAPER).set_index("class")
    soft = class_rows(entry.run).set_index("class")
    names, who = list(hard.index), (entry.dataset, published.article_name(entry.model))
    said = list(published.AUC.get(who, ()))
    if len(names) == 2:
        names, said = names[1:], said * (len(said) == 1)
    elif who in published.CLASSES:  # the article's classes in its order, ours in the corpus's
        said_by = dict(zip(published.CLASSES[who], said, strict=True))
        said = [said_by.get(name, np.nan) for name in names]
    said += [np.nan] * (len(names) - len(said))
    rows = []
    for name, figure in zip(names, said, strict=True):
        ours = {"auc": hard.loc[name, "auc"], "auc_sd": hard.loc[name, "auc_sd"]}
        ours |= {"auroc": soft.loc[name, "auroc"], "auroc_sd": soft.loc[name, "auroc_sd"]}
        rows.append({"class": name} | ours | article({"auc": 100 * figure}, entry.split))
    if len(names) > 2:
        macro = {"auc": hard["auc"].mean(), "auroc": soft["auroc"].mean()}
        figure = 100 * published.MACRO_AUC.get(who, np.nan)
        rows.append({"class": "macro"} | macro | article({"auc": figure}, entry.split))
        accuracy = fold_metrics(entry.run, None, PAPER)["accuracy"]
        micro = (accuracy + 1 - (1 - accuracy) / (len(names) - 1)) / 2
        figure = 100 * published.MICRO_AUC.get(who, np.nan)
        rows.append({"class": "micro", "auc": micro.mean(), "auc_sd": micro.std(ddof=1)})
        rows[-1] |= article({"auc": figure}, entry.split)
    return [{"model": entry.label} | row for row in rows]


def article_tables(entries: Sequence[Entry], results: Path) -> dict[str, list[Grid]]:
    """Every table by the stem of its files; Tables III and IV even where their corpus was not run."""
    found = {}
    for dataset in dict.fromkeys(entry.dataset for entry in entries):
        mine = [entry for entry in entries if entry.dataset == dataset]
        found[f"table1_{dataset}"] = table_1(dataset, mine, results)
        found[f"table2_{dataset}"] = table_2(dataset, mine, results)
        if dataset not in ("tusz", "aubmc") and pair(mine):
            found[f"table3_{dataset}"] = by_class(dataset, mine, "III")
        found[f"table5_{dataset}"] = table_5(dataset, mine)
    for stem, dataset, number in (("table3_tusz", "tusz", "III"), ("table4_aubmc", "aubmc", "IV")):
        found[stem] = by_class(dataset, [e for e in entries if e.dataset == dataset], number)
    return {stem: found[stem] for stem in sorted(found) if found[stem]}
