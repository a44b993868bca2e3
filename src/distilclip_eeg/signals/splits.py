"""The folds of a run as one table: which window stands where, by a protocol or by the user's own table."""

import hashlib
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.data import SplitConfig
from distilclip_eeg.schema import ConfigError, DataError, unguarded
from distilclip_eeg.signals.audit import fold_columns
from distilclip_eeg.signals.splitters import Splitter, empty_part

PARTS = ("train", "val", "test", "unused")
"""``unused``: purged, later than the test part (``time``), or left out by a table."""
HASHED = 65536
"""Windows whose places are written out at a time."""
KEYS = {"subject": "subject", "recording_name": "recording_name", "recording": "recording_name"}
"""Columns by which a user's table may name windows, each with ours that it is compared with."""


def make_folds(windows: pd.DataFrame, config: SplitConfig, seed: int, length_s: float = 1.0) -> pd.DataFrame:
    """Assign every window a part in every fold: columns ``fold0`` … with one of ``PARTS``.

    Args:
        windows: needs recording, subject, start_s, event and label; one row a window.
        length_s: length of every window.

    Raises:
        DataError: the corpus is too small for the protocol, or a fold would lack a part, or its training part
            all classes but one.
    """
    label = windows["label"].to_numpy()
    if config.name == "table":
        given = given_parts(windows, table_of(config))
        columns = {name: pd.Categorical(p, PARTS) for name, p in given.items()}
    else:
        check_official(windows, config)
        splitter = Splitter(
            config.name,
            config.n_folds or 1,  # null where the splitter has its own number
            seed=seed,
            val_share=config.val_share,
            purge_s=config.purge_s,
            length_s=length_s,
        )
        columns = {}
        for fold, rows in enumerate(splitter.nested(label, windows)):
            code = np.full(len(windows), PARTS.index("unused"), dtype=np.int8)
            for part, of_part in enumerate(rows):
                code[of_part] = part
            columns[f"fold{fold}"] = pd.Categorical.from_codes(code, PARTS)
    for fold, part in enumerate(columns.values()):
        check_parts(part, label, config.name, fold)
    if config.n_folds not in (None, len(columns)):
        raise DataError(
            f"split.n_folds={config.n_folds}: split={config.name} makes {len(columns)} of these data. "
            "Leave it out.",
            reason="n_folds",
        )
    return pd.concat([windows, pd.DataFrame(columns, index=windows.index)], axis=1)


def table_of(config: SplitConfig) -> Path:
    """The user's own table of ``split=table``.

    Raises:
        ConfigError: there is no such file.
    """
    if not Path(config.table or "").is_file():
        raise ConfigError(f"split.table={config.table}: no such file. Give split=table split.table=FILE.")
    return Path(str(config.table))


def check_official(windows: pd.DataFrame, config: SplitConfig) -> None:
    """Refuse ``official`` where the corpus does not name all three parts; of other splits say nothing.

    Raises:
        DataError: ``no_official_split``.
    """
    if config.name != "official":
        return
    found = set(windows["part"])
    if found != set(PARTS[:3]):
        raise DataError(
            f"split=official: the corpus gives the parts {sorted(p for p in found if p)}, expected "
            f"{', '.join(PARTS[:3])} (TUSZ: the folders train, dev, eval). Choose another split.",
            reason="no_official_split",
        )


def check_parts(part: pd.Categorical, label: np.ndarray, split: str, fold: int) -> None:
    """Refuse a fold that lacks train, val or test windows, or has one class to learn.

    Args:
        part: of each window, (N,).
        label: class index of each window, (N,).
        fold: its number, for the message.

    Raises:
        DataError: ``empty_part`` or ``one_class``.
    """
    for name in PARTS[:3]:
        if not (part == name).any():
            raise empty_part(split, fold, name)
    if len(pd.unique(label)) > 1 == len(pd.unique(label[part == "train"])):
        raise DataError(
            f"split={split}: the training windows of fold {fold} are all of one class. Use more recordings, "
            "fewer split.n_folds, or another split.",
            reason="one_class",
        )


def read_table(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A user's table of parts, its keys as text, and the names of those keys.

    Starts are rounded to milliseconds, so that tables written with fewer decimals still fit.

    Raises:
        DataError: ``split_table``: no key or no part among the columns, a part of another name, or two rows
            for one key.
    """
    separator = "\t" if path.suffix == ".tsv" else ","
    table = (
        pd.read_parquet(path)
        if path.suffix == ".parquet"
        else pd.read_csv(path, sep=separator).map(unguarded)
    )
    table = table if fold_columns(table) else table.rename(columns={"part": "fold0"})
    keys = [theirs for theirs in KEYS if theirs in table]
    keys = [k for k in keys if k != "recording" or "recording_name" not in keys]  # a number in folds.parquet
    folds = fold_columns(table)
    if not keys or not folds:
        raise DataError(
            f"{path}: columns {', '.join(map(str, table.columns))}; expected subject or recording "
            "(and start_s, where windows of one recording differ), and part or fold0 …",
            reason="split_table",
        )
    table = table.astype(dict.fromkeys([*keys, *folds], str))
    wrong = sorted(set(table[folds].to_numpy().ravel()) - set(PARTS))
    if wrong:
        raise DataError(f"{path}: parts {wrong}, expected {', '.join(PARTS)}.", reason="split_table")
    if "start_s" in table:
        table["start_s"] = table["start_s"].round(3)
        keys.append("start_s")
    twice = table.duplicated(keys)
    if twice.any():
        raise DataError(
            f"{path}: two rows for {table[twice][keys].iloc[0].to_dict()}, expected one.",
            reason="split_table",
        )
    return table[[*keys, *folds]], keys


def given_parts(windows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The fold columns of a user's table, one row a window.

    Args:
        windows: with subject, recording_name and start_s.

    Raises:
        DataError: ``split_table``: see :func:`read_table`, or a window that no row names.
    """
    table, keys = read_table(path)
    ours = {k: windows[KEYS[k]].astype(str) if k in KEYS else windows[k].round(3) for k in keys}
    found = pd.DataFrame(ours).merge(table, on=keys, how="left")[fold_columns(table)]
    lost = found.isna().any(axis=1).to_numpy()
    if lost.any():
        first = {k: v[lost].iloc[0] for k, v in ours.items()}
        raise DataError(
            f"{path}: no row for {lost.sum()} of {len(windows)} windows, the first with {first}. Give them "
            "the part unused to leave them out.",
            reason="split_table",
        )
    return found.set_axis([f"fold{k}" for k in range(found.shape[1])], axis=1).set_index(windows.index)


def folds_hash(folds: pd.DataFrame) -> str:
    """SHA-256 of which window stands where; equal for equal splits whatever wrote the file."""
    digest = hashlib.sha256()
    columns = [folds[name].tolist() for name in ("recording", "start_s", "label")]
    for first in range(0, len(folds), HASHED):
        rows = list(zip(*(column[first : first + HASHED] for column in columns), strict=True))
        text = "\n%s@%.6f=%s" * len(rows) % tuple(chain.from_iterable(rows))
        digest.update(text[not first :].encode())
    for column in fold_columns(folds):
        digest.update(column.encode())
        code_N, names = pd.factorize(folds[column])
        digest.update(np.array([str(name)[1] for name in names], "S1")[code_N].tobytes())  # r, a, e, n
    return digest.hexdigest()
