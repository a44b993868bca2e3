"""Settings that turn a probability each second into events."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from distilclip_eeg.config.ranges import NotNegative, Range
from distilclip_eeg.config.rules import Settings

Probability = Annotated[float, Range(above=0, most=1, infinite=True)]


@dataclass(frozen=True, kw_only=True)
class DetectConfig(Settings):
    """How a trace becomes events; applied in the order of the fields, within each stretch alone."""

    where: ClassVar[str] = "detect"

    smooth_s: NotNegative = 5.0
    """Each value becomes the mean of all that start within half of this many seconds before or after it; 0
    for none."""
    threshold: Probability = 0.5
    """A window counts as seizure from this probability on; inf raises no alarm."""
    merge_gap_s: NotNegative = 0.0
    """Events less than this many seconds apart become one."""
    min_duration_s: NotNegative = 2.0
    """Events shorter than this many seconds are dropped."""

    def delay_s(self, length_s: float) -> float:
        """Seconds from a seizure's onset until these settings could raise an alarm at the earliest, live.

        The windows of the shortest event must have ended, and those that smoothing looks ahead to; the
        filter's own look-ahead comes on top.
        """
        return max(length_s, self.min_duration_s) + self.smooth_s / 2


@dataclass(frozen=True, kw_only=True)
class DetectChanges(Settings):
    """The same settings, each null where the exported model's own stays."""

    where: ClassVar[str] = "detect"

    smooth_s: NotNegative | None = None
    """Smoothing in seconds; null: as the model was exported."""
    threshold: Probability | None = None
    """Probability from which a window counts as seizure; null: as the model was exported."""
    merge_gap_s: NotNegative | None = None
    """Events less than this many seconds apart become one; null: as the model was exported."""
    min_duration_s: NotNegative | None = None
    """Events shorter than this many seconds are dropped; null: as the model was exported."""


@dataclass(frozen=True, kw_only=True)
class EventConfig(Settings):
    """``DetectConfig`` where the threshold is chosen elsewhere."""

    where: ClassVar[str] = "detect"

    smooth_s: NotNegative = 5.0
    """Each value becomes the mean of all that start within half of this many seconds before or after it."""
    merge_gap_s: NotNegative = 0.0
    """Events less than this many seconds apart become one."""
    min_duration_s: NotNegative = 2.0
    """Events shorter than this many seconds are dropped."""

    def with_threshold(self, threshold: float = 0.5) -> DetectConfig:
        """All of ``DetectConfig``."""
        return DetectConfig(
            smooth_s=self.smooth_s,
            threshold=threshold,
            merge_gap_s=self.merge_gap_s,
            min_duration_s=self.min_duration_s,
        )
