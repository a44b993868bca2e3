"""Settings that turn a probability each second into events."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from distilclip_eeg.config.ranges import NotNegative, Positive, Range, Share
from distilclip_eeg.config.rules import Settings, plain
from distilclip_eeg.schema import ConfigError

Probability = Annotated[float, Range(above=0, most=1, infinite=True)]
Prevalence = Annotated[float, Range(above=0, below=1)]
"""Share of the time that is seizure, never none and never all."""


def at_prior(probability: Any, prevalence: float, prior: float) -> Any:
    """A probability that holds at one prevalence as it is at another; a number or an array, as it comes.

    Saerens, Latinne and Decaestecker (Neural Computation 14:21, 2002), eq. 2.4 for two classes:
    ``p a / (p a + (1 - p) b)`` with ``a = prior / prevalence`` and ``b = (1 - prior) / (1 - prevalence)``.
    What a seizure or the background looks like must be the same at both places.
    """
    seizure = probability * (prior / prevalence)
    return seizure / (seizure + (1 - probability) * ((1 - prior) / (1 - prevalence)))


@dataclass(frozen=True, kw_only=True)
class DetectConfig(Settings):
    """How a trace becomes events; applied in the order of the fields, within each stretch alone.

    Raises:
        ConfigError: a release above the threshold, or a prior without the prevalence to come from.
    """

    where: ClassVar[str] = "detect"

    prior: Prevalence | None = None
    """Share of the time that is seizure where the model is used; probabilities are moved to it. null: as
    trained."""
    prevalence: Prevalence | None = None
    """Share of seizure at which the model's own probabilities hold, found on held-out data; null: unknown."""
    smooth_s: NotNegative = 5.0
    """Each value becomes the mean of all that start within half of this many seconds before or after it; 0
    for none."""
    threshold: Probability = 0.5
    """An event begins at a window of this probability; inf raises no alarm."""
    release: Probability | None = None
    """It goes on while the probability is at least this; null: the same as the threshold."""
    merge_gap_s: NotNegative = 0.0
    """Events less than this many seconds apart become one."""
    min_duration_s: NotNegative = 2.0
    """Events shorter than this many seconds are dropped."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.release is not None and self.release > self.threshold:
            raise ConfigError(
                f"{self.where}.release={self.release:g}: above {self.where}.threshold={self.threshold:g}, "
                "where no event could begin. Give a release up to the threshold, or null.",
                reason="out_of_range",
            )
        if self.prior is not None and self.prevalence is None:
            raise ConfigError(
                f"{self.where}.prior={self.prior:g}: the model does not say at which prevalence its "
                "probabilities hold. Export it again with this version, or leave the prior out.",
                reason="no_prevalence",
            )

    def calibrated(self, probability: Any) -> Any:
        """Probabilities of the model at the prior of the place of use, if there is one."""
        if self.prior is None or self.prevalence is None:
            return probability
        return at_prior(probability, self.prevalence, self.prior)

    def at(self, threshold: float) -> "DetectConfig":
        """The same at another threshold; the release keeps its share of it."""
        share = None if self.release is None else self.release / self.threshold
        known = share is not None and math.isfinite(share) and math.isfinite(threshold)
        return replace(self, threshold=threshold, release=share * threshold if share and known else None)

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

    prior: Prevalence | None = None
    """Share of the time that is seizure where the model is used, such as 0.001; probabilities are moved to
    it, and the model's own threshold with them. null: as the model was exported."""
    smooth_s: NotNegative | None = None
    """Smoothing in seconds; null: as the model was exported."""
    threshold: Probability | None = None
    """Probability at which an event begins; null: as the model was exported."""
    release: Probability | None = None
    """An event goes on while the probability is at least this; null: as the model was exported, and never
    above the threshold."""
    merge_gap_s: NotNegative | None = None
    """Events less than this many seconds apart become one; null: as the model was exported."""
    min_duration_s: NotNegative | None = None
    """Events shorter than this many seconds are dropped; null: as the model was exported."""

    def applied(self, own: DetectConfig) -> DetectConfig:
        """A model's own settings with these changes.

        A threshold that was chosen for false alarms on background holds at any prevalence. So where a prior
        is given and no threshold, the model's own moves with the probabilities.

        Raises:
            ConfigError: a release above the threshold, or a prior for a model that has no prevalence.
        """
        given = {key: value for key, value in plain(self).items() if value is not None}
        before = own.prior if own.prior is not None else own.prevalence
        if self.prior is not None and before is not None:
            moved = {
                key: at_prior(value, before, self.prior)
                for key in ("threshold", "release")
                if (value := getattr(own, key)) is not None and math.isfinite(value)
            }
            given = moved | given
        if self.release is None:
            release = given.get("release", own.release)
            threshold = given.get("threshold", own.threshold)
            given["release"] = None if release is None else min(release, threshold)
        return replace(own, **given)


@dataclass(frozen=True, kw_only=True)
class EventConfig(Settings):
    """``DetectConfig`` where the threshold is chosen: on held-out background, for so many false alarms.

    What is null is chosen with the threshold, from a small grid (``scoring.events.budget``).
    """

    where: ClassVar[str] = "detect"

    budget: Positive = 24.0
    """False alarms a day (SzCORE events) that held-out recordings may have."""
    budget_share: Share = 0.1
    """Share of their time without seizure that may be under alarm; where it is short, this alone counts."""
    budget_hours: NotNegative = 10.0
    """Hours without seizure below which held-out recordings are too short to tell a rate of alarms."""
    prior: Prevalence | None = None
    """Share of the time that is seizure where the model is used; probabilities are moved to it. null: as
    trained."""
    smooth_s: NotNegative = 5.0
    """Each value becomes the mean of all that start within half of this many seconds before or after it."""
    release: Probability | None = None
    """An event goes on while the probability is at least this; null: chosen, or the given threshold."""
    merge_gap_s: NotNegative | None = None
    """Events less than this many seconds apart become one; null: chosen, or 0 at a given threshold."""
    min_duration_s: NotNegative | None = None
    """Events shorter than this many seconds are dropped; null: chosen, or 2 at a given threshold."""

    def with_threshold(self, threshold: float = 0.5, prevalence: float | None = None) -> DetectConfig:
        """All of ``DetectConfig`` at a given threshold.

        Raises:
            ConfigError: a release above the threshold, or a prior without a prevalence.
        """
        given = {"merge_gap_s": self.merge_gap_s, "min_duration_s": self.min_duration_s}
        return DetectConfig(
            prior=self.prior,
            prevalence=prevalence,
            smooth_s=self.smooth_s,
            threshold=threshold,
            release=self.release,
            **{key: value for key, value in given.items() if value is not None},
        )
