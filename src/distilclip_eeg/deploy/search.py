"""``python scripts/search.py``: recordings searched by words, or by a moment of EEG; labelled by own texts.

Windows are ranked by the cosine between their EEG features and those of a text, as CLIP does; no
description of a window takes part. Features are kept in an index, so that the next query reads no EDF.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.config.on_files import SearchSettings
from distilclip_eeg.deploy.blocks import EdfSource
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.index import FILE, Index, moments
from distilclip_eeg.deploy.networks import DistilCLIPEEG
from distilclip_eeg.deploy.screen import Item, find, key_of, place
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.writing import claim, write_csv
from distilclip_eeg.report.moments import Moment, moments_png
from distilclip_eeg.schema import ConfigError, DataError, visible
from distilclip_eeg.signals.store import fingerprint

TABLE, CLASSES, FIGURE = "search.csv", "classes.csv", "search.png"
SHOWN = 6
"""Moments of the first query in the figure."""
FIGURE_S = 4.0
"""Seconds that are shown of each; three windows where that is more."""
BY_CLASS = ("multi_positive", "class_prompt", "sigmoid")
"""``loss.targets`` that pair a window with every text of its class."""
AT = re.compile(r"(.+)@([\d.]+)")


@dataclass(frozen=True, eq=False)
class Search:
    """A teacher with its text side, and a detector that makes windows for it."""

    model: DistilCLIPEEG
    detector: Detector

    @classmethod
    def open(cls, weights: str, device: str, **detector: Any) -> "Search":
        """From an exported folder.

        Args:
            detector: settings of the ``Detector``.

        Raises:
            ConfigError: the model has no space shared with text.
        """
        model = place(DistilCLIPEEG.from_folder(load_folder(weights)), device)
        if model.text is None:
            raise ConfigError(
                f"weights={weights}: {model.about['model']['name']} has no text side, so words mean nothing "
                "to it. Export a teacher that was trained with text.",
                reason="no_text",
            )
        return cls(model, Detector(model.recipe, model, **detector))

    def index(self, items: Sequence[Item], known: Index | None = None) -> tuple[Index, list[str]]:
        """Features of every window of the recordings; those that ``known`` has, of the same file, are kept.

        Returns:
            The index, and a line for each recording that cannot be used.

        Raises:
            DataError: ``nothing_usable``, or the index is another model's.
        """
        words = sorted(self.detector.rename.words.items())
        prints = {
            item.label: key_of([fingerprint(item.path), words] if words else fingerprint(item.path))
            for item in items
            if not item.refused
        }
        found = self.empty() if known is None else self.empty().joined(known)
        found = found.only([name for name, key in prints.items() if found.files.get(name) == key])
        failed = []
        for item in items:
            name = item.label
            if name in found.files:
                continue
            try:
                item.check()
                found = found.joined(self.features(item, prints[name]))
            except (DataError, OSError) as error:
                failed.append(visible(f"{name}: failed: {error}"))
        if not found.files:
            raise DataError(
                f"none of {len(items)} recordings can be used. {failed[0]}", reason="nothing_usable"
            )
        return found, failed

    def empty(self) -> Index:
        """An index of this model without any recording."""
        windows = pd.DataFrame({"recording": np.zeros(0, dtype=object), "start_s": np.zeros(0)})
        width = self.model.encode_text(["."]).shape[1]
        about = self.detector.recipe.length_s, self.detector.hop_s, self.model.about["sha256"]
        return Index(windows, np.zeros((0, width), np.float32), *about)

    def features(self, item: Item, key: str) -> Index:
        """The index of one recording."""
        blocks, _ = self.detector.open(EdfSource(item.path, self.detector.rename), item.age_band)
        batches = [(start, self.model.encode_eeg(eeg)) for start, eeg in self.detector.batches(blocks)]
        start_s, features_NE = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        name = item.label
        windows = pd.DataFrame({"recording": name, "start_s": start_s})
        about = self.detector.recipe.length_s, self.detector.hop_s, self.model.about["sha256"]
        return Index(windows, features_NE, *about, {name: key})

    def queries(self, index: Index, texts: Sequence[str], like: Sequence[str]) -> dict[str, np.ndarray]:
        """Features of every query by how it was asked: a text, or ``RECORDING@SECONDS``.

        Raises:
            ConfigError: ``bad_like``; DataError: ``no_such_time``.
        """
        found = dict(zip(texts, self.model.encode_text(texts), strict=True)) if texts else {}
        for asked in like:
            parts = AT.fullmatch(asked)
            if not parts:
                raise ConfigError(
                    f"like={asked}: expected RECORDING@SECONDS, such as like=visit1/p01_a@312.5.",
                    reason="bad_like",
                )
            found[f"like {asked}"] = index.at(parts[1], float(parts[2]))
        return found

    def classify(self, index: Index, texts: Sequence[str]) -> pd.DataFrame:
        """Zero-shot: probability of each class text in every window, and the likeliest.

        The softmax of ``logit_scale`` times the cosines (CLIP, Radford et al. 2021): of these texts alone, so
        one of them should say what the others do not.
        """
        assert self.model.text is not None  # ``open`` refuses a model without
        scale = float(self.model.text.logit_scale.detach().exp())
        similarity_KN = index.similarity(self.model.encode_text(texts))
        probability_NK = softmax(scale * similarity_KN.T, axis=1)
        table = index.windows.assign(nearest=np.array(texts)[probability_NK.argmax(axis=1)])
        return table.assign(**{text: probability_NK[:, k] for k, text in enumerate(texts)})


def rank(index: Index, queries: dict[str, np.ndarray], n: int, margin: float) -> pd.DataFrame:
    """The best moments of every query: ``query`` and the columns of ``index.moments``."""
    tables = []
    for asked, feature_E in queries.items():
        found = moments(index, index.similarity(feature_E[None])[0], n, margin)
        found.insert(0, "query", asked)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)


def search(
    weights: str | Path,
    recordings: str | Path,
    query: str | Sequence[str],
    *,
    top: int = 10,
    margin: float = 0.05,
    device: str = "auto",
    **detector: Any,
) -> pd.DataFrame:
    """The moments of recordings that are nearest to a text; nothing is written.

    Args:
        weights: exported folder of a teacher, best of one trained with ``loss.targets=identity``.
        recordings: an EDF or BDF file, or a folder of them. One that cannot be used is warned of.
        query: a text, or several.
        top: moments of each text.
        margin: a moment takes in neighbours whose similarity is this near to its best window's.
        device: ``auto`` (a CUDA GPU where there is one), ``cpu`` or ``cuda``.
        detector: settings of the ``Detector`` that makes the windows, such as ``hop_s`` and ``channels``.

    Returns:
        A row a moment, the best first: query, rank, recording, onset_s, offset_s, similarity and windows.

    Raises:
        ConfigError: nothing is asked, or the model has no text side.
        DataError: no recording can be used.
    """
    if not (texts := listed(query)):
        raise ConfigError("search: nothing is asked. Give a text, such as 'rhythmic theta activity'.")
    finder = Search.open(str(weights), device, **detector)
    index, failed = finder.index(find(Path(recordings)))
    for line in failed:
        warnings.warn(line, stacklevel=2)
    return rank(index, finder.queries(index, texts, []), top, margin)


def answer(asked: SearchSettings) -> pd.DataFrame:
    """Answer what is asked; tables, index and figure go to ``output``.

    Raises:
        ConfigError: nothing is asked, or the model has no text side.
        DataError: no recording can be used, or an index is damaged.
    """
    texts, like, classes = (listed(value) for value in (asked.query, asked.like, asked.class_texts))
    if not (texts or like or classes):
        raise ConfigError(
            "nothing is asked: give query='rhythmic theta', like=RECORDING@SECONDS, or class_texts=[…]."
        )
    if len(classes) == 1:
        raise ConfigError(f"class_texts={classes}: one text has nothing to be told from. Give two or more.")
    settings = {key: getattr(asked, key) for key in ("hop_s", "channels", "rename", "ages", "batch_size")}
    finder = Search.open(asked.weights, asked.device, **settings)
    if (targets := finder.model.about["made"].get("targets")) in BY_CLASS:
        print(
            f"note: trained with loss.targets={targets}, which tells texts apart only as far as classes are. "
            "For search by words train a teacher with loss.targets=identity."
        )
    items, output = find(Path(asked.input), asked.links), Path(asked.output)
    ranked = bool(texts or like)
    told = {FILE: True, CLASSES: bool(classes), TABLE: ranked, FIGURE: ranked and asked.figure}
    claim(output, [name for name, due in told.items() if due], lambda: Index.load(output / FILE))
    known = Index.load(output / FILE) if (output / FILE).exists() else None
    index, failed = finder.index(items, known)
    output.mkdir(parents=True, exist_ok=True)
    index.save(output / FILE)
    print(
        "\n".join([*failed, f"{len(index.windows):,} windows of {len(index.files)} recordings"]), flush=True
    )
    written = [FILE]
    if classes:
        table = finder.classify(index, classes)
        write_csv(output / CLASSES, table)
        written.append(CLASSES)
        print(pd.crosstab(table["recording"], table["nearest"]).to_string())
    found = pd.DataFrame()
    if texts or like:
        found = rank(index, finder.queries(index, texts, like), asked.top, asked.margin)
        write_csv(output / TABLE, found)
        written.append(TABLE)
        shown_columns = found.drop(columns="best_s").round({"onset_s": 2, "offset_s": 2, "similarity": 3})
        print(shown_columns.to_string(index=False))
        if asked.figure:
            paths = {item.label: item for item in items}
            png = moments_png(found["query"].iloc[0], shown(finder.detector, found, paths, index.length_s))
            write_atomic(output / FIGURE, png)
            written.append(FIGURE)
    print(f"written: {', '.join(str(output / name) for name in written)}")
    return found


def shown(detector: Detector, found: pd.DataFrame, items: dict[str, Item], length_s: float) -> list[Moment]:
    """The best windows of the first query's best moments, with the EEG around them."""
    rows = found[found["query"] == found["query"].iloc[0]].head(SHOWN)
    result = []
    for row in rows.itertuples():
        item = items[row.recording]
        blocks, _ = detector.open(EdfSource(item.path, detector.rename), item.age_band)
        start_s, uv_CT = blocks.excerpt(row.best_s + length_s / 2, max(FIGURE_S, 3 * length_s))
        result.append(
            Moment(
                rank=row.rank,
                recording=visible(row.recording),
                similarity=row.similarity,
                start_s=start_s,
                sfreq=detector.recipe.signals.sfreq,
                ch_names=blocks.plan.names,
                uv_CT=uv_CT,
                onset_s=row.best_s,
                offset_s=row.best_s + length_s,
            )
        )
    return result


def listed(value: str | Iterable[str] | None) -> list[str]:
    """One text or several as a list; blank ones are no question."""
    values = [] if value is None else [value] if isinstance(value, str) else value
    return [str(text) for text in values if str(text).strip()]
