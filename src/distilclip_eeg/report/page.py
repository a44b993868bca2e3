"""The page a person reads: what stands on it, in which order, and what of it is folded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distilclip_eeg.files.reading import read_json, read_text
from distilclip_eeg.report import cards, html, metric_tables, parts, people
from distilclip_eeg.report.blocks import (
    Block,
    Bullets,
    Facts,
    Folded,
    Printed,
    Section,
    Table,
    Text,
    folded,
    tables,
)
from distilclip_eeg.report.drawing import file_name
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.grid import Grid
from distilclip_eeg.report.parts import Ledger
from distilclip_eeg.report.stored import stored_blocks
from distilclip_eeg.report.verdict import honesty, verdict
from distilclip_eeg.scoring.event_scores import FOLDER as EVENT_FOLDER
from distilclip_eeg.scoring.event_scores import WHOLE

TITLE = "Seizure detection from scalp EEG: what was trained, how it was tested, where it looks"
NAMES = "Recordings and subjects are called as in the corpus; look at the names before you share this page."
ON_PAGE = ("Model", "Data", "People", "Signals", "Windows", "Training", "Scores by fold", "Calibration")
"""Beginnings of a card's headings that the page repeats; the rest of a card stands elsewhere on it."""


def report_page(entries: Sequence[Entry], grids: dict[str, list[Grid]], results: Path, ledger: Ledger) -> str:
    """The whole page; what it draws and what it lacks goes to ``ledger``."""
    datasets = list(dict.fromkeys(entry.dataset for entry in entries))
    of = {name: [entry for entry in entries if entry.dataset == name] for name in datasets}
    sure = {name: sure_figures(of[name]) for name in datasets}
    told = [entry.leak_note for entry in entries]
    unfinished = [Text(f"{e.run.part_line}.", "head") for e in entries if e.run.part]
    stored = stored_blocks(ledger, datasets, grids, results, told)
    sections = [
        Section("Verdict", "verdict", [*unfinished, *(verdict(name, sure[name]) for name in datasets)]),
        *(corpus(name, of[name], sure[name], grids, ledger) for name in datasets),
        Section("Stored results, not of these runs", "stored", stored),
        Section("Environment", "environment", environment(entries)),
        Section("Model and data cards", "cards", all_cards(entries)),
        Section("Limits", "limits", [Bullets([*cards.LIMITS, NAMES])]),
    ]
    if ledger.absent:
        absent = Table(["not there", "what makes it"], ledger.absent, 2)
        sections.append(Section("Left out", "absent", [absent]))
    sources = [line for name in datasets for line in cards.source(name)]
    sections.append(Section("Citation", "citation", [Bullets([cards.ARTICLE, *sources])]))
    return html.page("DistilCLIP-EEG report", TITLE, sections)


def sure_figures(entries: Sequence[Entry]) -> list[people.Sure]:
    """The main figure of every whole model of a corpus, those of the strictest protocol first."""
    main = whole(entries)
    order = people.strictest_first(main)
    return [people.sure_of(e) for e in sorted(main, key=lambda e: order.index(e.split))]


def whole(entries: Sequence[Entry]) -> list[Entry]:
    """Those that lack no part; all where every one does."""
    return [entry for entry in entries if not entry.ablated] or list(entries)


def corpus(
    dataset: str,
    entries: Sequence[Entry],
    sure: Sequence[people.Sure],
    grids: dict[str, list[Grid]],
    ledger: Ledger,
) -> Section:
    """Everything that the runs on one corpus say."""
    main = [one.entry for one in sure]
    anchor = file_name("corpus", dataset)

    def part(title: str, name: str, blocks: Sequence[Block]) -> Section:
        return Section(title, f"{anchor}_{name}", blocks)

    sections = [
        part("Comparison", "comparison", comparison(dataset, sure, ledger)),
        part("Data and leak audit", "audit", audit(main)),
        part("Metrics", "metrics", metrics(dataset, main)),
        part("The article's tables", "tables", article(dataset, grids)),
        part("Curves", "curves", curves(ledger, dataset, entries, main)),
        part("Where the models look", "maps", looked(ledger, dataset, main)),
        part("Events in whole recordings", "events", alarms(ledger, dataset, main)),
        part("Cost", "cost", parts.cost(ledger, dataset, entries)),
    ]
    if own := parts.plugins(ledger, main):
        sections.insert(5, part("Figures of plug-ins", "plugins", own))
    names = ", ".join(dict.fromkeys(entry.label for entry in main))
    line = Text(f"{len(main)} trainings of these models: {names}. {cards.population(dataset)}")
    return Section(f"Your runs: {dataset}", anchor, [line], sections)


def comparison(dataset: str, sure: Sequence[people.Sure], ledger: Ledger) -> list[Block]:
    """The main figures with their intervals, and a dot a person."""
    drawn = people.people_figure(sure, dataset)
    return [people.comparison_table(sure), *([ledger.show(drawn)] if drawn else [])]


def audit(main: Sequence[Entry]) -> list[Block]:
    """What was recorded, and what each protocol lets through: here, and nowhere else on the page."""
    head, rows = metric_tables.audit_rows(main)
    firsts = {entry.split: entry for entry in reversed(main)}
    order = list(dict.fromkeys(entry.split for entry in main))
    report = read_text(main[0].run.path / "data_report.txt")
    return [
        Text(f"{cards.first_line(main[0].run)}."),
        Folded("Data report", [Printed(report)]),
        Table(head, rows, 1, "How many test windows share these with training"),
        Bullets([f"split={s}: {honesty(firsts[s])} The audit: {firsts[s].leak_note}." for s in order]),
    ]


def metrics(dataset: str, main: Sequence[Entry]) -> list[Block]:
    """All figures of the strictest protocol; others, the article's averages and single classes folded."""
    first, *rest = metric_tables.metric_tables(dataset, main, "standard")
    names = ", ".join(grid.title.partition(", ")[2].partition(",")[0] for grid in rest)
    return [
        *tables([first]),
        *folded(f"The same under {names}", rest),
        *folded("The article's mixture of averages", metric_tables.metric_tables(dataset, main, "paper")),
        *folded("Each class", metric_tables.class_tables(dataset, main)),
    ]


def article(dataset: str, grids: dict[str, list[Grid]]) -> list[Block]:
    """The article's tables of these runs, each folded."""
    shown: list[Block] = []
    for stem, found in grids.items():
        mine = [grid for grid in found if not grid.stored]
        if stem.endswith(f"_{dataset}") and mine:
            shown += folded(mine[0].title.partition(",")[0], mine)
    names = ", ".join(block.title for block in shown if isinstance(block, Folded))
    return [Folded(names, shown)] if shown else [Text("None of these runs is in them.")]


def curves(ledger: Ledger, dataset: str, entries: Sequence[Entry], main: Sequence[Entry]) -> list[Block]:
    """Training, ROC, reliability and confusion under the strictest protocol; under others folded."""
    shown: list[Block] = []
    for split in dict.fromkeys(entry.split for entry in main):
        group = [entry for entry in entries if entry.split == split]
        blocks = parts.trained(ledger, group)
        shown += [Folded(f"The same under split={split}", blocks)] if shown else blocks
    return shown


def looked(ledger: Ledger, dataset: str, entries: Sequence[Entry]) -> list[Block]:
    """Explanations of every run that has them, or the command for the one that should."""
    found = first_open({entry.name: parts.explanation(ledger, entry) for entry in entries})
    networks = [entry for entry in entries if entry.kind in parts.NETWORKS]
    command = f"python scripts/explain.py run={networks[0].run.path}" if networks else "python train.py"
    what = "activation maps, example windows, map of the features (Fig. 9)"
    return found or [ledger.lacks(f"{dataset}: {what}", command)]


def alarms(ledger: Ledger, dataset: str, entries: Sequence[Entry]) -> list[Block]:
    """Event scores of every run that has them, or the command for one that can."""
    scored_first = sorted(entries, key=lambda entry: not (entry.run.path / EVENT_FOLDER).is_dir())
    found = first_open({entry.name: parts.events(ledger, entry) for entry in scored_first})
    able = [entry for entry in entries if entry.split in WHOLE]
    command = "python train.py split=subject"
    if able:
        command = f"python scripts/continuous.py run={able[0].run.path}"
    return found or [ledger.lacks(f"{dataset}: events in whole recordings", command)]


def first_open(named: Mapping[str, Sequence[Block]]) -> list[Block]:
    """The first that has anything, and those after it folded, each under its name."""
    first, *rest = [(name, blocks) for name, blocks in named.items() if blocks] or [("", [])]
    return [*first[1], *(Folded(f"The same of {name}", blocks) for name, blocks in rest)]


def environment(entries: Sequence[Entry]) -> list[Block]:
    """Code, libraries and machine, once for all runs that share them; and how long each took."""
    shared: dict[tuple[tuple[str, str], ...], list[list[str]]] = {}
    for entry in entries:
        made, timing = read_json(entry.run.path / "provenance.json"), entry.run.path / "timing.json"
        seconds = sum(read_json(timing).values()) if timing.exists() else 0
        libraries = ", ".join(f"{name} {number}" for name, number in made["libraries"].items())
        where: tuple[tuple[str, str], ...] = (
            ("Code", str(made["commit"] or "of unknown commit")),
            *(("Python", made["python"]), ("Machine", made["machine"]), ("Libraries", libraries)),
        )
        shared.setdefault(where, []).append([entry.run.path.name, f"{seconds / 60:.1f}"])
    shown: list[Block] = []
    for where, rows in shared.items():
        shown += [Facts(where), Folded(f"Runs and minutes ({len(rows)})", [Table(["run", "minutes"], rows)])]
    return shown


def all_cards(entries: Sequence[Entry]) -> list[Block]:
    """A model card for each run that is whole, a data card for each corpus and protocol."""
    shown: list[Block] = []
    for title, card in named_cards(entries).items():
        body = [
            block
            for heading, lines in card
            if heading.startswith(ON_PAGE)
            for block in (Text(heading, "head"), Bullets(lines))
        ]
        shown.append(Folded(title, body))
    words = "Whole cards, with use, limits and audit, are in the folder cards beside this page."
    return [Text(words), Folded(f"{len(shown)} cards", shown)]


def named_cards(entries: Sequence[Entry]) -> dict[str, cards.Card]:
    """Every card by its title."""
    main = [entry for entry in entries if not entry.ablated]
    models = {f"Model card: {e.dataset}, split={e.split}, {e.label}": cards.model_card(e) for e in main}
    return models | {f"Data card: {e.dataset}, split={e.split}": cards.data_card(e) for e in main}
