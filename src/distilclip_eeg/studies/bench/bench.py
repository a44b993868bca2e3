"""``python scripts/benchmark.py what=goals``: every goal on this machine, as a table and as JSON."""

import platform
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import torch

from distilclip_eeg.config.commands import BenchmarkSettings
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.progress import clock
from distilclip_eeg.runs import provenance
from distilclip_eeg.studies.bench import inference, ingest, peers, steps

PEERS = ("mne", "scipy", "torch", "onnxruntime", "braindecode")
MINUTES = 15
"""Of each recording that is read and filtered; the detector's are ``minutes``."""


def bench(settings: BenchmarkSettings, minutes: int = MINUTES) -> Iterator[str]:
    """A line for each contest, then the table; writes ``output``.json and ``output``.txt."""
    before = read_json(Path(settings.before))["rows"] if settings.before else []
    threads, begun, rows = torch.get_num_threads(), time.perf_counter(), []
    torch.set_num_threads(1)
    try:
        for goal, what, found, seconds in measured(settings, minutes):
            rows += found
            yield f"{goal:4} {what} ({clock(seconds)})"
    finally:  # one that is stopped leaves what it has measured
        torch.set_num_threads(threads)
        text = written(settings, rows, [] if peers.there() else [peers.MISSING], begun, before)
    yield text


def written(
    settings: BenchmarkSettings, rows: list[dict], left_out: list[str], begun: float, before: list[dict]
) -> str:
    """``output``.json and ``output``.txt; returns the table.

    Args:
        left_out: what could not be measured here, a line each.
        begun: when, by ``time.perf_counter``.
        before: rows of an earlier run.
    """
    told = {"machine": machine(), "versions": versions(), "commit": provenance()["commit"]}
    told |= {"rounds": settings.rounds, "minutes": round((time.perf_counter() - begun) / 60, 1)}
    told |= {"left_out": left_out, "rows": rows}
    text = page(told, before)
    write_json(Path(f"{settings.output}.json"), told)
    write_atomic(Path(f"{settings.output}.txt"), f"{text}\n".encode())
    return text


def measured(settings: BenchmarkSettings, minutes: int) -> Iterator[tuple[str, str, list[dict], float]]:
    """Goal, what was measured, rows and seconds."""
    start, rounds = time.perf_counter(), settings.rounds
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = ingest.data_of(folder, minutes)
        for contest in chain(
            ingest.contests(folder, data, minutes, rounds),
            peers.contests(folder, data, minutes, rounds),
            steps.contests(data, rounds),
        ):
            found = contest.rows(contest.run())
            yield contest.ratios[0].goal, contest.what, found, time.perf_counter() - start
            start = time.perf_counter()
    for what, found in inference.rows(settings.minutes, rounds):
        yield "G10", what, found, time.perf_counter() - start
        start = time.perf_counter()


def machine() -> dict:
    """Cores, kind of processor and of machine; no host or user name."""
    cpu, info = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        cpu = next((s.partition(":")[2].strip() for s in lines if s.startswith("model name")), cpu)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    capability = torch.backends.cpu.get_cpu_capability()
    return {"machine": provenance()["machine"], "cpu": cpu, "instructions": capability, "gpu": gpu}


def versions() -> dict[str, str | None]:
    """Of ourselves and of the peers; None where one is not installed."""
    found: dict[str, str | None] = dict(provenance()["libraries"]) | {"python": platform.python_version()}
    for name in PEERS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def page(told: dict, before: list[dict]) -> str:
    """The table, at most 100 columns wide, with an earlier run's ratios where they were given."""
    earlier = {row["what"]: f"{row['ratio']:.3g}" for row in before}
    lines = [f"{'':4}{'ratio of times':51}{'before':>8}{'now':>8}{'quartiles':>16}  goal"]
    for row in told["rows"]:
        spread = f"{row['low']:.3g}-{row['high']:.3g}"
        lines.append(
            f"{row['goal']:4}{row['what']:51}{earlier.get(row['what'], ''):>8}{row['ratio']:8.3g}"
            f"{spread:>16}  {row['aim']:8}{row['met']}".rstrip()
        )
    about, seen = told["machine"], told["versions"]
    named = ", ".join(f"{name} {seen[name]}" for name in PEERS if seen[name])
    return "\n".join(
        [
            *lines,
            f"{about['machine']}, {about['cpu']}, {about['instructions']}",
            f"{named}; commit {told['commit']}",
            f"Medians over {told['rounds']} rounds in turns, 3 where one is long; one thread, or as said.",
            *told["left_out"],
        ]
    )
