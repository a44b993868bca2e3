"""Model and data cards from the files of a run folder: headings, and lines below each."""

from collections.abc import Sequence

import numpy as np

from distilclip_eeg.config.data import DataSettings
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.reading import read_json, read_text
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.tables import HEADS
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import NOTE
from distilclip_eeg.scoring.answers import fold_metrics
from distilclip_eeg.scoring.metrics import COLUMNS

Card = Sequence[tuple[str, Sequence[str]]]

PEOPLE = {
    "tusz": "patients of one American hospital, mostly adults",
    "aubmc": "six adults with focal epilepsy of one hospital",
    "aubmc_raw": "six adults with focal epilepsy of one hospital",
    "chbmit": "children and young adults with intractable seizures, in one American hospital",
    "zenodo": "term neonates of one Finnish hospital",
    "synthetic": "nobody: the recordings are invented and show nothing about epilepsy",
    "placebo": "nobody: the recordings are invented and their labels are a coin's",
}
SOURCES = {
    "tusz": "Shah V. et al. (2018), The Temple University Hospital Seizure Detection Corpus, Frontiers in "
    "Neuroinformatics 12:83",
    "aubmc": "Nasreddine W. (2021), Epileptic EEG Dataset, Mendeley Data, doi:10.17632/5pc2j46cbc",
    "aubmc_raw": "Nasreddine W. (2021), Epileptic EEG Dataset, Mendeley Data, doi:10.17632/5pc2j46cbc",
    "chbmit": "Guttag J. (2010), CHB-MIT Scalp EEG Database v1.0.0, PhysioNet, doi:10.13026/C2K01R (licence "
    "ODC-By 1.0)",
    "zenodo": "Stevenson N. J. et al. (2019), A dataset of neonatal EEG recordings with seizure annotations, "
    "Scientific Data 6:1-8",
}
ARTICLE = (
    "Wang Z., Shi L., Wu H., Luo J., Kong X., Qi J., DistilCLIP-EEG: Enhancing Epileptic Seizure Detection "
    "Through Multi-modal Learning and Knowledge Distillation"
)
USES = (
    NOTE,
    "Meant for research on recorded scalp EEG. Not for alarms. Not validated prospectively.",
    "An answer below the threshold means that no window was above it, never that an EEG is normal.",
)
LIMITS = (
    "Figures of windows cut from recordings say nothing about false alarms per day on continuous EEG.",
    "An SD over folds is no confidence interval; folds share training data.",
    "Do not carry a model to another age group, montage, filter or scaling than it was trained with.",
    "Where a model looks (activation maps) is not where a seizure begins.",
    "Descriptions are computed from the signal; they add no clinical knowledge.",
)


def people(run: Run) -> str:
    """Subjects, recordings and windows of the test parts of all finished folds."""
    saved = [run.predictions(k) for k in run.folds_done()]
    tests = [{k: s[k][s["part"] == "test"] for k in ("subject", "recording")} for s in saved]
    subjects, recordings = (
        np.unique(np.concatenate([t[k] for t in tests])) for k in ("subject", "recording")
    )
    n = sum(len(t["subject"]) for t in tests)
    return f"{len(subjects)} subjects, {len(recordings)} recordings, {n:,} test windows"


def population(dataset: str) -> str:
    """Who a corpus was recorded from, in a sentence."""
    return f"Recorded from: {PEOPLE.get(dataset, 'see the corpus; no card can know')}."


def model_card(entry: Entry) -> Card:
    """What a trained model is, on whom, how tested, how good, and what it is not for."""
    run, settings = entry.run, entry.settings
    fitted = {} if entry.kind == "floor" else plain(settings.optim) | plain(settings.trainer)
    made = read_json(run.path / "provenance.json", "libraries")
    fold = read_json(run.fold(run.folds_done()[0]) / "metrics.json")
    classes = [str(c) for c in run.predictions(run.folds_done()[0])["classes"]]
    training = [f"{name} {value}" for name, value in fitted.items() if value is not None]
    steps = f"{fold['steps']:,} steps in fold {run.folds_done()[0]}; " if "steps" in fold else ""
    return (
        ("Use", USES),
        (
            "Model",
            (
                f"{entry.label}, a {entry.kind}; run {run.path.name}.",
                f"Classes: {', '.join(classes)}; the first is background.",
                f"Asks for: {signals(settings)}.",
            ),
        ),
        ("Data", (first_line(run), f"Tested on {people(run)}.", population(entry.dataset))),
        ("Protocol and audit", (entry.protocol + ".",)),
        ("Training", (f"{steps}seed {settings.seed}; {', '.join(training) or 'a classic classifier'}.",)),
        ("Scores by fold (test windows, per cent)", fold_lines(entry)),
        (
            "Calibration",
            ("Probabilities are as the network gives them; Brier and ECE above say how far to trust them.",),
        ),
        ("Limits", (*LIMITS, *honest(entry))),
        (
            "Made by",
            (f"code {made['commit'] or 'of unknown commit'}, Python {made['python']}, {made['machine']}",),
        ),
        ("Cite", (ARTICLE, *source(entry.dataset))),
    )


def data_card(entry: Entry) -> Card:
    """What a run's recordings are, who they come from, how they were cut and what was left out."""
    run, cut = entry.run, plain(entry.settings.windows)
    report = read_text(run.path / "data_report.txt").splitlines()
    return (
        ("Use", USES),
        ("Recordings", report),
        ("People", (f"Test parts: {people(run)}.", population(entry.dataset))),
        ("Signals", (f"{signals(entry.settings)}.",)),
        ("Windows", (", ".join(f"{name} {value}" for name, value in cut.items()) + ".",)),
        ("Protocol and audit", (entry.protocol + ".",)),
        ("Cite", (*source(entry.dataset), ARTICLE)),
    )


def signals(settings: DataSettings) -> str:
    """Montage, band, rate and scaling in words."""
    s, length = settings.signals, settings.windows.length_s
    return (
        f"windows of {length:g} s, montage {s.montage}, {edge(s.l_freq)} to {edge(s.h_freq)} Hz, "
        f"{s.sfreq:g} samples a second, normalised by {s.normalize}"
    )


def edge(hz: float | None) -> str:
    """An edge of the band; ``-`` where the signal is not filtered there."""
    return "-" if hz is None else f"{hz:g}"


def first_line(run: Run) -> str:
    """The line of its data report that sums the recordings up."""
    return read_text(run.path / "data_report.txt").splitlines()[0]


def source(dataset: str) -> tuple[str, ...]:
    """What to cite of a corpus; nothing where we know of no publication."""
    return (SOURCES[dataset],) if dataset in SOURCES else ()


def honest(entry: Entry) -> tuple[str, ...]:
    """What the audit means for who reads the scores."""
    if entry.audit.get("subject") == 0:
        return ()
    return ("The people tested may also be among those trained on: no estimate for new patients.",)


def fold_lines(entry: Entry) -> list[str]:
    """A line a fold of the standard figures."""
    rows = fold_metrics(entry.run).to_dict("records")
    return [
        f"fold {row['fold']}, {int(row['n']):,} windows: "
        + ", ".join(
            f"{HEADS[c].removesuffix(' %')} {100 * row[c]:.1f}" for c in COLUMNS if np.isfinite(row[c])
        )
        for row in rows
    ]


def markdown(title: str, card: Card) -> str:
    """A card as a file of its own."""
    parts = [f"# {title}"]
    for heading, lines in card:
        parts += ["", f"## {heading}", "", *(f"- {' '.join(line.split())}" for line in lines)]
    return "\n".join([*parts, ""])
