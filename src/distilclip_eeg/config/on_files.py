"""Settings of the commands that use an exported model on somebody's files: ``detect`` and ``search``."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from distilclip_eeg.config.data import (
    Device,
    Links,
)
from distilclip_eeg.config.detection import DetectChanges
from distilclip_eeg.config.ranges import (
    AsTyped,
    Batch,
    Count,
    NotNegative,
    Seconds,
    Text,
    Words,
)
from distilclip_eeg.config.rules import Settings

Channels = Literal["strict", "zero", "interpolate"]
Ages = Literal["neonate", "child", "adult", "any"]


@dataclass(frozen=True, kw_only=True)
class OnFiles(Settings):
    """An exported model on somebody's files."""

    weights: Text
    """The folder that export wrote."""
    input: Text
    """An EDF or BDF, or a folder (a BIDS tree, too) that is searched to its depth."""
    links: Links = "inside"
    """Links in a folder: inside of it they are followed, those that lead out are named and left; follow: all
    are followed."""
    hop_s: Seconds = 1.0
    """Seconds from one window to the next."""
    channels: Channels = "strict"
    """Of the model, where a file lacks some: strict (refuse it), zero or interpolate."""
    rename: Words | None = None
    """What labels of the files are: {EEG 1: Fp1, EEG 2: F7-T7}, - for none; null: as they are. T7, EEG
    Fp1-Ref, Fp1-A1A2, Fp1-Cz and their like are known, and derivations follow from others."""
    ages: Ages | None = None
    """Age group recorded, where files do not say; any: do not compare."""
    device: Device = "auto"
    """Of torch; auto takes a CUDA GPU where there is one."""
    batch_size: Batch = 128
    """Windows at a time."""
    figure: bool = True
    """Draw what was found."""


@dataclass(frozen=True, kw_only=True)
class DetectSettings(OnFiles):
    """A trained model on recordings of any length."""

    weights: Text = "starter"
    """The folder that export wrote; starter: the small model that comes with the package."""
    output: Text = "events"
    """A folder; a second start skips what is finished there."""
    detect: DetectChanges = field(default_factory=DetectChanges)
    engine: Literal["auto", "torch", "onnx"] = "auto"
    """auto: torch where it is installed."""
    precision: Literal["auto", "fp32", "int8"] = "auto"
    """Of onnx; auto: what the export found fit."""
    review: bool = True
    """Write a page for each recording on which its events are looked through in a browser."""
    unlike: Literal["warn", "refuse"] = "warn"
    """A recording unlike those of training in amplitude, spectrum, channels or time under alarm: warn in
    output, record, figure and page, or refuse it."""
    dates: bool = False
    """true writes the start of the recording, which is personal, into events.tsv."""


@dataclass(frozen=True, kw_only=True)
class SearchSettings(OnFiles):
    """Recordings searched by words."""

    output: Text = "search"
    """Tables, figure and the index of features, which the next query uses again."""
    query: Annotated[Any, AsTyped()] = None
    """A text, or several: '[one,another]'."""
    like: Annotated[Any, AsTyped()] = None
    """More like this: RECORDING@SECONDS, one or several."""
    class_texts: tuple[str, ...] | None = None
    """Your own texts for the classes: each window gets the nearest one."""
    top: Count = 10
    """Moments of each query."""
    margin: NotNegative = 0.05
    """A moment takes in neighbours whose similarity is this near to its best one's."""
