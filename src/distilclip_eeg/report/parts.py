"""Sections of the page: what each shows of the files that are there, and what it says where they are not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config import registry
from distilclip_eeg.files.reading import read_csv, read_json, read_parquet, read_text
from distilclip_eeg.report import diagrams, eeg_figures, explained, figures, html, scalp
from distilclip_eeg.report.article_tables import rows_of
from distilclip_eeg.report.drawing import Picture, file_name
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.explained import Explained
from distilclip_eeg.report.html import Markup, tag
from distilclip_eeg.report.tables import cell
from distilclip_eeg.schema import PROTOCOLS
from distilclip_eeg.scoring.event_scores import EVENTS, GRID, TRACES, detect_config
from distilclip_eeg.scoring.events.detect import Trace

NETWORKS = ("teacher", "student", "baseline")
"""Kinds of runs that can be explained."""
FAITHFUL = {
    "windows": "windows",
    "deletion_auc": "area of deletion",
    "deletion_auc_random": "in random order",
    "spearman_occlusion_mean": "Spearman with occlusion, mean",
    "spearman_n": "over windows",
}
EVENT_TABLES = {
    "overall": "Event scores over all subjects",
    "by_subject": "Event scores by subject",
    "latency": "Latency (s)",
    "operating": "At so many false alarms per 24 h",
}


@dataclass
class Ledger:
    """What the page came to show, and what it could not."""

    pictures: list[Picture] = field(default_factory=list)
    absent: list[tuple[str, str]] = field(default_factory=list)
    """What, and the command that makes it."""

    def show(self, picture: Picture) -> Markup:
        """Keep a figure for the files, and give its place on the page."""
        self.pictures.append(picture)
        return html.shown(picture)

    def lacks(self, what: str, command: str) -> Markup:
        """Keep what is not there for the list at the end, and say so at its place on the page."""
        self.absent.append((what, command))
        return html.absent(what, command)


def trained(ledger: Ledger, entries: Sequence[Entry]) -> list[Markup]:
    """Curves, ROC and PR, reliability and confusion of every model under one protocol."""
    main = [entry for entry in entries if not entry.ablated]
    kinds, first = {entry.kind for entry in main}, entries[0]
    where, shown = f"{first.dataset}, {first.split}", []
    drawn = [figures.training_curves(main), diagrams.roc_and_pr(main), diagrams.reliability_diagram(main)]
    shown += [ledger.show(one) for one in [*drawn, figures.confusion_matrices(entries)] if one]
    if "teacher" in kinds:
        teacher = next(entry for entry in main if entry.kind == "teacher").run.path
        if "student" not in kinds:
            shown.append(ledger.lacks(f"{where}: a student", f"python distill.py teacher={teacher}"))
        if not any(entry.ablated for entry in entries):
            command = f"python scripts/ablations.py what=table2 split={first.split} {on(first.dataset)}"
            shown.append(ledger.lacks(f"{where}: ablations (Table II, Fig. 8)", command))
    elif first.split in PROTOCOLS:
        command = f"python train.py split={first.split} {on(first.dataset)}"
        shown.append(ledger.lacks(f"{where}: a teacher", command))
    return shown


def plugins(ledger: Ledger, entries: Sequence[Entry]) -> list[Markup]:
    """Every registered figure of one corpus; one that cannot be drawn is told, whatever it raised."""
    shown = []
    for name, draw in registry.registered("figure").items():
        try:
            one = draw(entries)
        except Exception as error:  # other people's code
            what = f"figure {name} ({' '.join(f'{type(error).__name__}: {error}'.split())})"
            shown.append(ledger.lacks(what, "python scripts/report.py"))
            continue
        shown += [ledger.show(one)] if one else []
    return shown


def on(dataset: str) -> str:
    """The words of a command that name a corpus; where a user keeps it is theirs to say."""
    return f"dataset={dataset}" + ("" if dataset in ("synthetic", "placebo") else " dataset.root=FOLDER")


def explain_folder(entry: Entry) -> tuple[int, Explained] | None:
    """The first fold with an ``explain`` folder, and it."""
    for fold in entry.run.folds_done():
        path = entry.run.fold(fold) / "explain"
        if path.is_dir():
            return fold, Explained(path)
    return None


def explanation(ledger: Ledger, entry: Entry) -> list[Markup]:
    """Activation maps, faithfulness, example windows and the map of features of one run; or nothing."""
    found = explain_folder(entry)
    if not found:
        return []
    fold, saved = found
    stem = file_name(entry.dataset, entry.split, entry.label)
    where = f"{entry.label}, fold {fold}; {entry.protocol}"
    shown = [tag("h4", f"{entry.label}, split={entry.split}, fold {fold}")]
    maps, methods = saved.arrays("ecam.npz"), saved.json("faithfulness.json")
    if maps:
        drawn = scalp.scalp_maps(maps, f"fig9_ecam_{stem}", where)
        few = html.paragraph("Too few channels have a known place on the scalp to draw a map.")
        shown.append(ledger.show(drawn) if drawn else few)
    if methods:
        shown.append(faithfulness(methods))
        curves = explained.deletion_curves(methods, f"deletion_{stem}", where)
        shown += [ledger.show(curves)] if curves else []
    focus = saved.table("focus.csv")
    if focus is not None:
        shown.append(focus_table(focus))
    points = saved.arrays("embedding.npz")
    if points:
        shown.append(ledger.show(explained.embedding_map(points, f"embedding_{stem}", where)))
    windows, about = saved.arrays("examples.npz"), saved.json("examples.json")
    if windows and about:
        shown += examples(ledger, windows, about, stem)
    left_out = (saved.json("explain.json") or {}).get("left_out", {})
    return [*shown, *(html.paragraph(f"{what}: {why}.", class_="absent") for what, why in left_out.items())]


def focus_table(table: pd.DataFrame) -> Markup:
    """How often a map is largest at the electrode where an invented seizure starts, beside chance."""
    head = [
        "stage of the seizure",
        "method",
        "windows",
        "largest at its focus %",
        "by chance %",
        "the wave itself %",
    ]
    rows = [
        [row.stage, row.method, f"{row.n:,}", *(f"{100 * v:.0f}" for v in (row.share, row.chance, row.wave))]
        for row in table.itertuples()
    ]
    return html.text_table(head, rows, 2, "Correctly detected windows of invented seizures")


def faithfulness(methods: dict[str, dict]) -> Markup:
    """The numbers that were saved of each method, beside those of chance."""
    rows = [[name, *(number(said.get(column)) for column in FAITHFUL)] for name, said in methods.items()]
    words = "Faithfulness of the maps: does silencing what they name matter?"
    return html.text_table(["method", *FAITHFUL.values()], rows, caption=words)


def examples(ledger: Ledger, windows: dict, about: dict, stem: str) -> list[Markup]:
    """Each example window with its description and the texts nearest to it."""
    names, sfreq = [str(c) for c in windows["ch_names"]], float(windows["sfreq"])
    shown = []
    for i, (uv_CT, said) in enumerate(zip(windows["uv_NCT"], about["windows"], strict=True)):
        drawn = eeg_figures.example_window(uv_CT.astype(float), names, sfreq, said, f"example{i}_{stem}")
        shown += [ledger.show(drawn), html.paragraph("Description: ", tag("em", said["text"] or "none"))]
        near = [f"{text['text']} (similarity {text['similarity']:.2f})" for text in said["nearest"]]
        words = f"Nearest of {about['texts_compared']:,} descriptions of test windows:"
        shown += [html.paragraph(words), html.bullets(near)] if near else []
    return shown


def events(ledger: Ledger, entry: Entry) -> list[Markup]:
    """Event tables as they were written, and one recording's trace; or nothing."""
    folder, parts = entry.run.path / "continuous", []
    for page in (folder / "events.txt", entry.run.path / "rehearsal" / "events.txt"):
        if page.exists():
            parts.append(tag("pre", read_text(page), class_="wide"))
    for name, title in EVENT_TABLES.items():
        path = folder / f"{name}.csv"
        if path.exists():
            parts.append(tag("details", tag("summary", title), frame_table(read_csv(path))))
    trace = recording_trace(entry)
    if trace:
        parts.append(ledger.show(trace))
    return [tag("h4", f"{entry.label}, split={entry.split}"), *parts] if parts else []


def recording_trace(entry: Entry) -> Picture | None:
    """The test recording with most annotated seizures, the first by name of those; None without traces."""
    folds = [k for k in entry.run.folds_done() if (entry.run.fold(k) / TRACES).exists()]
    if not folds or not (entry.run.path / EVENTS).exists():
        return None
    known = read_csv(entry.run.path / EVENTS, "recording", sep="\t", dtype={"recording": str})
    table = read_parquet(entry.run.fold(folds[0]) / TRACES)
    table = table[table["part"] == "test"]
    counts = known["recording"].value_counts()
    name = min(table["recording"].unique(), key=lambda r: (-counts.get(r, 0), r))
    rows, grid = table[table["recording"] == name], read_json(entry.run.path / GRID)
    return eeg_figures.trace_with_events(
        Trace(rows["probability"], rows["start_s"], grid["hop_s"], grid["length_s"]),
        known[known["recording"] == name],
        detect_config(entry.run, folds[0]),
        f"events_{file_name(entry.dataset, entry.split, entry.label)}",
        name,
        f"{entry.label}, fold {folds[0]}; {entry.protocol}",
    )


def cost(ledger: Ledger, dataset: str, entries: Sequence[Entry]) -> list[Markup]:
    """Parameters and FLOPs of teachers and students, from any fold's ``cost.csv``."""
    costs: dict[str, pd.DataFrame] = {}
    for entry in entries:
        found = explain_folder(entry)
        table = found[1].table("cost.csv") if found and not entry.ablated else None
        if table is not None and entry.label not in costs:
            costs[entry.label] = table
    if not costs:
        pair = [entry for entry in entries if entry.kind in ("teacher", "student")]
        command = f"python scripts/explain.py run={pair[0].run.path}" if pair else "python train.py"
        return [ledger.lacks(f"{dataset}: cost by layer (Figs. 6 and 7)", command)]
    return [
        ledger.show(figures.parameters(costs, file_name("fig6_parameters", dataset))),
        ledger.show(figures.cumulative_flops(costs, file_name("fig7_flops", dataset))),
    ]


def gap(ledger: Ledger, dataset: str, results: Path) -> list[Markup]:
    """What ``results/gap_*.csv`` says of the same models under several protocols."""
    rows = rows_of(results, "gap_*.csv", dataset)
    if rows.empty:
        return [
            ledger.lacks(
                f"{dataset}: the same model under every protocol", f"python scripts/gap.py {on(dataset)}"
            )
        ]
    rows = rows.drop_duplicates(["model", "split"], keep="last").set_index(["model", "split"])
    splits = [split for split in PROTOCOLS if split in rows.index.unique("split")]
    body = []
    for model in rows.index.unique("model"):
        found = rows.loc[model]
        texts = [
            cell(*found.loc[s, ["auroc", "auroc_sd"]]) if s in found.index else "not run" for s in splits
        ]
        body.append([model, *texts])
    folds = "/".join(str(n) for n in sorted(rows["folds"].unique()))
    caption = (
        f"AUROC % of the same models under several protocols, mean ± SD over {folds} folds (not a confidence "
        f"interval); {results.name}/gap_*.csv"
    )
    notes = rows.groupby("split")["leak_note"].last()
    return [
        html.text_table(["model", *splits], body, caption=caption),
        html.bullets([f"{split}: {notes[split]}" for split in splits]),
    ]


def frame_table(table: pd.DataFrame) -> Markup:
    """A table as it is, numbers to four digits."""
    rows = [[number(value) for value in row] for row in table.itertuples(index=False)]
    words = [not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    return html.text_table(list(table.columns), rows, [*words, False].index(False))


def number(value: object) -> str:
    """A value of any table as text: numbers to four digits, a dash where there is none."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.4g}"
    return "–" if value is None else str(value)
