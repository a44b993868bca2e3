"""Folds, and the audit that says what a split lets through.

``window`` is the article's protocol (overlapping windows shuffled into folds: nearly every test window
of a seizure shares samples with training); ``recording`` and ``subject`` keep groups together; ``official``
is the one split that the corpus itself publishes (TUSZ: train, dev, eval).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from distilclip_eeg.schema import ConfigError, DataError, check_choice

KINDS = ("window", "recording", "subject", "official")
PARTS = ("train", "val", "test")
SHARED = ("samples", "event", "recording", "subject")
"""What test windows may share with training, as an audit counts it."""
UNKNOWN = dict.fromkeys(SHARED, None)
"""The audit of windows that carry neither recording nor subject."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """``configs/split/<name>.yaml``."""

    name: str
    n_folds: int = 5
    val_share: float = 0.15
    """Share of the training side set apart, by the same grouping, to choose the epoch."""

    def __post_init__(self) -> None:
        check_choice("split", self.name, KINDS)
        if self.name == "official" and self.n_folds != 1:
            raise ConfigError(f"split.n_folds={self.n_folds}: the official split is one fold. Leave it out.")
        if self.n_folds < 2 and self.name != "official":
            raise ConfigError(f"split.n_folds={self.n_folds} must be 2 or more.")
        if not 0 < self.val_share < 0.5:
            raise ConfigError(f"split.val_share={self.val_share} must be in (0, 0.5).")


def make_folds(windows: pd.DataFrame, config: SplitConfig, seed: int) -> pd.DataFrame:
    """Assign every window a part in every fold: columns ``fold0`` … with train, val or test.

    Args:
        windows: needs recording, subject and label; one row a window.
    """
    if config.name == "official":
        return pd.concat([windows, _official(windows)], axis=1)
    label = windows["label"].to_numpy()
    groups = None if config.name == "window" else windows[config.name].to_numpy()
    if groups is not None and len(np.unique(groups)) < config.n_folds:
        raise DataError(
            f"split={config.name}: {len(np.unique(groups))} {config.name}s cannot fill split.n_folds="
            f"{config.n_folds} folds. Lower split.n_folds or choose another split."
        )
    columns = {}
    for fold, (train, test) in enumerate(_folds(label, groups, config.n_folds, seed)):
        part = np.full(len(windows), "train", dtype=object)
        part[test] = "test"
        part[_validation(train, label, groups, config.val_share, seed + 1000 + fold)] = "val"
        columns[f"fold{fold}"] = pd.Categorical(part, categories=PARTS)
    return pd.concat([windows, pd.DataFrame(columns, index=windows.index)], axis=1)


def _official(windows: pd.DataFrame) -> pd.DataFrame:
    """The corpus's own parts as ``fold0``."""
    found = set(windows["part"])
    if found != set(PARTS):
        raise DataError(
            f"split=official: the corpus gives the parts {sorted(p for p in found if p)}, expected "
            f"{', '.join(PARTS)} (TUSZ: the folders train, dev, eval). Choose another split.",
            reason="no_official_split",
        )
    return pd.DataFrame({"fold0": pd.Categorical(windows["part"], categories=PARTS)}, index=windows.index)


def _folds(label: np.ndarray, groups: np.ndarray | None, n: int, seed: int):
    if groups is None:
        return StratifiedKFold(n, shuffle=True, random_state=seed).split(label, label)
    return StratifiedGroupKFold(n, shuffle=True, random_state=seed).split(label, label, groups)


def _validation(train: np.ndarray, label: np.ndarray, groups: np.ndarray | None, share: float, seed: int):
    """The validation rows: one inner fold of the training side, cut by the same grouping.

    The first inner fold that leaves every class on both sides; where seizures stand in few groups, fewer
    and larger inner folds are tried, and where none will do, the one that leaves most classes.
    """
    inner_groups = None if groups is None else groups[train]
    n = max(2, round(1 / share))
    if inner_groups is not None:
        n = min(n, len(np.unique(inner_groups)))
    if n < 2:
        raise DataError(
            "A fold's training side is one group, so nothing is left to choose the epoch on. Use more "
            "recordings or subjects, another split.n_folds, or another split."
        )
    n_classes = len(np.unique(label[train]))
    chosen, most = None, (0, 0)
    for k in range(n, 1, -1):
        for rest, val in _folds(label[train], inner_groups, k, seed):
            covers = len(np.unique(label[train[rest]])), len(np.unique(label[train[val]]))
            if covers > most:
                chosen, most = val, covers
            if most == (n_classes, n_classes):
                return train[chosen]
    return train[chosen]


def folds_hash(folds: pd.DataFrame) -> str:
    """SHA-256 of which window stands where; equal for equal splits whatever wrote the file."""
    columns = [c for c in folds.columns if c.startswith("fold")]
    digest = hashlib.sha256()
    keys = folds["recording"].astype(str) + "@" + folds["start_s"].map("{:.6f}".format)
    digest.update("\n".join(keys + "=" + folds["label"].astype(str)).encode())
    for column in columns:
        digest.update(column.encode())
        digest.update("".join(str(p)[1] for p in folds[column]).encode())  # r, a, e
    return digest.hexdigest()


def audit(folds: pd.DataFrame, length: int) -> dict[str, float]:
    """Mean over folds of the share of test windows that share something with the training side.

    Training side means train and val: both steer the model. Two windows share samples when their rows
    of the store overlap (``first``, ``length`` in samples).
    """
    found: dict[str, list[float]] = {name: [] for name in SHARED}
    for column in [c for c in folds.columns if c.startswith("fold")]:
        test = folds[folds[column] == "test"]
        train = folds[folds[column] != "test"]
        rows = np.sort(train["first"].to_numpy())
        first = test["first"].to_numpy()
        near = np.searchsorted(rows, first + length) > np.searchsorted(rows, first - length, side="right")
        found["samples"].append(float(near.mean()))
        ictal = test[test["event"] >= 0]
        if len(ictal):
            found["event"].append(float(ictal["event"].isin(train["event"]).mean()))
        for group in ("recording", "subject"):
            found[group].append(float(test[group].isin(train[group].unique()).mean()))
    return {k: float(np.mean(v)) if v else 0.0 for k, v in found.items()}


def check_audit(shares: dict[str, float | None], split: str) -> None:
    """Stop when the audit contradicts the protocol's promise."""
    promised = {
        "window": (),
        "recording": ("samples", "event", "recording"),
        "subject": SHARED,
        "official": SHARED,
    }[split]
    broken = {k: shares[k] for k in promised if shares[k] > 0}
    if broken:
        raise DataError(
            f"split={split}: the folds share {broken} with training, expected none. This is a bug in the "
            "split or a recording that stands under two names; nothing was trained.",
            reason="leak",
        )


def audit_line(split: str, shares: dict[str, float | None]) -> str:
    """The leak note every table carries."""
    if shares == UNKNOWN:
        return (
            "test windows sharing with training: unknown, the windows carry neither recording nor subject. "
            "Neighbouring seconds of one seizure may be on both sides; not an estimate for new patients"
        )
    text = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    note = "test windows sharing with training: " + text
    if split == "window":
        note += ". Windows of the same seizure are on both sides; not an estimate for new patients"
    return note
