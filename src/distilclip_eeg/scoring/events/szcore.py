"""SzCORE scores, by the field's own library; its version belongs beside every number.

The ``timescoring`` library shrinks nested events, loses unsorted ones and counts alarms too short for its
grid as false. Tracks are sorted and united before they reach it, and such alarms dropped; on clean input
nothing changes. The version matters: since 0.0.7 a subject without any alarm has F1 0, before it was left
out of means, and the winner of a challenge went from 0.43 to 0.32.
"""

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring, SampleScoring

from distilclip_eeg.schema import ConfigError
from distilclip_eeg.scoring.events.counts import Counts
from distilclip_eeg.scoring.events.spans import Track, check_cover

LIBRARY = f"timescoring {version('timescoring')}"
EVENT_HZ = 10
"""Grid on which the library compares events."""
SAMPLE_HZ = 1


@dataclass(frozen=True, kw_only=True)
class SzcoreConfig:
    """Parameters of the event score; SzCORE (Dan et al. 2025) fixes these values.

    Raises:
        ConfigError: a negative time, no longest event, or an overlap outside [0, 1).
    """

    tolerance_start_s: float = 30.0
    """An alarm this long before the onset still hits."""
    tolerance_end_s: float = 60.0
    """And one this long after the end."""
    min_overlap: float = 0.0
    """Share of the reference, widened by both tolerances, that alarms must exceed."""
    max_event_s: float = 300.0
    """Longer events are split, of reference and hypothesis alike."""
    merge_gap_s: float = 90.0
    """Events less than this apart are one, of reference and hypothesis alike."""

    def __post_init__(self) -> None:
        for name in ("tolerance_start_s", "tolerance_end_s", "merge_gap_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"szcore.{name}={getattr(self, name)}: expected 0 or more seconds.")
        if not self.max_event_s > 0:
            raise ConfigError(f"szcore.max_event_s={self.max_event_s}: expected more than 0 seconds.")
        if not 0 <= self.min_overlap < 1:
            raise ConfigError(f"szcore.min_overlap={self.min_overlap}: expected a share in [0, 1).")


def event_counts(reference: Track, hypothesis: Track, config: SzcoreConfig | None = None) -> Counts:
    """Event-based counts: ``tp`` counts reference events that were hit, ``fp`` alarms off every hit one.

    One alarm may hit several reference events. Reference events are those after merging and splitting.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    check_cover(reference, hypothesis)
    c = config or SzcoreConfig()
    parameters = EventScoring.Parameters(
        c.tolerance_start_s, c.tolerance_end_s, c.min_overlap, c.max_event_s, c.merge_gap_s
    )
    alarms_E2 = hypothesis.events_E2
    ticks_E2 = np.array([[round(t * EVENT_HZ) for t in pair] for pair in alarms_E2]).reshape(-1, 2)
    alarms_E2 = alarms_E2[ticks_E2[:, 1] > ticks_E2[:, 0]]
    return _counts(reference, reference.events_E2, alarms_E2, EVENT_HZ, EventScoring, parameters)


def sample_counts(reference: Track, hypothesis: Track) -> Counts:
    """The same from whole seconds: each is seizure or not, in reference and hypothesis.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    check_cover(reference, hypothesis)
    return _counts(reference, reference.events_E2, hypothesis.events_E2, SAMPLE_HZ, SampleScoring, SAMPLE_HZ)


def _counts(
    reference: Track,
    events_E2: np.ndarray,
    alarms_E2: np.ndarray,
    hz: int,
    scoring: type[EventScoring] | type[SampleScoring],
    how: object,
) -> Counts:
    """Counts of one recording on a grid of ``hz``; gaps are not recorded time.

    Args:
        how: what ``scoring`` takes behind the two annotations: parameters of events, a rate of samples.
    """
    n = round(reference.end_s * hz)
    if n == 0:
        return Counts()
    score = scoring(*(Annotation([*map(tuple, e.tolist())], hz, n) for e in (events_E2, alarms_E2)), how)
    gaps_s = reference.end_s - reference.recorded_s
    tp, fp = int(score.tp), int(score.fp)
    return Counts(tp, fp, int(score.refTrue) - tp, max(n / hz - gaps_s, 0.0))
