"""A store that is being built: what is written is noted recording by recording, so that a stop loses little.

``progress.jsonl`` has a line for each recording that is done, behind its own digest: its rows for the tables,
where its signal and its fingerprints end, and the SHA-256 of both. A build that was stopped, killed included,
goes on behind the last line whose bytes are there and right, and ends with the bytes of one that was not.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from distilclip_eeg.endings import unbroken
from distilclip_eeg.schema import MachineError, RecordingRef
from distilclip_eeg.signals.content import COPIES, FILES, write_copies

PROGRESS, SIGNAL = "progress.jsonl", "signal.i16"
STREAMS = (SIGNAL, *FILES)
"""Files that grow recording by recording."""
SEALED = (
    *("recordings.parquet", "pieces.parquet", "events.parquet", "excluded.parquet", "scale.npz"),
    *(*FILES, COPIES),
)
"""Files of a finished store, beside its signal."""
TOLD = 0.05
"""Share of a corpus, by the size of its files, after which the size of its store can be told."""


class Half:
    """Half a store in ``folder``; ``with Half(folder, digest) as half: …``.

    Args:
        digest: of the whole store; what another one left is thrown away.
    """

    def __init__(self, folder: Path, digest: str):
        self.folder, self.digest = folder, digest
        self.done: list[dict[str, Any]] = []
        """What :meth:`add` was given of each recording, as JSON holds it."""
        self.at = 0
        """Samples written so far."""

    def __enter__(self) -> "Half":
        """Go on from what is right of an earlier build."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = self._right()
        body = "".join(f"{line}\n" for line in (_line({"digest": self.digest}), *lines))
        (self.folder / PROGRESS).write_text(body, encoding="utf-8")
        self.done = [_read(line) for line in lines]
        ends = self.done[-1]["ends"] if self.done else [0] * len(STREAMS)
        self.files = [_open_at(self.folder / name, end) for name, end in zip(STREAMS, ends, strict=True)]
        self.at = self.done[-1]["at"] if self.done else 0
        self.progress = (self.folder / PROGRESS).open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files:
            file.close()
        self.progress.close()

    def add(self, row: dict[str, Any], got: dict[str, Any]) -> None:
        """Write one recording.

        Args:
            row: of the table of recordings.
            got: as ``store.ingest`` gives it.
        """
        note: dict[str, Any] = {"row": row, "at": self.at}
        bodies = [b""] * len(STREAMS)
        if not got["skipped"]:
            note |= {key: got[key] for key in ("pieces", "events", "excluded")}
            note["scale"] = [np.asarray(values).tolist() for values in got["scale"]]
            note["at"] += len(got["signal"])
            for entries in got["content"]:
                entries["recording"] = row["number"]
            bodies = [array.tobytes() for array in (got["signal"], *got["content"])]
        ends = [file.tell() + len(body) for file, body in zip(self.files, bodies, strict=True)]
        note |= {"ends": ends, "sha256": _sha256(*bodies)}
        line = _line(note)
        with unbroken():
            for file, body in zip(self.files, bodies, strict=True):
                file.write(body)
                file.flush()
            self.progress.write(f"{line}\n")
            self.progress.flush()
        self.at = note["at"]
        self.done.append(_read(line))  # as one that goes on has it

    def _right(self) -> list[str]:
        """Lines of an earlier build whose signal is there and right."""
        right: list[str] = []
        try:
            first, *lines = (self.folder / PROGRESS).read_text(encoding="utf-8").split("\n")
            if _read(first)["digest"] != self.digest:
                return right
            starts = [0] * len(STREAMS)
            with ExitStack() as stack:
                files = [stack.enter_context((self.folder / name).open("rb")) for name in STREAMS]
                for line in lines:
                    note = _read(line)
                    places = zip(files, starts, note["ends"], strict=True)
                    if note["sha256"] != _sha256(*(file.read(end - start) for file, start, end in places)):
                        break
                    right.append(line)
                    starts = note["ends"]
        except (OSError, ValueError, KeyError):  # a killed process's last line, or there is nothing
            pass
        return right

    def finish(self) -> None:
        """Write the tables; the progress is not needed any more."""
        for file in self.files:
            file.flush()
            os.fsync(file.fileno())
        write_copies(self.folder)
        used = [note for note in self.done if "scale" in note]
        pd.DataFrame([note["row"] for note in self.done]).to_parquet(self.folder / "recordings.parquet")
        pieces, ends = [], 0
        for number, note in enumerate(used):
            for start_s, n in note["pieces"]:
                pieces.append((number, start_s, ends, n))
                ends += n
        pd.DataFrame(pieces, columns=["recording", "start_s", "first", "n_samples"]).to_parquet(
            self.folder / "pieces.parquet"
        )
        for name in ("events", "excluded"):
            table = [(number, *event) for number, note in enumerate(used) for event in note[name]]
            pd.DataFrame(table, columns=["recording", "onset_s", "offset_s", "label"]).astype(
                {"recording": int, "onset_s": float, "offset_s": float, "label": str}
            ).to_parquet(self.folder / f"{name}.parquet")
        gain, mean, sd, filled = zip(*(note["scale"] for note in used), strict=True)
        np.savez(
            self.folder / "scale.npz",
            gain=np.array(gain, np.float32),
            mean=np.array(mean, np.float64),
            sd=np.array(sd, np.float64),
            filled=np.array(filled, bool),
        )
        self.progress.close()
        (self.folder / PROGRESS).unlink()


def sizes_of(refs: Sequence[RecordingRef]) -> np.ndarray:
    """Bytes of the files of the first recording, of the first two, and so on."""
    return np.cumsum([ref.path.stat().st_size if ref.path.is_file() else 0 for ref in refs])


def check_room(half: Half, sizes: np.ndarray) -> None:
    """Refuse to go on with a store that will not fit on its disk, from what its first recordings took.

    Args:
        sizes: from :func:`sizes_of`.

    Raises:
        MachineError: ``disk_too_small``; what is written stays, and the same command goes on behind it.
    """
    done, total = sizes[len(half.done) - 1], sizes[-1]
    left = sum(file.tell() for file in half.files) * (total - done) / max(done, 1)
    free = shutil.disk_usage(half.folder).free
    if done >= TOLD * total and left > free:
        raise MachineError(
            f"{half.folder.parent}: the store needs about {left / 1e9:.1f} GB more and {free / 1e9:.1f} GB "
            "are free. Free some and give the same command, or set store.root to another disk.",
            reason="disk_too_small",
        )


def _open_at(path: Path, end: int) -> BinaryIO:
    """A file for writing behind its first ``end`` bytes, which alone are kept."""
    file = path.open("r+b" if path.exists() else "w+b")
    file.truncate(end)
    file.seek(end)
    return file


def _sha256(*bodies: bytes) -> str:
    return hashlib.sha256(b"".join(bodies)).hexdigest()


def _line(note: dict[str, Any]) -> str:
    text = json.dumps(note, default=_plain)
    return f"{_sha256(text.encode())} {text}"


def _read(line: str) -> dict[str, Any]:
    """A line of the progress.

    Raises:
        ValueError: it is not whole.
    """
    digest, _, text = line.partition(" ")
    if digest != _sha256(text.encode()):
        raise ValueError("not whole")
    return json.loads(text)


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} in a row of the store")
