"""The store: every recording filtered once, as int16 microvolts on disk, complete or not at all.

One folder a corpus and setting. ``signal.i16`` holds all pieces one after the other, time-major
(samples x channels), so a window is one contiguous read at any overlap, and any batch is one gather.
``manifest.json`` is written last inside a folder that is renamed into place when it is whole; it holds the
SHA-256 of every other file. How a build goes on after a stop is in ``signals.building``.
"""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.endings import stop_if_asked, unbroken
from distilclip_eeg.files.digests import DIGESTS
from distilclip_eeg.files.folders import check_writable, make_folder
from distilclip_eeg.files.locks import OLD_S, Lock, alive
from distilclip_eeg.files.reading import read_npz, read_parquet
from distilclip_eeg.plausible import check_rate
from distilclip_eeg.progress import Tracker
from distilclip_eeg.schema import (
    Corpus,
    CorpusError,
    DataError,
    MachineError,
    RecordingRef,
    recordings_of,
    unreadable,
)
from distilclip_eeg.signals import content
from distilclip_eeg.signals.building import PROGRESS, SIGNAL, Half, check_room, sizes_of
from distilclip_eeg.signals.preprocess import AMPLITUDE_UV, FLAT_UV, preprocess
from distilclip_eeg.signals.verify import (
    MANIFEST,
    REBUILD,
    check_files,
    check_signal,
    damaged,
    read_manifest,
    seal,
)
from distilclip_eeg.workers import threaded

SIGNALS = (".edf", ".bdf", ".npy")
"""Files that are not hashed whole: a corpus has tens of gigabytes of them."""
SPANS = ("recording", "onset_s", "offset_s", "label")
TABLES = {
    "recordings": ("recording", "subject", "skipped", "number", "metadata"),
    "pieces": ("recording", "start_s", "first", "n_samples"),
    "events": SPANS,
    "excluded": SPANS,
}
CACHED = 8192
"""Samples that are turned into integers at a time."""
SCALE = ("gain", "mean", "sd", "filled")
FILES = {
    *(MANIFEST, SIGNAL, "scale.npz", "recordings.csv", DIGESTS, *content.FILES, content.COPIES),
    *(f"{name}.parquet" for name in TABLES),
}
"""What stands in a store, beside measures of windows."""
VERSION = 2
"""Raise it when the numbers in the store would change; a test compares a golden output."""


@dataclass(frozen=True)
class Store:
    """A finished store, opened read-only."""

    path: Path
    manifest: dict
    signal_TC: np.ndarray
    """int16, memory-mapped; ``signal_TC * gain`` is microvolts."""
    recordings: pd.DataFrame
    pieces: pd.DataFrame
    events: pd.DataFrame
    gain_RC: np.ndarray
    mean_RC: np.ndarray
    sd_RC: np.ndarray
    """Microvolts, over the whole recording."""
    filled_RC: np.ndarray
    """True where the file lacked the channel (zero, or interpolated)."""
    excluded: pd.DataFrame
    """Stretches that are neither seizure nor background: recording, onset_s, offset_s, label (why)."""

    @property
    def sfreq(self) -> float:
        """Rate of every signal, Hz."""
        return self.manifest["sfreq"]

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The montage, in the order of the columns of ``signal_TC``."""
        return tuple(self.manifest["ch_names"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Background first; the position is the class index."""
        return tuple(self.manifest["classes"])


def fingerprint(path: Path) -> list:
    """Name, size and hash of a file; of a signal, which may be large and is never edited, head and tail.

    A file that is not there has size -1.
    """
    if not path.is_file():  # a broken link: reading it will say so
        return [path.name, -1, ""]
    size = path.stat().st_size
    with path.open("rb") as file:
        large = path.suffix.lower() in SIGNALS
        digest = hashlib.sha256(file.read(65536 if large else -1))
        if large and size > 131072:
            file.seek(-65536, os.SEEK_END)
        digest.update(file.read(65536))
    return [path.name, size, digest.hexdigest()[:16]]


def store_digest(corpus: Corpus, refs: list[RecordingRef], config: SignalConfig) -> str:
    """Key of the store: settings, files and code version; not where the files lie."""
    settings = {k: v for k, v in asdict(config).items() if k != "normalize"}
    paths = dict.fromkeys(path for ref in refs for path in (ref.path, *ref.files))
    prints = {path: fingerprint(path) for path in paths}  # once each: recordings share annotation files
    files = [
        [ref.recording, ref.subject, ref.part, *(prints[p] for p in (ref.path, *ref.files))] for ref in refs
    ]
    names = [corpus.name, list(corpus.classes), list(corpus.ch_names)]
    body = [VERSION, *names, dict(corpus.options), settings, files]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def prepare(
    corpus: Corpus, config: SignalConfig, root: Path, *, n_jobs: int = -1, progress: Tracker | None = None
) -> Store:
    """Open the corpus's store, building it first where it is missing.

    Args:
        root: folder of all stores.
        n_jobs: threads that read and filter; -1: one a core.
        progress: as :func:`~distilclip_eeg.progress.track`; None: nothing is shown.

    Raises:
        DataError: no recording is usable, or the store cannot be written.
    """
    refs, told = recordings_of(corpus)
    digest = store_digest(corpus, refs, config)
    final = root / f"{corpus.name}-{digest[:8]}"
    if not (final / MANIFEST).exists():
        check_writable("store.root", root)
        make_folder(root)
        remove_stale(root)
        half = root / f".building-{final.name}"
        with Lock(half.with_name(f"{half.name}.lock"), f"the store {final}", wait=True) as lock:
            if not (final / MANIFEST).exists():  # else another process built it meanwhile
                try:
                    build(corpus, (refs, told), config, half, digest, n_jobs, progress or _untold)
                    lock.check()
                    into_place(half, final)
                except (KeyboardInterrupt, MemoryError, MachineError):
                    raise  # to be continued
                except OSError as error:
                    shutil.rmtree(half, ignore_errors=True)
                    raise DataError(
                        f"{root}: the store could not be written ({error}). Free space or set store.root."
                    ) from error
                except BaseException:
                    shutil.rmtree(half, ignore_errors=True)
                    raise
    return open_store(final)


def into_place(half: Path, final: Path) -> None:
    """Rename a whole store to its name, unless another process without our lock was faster."""
    with unbroken():
        if final.exists() and not (final / MANIFEST).exists():  # someone damaged it
            remove_remains(final)
        if final.exists():
            shutil.rmtree(half)
        else:
            half.rename(final)


def _untold(items: Iterable, total: int, text: str) -> Iterable:
    """A tracker that shows nothing."""
    return items


def remove_stale(root: Path) -> None:
    """Delete what 0.1.0 left half built, which cannot be continued."""
    for folder in root.glob(".building-*-*-*"):
        pid = folder.name.rpartition("-")[2]
        if not pid.isdecimal() or (folder / PROGRESS).exists():
            continue
        # It has no heartbeat, and its process may be another machine's; but it grows while it is built.
        untouched = time.time() - max(p.stat().st_mtime for p in (folder, *folder.glob("*")))
        if untouched > OLD_S and (int(pid) == os.getpid() or not alive(int(pid))):
            shutil.rmtree(folder, ignore_errors=True)


def remove_remains(folder: Path) -> None:
    """Delete a store that lost its manifest, and nothing else.

    Raises:
        DataError: ``not_ours``: it holds what no store has.
    """
    names = [p.name for p in folder.iterdir()]
    strange = [n for n in names if n not in FILES and not re.fullmatch(r"\.?measures-.+", n)]
    if strange or folder.is_symlink():
        raise DataError(
            f"{folder}: a store is to stand here, and {min(strange, default='a link')} does, which none "
            "wrote. Move it away, or set store.root to another folder.",
            reason="not_ours",
        )
    shutil.rmtree(folder)


def ingest(corpus: Corpus, ref: RecordingRef, config: SignalConfig) -> dict:
    """Read and clean one recording: its rows for the tables and its signal as int16.

    Returns:
        ``ref``, ``skipped`` (reason, empty where all is well) and ``detail``; unless skipped also ``signal``
        (T, C), ``content`` (its fingerprints), ``scale`` (gain, mean and SD in microvolts and what was
        filled, each (C,)), ``pieces`` (start in seconds, samples), ``events``, ``excluded`` and ``row``, the
        counts of the data report.

    Raises:
        CorpusError: a listing that puts the whole corpus in doubt.
    """
    try:
        recording = corpus.read(ref)
        check_rate(str(ref.path), recording.sfreq, config.h_freq, config.sfreq)
    except CorpusError:
        raise
    except (DataError, OSError) as problem:
        problem = unreadable(ref.path, problem)
        return {"ref": ref, "skipped": problem.reason, "detail": str(problem)}
    pieces = preprocess(recording, config)
    uv = np.concatenate([p.uv_CT for p in pieces], axis=1)
    peak = np.maximum(uv.max(axis=1), -uv.min(axis=1))
    gain = np.maximum(peak, 1e-3) / 32767
    seconds = uv[:, : uv.shape[1] // round(config.sfreq) * round(config.sfreq)]
    loudest = np.maximum(seconds.max(axis=0), -seconds.min(axis=0))
    loud = loudest.reshape(-1, round(config.sfreq)).max(axis=1) > AMPLITUDE_UV
    return {
        "ref": ref,
        "skipped": "",
        "detail": "; ".join(recording.warnings),
        "content": content.fingerprints(recording),
        "signal": digital(uv, gain),
        "scale": (
            gain,
            uv.mean(axis=1, dtype=np.float64),
            np.array([x.std(dtype=np.float64) for x in uv]),
            [name in recording.filled for name in recording.ch_names],
        ),
        "pieces": [(p.start_s, p.uv_CT.shape[1]) for p in pieces],
        "events": [(e.onset_s, e.offset_s, e.label) for e in recording.events],
        "excluded": [(e.onset_s, e.offset_s, e.label) for e in recording.excluded],
        "row": {
            "duration_s": recording.duration_s,
            "n_pieces": len(pieces),
            "n_seizures": len(recording.events),
            "excluded_s": sum(e.offset_s - e.onset_s for e in recording.excluded),
            "filled": ", ".join(recording.filled),
            "short_for_filter": sum(p.short_for_filter for p in pieces),
            "flat_channels": int((uv.std(axis=1) < FLAT_UV).sum()),
            "rail_samples": recording.clipped_samples,
            "clipped_samples": sum(p.clipped for p in pieces),
            "loud_seconds": int(loud.sum()),
            "metadata": json.dumps(dict(recording.metadata), sort_keys=True),
        },
    }


def digital(uv_CT: np.ndarray, gain_C: np.ndarray) -> np.ndarray:
    """Microvolts as multiples of each channel's gain, time-major: (T, C) int16."""
    made_TC = np.empty(uv_CT.shape[::-1], "<i2")
    for at in range(0, len(made_TC), CACHED):
        block_CT = uv_CT[:, at : at + CACHED] / gain_C[:, None]
        made_TC[at : at + CACHED] = np.rint(block_CT, out=block_CT).astype("<i2").T
    return made_TC


def build(
    corpus: Corpus,
    listed: tuple[Sequence[RecordingRef], Sequence[str]],
    config: SignalConfig,
    folder: Path,
    digest: str,
    n_jobs: int,
    progress: Tracker,
) -> None:
    """Write every table of the store into ``folder``, the manifest last.

    Args:
        listed: from :func:`~distilclip_eeg.schema.recordings_of`.

    Raises:
        DataError: ``nothing_usable``: every recording is skipped.
    """
    refs, told = listed
    sizes = sizes_of(refs)
    # Threads: the FFTs and the file reads release the interpreter lock, and nothing has to be copied. Only
    # preferred, so that joblib.parallel_config may put Dask or Ray in their place.
    with Half(folder, digest) as half:
        left = refs[len(half.done) :]
        results = threaded(ingest, [(corpus, ref, config) for ref in left], jobs=n_jobs)
        number = sum("scale" in note for note in half.done)
        with closing(results):  # else its threads go on
            for got in progress(results, len(left), "preparing recordings"):
                ref = got["ref"]
                about = {"recording": ref.recording, "subject": ref.subject, "session": ref.session}
                about |= {"part": ref.part, "skipped": got["skipped"], "detail": got["detail"]}
                row = about | got.get("row", {})
                if not got["skipped"]:
                    row["number"] = number
                    number += 1
                half.add(row, got)
                stop_if_asked()
                check_room(half, sizes)
        if not number:
            raise _nothing_usable(corpus, [note["row"] for note in half.done])
        half.finish()
    seal(folder, _manifest(corpus, config, digest, half.at) | {"warnings": [*told, *corpus.warnings]})


def _nothing_usable(corpus: Corpus, rows: Sequence[dict]) -> DataError:
    """What to say where every recording is skipped."""
    reasons = pd.Series([r["skipped"] for r in rows]).value_counts().to_dict()
    counts = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    return DataError(
        f"{corpus.name}: none of {len(rows)} recordings can be used ({counts}). First: {rows[0]['detail']}",
        reason="nothing_usable",
    )


def _manifest(corpus: Corpus, config: SignalConfig, digest: str, n_samples: int) -> dict:
    """What the store says about itself, for JSON."""
    return {
        "digest": digest,
        "version": VERSION,
        "corpus": corpus.name,
        "sfreq": config.sfreq,
        "ch_names": list(corpus.ch_names),
        "classes": list(corpus.classes),
        "n_samples": n_samples,
        "missing": list(corpus.missing),
        "identified": corpus.identified,
        "signals": {k: v for k, v in asdict(config).items() if k != "normalize"},
    }


def open_store(path: Path) -> Store:
    """Open a finished store, its signal mapped and, unless it is small, not read.

    Raises:
        DataError: ``store_damaged``: a file is not the one that the manifest names; ``damaged_file``: one of
            a store without digests is empty, cut or not what this version writes.
    """
    manifest = read_manifest(path)
    check_files(path, manifest)
    shape = (manifest["n_samples"], len(manifest["ch_names"]))
    size = (path / SIGNAL).stat().st_size if (path / SIGNAL).is_file() else 0
    if size != 2 * shape[0] * shape[1]:
        raise damaged(path / SIGNAL, f"has {size} bytes, its manifest says {2 * shape[0] * shape[1]}")
    check_signal(path, manifest)
    scale = read_npz(path / "scale.npz", *SCALE, again=REBUILD)
    tables = {
        name: read_parquet(path / f"{name}.parquet", *columns, again=REBUILD)
        for name, columns in TABLES.items()
    }
    return Store(
        path,
        manifest,
        np.memmap(path / SIGNAL, dtype="<i2", mode="r", shape=shape),
        tables["recordings"],
        tables["pieces"],
        tables["events"],
        scale["gain"].astype(np.float32),
        scale["mean"].astype(np.float32),
        scale["sd"].astype(np.float32),
        scale["filled"],
        tables["excluded"],
    )
