"""NEDC's OVLP and TAES scores (Shah et al. 2021; scorer v6.0.0), written anew from their definitions.

Neither merges, splits nor widens events, so the same alarms may be all right for SzCORE and all wrong here.
Touching events are one, as in NEDC's own reading of annotation files.
"""

import numpy as np

from distilclip_eeg.scoring.events.counts import Counts
from distilclip_eeg.scoring.events.spans import Track, check_cover, shared_s

GUARD_S = 1e-3
"""Two events overlap if they share more than this: NEDC's guard width."""


def ovlp(reference: Track, hypothesis: Track) -> Counts:
    """Any overlap: a seizure is hit if some alarm overlaps it, an alarm is false if it overlaps no seizure.

    A long alarm over two seizures hits both.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    check_cover(reference, hypothesis)
    touch_EP = shared_s(reference.events_E2, hypothesis.events_E2) > GUARD_S
    tp = int(touch_EP.any(axis=1).sum())
    fp = int((~touch_EP.any(axis=0)).sum())
    return Counts(tp, fp, touch_EP.shape[0] - tp, reference.recorded_s)


def taes(reference: Track, hypothesis: Track) -> Counts:
    """Time-aligned events: fractions of hits, misses and false alarms.

    A seizure is hit by the share of it that alarms cover and missed by the rest. An alarm is false by its
    part outside the seizure over the seizure's length, 1 at most, and 1 where it overlaps none. Seizures are
    taken in time order, each with the alarms not yet used. An alarm that outlasts the first seizure it
    overlaps uses up all further ones under it: each is 1 miss, and other alarms on it are false.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    check_cover(reference, hypothesis)
    seizures_E2, alarms_P2 = reference.events_E2, hypothesis.events_E2
    shared_EP = shared_s(seizures_E2, alarms_P2)
    touch_EP = shared_EP > GUARD_S
    alarm_s_P = alarms_P2[:, 1] - alarms_P2[:, 0]
    free_P, lost_E = np.ones(len(alarms_P2), dtype=bool), np.zeros(len(seizures_E2), dtype=bool)
    tp = fp = 0.0
    for i, (onset_s, offset_s) in enumerate(seizures_E2):
        using = np.flatnonzero(touch_EP[i] & free_P)
        if lost_E[i] or not len(using):
            continue
        length_s = offset_s - onset_s
        free_P[using] = False
        tp += shared_EP[i, using].sum() / length_s
        fp += np.minimum((alarm_s_P[using] - shared_EP[i, using]) / length_s, 1.0).sum()
        first = using[0]
        if alarms_P2[first, 1] >= offset_s:
            lost_E[i + 1 :] |= touch_EP[i + 1 :, first]
    return Counts(tp, fp + int(free_P.sum()), len(seizures_E2) - tp, reference.recorded_s)
