"""What a model's alarms and scores are worth beside those of always on, chance and position only.

Four rows in every table, so that no figure stands alone: the model; an alarm that never ends; the model's
own alarms shifted around each recording, ``DRAWS`` times; and events made in the same way of a score that has
seen no EEG, its threshold chosen for the same budget on the same held-out recordings.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from distilclip_eeg.config.detection import DetectConfig, EventConfig
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.events import summary
from distilclip_eeg.scoring.events.budget import choose
from distilclip_eeg.scoring.events.burden import RATES, SUMS, burden, burden_rates, by_person
from distilclip_eeg.scoring.events.counts import RATES as EVENT_RATES
from distilclip_eeg.scoring.events.counts import SUMS as EVENT_SUMS
from distilclip_eeg.scoring.events.counts import rates
from distilclip_eeg.scoring.events.curve import curve_rows, spread, sweep
from distilclip_eeg.scoring.events.operating import Part
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import SCORERS, Reference, Scorer
from distilclip_eeg.scoring.events.trivial import (
    ALWAYS,
    CHANCE,
    DRAWS,
    POSITION,
    always_on,
    by_chance,
    position,
    shifts,
)
from distilclip_eeg.scoring.metrics import ratio
from distilclip_eeg.scoring.peers import Peers, join_peers
from distilclip_eeg.scoring.seconds import AREAS, Areas, areas_row, mixed_N, second_table
from distilclip_eeg.scoring.uncertainty import bootstrap_subjects

MODEL, RAW = "model", "model, unsmoothed"


@dataclass(frozen=True)
class Judged:
    """A fold's test recordings, what its model says of them and the events that were made."""

    part: Part
    detect: DetectConfig
    tracks: Mapping[str, Track]
    place: Part
    """The same recordings with a score of position alone."""
    place_detect: DetectConfig

    @classmethod
    def of(
        cls,
        part: Part,
        detect: DetectConfig,
        held: Part,
        config: EventConfig,
        tracks: Mapping[str, Track] | None = None,
    ) -> "Judged":
        """With the threshold of position alone chosen on the same held-out recordings as the model's.

        Args:
            tracks: events that were made elsewhere; None makes them.
        """
        try:
            place_detect = choose(position(held), config).detect
        except DataError:  # there is nothing to choose on: as the model's own events are made
            place_detect = detect
        return cls(part, detect, tracks or part.detect(detect), position(part), place_detect)


@dataclass(frozen=True)
class Beside:
    """The tables, a row a line of each."""

    events: pd.DataFrame
    """row, scorer, and each rate with ``_low`` and ``_high``."""
    burden: pd.DataFrame
    """row, sums, each rate with ``_low`` and ``_high``, and the range of ``quiet_share`` by person."""
    curve: pd.DataFrame
    seconds: pd.DataFrame
    """row, and each area with ``_low`` and ``_high``."""
    differences: pd.DataFrame
    """The same of the model's areas less each peer's."""
    said: tuple[str, ...]
    """What is to be told of files of scores."""


def beside(
    tested: Sequence[Judged], scorers: Mapping[str, Scorer] = SCORERS, files: tuple[str, ...] = ()
) -> Beside:
    """All tables of the folds together.

    Args:
        files: other detectors' scores, as ``scoring.peers`` reads them.

    Raises:
        DataError: as ``join_peers``.
    """
    parts = [(one.part, one.detect) for one in tested]
    places = [(one.place, one.place_detect) for one in tested]
    table = pd.concat([second_table(*pair) for pair in parts], ignore_index=True)
    place = pd.concat([second_table(*pair) for pair in places], ignore_index=True)
    table = table.assign(position=place["probability"])
    peers = join_peers(table, files)
    seconds, differences = second_rows(peers)
    references = [r for one in tested for r in one.part.references if r.recording in one.tracks]
    references = scored(references, {k: v for one in tested for k, v in one.tracks.items()})
    rows = tracks_of(tested, references)
    by_chance_RD = [by_chance(r.track, rows[MODEL][r.recording], r.recording) for r in references]
    return Beside(
        event_rows(references, rows, by_chance_RD, scorers),
        burden_table(references, rows, by_chance_RD),
        curve_rows(sweep(parts), sweep(places), parts),
        seconds,
        differences,
        peers.said,
    )


def scored(references: Sequence[Reference], tracks: Mapping[str, Track]) -> list[Reference]:
    """Those whose events cover what was recorded; the others are listed where the model is scored."""
    found = []
    for reference in references:
        with suppress(DataError):
            burden(reference.track, tracks[reference.recording])
            found.append(reference)
    return found


def tracks_of(tested: Sequence[Judged], references: Sequence[Reference]) -> dict[str, dict[str, Track]]:
    """Events of the rows that have one set of them, by name of row and recording."""
    return {
        MODEL: {k: v for one in tested for k, v in one.tracks.items()},
        ALWAYS: {r.recording: always_on(r.track) for r in references},
        POSITION: {k: v for one in tested for k, v in one.place.detect(one.place_detect).items()},
    }


def event_rows(
    references: Sequence[Reference],
    rows: Mapping[str, Mapping[str, Track]],
    by_chance_RD: Sequence[Sequence[Track]],
    scorers: Mapping[str, Scorer],
) -> pd.DataFrame:
    """Event scores of each row, chance behind always on.

    Args:
        rows: events by name of row and recording.
        by_chance_RD: the model's, shifted, by recording and draw.
    """
    found = []
    columns = [f"{rate}{end}" for rate in EVENT_RATES for end in ("", "_low", "_high")]
    for name, tracks in rows.items():
        known = {r.recording: tracks[r.recording] for r in references}
        table = summary.overall(summary.score(references, known, scorers, {}))
        found.append(table[["scorer", *columns]].assign(row=name) if len(table) else table)
    chance = []
    for name, scorer in scorers.items():
        sums_D4 = np.zeros((DRAWS, len(EVENT_SUMS)))
        for reference, tracks_D in zip(references, by_chance_RD, strict=True):
            sums_D4 += [astuple(scorer(reference.track, track)) for track in tracks_D]
        values = {k: v for rate, value_D in rates(sums_D4).items() for k, v in spread(rate, value_D).items()}
        chance.append({"row": CHANCE, "scorer": name, **values})
    found.insert(2, pd.DataFrame(chance))
    return pd.concat(found, ignore_index=True)


def burden_table(
    references: Sequence[Reference],
    rows: Mapping[str, Mapping[str, Track]],
    by_chance_RD: Sequence[Sequence[Track]],
) -> pd.DataFrame:
    """What the alarms of each row find and cost, chance behind always on; arguments as ``event_rows``."""
    found = [burden_row(name, references, tracks) for name, tracks in rows.items()]
    sums_DM = np.zeros((DRAWS, len(SUMS)))
    for reference, tracks_D in zip(references, by_chance_RD, strict=True):
        sums_DM += [burden(reference.track, track) for track in tracks_D]
    chance: dict[str, object] = {"row": CHANCE, "seizures": sums_DM[0, 1], **spread("hits", sums_DM[:, 0])}
    for name, value_D in burden_rates(sums_DM).items():
        chance |= spread(name, value_D)
    found.insert(2, chance)
    return pd.DataFrame(found)


def burden_row(name: str, references: Sequence[Reference], tracks: Mapping[str, Track]) -> dict[str, object]:
    """Sums and rates of one set of events."""
    sums_UM = np.array(list(by_person(references, tracks).values())).reshape(-1, len(SUMS))
    sums = dict(zip(SUMS, sums_UM.sum(axis=0), strict=True))
    row: dict[str, object] = {"row": name, "hits": sums["hits"], "seizures": sums["seizures"]}
    row |= {"quiet_hours": sums["quiet_s"] / 3600, "subjects": len(sums_UM)}
    for rate in RATES:
        interval = bootstrap_subjects(sums_UM, lambda s, r=rate: burden_rates(s.sum(axis=-2))[r])
        row |= {rate: interval.value, f"{rate}_low": interval.low, f"{rate}_high": interval.high}
    share_U = burden_rates(sums_UM)["quiet_share"]
    shares = share_U[np.isfinite(share_U)].tolist()
    return row | {"person_low": min(shares, default=np.nan), "person_high": max(shares, default=np.nan)}


def second_rows(peers: Peers) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Areas of every score over the seconds that all have, and the model's less each peer's, paired."""
    table = peers.table
    model = Areas.of(table, table["smoothed"].to_numpy(float))
    rows = [areas_row(MODEL, model.intervals())]
    rows.append(areas_row(RAW, Areas.of(table, table["probability"].to_numpy(float)).intervals()))
    constant = Areas.of(table, np.zeros(len(table)))
    rows += [areas_row(ALWAYS, constant.intervals()), chance_areas(table)]
    differences = []
    for name, column in ((POSITION, "position"), *((name, name) for name in peers.names)):
        theirs = Areas.of(table, table[column].to_numpy(float))
        rows.append(areas_row(name, theirs.intervals()))
        differences.append(areas_row(name, model.intervals(theirs)))
    return pd.DataFrame(rows), pd.DataFrame(differences)


def chance_areas(table: pd.DataFrame) -> dict[str, object]:
    """Areas of the model's scores, each recording's turned round by whole seconds, over ``DRAWS`` draws."""
    score_N, label_N = table["smoothed"].to_numpy(float), table["label"].to_numpy(int)
    groups = {name: np.sort(rows) for name, rows in table.groupby("recording").indices.items()}
    turns = {name: shifts(str(name), len(rows)).astype(int) for name, rows in groups.items()}
    subjects = list(table.groupby("subject").indices.values())
    inside = np.flatnonzero(mixed_N(table))
    found: dict[str, list[float]] = {name: [] for name in AREAS}
    for draw in range(DRAWS):
        turned_N = score_N.copy()
        for name, rows in groups.items():
            turned_N[rows] = np.roll(score_N[rows], turns[name][draw])
        found["pooled"].append(auroc(label_N, turned_N))
        each = [auroc(label_N[rows], turned_N[rows]) for rows in subjects]
        found["mean"].append(float(np.nanmean(each)) if np.isfinite(each).any() else np.nan)
        found["mixed"].append(auroc(label_N[inside], turned_N[inside]))
    values: dict[str, object] = {"row": CHANCE}
    for name, areas in found.items():
        values |= spread(name, np.array(areas))
    return values


def auroc(label_N: np.ndarray, score_N: np.ndarray) -> float:
    """Area under the ROC curve by ranks; NaN where there is one class."""
    seizures = int((label_N == 1).sum())
    above = rankdata(score_N)[label_N == 1].sum() - seizures * (seizures + 1) / 2
    return float(ratio(above, seizures * (len(label_N) - seizures)))
