"""Metric tables from saved predictions; every table names its protocol and what it lets through."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.metrics import (
    COLUMNS,
    always_seizure,
    class_aurocs,
    confusion,
    per_class,
    window_metrics,
)
from distilclip_eeg.runs import Run, read_json, write_atomic

HEADS = {
    "accuracy": "Acc %",
    "precision": "Pre %",
    "recall": "Rec %",
    "specificity": "Spe %",
    "f1": "F1 %",
    "balanced_accuracy": "BAcc %",
    "auroc": "AUROC %",
}
ORDER = {"window": 0, "recording": 1, "subject": 2, "official": 3, "transfer": 4}
ALWAYS = "always seizure"


def fold_metrics(run: Run, answer=None) -> pd.DataFrame:
    """One row of window metrics a fold, from the test part of its predictions.

    Args:
        answer: replaces the model's probabilities by ``answer(label, n_classes)``.
    """
    rows = []
    for k in run.folds_done():
        saved = run.predictions(k)
        test = saved["part"] == "test"
        label, probability = saved["label"][test], saved["probability_NK"][test]
        if answer:
            probability = answer(label, probability.shape[1])
        rows.append({"fold": k, **window_metrics(label, probability)})
    return pd.DataFrame(rows)


def pooled(run: Run) -> dict[str, float]:
    """Metrics of all folds' test windows thrown together; each window is tested once."""
    parts = [run.predictions(k) for k in run.folds_done()]
    label = np.concatenate([p["label"][p["part"] == "test"] for p in parts])
    probability = np.concatenate([p["probability_NK"][p["part"] == "test"] for p in parts])
    return window_metrics(label, probability)


def summary_rows(runs: list[Run]) -> pd.DataFrame:
    """One row a run, and one a protocol for the model that always answers seizure."""
    rows, seen = [], set()
    for run in runs:
        config = run.config
        split = config["split"]["name"]
        entries = [(config["model"]["name"], fold_metrics(run), pooled(run), run.path.name)]
        if (config["dataset"]["name"], split) not in seen:
            seen.add((config["dataset"]["name"], split))
            entries.append((ALWAYS, fold_metrics(run, always_seizure), None, ""))
        for name, folds, pool, where in entries:
            row = {
                "dataset": config["dataset"]["name"],
                "split": split,
                "model": name,
                "seed": config["seed"],
                "folds": len(folds),
                "windows": int(folds["n"].sum()),
                "balanced_test": config["windows"]["balance_test"],
                "run": where,
            }
            for column in COLUMNS:
                row[column] = folds[column].mean()
                row[f"{column}_sd"] = folds[column].std(ddof=1)
                row[f"{column}_pooled"] = pool[column] if pool else np.nan
            rows.append(row)
    table = pd.DataFrame(rows)
    # Within a protocol: models in the order given, the trivial row last.
    table["order"] = table["split"].map(ORDER) * 2 + (table["model"] == ALWAYS)
    return table.sort_values("order", kind="stable").drop(columns="order").reset_index(drop=True)


def header(runs: list[Run]) -> list[str]:
    """Data, then one line a protocol: folds, prevalence and what the split shares."""

    first = runs[0]
    report = (first.path / "data_report.txt").read_text().splitlines()[0]
    lines = [
        report,
        "mean ± SD over folds (SD is not a confidence interval); precision, recall, specificity and F1 "
        "of the seizure class where there are two classes",
    ]
    seen = set()
    for run in sorted(runs, key=lambda r: ORDER[r.config["split"]["name"]]):
        split = run.config["split"]["name"]
        if split in seen:
            continue
        seen.add(split)
        share = fold_metrics(run)["prevalence"].mean()
        balance = "balanced" if run.config["windows"]["balance_test"] else "natural"
        lines.append(
            f"{split}: seizures {100 * share:.0f} % of test windows ({balance}); "
            f"{read_json(run.path / 'data.json')['leak_note']}"
        )
    return lines


def format_table(table: pd.DataFrame) -> str:
    """Aligned columns, mean ± SD in per cent."""
    head = ["protocol", "model", "folds", *HEADS.values()]
    body = [
        [r["split"], r["model"], str(r["folds"]), *(cell(r[c], r[f"{c}_sd"]) for c in HEADS)]
        for _, r in table.iterrows()
    ]
    return aligned(head, body, 2)


def aligned(head: list[str], body: list[list[str]], n_words: int) -> str:
    """Rows in columns, the first ``n_words`` to the left; a blank line where the protocol changes."""
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [rule]
    for i, row in enumerate([head, *body]):
        if i > 1 and row[0] != body[i - 2][0]:
            lines.append("")
        lines.append(
            "  ".join(
                text.ljust(w) if j < n_words else text.rjust(w)
                for j, (text, w) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
        )
        if i == 0:
            lines.append(rule)
    return "\n".join([*lines, rule])


def cell(mean: float, sd: float) -> str:
    if np.isnan(mean):
        return "undefined"
    return f"{100 * mean:.1f}" if np.isnan(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def run_table(runs: list[Run]) -> str:
    """Header and table of runs on one dataset."""
    done = [run for run in runs if run.folds_done()]
    if not done:
        return "no fold is finished yet"
    return "\n".join(["", *header(done), format_table(summary_rows(done))])


def class_rows(run: Run) -> pd.DataFrame:
    """Each class against the rest (Tables III to V of the article), mean and SD over folds.

    The article's accuracy of a class is its recall. ``auroc`` ranks the scores of the class, one against
    rest; a class that a fold's test part lacks is left out of that fold's mean.
    """
    tables = []
    for k in run.folds_done():
        saved = run.predictions(k)
        test = saved["part"] == "test"
        label, probability_NK = saved["label"][test], saved["probability_NK"][test]
        names = [str(c) for c in saved["classes"]]
        rows = pd.DataFrame(per_class(confusion(label, probability_NK.argmax(1), len(names))))
        rows["auroc"] = class_aurocs(label, probability_NK)
        tables.append(rows.assign(**{"class": names}))
    stacked = pd.concat(tables).groupby("class", sort=False)
    mean, sd = stacked.mean(), stacked.std(ddof=1).add_suffix("_sd").drop(columns="support_sd")
    table = mean.assign(support=stacked["support"].sum()).join(sd).reset_index()
    config = run.config
    table.insert(0, "model", config["model"]["name"])
    table.insert(0, "split", config["split"]["name"])
    return table


def format_classes(table: pd.DataFrame) -> str:
    """Per-class rows as aligned text, mean ± SD in per cent."""
    columns = ("precision", "recall", "specificity", "f1", "auroc")
    head = ["protocol", "model", "class", "windows", *(HEADS[c] for c in columns)]
    body = [
        [
            r["split"],
            r["model"],
            r["class"],
            f"{int(r['support']):,}",
            *(cell(r[c], r[f"{c}_sd"]) for c in columns),
        ]
        for _, r in table.iterrows()
    ]
    return aligned(head, body, 3)


def write_evaluation(runs: list[Run], root: Path) -> str:
    """Tables of every dataset, printed and written below ``root/evaluation``."""
    groups = defaultdict(list)
    for run in runs:
        groups[run.config["dataset"]["name"]].append(run)
    folder = root / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for dataset, group in groups.items():
        classes = pd.concat([class_rows(run) for run in group])
        write_atomic(folder / f"{dataset}.csv", summary_rows(group).to_csv(index=False).encode())
        write_atomic(folder / f"{dataset}_classes.csv", classes.to_csv(index=False).encode())
        text = run_table(group)
        by_class = format_classes(classes)
        write_atomic(folder / f"{dataset}.txt", f"{text}\n\n{by_class}\n".encode())
        shown += [
            text,
            "",
            "each class against the rest (what the article calls a class's accuracy is its recall):",
            by_class,
            f"written: {folder / dataset}.csv, {dataset}_classes.csv, {dataset}.txt",
        ]
    return "\n".join(shown)
