"""The store: every recording filtered once, as int16 microvolts on disk, complete or not at all.

One folder a corpus and setting. ``signal.i16`` holds all pieces one after the other, time-major
(samples x channels), so a window is one contiguous read at any overlap, and any batch is one gather.
``manifest.json`` is written last inside a folder that is renamed into place when it is whole.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.files import read_json, read_npz, read_parquet
from distilclip_eeg.plausible import check_rate
from distilclip_eeg.progress import Tracker
from distilclip_eeg.schema import (
    Corpus,
    CorpusError,
    DataError,
    RecordingRef,
    recordings_of,
    unreadable,
)
from distilclip_eeg.signals import content
from distilclip_eeg.signals.preprocess import AMPLITUDE_UV, FLAT_UV, preprocess
from distilclip_eeg.workers import threaded

SIGNALS = (".edf", ".bdf", ".npy")
"""Files that are not hashed whole: a corpus has tens of gigabytes of them."""
MANIFEST = ("digest", "corpus", "sfreq", "ch_names", "classes", "n_samples", "identified", "signals")
SPANS = ("recording", "onset_s", "offset_s", "label")
TABLES = {
    "recordings": ("recording", "subject", "skipped", "number", "metadata"),
    "pieces": ("recording", "start_s", "first", "n_samples"),
    "events": SPANS,
    "excluded": SPANS,
}
SCALE = ("gain", "mean", "sd", "filled")
FILES = {
    *("manifest.json", "signal.i16", "scale.npz", "recordings.csv", *content.FILES, content.COPIES),
    *(f"{name}.parquet" for name in TABLES),
}
"""What stands in a store, beside measures of windows."""
REBUILD = "Delete the folder of the store; it will be built again."
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
    if not (final / "manifest.json").exists():
        temporary = root / f".building-{final.name}-{os.getpid()}"
        remove_stale(root)
        try:
            temporary.mkdir(parents=True)
            build(corpus, (refs, told), config, temporary, digest, n_jobs, progress or _untold)
            if final.exists() and not (final / "manifest.json").exists():  # someone damaged it
                remove_remains(final)
            temporary.rename(final)
        except OSError as error:
            if not (final / "manifest.json").exists():  # else another process was faster
                raise DataError(
                    f"{root}: the store could not be written ({error}). Free space or set store.root."
                ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return open_store(final)


def _untold(items: Iterable, total: int, text: str) -> Iterable:
    """A tracker that shows nothing."""
    return items


def remove_stale(root: Path) -> None:
    """Delete half-built stores of processes that are gone, or that had our number (as in a container)."""
    for folder in root.glob(".building-*"):
        pid = folder.name.rpartition("-")[2]
        if not pid.isdecimal() or int(pid) == os.getpid() or not alive(int(pid)):
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


def alive(pid: int) -> bool:
    """Whether a process of this number runs; someone else's counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


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
        check_rate(str(ref.path), recording.sfreq, config.h_freq, config.sfreq)
    except CorpusError:
        raise
    except (DataError, OSError) as problem:
        problem = unreadable(ref.path, problem)
        return {"ref": ref, "skipped": problem.reason, "detail": str(problem)}
    pieces = preprocess(recording, config)
    uv = np.concatenate([p.uv_CT for p in pieces], axis=1)
    peak = np.abs(uv).max(axis=1)
    gain = np.maximum(peak, 1e-3) / 32767
    seconds = uv[:, : uv.shape[1] // round(config.sfreq) * round(config.sfreq)]
    loud = np.abs(seconds).max(axis=0).reshape(-1, round(config.sfreq)).max(axis=1) > AMPLITUDE_UV
    return {
        "ref": ref,
        "skipped": "",
        "detail": "; ".join(recording.warnings),
        "content": content.fingerprints(recording),
        "signal": np.rint(uv / gain[:, None]).astype("<i2").T,
        "scale": (
            gain,
            uv.mean(axis=1, dtype=np.float64),
            uv.std(axis=1, dtype=np.float64),
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
    rows, pieces, events, excluded, at = [], [], [], [], 0
    scales: list[tuple] = []
    refs, told = listed
    # Threads: the FFTs and the file reads release the interpreter lock, and nothing has to be copied. Only
    # preferred, so that joblib.parallel_config may put Dask or Ray in their place.
    results = threaded(ingest, [(corpus, ref, config) for ref in refs], jobs=n_jobs)
    with content.ContentWriter(folder) as prints, (folder / "signal.i16").open("wb") as file:
        for got in progress(results, len(refs), "preparing recordings"):
            ref = got["ref"]
            about = {"recording": ref.recording, "subject": ref.subject, "session": ref.session}
            about |= {"part": ref.part, "skipped": got["skipped"], "detail": got["detail"]}
            row = about | got.get("row", {})
            if not got["skipped"]:
                number = len(scales)
                row["number"] = number
                for start_s, n in got["pieces"]:
                    pieces.append((number, start_s, at, n))
                    at += n
                events += [(number, *event) for event in got["events"]]
                excluded += [(number, *event) for event in got["excluded"]]
                scales.append(got["scale"])
                file.write(got["signal"].tobytes())
                prints.add(number, got["content"])
            rows.append(row)
        file.flush()
        os.fsync(file.fileno())
    if not scales:
        raise _nothing_usable(corpus, rows)
    pd.DataFrame(rows).to_parquet(folder / "recordings.parquet")
    pd.DataFrame(pieces, columns=["recording", "start_s", "first", "n_samples"]).to_parquet(
        folder / "pieces.parquet"
    )
    for name, table in (("events", events), ("excluded", excluded)):
        pd.DataFrame(table, columns=["recording", "onset_s", "offset_s", "label"]).astype(
            {"recording": int, "onset_s": float, "offset_s": float, "label": str}
        ).to_parquet(folder / f"{name}.parquet")
    gain, mean, sd, filled = (np.array(s) for s in zip(*scales, strict=True))
    np.savez(folder / "scale.npz", gain=gain, mean=mean, sd=sd, filled=filled)
    manifest = _manifest(corpus, config, digest, at) | {"warnings": [*told, *corpus.warnings]}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))


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
    """Open a finished store, its signal mapped and not read.

    Raises:
        DataError: ``store_damaged``: the signal file has not the size that the manifest names;
            ``damaged_file``: another of its files is empty, cut or not what this version writes.
    """
    manifest = read_json(path / "manifest.json", *MANIFEST, again=REBUILD)
    shape = (manifest["n_samples"], len(manifest["ch_names"]))
    size = (path / "signal.i16").stat().st_size if (path / "signal.i16").is_file() else 0
    if size != 2 * shape[0] * shape[1]:
        raise DataError(
            f"{path / 'signal.i16'} has {size} bytes, its manifest says {2 * shape[0] * shape[1]}. {REBUILD}",
            reason="store_damaged",
        )
    scale = read_npz(path / "scale.npz", *SCALE, again=REBUILD)
    tables = {
        name: read_parquet(path / f"{name}.parquet", *columns, again=REBUILD)
        for name, columns in TABLES.items()
    }
    return Store(
        path,
        manifest,
        np.memmap(path / "signal.i16", dtype="<i2", mode="r", shape=shape),
        tables["recordings"],
        tables["pieces"],
        tables["events"],
        scale["gain"].astype(np.float32),
        scale["mean"].astype(np.float32),
        scale["sd"].astype(np.float32),
        scale["filled"],
        tables["excluded"],
    )
