"""Mutated EDF headers and annotation files of every layout: read or refused in our own words, and soon."""

import contextlib
import functools
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from tools import SHARED, bad_module

from torture.base import Part

LIMIT_S, LIMIT_BYTES = 2.0, 500 * 2**20
"""Of one case; seconds of the processor."""
HANGS_S = 30.0
"""On the wall's clock, whatever else the machine does."""
POOL = (
    *(
        b"-1",
        b"0",
        b"1e308",
        b"nan",
        b"\0",
        b"\xff",
        b"99999999",
        b"1,5",
        b"   ",
        b"\x14",
        b"EDF+D",
        b"EDF+C",
    ),
    *(b"1e-300", b"\x15", b"+", b"inf", b"-0", b"1e", b"0x10", b"24BIT", b"1.000001", b"99991", b"0.002"),
)
"""What a field of a header may hold."""
ODD = (
    *(
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\r",
        b"\t",
        b",",
        b'"',
        b"'",
        b"#",
        b"=",
        b"nan",
        b"inf",
    ),
    *(b"-1", b"1e308", b"9" * 400, b"\xd9\xa1", b"\xe2\x80\xa8", b"../../etc/passwd", b"=cmd()", b"\x1b[2J"),
    *(b"<b>", b"n/a", b"[" * 20_000, b"{" * 20_000, b"x" * 300_000, b'"' + b"y" * 200_000, b"\n" * 5_000),
    *(b"(" * 5_000, b"-" * 3_000),
)
"""What a field of a text file may hold by accident or malice."""


LAYOUTS = ("tusz", "aubmc_raw", "chbmit", "zenodo", "bids", "folder", "aubmc")


class TooLong(BaseException):
    """A case ran past its time."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise TooLong


# ---------------------------------------------------------------------------------------- one case, watched


def judged(path: Path, dataset: str, root: Path) -> str:
    """What is wrong with how a file is met; empty where nothing is.

    Args:
        dataset: the layout that the file belongs to; empty: it is looked at alone.
        root: the tree of that layout.
    """
    from distilclip_eeg.corpora.filecheck import check
    from distilclip_eeg.schema import UserError

    for line in check(path):
        if any("\n" in message for message in line["messages"]):
            return "a message of several lines"
    if not dataset:
        return ""
    try:
        built = part_of(dataset, root).build("corpus")
        refs = built.recordings()
        for ref in [ref for ref in refs if path in ref.files][:1] or refs[:1]:
            built.read(ref)
    except UserError as refusal:
        return "a message of several lines" if "\n" in str(refusal) else ""
    return ""


@functools.cache
def part_of(dataset: str, root: Path) -> Any:
    """The corpus of a layout, as its settings name it."""
    from distilclip_eeg.config.compose import load
    from distilclip_eeg.config.experiment import TrainSettings

    return load(TrainSettings, [f"dataset={dataset}", f"dataset.root={root}", "split=window"]).dataset.corpus


def _serve(line: Connection) -> None:
    """In a process of its own: judge one case after another, each within its time and memory."""
    import distilclip_eeg.corpora.filecheck  # noqa: F401

    signal.signal(signal.SIGPROF, _stop)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, resource.RLIM_INFINITY))
    while (case := line.recv()) is not None:
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # of the processor: others may be at work here too
        try:
            fault = judged(*case)
        except TooLong:
            fault = f"longer than {LIMIT_S:g} s"
        except MemoryError:
            fault = f"more than {LIMIT_BYTES >> 20} MB"
        except BaseException as error:
            fault = f"leaks {type(error).__name__}: {str(error)[:60]}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        line.send((fault, time.process_time() - began))


class Watcher:
    """A judge in another process, started again where a case ends it."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("fork")
        self.start()

    def start(self) -> None:
        """A new process."""
        self.line, other = self.context.Pipe()
        self.process = self.context.Process(target=_serve, args=(other,), daemon=True)
        self.process.start()

    def ask(self, path: Path, dataset: str = "", root: Path = Path()) -> tuple[str, float]:
        """The fault of a case, and its seconds."""
        self.give(path, dataset, root)
        return self.take()

    def give(self, path: Path, dataset: str = "", root: Path = Path()) -> None:
        """Hand a case over; ``take`` has its answer."""
        self.line.send((path, dataset, root))

    def take(self) -> tuple[str, float]:
        """The fault of the case handed over, and its seconds."""
        end = time.monotonic() + HANGS_S
        while time.monotonic() < end and self.process.is_alive():
            if self.line.poll(0.05):
                try:
                    return self.line.recv()
                except EOFError:
                    break
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.start()
        return ("hangs outside Python" if code is None else f"ended its process ({code})"), HANGS_S

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()


# ---------------------------------------------------------------------------------------------- mutations


def mutated_edf(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to four fields or bytes replaced, most of them in the header; one in ten is cut as well."""
    turned = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        head = min(len(raw), 256 * (1 + int(rng.integers(1, 6))))
        place = int(rng.choice([rng.integers(168, 256), rng.integers(head), rng.integers(len(raw))]))
        piece = POOL[int(rng.integers(len(POOL)))] if rng.random() < 0.6 else rng.bytes(1)
        if rng.random() < 0.3:  # a whole field of eight
            place, piece = place // 8 * 8, piece.ljust(8)[:8]
        turned[place : place + len(piece)] = piece
    if rng.random() < 0.05:
        turned = bytearray(bytes(turned).replace(b"\n", b"\r\n"))
    return bytes(turned[: int(rng.integers(len(turned)))] if rng.random() < 0.1 else turned)


def mutated_text(raw: bytes, rng: np.random.Generator) -> bytes:
    """Bytes, fields, lines or the whole file changed."""
    turned = raw
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(turned) + 1))
        lines = turned.split(b"\n")
        line = int(rng.integers(len(lines)))
        match int(rng.integers(8)):
            case 0:
                turned = turned[:place] + rng.bytes(1) + turned[place + 1 :]
            case 1 | 2:
                turned = turned[:place] + ODD[int(rng.integers(len(ODD)))] + turned[place:]
            case 3:
                turned = turned[:place]
            case 4:
                turned = b"\n".join([*lines[:line], *lines[line + 1 :]])
            case 5:
                turned = b"\n".join([*lines, lines[line]])
            case 6:
                fields = lines[line].replace(b"\t", b",").split(b",")
                fields[int(rng.integers(len(fields)))] = ODD[int(rng.integers(len(ODD)))]
                mark = b"\t" if b"\t" in lines[line] else b","
                turned = b"\n".join([*lines[:line], mark.join(fields), *lines[line + 1 :]])
            case _:
                how = ("utf-16", "utf-8-sig", "utf-32")[int(rng.integers(3))]
                turned = turned.decode("latin-1").encode(how) if len(turned) < 100_000 else turned[::-1]
    return turned


# -------------------------------------------------------------------------------------------------- parts


@dataclass(frozen=True)
class Case:
    """A changed file, and the tree it is read in."""

    path: Path
    what: str
    dataset: str = ""
    root: Path = Path()


def folders(part: Part) -> list[Path]:
    """A folder for each of two judges, one a core."""
    made = [part.folder / name for name in ("one", "two")]
    for folder in made:
        folder.mkdir(parents=True, exist_ok=True)
    return made


def judge(part: Part, sources: list[Iterator[Case]]) -> None:
    """Cases of several sources, each source with a judge of its own, while there is time."""
    judges = [(Watcher(), source) for source in sources]
    open_: list[Case | None] = [None] * len(judges)
    for number in part.numbers():
        place = number % len(judges)
        watcher, source = judges[place]
        if (case := open_[place]) is not None:
            fault, seconds = watcher.take()
            part.judge(fault, case.what, seconds)
            kept(part, case.path, fault)
        open_[place] = case = next(source)
        watcher.give(case.path, case.dataset, case.root)
    for watcher, _ in judges:
        watcher.close()


def headers(part: Part) -> None:
    """EDF and BDF headers, with and without annotations, gaps and odd rates."""
    files = [made(part.folder, number) for number in range(4)]
    if SHARED:
        module = bad_module()
        module.build_edf()
        files += [case["data"] for case in module.CASES if 2_000 < len(case["data"]) < 400_000]

    def cases(folder: Path) -> Iterator[Case]:
        path = folder / "f.edf"
        while True:
            path.write_bytes(mutated_edf(files[int(part.rng.integers(len(files)))], part.rng))
            yield Case(path, "header")

    judge(part, [cases(folder) for folder in folders(part)])


def made(folder: Path, number: int) -> bytes:
    """A small recording: plain, with another rate beside it, with annotations, with a gap."""
    from distilclip_eeg.corpora.edf.montage import STANDARD_19
    from distilclip_eeg.corpora.invented.layouts.edf import Header, edf_bytes, signal_of

    rng, sfreq = np.random.default_rng(number), (256.0, 200.0, 256.0, 512.0)[number]
    names = STANDARD_19 if number < 3 else STANDARD_19[:8]
    signals = [signal_of(f"EEG {n}-REF", 50 * rng.standard_normal(int(12 * sfreq)), sfreq) for n in names]
    how = {"kept": [0, 1, 2, 7, 8, 9], "onsets_s": [0, 1, 2, 7, 8, 9]} if number == 3 else {}
    return edf_bytes(signals, header=Header(), **how)


def trees(folder: Path) -> Iterator[tuple[str, Path]]:
    """A small tree of every layout."""
    from distilclip_eeg.corpora.invented.layouts.tree import synthesize

    for layout in LAYOUTS:
        root = folder / layout
        if not root.exists():
            synthesize(layout, root, n_subjects=3, recordings_per_subject=1, recording_s=60, seed=1)
        yield layout, root


def annotations(part: Part) -> None:
    """Everything that is no signal, in a tree of each layout."""
    one, two = folders(part)
    for layout, root in trees(one):
        shutil.copytree(root, two / layout, dirs_exist_ok=True)
    judge(part, [text_cases(part, folder) for folder in (one, two)])


def text_cases(part: Part, folder: Path) -> Iterator[Case]:
    """One file of one tree changed at a time; it is put right before the next."""
    files: dict[str, list[tuple[Path, Path]]] = {}
    for layout, root in trees(folder):
        there = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name != "truth.json"]
        texts = [p for p in there if p.suffix not in (".edf", ".bdf") and p.stat().st_size < 200_000]
        files[layout] = [(root, path) for path in texts]
    while True:
        layout = LAYOUTS[int(part.rng.integers(len(LAYOUTS)))]
        root, path = files[layout][int(part.rng.integers(len(files[layout])))]
        raw = path.read_bytes()
        path.write_bytes(mutated_text(raw, part.rng))
        yield Case(path, f"{layout} {path.suffix}", layout, root)
        path.write_bytes(raw)


def known(part: Part) -> None:
    """The shared corpus of bad files, each within time and memory and in our own words."""
    module = bad_module()
    if module is None:
        return
    folder = part.folder / "inputs"
    with contextlib.redirect_stdout(io.StringIO()):
        module.generate(folder)
    watcher = Watcher()
    for case in json.loads((folder / "manifest.json").read_text()):
        if case["kind"] in ("edf", "tusz_csv_bi", "bids_tsv", "chb_summary"):
            fault, seconds = watcher.ask(folder / case["path"])
            part.judge(fault, case["name"], seconds)
    watcher.close()


def kept(part: Part, path: Path, fault: str) -> None:
    """Keep the first twenty wrong files beside the scratch, where the caller asks for it."""
    if fault and (where := os.environ.get("TORTURE_KEEP")) and sum(part.faults.values()) <= 20:
        target = Path(where) / part.name
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{sum(part.faults.values()):02d}-{path.name}").write_bytes(path.read_bytes())
