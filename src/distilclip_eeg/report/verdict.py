"""What the runs on a corpus come to, in words: which model, how tested, how sure, what not to say."""

from collections.abc import Sequence

import numpy as np

from distilclip_eeg.report import cards, subjects
from distilclip_eeg.report.blocks import Verdict
from distilclip_eeg.report.drawing import sentence
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.events import Burden, burden_of
from distilclip_eeg.report.people import Sure
from distilclip_eeg.report.tables import n_classes
from distilclip_eeg.scoring.uncertainty import MIN_SUBJECTS

TOLD_APART = 0.05
"""Of a permutation test over people, below which two models are called different."""


def verdict(dataset: str, found: Sequence[Sure]) -> Verdict:
    """Of one corpus.

    Args:
        found: the whole models, those of the strictest protocol first.
    """
    split = found[0].entry.split
    rivals = sorted((one for one in found if one.entry.split == split), key=lambda one: -one.value)
    best = rivals[0]
    burden = burden_of(best.entry.run.path)
    chance = 100 / n_classes(best.entry.run)
    where = "on people it never saw" if best.entry.audit.get("subject") == 0 else f"under split={split}"
    claim = (
        f"{dataset}: {best.entry.label} reaches a balanced accuracy of {best} % {where}. "
        f"{chance:.0f} % is what the same answer to everything reaches."
    )
    facts = [
        ("Which model", which(rivals)),
        ("Which protocol", f"{best.entry.setting}: {honesty(best.entry)}"),
        ("How sure", how_sure(best, rivals)),
        *([("Whole recordings", str(burden))] if burden else []),
        *([("Other protocols", others(found, best))] if len(found) > len(rivals) else []),
    ]
    return Verdict(claim, facts, limits(dataset, best.entry, burden))


def which(rivals: Sequence[Sure]) -> str:
    """The best by name and kind, and the figures that it was picked from."""
    best, *rest = rivals
    if not rest:
        return f"{best.entry.label}, a {best.entry.kind}; nothing else was trained under this protocol."
    said = sentence([f"{one.entry.label} {one}" for one in rest])
    return (
        f"{best.entry.label}, a {best.entry.kind}: the highest of {len(rivals)}, beside {said}. "
        "To pick the highest on the windows it is tested on flatters it."
    )


def how_sure(best: Sure, rivals: Sequence[Sure]) -> str:
    """The interval and what it is over, then from which of the others it can be told apart."""
    people = len(best.each_U)
    if not people:
        return "No interval: the windows do not say whose they are, or the model is of another corpus."
    words = f"From {best.by_person} % by person; "
    if np.isnan(best.low):
        words += f"no interval, since {people} people are fewer than {MIN_SUBJECTS}."
    else:
        words += (
            f"the 95 % interval [{100 * best.low:.1f}, {100 * best.high:.1f}] is over {people} people, since "
            "windows of one person are alike."
        )
    return f"{words} {told_apart(best, rivals)}".strip()


def told_apart(best: Sure, rivals: Sequence[Sure]) -> str:
    """The difference in accuracy to each other model on the same folds, with its p over people."""
    label = {one.entry.run.path.name: one.entry.label for one in rivals}
    pairs = subjects.pair_rows([one.entry.run for one in rivals if subjects.comparable(one.entry.run)])
    name = best.entry.run.path.name
    apart: list[str] = []
    alike: list[str] = []
    for row in pairs.itertuples():
        if name not in (row.run_a, row.run_b):
            continue
        other = label[row.run_b if row.run_a == name else row.run_a]
        points = 100 * row.difference * (1 if row.run_a == name else -1)
        (apart if row.p_subjects < TOLD_APART else alike).append(
            f"{other} ({points:+.1f} points, p {row.p_subjects:.2g})"
        )
    said = [f"In accuracy it is told apart from {sentence(apart)}."] if apart else []
    said += [f"In accuracy it is not told apart from {sentence(alike)}."] if alike else []
    return " ".join(said)


def others(found: Sequence[Sure], best: Sure) -> str:
    """What the same model, or else the best one, has under each other protocol."""
    said = []
    for split in dict.fromkeys(one.entry.split for one in found if one.entry.split != best.entry.split):
        group = [one for one in found if one.entry.split == split]
        same = next((one for one in group if one.entry.label == best.entry.label), None)
        shown = same or max(group, key=lambda one: one.value)
        said.append(f"split={split}: {shown.entry.label} {shown} %; {honesty(shown.entry)}")
    return " ".join(said)


def honesty(entry: Entry) -> str:
    """What the audit of a run means, in a sentence."""
    audit = entry.audit
    if audit.get("subject") is None:
        return "what its test windows share with training is not known; no estimate for new patients."
    if audit["subject"] == 0:
        return "every test window comes from a person that the model never saw: the figures for new patients."
    seen = f", and of {100 * (audit['event'] or 0):.0f} % of the seizure windows the seizure was trained on"
    why = "; shown because the article tests like this" if entry.split == "window" else ""
    return f"people stand on both sides{seen if audit['event'] else ''}; no estimate for new patients{why}."


def limits(dataset: str, entry: Entry, burden: Burden | None) -> list[str]:
    """What a reader might take from the claim and may not."""
    said = [
        f"More than its recordings show, which are of {cards.PEOPLE.get(dataset, 'people no card can know')}."
    ]
    if entry.audit.get("subject") != 0:
        said.append("How well it does on new patients: the people tested may be among those trained on.")
    if burden is None:
        said.append(
            "How many false alarms there are on continuous EEG: windows cut from recordings do not tell."
        )
    elif burden.hours < 24:
        said.append(f"A rate of false alarms a day: {burden.hours:.2f} h were recorded.")
    said.append("That an EEG is normal: no event means that no window was above the threshold.")
    return said
