"""What a model asks of a recording, and how its answers become events; without torch, for small devices."""

from dataclasses import asdict, dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import softmax

from distilclip_eeg.config.data import SignalConfig, View
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import DataError

AGES = ("unknown", "neonate", "child", "adult", "child and adult")


class Network(Protocol):
    """Anything that answers windows: torch, onnxruntime, a mean of several."""

    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """(B, K) float32 of normalised float32 windows (B, C, T)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything between a file and the network, and between its answers and events, as it was trained."""

    ch_names: tuple[str, ...]
    """Of the montage ``signals.montage``, in the network's order."""
    classes: tuple[str, ...]
    """The first is background."""
    n_times: int
    """Samples that the network sees at ``signals.sfreq``: of a window and its context."""
    before: int = 0
    """Those of them that are context in front of the window, which alone is scored."""
    after: int = 0
    """Those behind it."""
    signals: SignalConfig
    detect: DetectConfig = field(default_factory=DetectConfig)
    ages: str = "unknown"
    """Age group of the people it was trained on, one of ``AGES``."""
    like: dict[str, list[float]] = field(default_factory=dict)
    """Lowest and highest of each statistic over the training recordings (``deploy.likeness``)."""
    most_alarm: float | None = None
    """Largest share of a validation recording that is under alarm."""
    persons: tuple[str, ...] = ()
    """Codes of the people it was trained on, where its maker wanted them told."""

    @property
    def length_s(self) -> float:
        """Seconds of a window, without its context."""
        return self.view.length / self.signals.sfreq

    @property
    def view(self) -> View:
        """Samples of a window and its context."""
        return View(self.n_times - self.before - self.after, self.before, self.after)

    def as_json(self) -> dict:
        """Plain values; ``from_json`` reads them back."""
        lists = {key: list(getattr(self, key)) for key in ("ch_names", "classes", "persons")}
        return asdict(self) | lists

    @classmethod
    def from_json(cls, values: dict) -> "Recipe":
        """Read what ``as_json`` gave; unknown or missing keys are an error.

        Raises:
            DataError: ``bad_recipe``.
        """
        try:
            return cls(
                **{
                    **values,
                    "ch_names": tuple(values["ch_names"]),
                    "classes": tuple(values["classes"]),
                    "persons": tuple(values.get("persons", ())),
                    "signals": SignalConfig(**values["signals"]),
                    "detect": DetectConfig(**values["detect"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise DataError(
                f"recipe: {error}; expected what this version writes. Export the model again.",
                reason="bad_recipe",
            ) from error


def ictal(logits_NK: np.ndarray) -> np.ndarray:
    """Probability of any seizure class, (N,): one less the background's softmax."""
    return 1.0 - softmax(logits_NK, axis=1)[:, 0]
