"""A whole corpus: what is there, what is missing, and fetching that, a few files at a time."""

import shutil
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from distilclip_eeg.corpora.download.files import Files, size_of
from distilclip_eeg.corpora.download.sources import SOURCES, RemoteFile, choose, files_of
from distilclip_eeg.progress import Ticker, clock
from distilclip_eeg.schema import ConfigError, DataError, UserError, check_choice

MAX_WORKERS = 16
MB = 10**6
ONE_FILE = ("checksum_mismatch", "not_found")
"""Errors of one file, after which the others are still fetched. Any other error ends the download."""


@dataclass(frozen=True)
class Plan:
    """What is there and what is to be fetched."""

    good: tuple[RemoteFile, ...]
    wrong: tuple[RemoteFile, ...]
    """There, with another checksum; replaced when the right one has arrived."""
    fetch: tuple[RemoteFile, ...]
    """Missing or wrong."""
    kept: int
    """Bytes of these that lie in .part files already."""
    free: int
    """Bytes free on the disk."""

    @property
    def left(self) -> int:
        """Bytes to fetch, as far as sizes are known."""
        return max(sum(f.size or 0 for f in self.fetch) - self.kept, 0)


class Download:
    """One corpus on its way into a folder.

    Args:
        dataset: a key of ``SOURCES``.
        root: where the corpus shall lie, in its own layout.
        url: another place that publishes the same listing (a mirror).
        workers: files at once.
        backoff_s: the first pause before asking a busy server again.

    Raises:
        ConfigError: ``dataset``, ``workers`` or ``url`` cannot be meant.
    """

    def __init__(
        self, dataset: str, root: str | Path, *, url: str = "", workers: int = 4, backoff_s: float = 1.0
    ):
        check_choice("dataset", dataset, tuple(SOURCES))
        if not 1 <= workers <= MAX_WORKERS:
            raise ConfigError(f"workers={workers}: expected 1 to {MAX_WORKERS} files at once.")
        if url and not url.startswith(("https://", "http://")):
            raise ConfigError(f"url={url}: expected an address that starts with https:// or http://.")
        self.dataset, self.root, self.source = dataset, Path(root), SOURCES[dataset]
        self.url, self.workers = url or self.source.url, workers
        self.files = Files(self.root, connections=workers, backoff_s=backoff_s)

    def plan(self, cases: Collection[str] = ()) -> Plan:
        """Read the listing, check what is there, and ask how long the rest is. Writes nothing.

        Args:
            cases: only these (chb01, eeg7, p10) and the files that belong to no case; empty for all.

        Raises:
            ConfigError: ``unknown_case``.
            DataError: ``download_failed``, ``not_found``, ``bad_listing`` or ``unsafe_path``.
        """
        files = choose(self.source, files_of(self.source, self.files.read, self.url), cases)
        there = [f for f in files if (self.root / f.name).is_file()]
        with Ticker(len(there), "checking the files that are there") as ticker:
            right = self._in_parallel(self.files.is_right, there, ticker.advance)
        good = {f for f, ok in zip(there, right, strict=True) if ok}
        missing = [f for f in files if f not in good]
        with Ticker(len(missing), "asking for sizes") as ticker:
            fetch = self._in_parallel(self.files.sized, missing, ticker.advance)
        kept = [min(size_of(self.files.part(f)), f.size) for f in fetch if f.size is not None]
        nearest = next(p for p in (self.root, *self.root.absolute().parents) if p.exists())
        return Plan(
            good=tuple(f for f in files if f in good),
            wrong=tuple(f for f in there if f not in good),
            fetch=tuple(fetch),
            kept=sum(kept),
            free=shutil.disk_usage(nearest).free,
        )

    def describe(self, plan: Plan) -> str:
        """A plan in a few lines: source, licence, what is right, what is to be fetched, room on the disk."""
        unknown = sum(f.size is None for f in plan.fetch)
        to_fetch = f"{len(plan.fetch)} files, {human(plan.left + plan.kept)}"
        if unknown:
            to_fetch += f" and {unknown} of unknown length"
        if plan.kept:
            to_fetch += f", {human(plan.kept)} of it kept from before"
        return (
            f"{self.source.title}\n  from {self.url}\n  licence: {self.source.licence}\n"
            f"  there and right: {len(plan.good)} files; there, but not as published: {len(plan.wrong)}\n"
            f"  to fetch into {self.root}: {to_fetch}; free on the disk: {human(plan.free)}"
        )

    def fetch(self, plan: Plan) -> str:
        """Fetch what the plan names; returns a line that sums up.

        Raises:
            UserError: ``no_space``.
            DataError: see :meth:`~distilclip_eeg.corpora.download.files.Files.fetch`; other files than the
                one it names are whole, or in .part files and continued next time.
        """
        if plan.left > plan.free:
            raise UserError(
                f"{self.root}: {human(plan.left)} to fetch, {human(plan.free)} free on the disk. Make room, "
                "give another root=, or choose some cases=.",
                reason="no_space",
            )
        failed: list[DataError] = []
        start, shown, self.files.moved = time.monotonic(), 0, 0

        def work(file: RemoteFile) -> None:
            try:
                self.files.fetch(file)
            except DataError as error:
                if error.reason not in ONE_FILE:
                    raise
                failed.append(error)

        def tick(_: int) -> None:
            nonlocal shown
            now = self.files.moved // MB
            ticker.advance(now - shown)
            shown = now

        with Ticker(-(-plan.left // MB), f"fetching {self.dataset}, MB") as ticker:
            self._in_parallel(work, plan.fetch, tick)
        if failed:
            more = f" ({len(failed) - 1} more files failed)" if len(failed) > 1 else ""
            raise DataError(f"{failed[0]}{more}", reason=failed[0].reason)
        took = clock(time.monotonic() - start)
        return (
            f"{self.root}: {len(plan.fetch)} files fetched ({human(self.files.moved)} in {took}), "
            f"{len(plan.good)} were there; all checksums agree"
        )

    def _in_parallel(self, work: Callable, items: Sequence, tick: Callable[[int], None]) -> list:
        """``work`` of every item, in their order; the first error, or Ctrl-C, ends the rest."""
        self.files.stop.clear()
        pool = ThreadPoolExecutor(self.workers)
        try:
            futures = [pool.submit(work, item) for item in items]
            waiting = set(futures)
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                tick(len(done))
        except BaseException as error:
            self.files.stop.set()
            pool.shutdown(wait=not isinstance(error, KeyboardInterrupt), cancel_futures=True)
            raise
        pool.shutdown()
        return [future.result() for future in futures]


def human(size: float) -> str:
    """Bytes with a decimal unit: ``1234567`` as ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
