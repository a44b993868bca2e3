"""A model on a recording: file, ``mne.io.Raw`` or live chunks in, events out. No torch in here."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np

from distilclip_eeg.artefact.recipe import Network, Recipe, ictal
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.config.starter import NAME as STARTER
from distilclip_eeg.corpora.edf.montage import Montage, canonical, montage_of
from distilclip_eeg.corpora.edf.rename import Rename
from distilclip_eeg.deploy.blocks import Blocks, EdfSource, RawSource, Source
from distilclip_eeg.deploy.detection import EXCERPT_S, Detection, Excerpt
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.filters import Causal
from distilclip_eeg.deploy.hub import opened
from distilclip_eeg.deploy.likeness import Profiler
from distilclip_eeg.deploy.live import NAME, Alarm, Stream
from distilclip_eeg.deploy.odd import age_warnings, check_ages, seen_before, unlike
from distilclip_eeg.deploy.review import strips_of
from distilclip_eeg.deploy.windows import Windows, hop_samples
from distilclip_eeg.progress import Ticker
from distilclip_eeg.schema import ConfigError, DataError, SkipRecording, check_choice
from distilclip_eeg.scoring.events.detect import Trace, deciding

CHANNELS = {"strict": "skip", "zero": "zero", "interpolate": "interpolate"}
"""What to do with channels that a recording lacks, and what the montage calls it."""
SETTINGS = ("rename", "channels")
"""What the user of a detector calls the settings that help where channels are missing."""


class Detector:
    """A model, ready for recordings.

    Args:
        hop_s: seconds from one window to the next.
        detect: how probabilities become events; the model's own by default.
        channels: where a recording lacks channels of the model: ``strict`` refuses it, ``zero`` and
            ``interpolate`` fill them as long as half are there, and say so.
        rename: what labels of recordings are that nobody else uses: an electrode (``{"EEG 1": "Fp1"}``), a
            derivation (``F7-T7``), or ``-`` for none.
        ages: age group of the people recorded, where the files do not say. A model is refused on another
            group than it was trained on; ``any`` uses it all the same, with a warning.
        batch_size: windows at a time.

    Raises:
        ConfigError: a setting that this model cannot meet.
        DataError: ``bad_recipe``, a montage that contradicts its name.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: Network,
        hop_s: float = 1.0,
        detect: DetectConfig | None = None,
        *,
        channels: str = "strict",
        rename: Mapping[str, str] | None = None,
        ages: str | None = None,
        batch_size: int = 128,
    ):
        check_choice("channels", channels, CHANNELS)
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size}: expected at least one window. 128 is usual.")
        if recipe.signals.normalize == "train":
            raise ConfigError(
                "signals.normalize=train: the statistics of the training recordings do not belong to another "
                "one. Use a model trained with signals.normalize=recording or running."
            )
        self.recipe, self.network, self.detect = recipe, network, detect or recipe.detect
        self.hop = hop_samples(hop_s, recipe.signals.sfreq, recipe.length_s)
        self.hop_s, self.batch_size, self.ages = hop_s, batch_size, check_ages(recipe, ages)
        self.montage = montage_for(recipe, CHANNELS[channels])
        self.rename = Rename(SETTINGS[0], rename or {})
        self.stream: Stream | None = None

    @classmethod
    def from_pretrained(
        cls,
        folder_or_hub_id: str | Path = STARTER,
        *,
        revision: str | None = None,
        engine: str = "auto",
        precision: str = "auto",
        **settings: Any,
    ) -> "Detector":
        """A detector around an exported model.

        Args:
            folder_or_hub_id: folder that ``scripts/export.py`` wrote, ``starter`` (the small model that comes
                with the package), or ``owner/name`` on the hub, which is fetched.
            revision: of a hub id: branch, tag or commit.
            engine: ``torch``, ``onnx``, or ``auto``: torch where it is installed.
            precision: of onnx: ``fp32``, ``int8``, or ``auto``: what the export found fit.
            settings: as the constructor has them, such as ``hop_s`` and ``channels``.

        Raises:
            ConfigError, DataError: as :func:`distilclip_eeg.deploy.hub.opened`,
                :func:`distilclip_eeg.deploy.engines.open_network` and the constructor.
        """
        folder = opened(folder_or_hub_id, revision)
        return cls(folder.recipe, open_network(folder, engine, precision), **settings)

    def file(self, path: str | Path, age_band: str = "", *, review: bool = False) -> Detection:
        """Score an EDF or BDF file of any length, in bounded memory.

        Args:
            age_band: what a table of persons says, where the file itself does not.
            review: keep the EEG around events, too.

        Raises:
            SkipRecording, DataError: see :class:`~distilclip_eeg.deploy.blocks.Blocks`; also ``too_short``
                and ``other_age_group``.
        """
        return self._detect(EdfSource(path, self.rename), age_band, review)

    def raw(self, raw: mne.io.BaseRaw, *, review: bool = False) -> Detection:
        """The same for an mne object, preloaded or not; it is left as it is."""
        return self._detect(RawSource(raw, self.rename), review=review)

    def start(self, sfreq: float | None = None, ch_names: tuple[str, ...] | None = None) -> None:
        """Begin a live recording.

        Args:
            sfreq: of the chunks to come; the model's own rate by default.
            ch_names: of their rows; by default the model's channels, in its order.

        Raises:
            ConfigError: the model needs the future or the whole recording.
            SkipRecording: ``missing_channels``, ``mixed_references``, ``low_rate``, ``bad_sampling_rate``; as
                ``rename`` has it.
        """
        signals = self.recipe.signals
        if signals.phase != "causal" or signals.normalize != "running":
            raise ConfigError(
                f"signals.phase={signals.phase}, signals.normalize={signals.normalize}: live detection knows "
                "the past alone. Use a model trained with signals.phase=causal signals.normalize=running, or "
                "score the whole recording when it is over."
            )
        self.stream = Stream(
            self._score,
            self._windows(None),
            self.montage,
            signals,
            self.detect,
            sfreq or signals.sfreq,
            ch_names and self.rename.labels(ch_names, NAME),
        )

    def push(self, chunk_CT: np.ndarray) -> list[Alarm]:
        """Live use: alarms that these volts (C, T) raise; begins a recording where none is under way.

        Raises:
            ConfigError, DataError: as :meth:`start`; also ``wrong_shape`` and ``not_finite``.
        """
        if self.stream is None:
            self.start()
        assert self.stream is not None  # start has made it
        return self.stream.push(chunk_CT)

    def finish(self) -> tuple[Detection, list[Alarm]]:
        """End the live recording: all of it, and the alarms that were still waiting for what comes next.

        Raises:
            ConfigError: none is under way.
            DataError: ``too_short``, less than a window has come.
        """
        if self.stream is None:
            raise ConfigError("finish: no live recording is under way. Push chunks first.")
        stream, self.stream = self.stream, None
        return stream.finish()

    def latency_s(self, sfreq: float | None = None) -> float:
        """Seconds from an onset until an alarm can be raised live, for chunks at ``sfreq``.

        A last part of up to ``hop_s`` comes on top, since windows begin on a grid.
        """
        signals, context_s = self.recipe.signals, self.recipe.after / self.recipe.signals.sfreq
        filter_s = Causal(sfreq or signals.sfreq, signals).lookahead_s
        return self.detect.delay_s(self.recipe.length_s) + context_s + filter_s

    def _detect(self, source: Source, age_band: str = "", review: bool = False) -> Detection:
        blocks, warnings = self.open(source, age_band)
        start_s, probability = [], []
        profiler = Profiler(self.recipe.ch_names, self.recipe.signals.sfreq, blocks.filled)
        for start_B, eeg_BCT in self.batches(blocks, profiler):
            start_s.append(start_B)
            probability.append(self._score(eeg_BCT))
        if blocks.clipped:
            limit = f"{self.recipe.signals.clip_uv:g} uV"
            warnings.append(f"clipped: {blocks.clipped} samples beyond {limit} set to it")
        trace = Trace(np.concatenate(probability), np.concatenate(start_s), self.hop_s, self.recipe.length_s)
        ends_P = [start_s + n / source.sfreq for start_s, n in source.pieces]
        found = Detection(
            source.name,
            trace,
            self.detect,
            np.column_stack([[start for start, _ in source.pieces], ends_P]),
            blocks.filled,
            (*blocks.warnings, *warnings),
            self._excerpt(blocks, trace),
        )
        said = [*unlike(self.recipe, profiler.profile(), found), *seen_before(self.recipe, source.name)]
        strips = strips_of(blocks, found) if review else ()
        return replace(found, warnings=(*found.warnings, *said), strips=strips)

    def open(self, source: Source, age_band: str = "") -> tuple[Blocks, list[str]]:
        """A recording as the model wants it, and what is odd about using it.

        Raises:
            SkipRecording, DataError: as :meth:`file`.
        """
        warnings = age_warnings(source.name, self.recipe.ages, self.ages, source.age_band or age_band)
        blocks = Blocks(source, self.montage, self.recipe.signals)
        length_s = self.recipe.length_s
        short = [n / source.sfreq for _, n in source.pieces if n / source.sfreq < length_s]
        if len(short) == len(source.pieces):
            raise SkipRecording(
                f"{source.name}: the longest stretch is {max(short):g} s; expected at least a window, "
                f"{length_s:g} s. Leave it out.",
                reason="too_short",
            )
        if short:
            words = f"{len(short)} stretches, {sum(short):g} s, are shorter than a window and not scored"
            warnings.append(f"short_piece: {words}")
        if source.sfreq != self.recipe.signals.sfreq:
            words = f"recorded at {source.sfreq:g} Hz, the model knows {self.recipe.signals.sfreq:g} Hz"
            warnings.append(f"resampled: {words}")
        return blocks, warnings

    def batches(
        self, blocks: Blocks, profiler: Profiler | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Every window in time order, some at a time: starts in seconds (B,), normalised EEG (B, C, T).

        Args:
            profiler: sees the signal as it goes by.
        """
        source = blocks.source
        running = self.recipe.signals.normalize == "running"
        windows = self._windows(None if running else blocks.statistics())
        with Ticker(round(sum(n for _, n in source.pieces) / source.sfreq), Path(source.name).name) as ticker:
            piece = -1
            for block in blocks:
                if block.piece != piece:
                    piece = block.piece
                    yield from windows.end()
                    windows.begin(block.start_s)
                if profiler is not None:
                    profiler.push(block.uv_CT)
                yield from windows.push(block.uv_CT)
                ticker.advance(round(block.uv_CT.shape[1] / self.recipe.signals.sfreq))
            yield from windows.end()

    def _excerpt(self, blocks: Blocks, trace: Trace) -> Excerpt:
        """The signal around the most probable moment, smoothed as the events are."""
        peak = int(np.argmax(deciding(trace, self.detect)))
        middle_s = float(trace.start_s_N[peak]) + trace.length_s / 2
        start_s, uv_CT = blocks.excerpt(middle_s, EXCERPT_S)
        return Excerpt(start_s, self.recipe.signals.sfreq, blocks.plan.names, uv_CT)

    def _windows(self, scale: tuple[np.ndarray, np.ndarray] | None) -> Windows:
        recipe = self.recipe
        shape = len(recipe.ch_names), recipe.view, self.hop, recipe.signals.sfreq
        return Windows(*shape, scale, self.batch_size)

    def _score(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Probability of seizure (B,)."""
        probability_B = ictal(self.network.logits(eeg_BCT).astype(float))
        if not np.isfinite(probability_B).all():
            raise DataError(
                "the network answered with values that are no number; expected logits. Export it again.",
                reason="bad_network",
            )
        return np.clip(probability_B, 0.0, 1.0)


def montage_for(recipe: Recipe, missing: str) -> Montage:
    """The model's montage; derivations are computed where a file has only what they follow from.

    Raises:
        DataError: ``bad_recipe``.
    """
    derive = any("-" in name for name in recipe.ch_names)
    name, names = recipe.signals.montage, recipe.ch_names
    montage = montage_of(name, names, missing=missing, derive=derive, settings=SETTINGS)
    if [*map(canonical, montage.ch_names)] != [*map(canonical, recipe.ch_names)]:
        raise DataError(
            f"recipe: channels {', '.join(recipe.ch_names)} are not those of the montage {montage.name}. "
            "Export the model again.",
            reason="bad_recipe",
        )
    return montage
