"""What is on disk, from headers and annotations alone: ``python scripts/describe.py dataset=…``.

No signal is read, so a corpus of thousands of files takes minutes. What differs from the published totals is
told with its reason.
"""

from collections import Counter

import pandas as pd

from distilclip_eeg.corpora.edf.fields import ANNOTATION_LABELS
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import canonical
from distilclip_eeg.corpora.edf.plan import plan_channels
from distilclip_eeg.corpora.edf_corpus import EdfCorpus
from distilclip_eeg.progress import Tracker
from distilclip_eeg.schema import (
    Corpus,
    CorpusError,
    DataError,
    Event,
    RecordingRef,
    recordings_of,
    short,
    unreadable,
    visible,
)
from distilclip_eeg.workers import threaded

TOLERANCE = {"hours": 0.05, "seizure_s": 1.0}
"""Published totals are rounded; smaller differences are none."""
MOST_SETS = 8
"""Sets of missing channels that are listed."""


def survey(corpus: Corpus, *, n_jobs: int = -1, progress: Tracker | None = None) -> pd.DataFrame:
    """Look at every recording's header and annotations; one row a recording.

    Columns: recording, subject, session, part, duration_s (signal, gaps left out), sfreq (of the montage's
    signals), signals (in the file), lacking (channels of the montage it lacks), events and excluded (lists
    of (seconds, label)), warnings (list), problem (reason code, empty where all is well), detail.

    Args:
        n_jobs: threads; -1: one a core.
        progress: as :func:`~distilclip_eeg.progress.track`; None: nothing is shown.

    Raises:
        DataError: the corpus has no recording.
    """
    refs, told = recordings_of(corpus)
    look = look_at_header if isinstance(corpus, EdfCorpus) else look_at_signal
    found = threaded(look, [(corpus, ref) for ref in refs], jobs=n_jobs)
    items = progress(found, len(refs), "reading headers") if progress else found
    rows = []
    for ref, row in zip(refs, items, strict=True):
        about = {"recording": ref.recording, "subject": ref.subject, "session": ref.session, "part": ref.part}
        rows.append({**about, **BLANK, **row})
    table = pd.DataFrame(rows)
    table.attrs["told"] = told
    return table


BLANK = {"duration_s": 0.0, "sfreq": 0.0, "signals": 0, "lacking": "", "events": (), "excluded": ()}
BLANK |= {"warnings": (), "problem": "", "detail": ""}


def look_at_header(corpus: EdfCorpus, ref: RecordingRef) -> dict:
    """A recording of an EDF corpus: its header and its annotations."""
    row: dict[str, object] = {}
    try:
        header = corpus.header(ref)
        row |= {"duration_s": header.n_records * header.record_duration_s, "signals": n_signals(header)}
        row |= {"sfreq": usual_rate(header.sfreqs)}
        labels = corpus.labels(ref, header)
        row |= {"events": spans(labels.events), "excluded": spans(labels.excluded)}
        row |= {"warnings": (*header.warnings, *labels.warnings)}
        there = {canonical(label) for label in header.labels}
        row |= {"lacking": ", ".join(c for c in corpus.ch_names if canonical(c) not in there)}
        plan = plan_channels(header.labels, corpus.montage, str(ref.path))
        row |= {"sfreq": max(header.sfreqs[k] for k in plan.picks)}
    except CorpusError:
        raise
    except (DataError, OSError) as problem:
        problem = unreadable(ref.path, problem)
        row |= {"problem": problem.reason, "detail": str(problem)}
    return row


def look_at_signal(corpus: Corpus, ref: RecordingRef) -> dict:
    """A recording of any other corpus: it has no header to look at."""
    try:
        recording = corpus.read(ref)
    except CorpusError:
        raise
    except (DataError, OSError) as problem:
        problem = unreadable(ref.path, problem)
        return {"problem": problem.reason, "detail": str(problem)}
    return {
        "duration_s": recording.duration_s,
        "sfreq": recording.sfreq,
        "signals": len(recording.ch_names),
        "events": spans(recording.events),
        "excluded": spans(recording.excluded),
        "warnings": recording.warnings,
    }


def spans(events: tuple[Event, ...]) -> list[tuple[float, str]]:
    """Length in seconds and label of each event."""
    return [(event.offset_s - event.onset_s, event.label) for event in events]


def n_signals(header: EdfHeader) -> int:
    """Signals of a file, its annotations not counted."""
    return sum(label not in ANNOTATION_LABELS for label in header.labels)


def usual_rate(sfreqs: tuple[float, ...]) -> float:
    """The rate of most signals: an EEG has more channels of EEG than of anything else."""
    return Counter(sfreqs).most_common(1)[0][0]


def totals(table: pd.DataFrame) -> dict[str, float]:
    """What the published totals are compared with; unreadable recordings count as recordings."""
    events = [event for row in table["events"] for event in row]
    ictal = table["events"].map(len) > 0
    return {
        "recordings": len(table),
        "subjects": table["subject"].nunique(),
        "recordings_with_seizures": int(ictal.sum()),
        "seizures": len(events),
        "hours": table["duration_s"].sum() / 3600,
        "seizure_s": sum(seconds for seconds, _ in events),
    }


def describe(corpus: Corpus, table: pd.DataFrame) -> str:
    """The survey as a page of text: totals beside the published ones, classes, rates, channels, what is odd.

    Args:
        table: from :func:`survey`.
    """
    lines = [f"{corpus.name}: {getattr(corpus, 'root', '')}", *compare(corpus, table), ""]
    lines += by_class(corpus, table)
    known = table[table["sfreq"] > 0]
    lines += ["sampling rate: " + counted(known["sfreq"].map("{:g} Hz".format))]
    lines += ["signals in a file: " + counted(known["signals"].astype(str))]
    lines += [f"montage: {len(corpus.ch_names)} channels ({', '.join(corpus.ch_names)})"]
    lines += lacking(table, len(corpus.ch_names))
    if (table["part"] != "").any():
        lines.append("official parts: " + counted(table["part"]))
    if corpus.missing:
        names = ", ".join(corpus.missing[:MOST_SETS]) + (" …" if len(corpus.missing) > MOST_SETS else "")
        lines.append(f"listed but not on disk: {len(corpus.missing)} ({names})")
    told = (*table.attrs.get("told", ()), *corpus.warnings)
    lines += [f"corpus: {warning}" for warning in told[:MOST_SETS]]
    for reason, group in table[table["problem"] != ""].groupby("problem"):
        lines.append(f"cannot be used: {len(group)} ({reason}), the first: {short(group['detail'].iloc[0])}")
    odd: dict[str, dict[str, str]] = {}
    for row in table[table["problem"] == ""].itertuples():
        for kind, _, words in (warning.partition(": ") for warning in row.warnings):
            odd.setdefault(kind, {}).setdefault(row.recording, words)
    for kind, group in sorted(odd.items()):
        name, words = next(iter(group.items()))
        lines.append(f"odd but usable: {len(group)} with {kind}, the first: {name}: {short(words)}")
    return "\n".join(map(visible, lines))


def compare(corpus: Corpus, table: pd.DataFrame) -> list[str]:
    """Totals here beside the published ones, every difference with its reason."""
    here, published = totals(table), getattr(corpus, "published", {})
    lines = [f"  {'':26s}{'here':>12s}{'published':>12s}"]
    for name, value in here.items():
        said = published.get(name)
        words = "" if said is None else explain(name, value, said, here, published, corpus)
        shown = "-" if said is None else number(said)
        lines.append(f"  {name.replace('_', ' '):26s}{number(value):>12s}{shown:>12s}  {words}".rstrip())
    return lines + [f"  note: {note}" for note in getattr(corpus, "notes", ())]


def explain(name: str, here: float, said: float, all_here: dict, published: dict, corpus: Corpus) -> str:
    """Why a total differs from the published one; empty where it does not."""
    if abs(here - said) <= TOLERANCE.get(name, 0):
        return "as published"
    lost = published.get("recordings", all_here["recordings"]) - all_here["recordings"]
    if name == "recordings" and lost > 0:
        return f"{number(lost)} recordings of the release are not on disk"
    if here < said and lost > 0:
        return f"{number(said - here)} fewer: they belong to the {number(lost)} recordings not on disk"
    if lost < 0:
        return f"{number(-lost)} recordings are here that the release lacks: it is another release, or none"
    if "recordings" not in published:
        return f"differs by {number(here - said)}; see what the corpus says below"
    unread = "see 'cannot be used' below" if name != "recordings" else "files were added to the release"
    return f"differs by {number(here - said)} with all recordings on disk; {unread}"


def by_class(corpus: Corpus, table: pd.DataFrame) -> list[str]:
    """Events and seconds of every class, and of what is neither."""
    events = pd.DataFrame([e for row in table["events"] for e in row], columns=["seconds", "label"])
    excluded = pd.DataFrame([e for row in table["excluded"] for e in row], columns=["seconds", "label"])
    ictal_s, left_out_s = events["seconds"].sum(), excluded["seconds"].sum()
    lines = [f"  {'class':26s}{'events':>12s}{'seconds':>12s}"]
    rest = table.loc[table["problem"] == "", "duration_s"].sum() - ictal_s - left_out_s
    lines.append(f"  {corpus.classes[0]:26s}{'':>12s}{number(rest):>12s}")
    for label in corpus.classes[1:]:
        mine = events.loc[events["label"] == label, "seconds"]
        lines.append(f"  {label:26s}{len(mine):>12,d}{number(mine.sum()):>12s}")
    for label, mine in excluded.groupby("label")["seconds"]:
        lines.append(f"  {label + ' (excluded)':26s}{len(mine):>12,d}{number(mine.sum()):>12s}")
    return lines


def lacking(table: pd.DataFrame, n_chans: int) -> list[str]:
    """Which channels of the montage are not in the files under their own name."""
    groups = Counter(table.loc[table["lacking"] != "", "lacking"])
    lines = []
    for names, n in groups.most_common(MOST_SETS):
        count = names.count(", ") + 1
        words = names if count <= MOST_SETS else f"{count} of the {n_chans} channels"
        lines.append(f"not in the file under its own name: {n} recordings lack {words}")
    return lines


def counted(values: pd.Series) -> str:
    """How often each value occurs, the most frequent first: ``256 Hz (56), 250 Hz (3)``."""
    return ", ".join(f"{value} ({n:,})" for value, n in values.value_counts().items()) or "-"


def number(value: float) -> str:
    """Thousands parted by commas; one decimal where it is no whole number and below 1000."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:,.1f}"
