"""What alarms cost and what they find: hits, time in warning, alarms an hour.

Event scores forgive long alarms: one that never ends hits every seizure, and none of it is false. So the
time under alarm is counted beside, in seconds, and hits without any tolerance. Shape suffix: M sums.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from distilclip_eeg.scoring.events.nedc import ovlp
from distilclip_eeg.scoring.events.spans import Track, intersection, seconds
from distilclip_eeg.scoring.events.summary import Reference
from distilclip_eeg.scoring.metrics import ratio

HOUR_S = 3600.0


SUMS = (
    *("hits", "seizures", "alarms", "false_alarms"),
    *("found_s", "seizure_s", "quiet_alarm_s", "quiet_s"),
)
"""What is counted of a recording, and adds up: seizures that some alarm overlaps, nothing widened or merged
(NEDC's OVLP), and all; alarms, and those that overlap no seizure; seconds of seizures under alarm, and all;
seconds without seizure under alarm, and all."""
RATES = ("sensitivity", "found", "quiet_share", "in_warning", "alarms_per_h", "false_per_h")


def burden(reference: Track, hypothesis: Track) -> np.ndarray:
    """The sums of one recording, (M,) as ``SUMS``; alarms outside what was recorded count for nothing.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    hit = ovlp(reference, hypothesis)
    alarms_P2 = intersection(hypothesis.events_E2, reference.recorded_P2)
    found_s, seizure_s = seconds(intersection(alarms_P2, reference.events_E2)), seconds(reference.events_E2)
    quiet_alarm_s = max(seconds(alarms_P2) - found_s, 0.0)
    quiet_s = max(reference.recorded_s - seizure_s, 0.0)
    counts = (hit.tp, hit.tp + hit.fn, len(hypothesis.events_E2), hit.fp)
    return np.array([*counts, found_s, seizure_s, quiet_alarm_s, quiet_s])


def total(sums: Iterable[np.ndarray]) -> np.ndarray:
    """Sums of many recordings, (M,); zeros of none."""
    return np.sum([*sums, np.zeros(len(SUMS))], axis=0)


def by_person(references: Sequence[Reference], tracks: Mapping[str, Track]) -> dict[str, np.ndarray]:
    """Sums of each subject, in the order of their names."""
    people = {name: np.zeros(len(SUMS)) for name in sorted({r.subject for r in references})}
    for reference in references:
        people[reference.subject] += burden(reference.track, tracks[reference.recording])
    return people


def burden_rates(sums_M: np.ndarray) -> dict[str, np.ndarray]:
    """Ratios of sums (..., M), columns as ``SUMS``; undefined is NaN.

    ``sensitivity`` is the share of seizures hit, ``found`` that of their time under alarm, ``quiet_share``
    that of the time without seizure, ``in_warning`` that of all time. ``alarms_per_h`` are all alarms an
    hour of recording, ``false_per_h`` those off every seizure an hour without seizure.
    """
    s = dict(zip(SUMS, np.moveaxis(np.asarray(sums_M, float), -1, 0), strict=True))
    recorded_s = s["quiet_s"] + s["seizure_s"]
    return {
        "sensitivity": ratio(s["hits"], s["seizures"]),
        "found": ratio(s["found_s"], s["seizure_s"]),
        "quiet_share": ratio(s["quiet_alarm_s"], s["quiet_s"]),
        "in_warning": ratio(s["quiet_alarm_s"] + s["found_s"], recorded_s),
        "alarms_per_h": ratio(s["alarms"] * HOUR_S, recorded_s),
        "false_per_h": ratio(s["false_alarms"] * HOUR_S, s["quiet_s"]),
    }
