"""Annotated stretches as lists of events: put in order against a recording, united, complemented."""

from collections.abc import Sequence
from pathlib import Path

from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.schema import DataError, Event, SkipRecording


def settle(
    path: Path, events: Sequence[Event], header: EdfHeader, what: str = "seizure"
) -> tuple[tuple[Event, ...], list[str]]:
    """Events sorted, clipped to the recording, each with some signal under it, none overlapping another.

    Times count from the first record's onset, across the gaps of an EDF+D.

    Args:
        path: of the recording, for messages.
        what: what to call an event in a message.

    Returns:
        The events and a warning for each that was changed or dropped: ``zero_length_event``,
        ``duplicate_event``, ``annotation_outside``, ``overlapping_events`` (same label: joined).

    Raises:
        SkipRecording: ``annotation_outside`` where one lies wholly past an undamaged file: the two do not
            belong together.
        DataError: ``bad_interval`` (an end before its start), ``conflicting_labels`` (two labels at once).
    """
    end_s, warnings = header.span_s, []
    kept: list[Event] = []
    seen: set[Event] = set()
    for event in sorted(events, key=lambda e: (e.onset_s, e.offset_s)):
        words = f"{what} {event.onset_s:g} to {event.offset_s:g} s"
        if not event.onset_s <= event.offset_s:
            raise DataError(
                f"{path}: {words}; expected an end after its start. Mend the annotation.",
                reason="bad_interval",
            )
        first, last = max(event.onset_s, 0.0), min(event.offset_s, end_s)
        if event.onset_s == event.offset_s:
            warnings.append(f"zero_length_event: {words} is dropped")
        elif event in seen:
            warnings.append(f"duplicate_event: {words} is listed twice, counted once")
        elif event.onset_s >= end_s and not header.lost_s:
            raise SkipRecording(
                f"{path}: {words} lies past the end at {end_s:g} s; expected it inside. The file and its "
                "annotations do not belong together; fetch both again.",
                reason="annotation_outside",
            )
        elif event.onset_s >= end_s:
            warnings.append(f"annotation_outside: {words} lies in the part that was lost")
        elif not has_signal(header, first, last):
            warnings.append(f"annotation_outside: {words} lies in a gap of the recording, or before it")
        else:
            if (first, last) != (event.onset_s, event.offset_s):
                warnings.append(f"annotation_outside: {words} is cut to the recording, 0 to {end_s:g} s")
            _add(path, kept, Event(first, last, event.label), words, warnings)
        seen.add(event)
    return tuple(kept), warnings


def _add(path: Path, kept: list[Event], event: Event, words: str, warnings: list[str]) -> None:
    """Append an event, or join it to the last one it overlaps."""
    if not kept or event.onset_s >= kept[-1].offset_s:
        kept.append(event)
        return
    last = kept[-1]
    if event.label != last.label:
        raise DataError(
            f"{path}: {words} is {event.label}, and {last.onset_s:g} to {last.offset_s:g} s is {last.label}; "
            "expected one label at a time. Mend the annotation.",
            reason="conflicting_labels",
        )
    warnings.append(f"overlapping_events: {words} is joined to the one before")
    kept[-1] = Event(last.onset_s, max(last.offset_s, event.offset_s), last.label)


def has_signal(header: EdfHeader, first_s: float, last_s: float) -> bool:
    """Whether any stretch of signal overlaps ``[first_s, last_s)``."""
    for first, last in header.stretches:
        begin = header.onsets_s[first]
        if first_s < begin + (last - first) * header.record_duration_s and last_s > begin:
            return True
    return False


def union(events: Sequence[Event], label: str) -> list[Event]:
    """Stretches covered by any of the events, touching ones joined, all with ``label``."""
    out: list[Event] = []
    for event in sorted(events, key=lambda e: e.onset_s):
        if out and event.onset_s <= out[-1].offset_s:
            out[-1] = Event(out[-1].onset_s, max(out[-1].offset_s, event.offset_s), label)
        else:
            out.append(Event(event.onset_s, event.offset_s, label))
    return out


def complement(events: Sequence[Event], end_s: float, label: str) -> list[Event]:
    """Stretches of ``[0, end_s)`` that no event covers, all with ``label``."""
    out, at = [], 0.0
    for event in union(events, label):
        if event.onset_s > at:
            out.append(Event(at, min(event.onset_s, end_s), label))
        at = max(at, event.offset_s)
    if at < end_s:
        out.append(Event(at, end_s, label))
    return [event for event in out if event.offset_s > event.onset_s]
