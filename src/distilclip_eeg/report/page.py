"""The page a person reads: one HTML file that asks for nothing from elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from distilclip_eeg.files.reading import read_json, read_text
from distilclip_eeg.report import cards, html, metric_tables, parts
from distilclip_eeg.report.article_tables import scored, splits_of
from distilclip_eeg.report.drawing import file_name
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.grid import Grid
from distilclip_eeg.report.html import Markup, tag
from distilclip_eeg.report.parts import Ledger
from distilclip_eeg.report.tables import HEADS, cell, named
from distilclip_eeg.schema import NOTE
from distilclip_eeg.scoring.answers import AS_SAVED
from distilclip_eeg.scoring.event_scores import WHOLE

NAMES = "Recordings and subjects are called as in the corpus; look at the names before you share this page."
SUMMARY = ("balanced_accuracy", "f1", "auroc", "ece")


def report_page(
    entries: Sequence[Entry], tables: dict[str, list[Grid]], results: Path, ledger: Ledger
) -> str:
    """The whole page; what it draws and what it lacks goes to ``ledger``."""
    datasets = list(dict.fromkeys(entry.dataset for entry in entries))
    of = {name: [entry for entry in entries if entry.dataset == name] for name in datasets}
    body = [
        tag("h1", "Seizure detection from scalp EEG: what was trained, how it was tested, where it looks"),
        html.paragraph(NOTE, class_="warning"),
        *(html.paragraph(f"{e.run.part_line}.", class_="warning") for e in entries if e.run.part),
        navigation(datasets),
        tag("h2", "Summary", id="summary"),
        *(part for name in datasets for part in summary(name, of[name])),
    ]
    for name in datasets:
        body += [tag("h2", name, id=anchor(name)), *corpus(name, of[name], tables, results, ledger)]
    body += elsewhere(datasets, tables)
    body += [tag("h2", "Environment", id="environment"), environment(entries)]
    body += [tag("h2", "Model and data cards", id="cards"), *all_cards(entries)]
    body += [tag("h2", "Limits", id="limits"), html.bullets([NOTE, *cards.LIMITS, NAMES])]
    if ledger.absent:
        rows = [[what, tag("code", command)] for what, command in ledger.absent]
        body += [tag("h2", "Left out", id="absent"), html.text_table(["not there", "what makes it"], rows, 2)]
    body += [tag("h2", "Citation", id="citation"), html.bullets([cards.ARTICLE, *sources(datasets)])]
    return html.page("DistilCLIP-EEG report", *body)


def navigation(datasets: Sequence[str]) -> Markup:
    """Links to the corpora and to the sections around them."""
    places = {"summary": "Summary", **{anchor(name): name for name in datasets}}
    places |= {"environment": "Environment", "cards": "Cards", "limits": "Limits"}
    return tag("nav", *(tag("a", words, href=f"#{place}") for place, words in places.items()))


def anchor(dataset: str) -> str:
    """The ``id`` of a corpus's heading."""
    return file_name("corpus", dataset)


def summary(dataset: str, entries: Sequence[Entry]) -> list[Markup]:
    """In plain words: what was trained, on what, how honestly tested; and the main figures."""
    main = [entry for entry in entries if not entry.ablated]
    names = ", ".join(dict.fromkeys(entry.label for entry in main))
    first = main[0] if main else entries[0]
    rows = []
    for entry in main:
        figures = scored(entry, SUMMARY, None, AS_SAVED)
        texts = [cell(figures[c], figures[f"{c}_sd"]) for c in SUMMARY]
        rows.append([entry.split, named(entry.label, entry.run.part), *texts, tested_on(entry)])
    head = ["protocol", "model", *(HEADS[c] for c in SUMMARY), "tested on"]
    return [
        tag("h3", dataset),
        html.paragraph(
            f"{len(main)} trainings of these models: {names}. {cards.population(dataset)} "
            f"{cards.first_line(first.run)}."
        ),
        html.bullets([f"split={split}: {honesty(entries, split)}" for split in splits_of(entries)]),
        html.text_table(head, rows, 2, "Test windows, mean ± SD over folds (not a confidence interval)"),
    ]


def tested_on(entry: Entry) -> str:
    """Whether the audit found the tested people among those trained on, in three words."""
    share = entry.audit.get("subject")
    return "new people" if share == 0 else "people known from training" if share else "unknown people"


def honesty(entries: Sequence[Entry], split: str) -> str:
    """What the audit of a protocol means, in a sentence."""
    first = next(entry for entry in entries if entry.split == split)
    audit = first.audit
    if audit.get("subject") is None:
        return f"{first.leak_note}."
    if audit["subject"] == 0:
        return "every test window comes from a person that the model never saw: the figures for new patients."
    seen = f", and of {100 * (audit['event'] or 0):.0f} % of the seizure windows the seizure was trained on"
    why = "; shown because the article tests like this" if split == "window" else ""
    return f"people stand on both sides{seen if audit['event'] else ''}; no estimate for new patients{why}."


def corpus(
    dataset: str, entries: Sequence[Entry], tables: dict[str, list[Grid]], results: Path, ledger: Ledger
) -> list[Markup]:
    """Everything about one corpus."""
    main = [entry for entry in entries if not entry.ablated] or list(entries)
    report = read_text(entries[0].run.path / "data_report.txt")
    head, rows = metric_tables.audit_rows(main)
    body = [
        tag("h3", "Data report"),
        tag("pre", report),
        tag("h3", "Protocols and leak audit"),
        html.text_table(head, rows, 1, "How many test windows share these with training"),
        html.bullets(
            [f"{split}: {next(e for e in main if e.split == split).leak_note}" for split in splits_of(main)]
        ),
        *parts.gap(ledger, dataset, results),
        tag("h3", "Metrics"),
        *(html.grid_table(grid) for grid in metric_tables.metric_tables(dataset, main, "standard")),
        *folded("The article's mixture of averages", metric_tables.metric_tables(dataset, main, "paper")),
        *folded("Each class", metric_tables.class_tables(dataset, main)),
        tag("h3", "The article's tables"),
    ]
    mine = {stem: grids for stem, grids in tables.items() if stem.endswith(f"_{dataset}")}
    for grids in mine.values():
        body += folded(grids[0].title.partition(",")[0], grids)
    for split in splits_of(entries):
        group = [entry for entry in entries if entry.split == split]
        body += [tag("h3", f"{dataset}, split={split}: curves"), *parts.trained(ledger, group)]
    if own := parts.plugins(ledger, main):
        body += [tag("h3", "Figures of plug-ins"), *own]
    body += [tag("h3", "Where the models look"), *looked(ledger, dataset, main)]
    body += [tag("h3", "Events in whole recordings"), *alarms(ledger, dataset, main)]
    return [*body, tag("h3", "Cost"), *parts.cost(ledger, dataset, entries)]


def folded(title: str, grids: Sequence[Grid]) -> list[Markup]:
    """Tables behind a line that opens them."""
    return (
        [tag("details", tag("summary", title), *(html.grid_table(grid) for grid in grids))] if grids else []
    )


def looked(ledger: Ledger, dataset: str, entries: Sequence[Entry]) -> list[Markup]:
    """Explanations of every run that has them, or the command for the one that should."""
    found = [part for entry in entries for part in parts.explanation(ledger, entry)]
    networks = [entry for entry in entries if entry.kind in parts.NETWORKS]
    command = f"python scripts/explain.py run={networks[0].run.path}" if networks else "python train.py"
    what = "activation maps, example windows, map of the features (Fig. 9)"
    return found or [ledger.lacks(f"{dataset}: {what}", command)]


def alarms(ledger: Ledger, dataset: str, entries: Sequence[Entry]) -> list[Markup]:
    """Event scores of every run that has them, or the command for one that can."""
    found = [part for entry in entries for part in parts.events(ledger, entry)]
    whole = [entry for entry in entries if entry.split in WHOLE]
    command = (
        f"python scripts/continuous.py run={whole[0].run.path}" if whole else "python train.py split=subject"
    )
    return found or [ledger.lacks(f"{dataset}: events in whole recordings", command)]


def elsewhere(datasets: Sequence[str], tables: dict[str, list[Grid]]) -> list[Markup]:
    """The article's tables of corpora that no run is of."""
    body = []
    for stem, grids in tables.items():
        if not any(stem.endswith(f"_{name}") for name in datasets):
            body += folded(grids[0].title.rpartition(",")[0], grids)
    return [tag("h2", "The article's tables of other corpora"), *body] if body else []


def environment(entries: Sequence[Entry]) -> Markup:
    """Code, libraries, machine and minutes of every run."""
    rows = []
    for entry in entries:
        made, timing = read_json(entry.run.path / "provenance.json"), entry.run.path / "timing.json"
        seconds = sum(read_json(timing).values()) if timing.exists() else 0
        libraries = ", ".join(f"{name} {number}" for name, number in made["libraries"].items())
        where = [made["commit"], made["python"], made["machine"], f"{seconds / 60:.1f}", libraries]
        rows.append([entry.run.path.name, *where])
    return html.text_table(["run", "commit", "Python", "machine", "min", "libraries"], rows, 4)


def all_cards(entries: Sequence[Entry]) -> list[Markup]:
    """A model card for each run that is whole, a data card for each corpus and protocol."""
    shown = []
    for title, card in named_cards(entries).items():
        body = [part for heading, lines in card for part in (tag("h4", heading), html.bullets(lines))]
        shown.append(tag("details", tag("summary", title), *body))
    return shown


def named_cards(entries: Sequence[Entry]) -> dict[str, cards.Card]:
    """Every card by its title."""
    main = [entry for entry in entries if not entry.ablated]
    models = {f"Model card: {e.dataset}, split={e.split}, {e.label}": cards.model_card(e) for e in main}
    return models | {f"Data card: {e.dataset}, split={e.split}": cards.data_card(e) for e in main}


def sources(datasets: Sequence[str]) -> list[str]:
    """What to cite of each corpus that has a publication."""
    return [line for name in datasets for line in cards.source(name)]
