"""One file over HTTP: resumed where it broke, checked against its checksum, and only then named.

A file grows under ``NAME.XXXXXXXX.part``; the X are the first figures of its published checksum, so that a
part of another release is never continued.
"""

import hashlib
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter, Retry

from distilclip_eeg import __version__
from distilclip_eeg.corpora.download.sources import RemoteFile
from distilclip_eeg.corpora.small_files import bounded
from distilclip_eeg.schema import DataError

CHUNK = 1 << 16
"""Bytes read at once: even from a slow server Ctrl-C takes effect within seconds."""
TIMEOUT_S = (20.0, 60.0)
"""To connect, and between two packets."""
ATTEMPTS = 6
"""Times in a row that a file may break off without a single new byte."""
CUT_OFF = requests.exceptions.ChunkedEncodingError, requests.ConnectionError, requests.Timeout
_RANGE = re.compile(r"bytes (?:(?P<start>\d+)-\d+|\*)/(?P<total>\d+|\*)")


class Stopped(Exception):
    """A thread noticed that it should end; nobody outside sees it."""


class Files:
    """Fetches files into a folder; any number of threads may use one.

    Proxies come from HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Answers 429 and 5xx are asked again, longer and
    longer apart.

    Args:
        root: the folder.
        connections: kept open at most.
        backoff_s: the first pause before asking again.
    """

    def __init__(self, root: Path, *, connections: int, backoff_s: float):
        self.root, self.backoff_s = root, backoff_s
        again = Retry(
            total=8,
            connect=2,
            read=2,
            status=6,
            backoff_factor=backoff_s,
            status_forcelist=(429, 500, 502, 503, 504),
        )
        self.session = requests.Session()
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, HTTPAdapter(max_retries=again, pool_maxsize=connections))
        # Zenodo asks clients to name themselves; a packed answer could not be resumed by bytes.
        own = {"User-Agent": f"distilclip-eeg/{__version__}", "Accept-Encoding": "identity"}
        self.session.headers.update(own)
        self.stop = threading.Event()
        """Set it, and every thread ends at its next packet."""
        self.moved, self._lock = 0, threading.Lock()
        """Bytes written so far, less those thrown away."""

    def read(self, url: str, accept: str) -> bytes:
        """The body of a listing.

        Args:
            url: of the listing.
            accept: the media type asked for.

        Raises:
            DataError: ``download_failed``, ``not_found`` or ``bad_listing`` (no listing is that large).
        """
        try:
            answer = self.session.get(url, headers={"Accept": accept}, timeout=TIMEOUT_S, stream=True)
            with answer:
                _check_status(answer, url)
                return bounded(answer.iter_content(CHUNK), lambda most: _too_large(url, most))
        except requests.RequestException as error:
            raise _unreachable(url, error) from None

    def sized(self, file: RemoteFile) -> RemoteFile:
        """The same file with its size, where the listing or the server tells.

        Raises:
            DataError: ``download_failed``: no server answers.
        """
        if file.size is not None:
            return file
        try:
            answer = self.session.head(file.url, allow_redirects=True, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise _unreachable(file.url, error) from None
        length = answer.headers.get("Content-Length", "") if answer.status_code == 200 else ""
        return replace(file, size=int(length) if length.isdecimal() else None)

    def is_right(self, file: RemoteFile) -> bool:
        """Whether the file on disk is the published one, by size and checksum.

        Raises:
            DataError: ``unreadable``.
        """
        path = self.root / file.name
        try:
            return file.size in (None, size_of(path)) and self.digest(path, file.algorithm) == file.checksum
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error}). Mend that, or move it away to have it fetched anew.",
                reason="unreadable",
            ) from None

    def part(self, file: RemoteFile) -> Path:
        """Path under which the file grows until it is whole."""
        return self.root / f"{file.name}.{file.checksum[:8]}.part"

    def fetch(self, file: RemoteFile) -> None:
        """Fetch, check, rename; what stood under the name stays until then.

        Raises:
            DataError: ``checksum_mismatch``, ``not_found``, ``download_failed`` or ``write_failed``. After
                the last two the .part file stays and is continued next time.
        """
        target, part = self.root / file.name, self.part(file)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _remove_other_parts(target, part)
            for last in (False, True):
                part.touch()
                whole = self._receive(file, part)
                found, size = self.digest(part, file.algorithm), size_of(part)
                if found == file.checksum:
                    os.replace(part, target)
                    return
                self._empty(part)
                if whole or last:  # otherwise what was kept may have been damaged: once more, from the start
                    break
        except requests.RequestException as error:
            raise _unreachable(file.url, error) from None
        except OSError as error:
            raise DataError(
                f"{target} could not be written ({error}). Mend that and run the same command again.",
                reason="write_failed",
            ) from None
        finally:
            if part.is_file() and not size_of(part):
                part.unlink()
        raise DataError(
            f"{file.name}: {file.algorithm} {found} found ({size} bytes from {file.url}), {file.checksum} "
            "expected; it was thrown away. Run the same command again; if it stays so, that copy is damaged.",
            reason="checksum_mismatch",
        )

    def _receive(self, file: RemoteFile, part: Path) -> bool:
        """Fill ``part`` to the file's size; whether it came in one piece from its first byte on."""
        failures, best, whole = 0, 0, False
        if file.size is not None and size_of(part) > file.size:
            self._empty(part)
        while (have := size_of(part)) != file.size:
            whole = have == 0
            try:
                self._request_rest(file, part, have)
                if file.size is None or size_of(part) >= file.size:
                    break
                raise requests.ConnectionError(f"ended after {size_of(part)} of {file.size} bytes")
            except CUT_OFF as error:
                now = size_of(part)
                failures, best = (0, now) if now > best else (failures + 1, best)
                if failures >= ATTEMPTS:
                    raise
                if self.stop.wait(self.backoff_s * 2**failures):
                    raise Stopped from error
        return whole

    def _request_rest(self, file: RemoteFile, part: Path, have: int) -> None:
        """Ask for what ``part`` lacks and append it; a server that ignores Range sends all, and may."""
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self.session.get(file.url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            span = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            start, total = (span["start"], span["total"]) if span else (None, None)
            if answer.status_code == 416 and file.size is None and total == str(have):
                return  # complete already, only nobody had said its size
            if answer.status_code in (206, 416):
                known = total in ("*", str(file.size)) or file.size is None
                if start != str(have) or not known:
                    self._empty(part)
                    raise requests.ConnectionError("what was kept does not fit the file there; starting anew")
            _check_status(answer, file.url)
            if answer.status_code == 200:
                offered = answer.headers.get("Content-Length", "")
                if file.size is not None and offered.isdecimal() and int(offered) != file.size:
                    raise requests.ConnectionError(f"{offered} bytes offered, {file.size} expected")
                self._empty(part)
            with part.open("ab") as out:
                for chunk in answer.iter_content(CHUNK):
                    if self.stop.is_set():
                        raise Stopped
                    out.write(chunk)
                    self._count(len(chunk))
                    if file.size is not None and out.tell() > file.size:
                        return  # without end, or another file: the checksum will tell

    def digest(self, path: Path, algorithm: str) -> str:
        """Checksum of a file, in hexadecimal figures.

        Args:
            algorithm: a key of ``sources.FIGURES``.

        Raises:
            Stopped: another thread ended the download.
            OSError: the file cannot be read.
        """
        total = hashlib.new(algorithm, usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                if self.stop.is_set():
                    raise Stopped
                total.update(block)
        return total.hexdigest()

    def _empty(self, part: Path) -> None:
        self._count(-size_of(part))
        os.truncate(part, 0)

    def _count(self, n: int) -> None:
        with self._lock:
            self.moved += n


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def _remove_other_parts(target: Path, part: Path) -> None:
    """Parts of other releases of the same file."""
    ours = re.compile(re.escape(target.name) + r"\.[0-9a-f]{8}\.part")
    for other in target.parent.iterdir():
        if other != part and ours.fullmatch(other.name):
            other.unlink()


def _check_status(answer: requests.Response, url: str) -> None:
    """Refuse an answer that is not the file."""
    if answer.status_code in (404, 410):
        raise DataError(f"{url}: not there ({answer.status_code}). Is url= right?", reason="not_found")
    if answer.status_code not in (200, 206):
        raise DataError(
            f"{url}: the server answered {answer.status_code} {answer.reason}; expected the file. Try again "
            "later, or fetch it with a browser.",
            reason="download_failed",
        )


def _unreachable(url: str, error: Exception) -> DataError:
    """A network's error in one line: its innermost reason, and what to do."""
    inner = getattr(error.args[0] if error.args else None, "reason", None) or error
    why = " ".join(str(inner).split())[:200]
    return DataError(
        f"{url}: {why}. Check the network and HTTPS_PROXY; the same command continues where it stopped.",
        reason="download_failed",
    )


def _too_large(url: str, most: int) -> DataError:
    return DataError(
        f"{url}: the listing is larger than {most:,} bytes, unpacked; expected some thousand names. Is url= "
        "right?",
        reason="bad_listing",
    )
