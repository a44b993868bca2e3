"""Sections of the page: what each shows of the files that are there, and what it says where they are not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from distilclip_eeg.config import registry
from distilclip_eeg.files.reading import read_csv, read_json, read_parquet
from distilclip_eeg.report import diagrams, eeg_figures, explained, figures, scalp
from distilclip_eeg.report.blocks import Block, Bullets, Figure, Folded, Missing, Side, Stack, Table, Text
from distilclip_eeg.report.drawing import Picture, file_name
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.events import event_blocks, number
from distilclip_eeg.report.explained import Explained
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


@dataclass
class Ledger:
    """What the page came to show, and what it could not."""

    pictures: list[Picture] = field(default_factory=list)
    absent: list[tuple[str, str]] = field(default_factory=list)
    """What, and the command that makes it."""

    def show(self, picture: Picture) -> Figure:
        """Keep a figure for the files, and give its place on the page."""
        self.pictures.append(picture)
        return Figure(picture)

    def lacks(self, what: str, command: str) -> Missing:
        """Keep what is not there for the list at the end, and say so at its place on the page."""
        self.absent.append((what, command))
        return Missing(what, command)


def trained(ledger: Ledger, entries: Sequence[Entry]) -> list[Block]:
    """Curves, ROC and PR, reliability and confusion of every model under one protocol."""
    main = [entry for entry in entries if not entry.ablated]
    kinds, first = {entry.kind for entry in main}, entries[0]
    where = f"{first.dataset}, {first.split}"
    shown: list[Block] = []
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


def plugins(ledger: Ledger, entries: Sequence[Entry]) -> list[Block]:
    """Every registered figure of one corpus; one that cannot be drawn is told, whatever it raised."""
    shown: list[Block] = []
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


def explanation(ledger: Ledger, entry: Entry) -> list[Block]:
    """Activation maps, faithfulness, the map of features and example windows of one run; or nothing."""
    found = explain_folder(entry)
    if not found:
        return []
    fold, saved = found
    stem = file_name(entry.dataset, entry.split, entry.label)
    where = f"{entry.label}, fold {fold}; {entry.setting}"
    shown: list[Block] = []
    maps = saved.arrays("ecam.npz")
    if maps:
        drawn = scalp.scalp_maps(maps, f"fig9_ecam_{stem}", where)
        few = Text("Too few channels have a known place on the scalp to draw a map.")
        shown.append(ledger.show(drawn) if drawn else few)
    shown += silenced(ledger, saved, f"deletion_{stem}", where)
    points = saved.arrays("embedding.npz")
    if points:
        drawn = explained.embedding_map(points, f"embedding_{stem}", where)
        shown.append(Folded("Map of the EEG features", [ledger.show(drawn)]))
    windows, about = saved.arrays("examples.npz"), saved.json("examples.json")
    if windows and about:
        shown.append(examples(ledger, windows | relevance_of(maps, about), about, stem))
    left_out = (saved.json("explain.json") or {}).get("left_out", {})
    shown += [Text(f"{what}: {why}.", "absent") for what, why in left_out.items()]
    return [Text(f"{entry.name}, fold {fold}", "head"), *shown] if shown else []


def silenced(ledger: Ledger, saved: Explained, name: str, where: str) -> list[Block]:
    """What silencing the named channels does, and how often a map finds where an invented seizure starts."""
    methods, focus = saved.json("faithfulness.json"), saved.table("focus.csv")
    curves = explained.deletion_curves(methods, name, where) if methods else None
    tables: list[Block] = [faithfulness(methods)] if methods else []
    tables += [focus_table(focus)] if focus is not None else []
    if not curves:
        return tables
    return [Side([ledger.show(curves), Stack(tables)])]


def focus_table(table: pd.DataFrame) -> Block:
    """How often a map is largest at the electrode where an invented seizure starts, beside chance."""
    head = ["stage of the seizure", "method", "windows", "at its focus %", "by chance %", "the wave itself %"]
    rows = [
        [row.stage, row.method, f"{row.n:,}", *(f"{100 * v:.0f}" for v in (row.share, row.chance, row.wave))]
        for row in table.itertuples()
    ]
    return Table(head, rows, 2, "Invented seizures: how often the map is largest where they start")


def faithfulness(methods: dict[str, dict]) -> Block:
    """The numbers that were saved of each method, beside those of chance."""
    rows = [[name, *(number(said.get(column)) for column in FAITHFUL)] for name, said in methods.items()]
    words = "Faithfulness of the maps: does silencing what they name matter?"
    return Table(["method", *FAITHFUL.values()], rows, caption=words)


def relevance_of(maps: dict | None, about: dict) -> dict:
    """``relevance_NC`` of the example windows, where the maps of all of them were saved."""
    if not maps or "map_NC" not in maps:
        return {}
    row = {int(window): i for i, window in enumerate(maps["window_id_N"])}
    wanted = [int(said["window_id"]) for said in about["windows"]]
    return {"relevance_NC": maps["map_NC"][[row[w] for w in wanted]]} if set(wanted) <= set(row) else {}


def examples(ledger: Ledger, windows: dict, about: dict, stem: str) -> Block:
    """Each example window with its description and the texts nearest to it, all of them folded."""
    names, sfreq = [str(c) for c in windows["ch_names"]], float(windows["sfreq"])
    relevance = windows.get("relevance_NC", [None] * len(about["windows"]))
    shown: list[Block] = []
    for i, said in enumerate(about["windows"]):
        uv_CT = windows["uv_NCT"][i].astype(float)
        drawn = eeg_figures.example_window(uv_CT, names, sfreq, said, f"example{i}_{stem}", relevance[i])
        near = [f"{text['text']} (similarity {text['similarity']:.2f})" for text in said["nearest"]]
        words = f"Nearest of {about['texts_compared']:,} descriptions of test windows:"
        shown += [ledger.show(drawn), Text(f"Description: {said['text'] or 'none'}")]
        shown += [Text(words), Bullets(near)] if near else []
    n = len(about["windows"])
    return Folded(f"{n} example window{'' if n == 1 else 's'}, with the relevance of each channel", shown)


def events(ledger: Ledger, entry: Entry) -> list[Block]:
    """Event tables with units and one recording's trace, then those of a rehearsal; or nothing."""
    known = {entry.leak_note: "what the split shares stands above"}
    shown = event_blocks(entry.run.path / "continuous", known)
    trace = recording_trace(entry)
    shown += [ledger.show(trace)] if trace else []
    if rehearsed := event_blocks(entry.run.path / "rehearsal", known):
        shown.append(Folded("Rehearsal: from each file to the events that detect.py writes of it", rehearsed))
    return [Text(entry.name, "head"), *shown] if shown else []


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
        f"{entry.label}, fold {folds[0]}; {entry.setting}",
    )


def cost(ledger: Ledger, dataset: str, entries: Sequence[Entry]) -> list[Block]:
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
    drawn = [
        figures.parameters(costs, file_name("fig6_parameters", dataset)),
        figures.cumulative_flops(costs, file_name("fig7_flops", dataset)),
    ]
    return [ledger.show(one) for one in drawn]
