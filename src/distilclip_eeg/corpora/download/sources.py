"""Where the open corpora are published, and how each place lists its files with checksums.

TUSZ is not open; for it there are words instead of a listing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin

from distilclip_eeg.corpora.small_files import json_of
from distilclip_eeg.schema import ConfigError, DataError

FIGURES = {"sha256": 64, "md5": 32}
"""The checksums in use, and how many hexadecimal figures each has."""
MENDELEY_JSON = "application/vnd.mendeley-public-dataset.1+json"
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *]?(\S.*)")
_UNSAFE = re.compile(r"[\\:\x00-\x1f\x7f]")

TUSZ = """\
TUSZ (Temple University Hospital EEG Seizure Corpus) is free of charge, but only on application: nothing
of it is downloaded, contained or redistributed here, and its terms forbid you to pass it on.
  1. Fill in and sign the form at https://isip.piconepress.com/projects/nedc/html/tuh_eeg/ and send it to
     the address given there (help@nedcdata.org). Temple University's Neural Engineering Data Consortium
     answers within days with your own access and says how to send it the public half of an SSH key.
  2. Fetch the release with rsync; the answer holds the user, the host and the newest version:
       rsync -auvxL -e "ssh -i YOUR_KEY" USER@HOST:data/tuh_eeg/tuh_eeg_seizure/VERSION/ data/tusz/
     -L is needed (the corpus is made of links); the same command continues after an interruption.
  3. Point dataset.root at the folder that holds edf/ with train, dev and eval inside:
       python scripts/describe.py dataset=tusz dataset.root=data/tusz"""


@dataclass(frozen=True)
class RemoteFile:
    """One file as a listing names it."""

    name: str
    """Path below the root, with forward slashes."""
    url: str
    algorithm: str
    checksum: str
    size: int | None = None
    """Bytes; None while nobody has said."""


Read = Callable[[str, str], bytes]
"""``read(url, accept)``: the body of a listing."""


@dataclass(frozen=True)
class Source:
    """A corpus in the place where its owners publish it."""

    title: str
    url: str
    entries: Callable[[Read, str], Iterable[RemoteFile]]
    case: re.Pattern
    """Finds the case in a file's name; a file without one belongs to all cases."""
    licence: str


def physionet(read: Read, url: str) -> Iterator[RemoteFile]:
    """``SHA256SUMS.txt``: lines of checksum, blank, name. It has no sizes and does not list itself.

    Raises:
        ValueError: a line that is no checksum and name.
    """
    base = url.rstrip("/") + "/"
    own = "SHA256SUMS.txt"
    sums = read(base + own, "*/*")
    yield RemoteFile(own, base + own, "sha256", hashlib.sha256(sums).hexdigest(), len(sums))
    for number, line in enumerate(sums.decode("utf-8").splitlines(), 1):
        match = _SUM_LINE.fullmatch(line)
        if match:
            yield RemoteFile(match[2], base + quote(match[2]), "sha256", match[1].lower())
        elif line.strip():
            raise ValueError(f"line {number} of {own} is no checksum and name: {line[:60]!r}")


def zenodo(read: Read, url: str) -> Iterator[RemoteFile]:
    """A record of the records API: ``files`` of ``key``, ``size``, ``checksum`` (md5:...), ``links.self``.

    Raises:
        KeyError, TypeError, ValueError: the answer has another form.
    """
    for entry in json_of(read(url, "application/json"))["files"]:
        algorithm, _, checksum = entry["checksum"].partition(":")
        link = urljoin(url, entry["links"]["self"])
        yield RemoteFile(entry["key"], link, algorithm, checksum.lower(), entry["size"])


def mendeley(read: Read, url: str) -> Iterator[RemoteFile]:
    """Version 1 in the public API: a flat list of folders, and one list of files a folder.

    Raises:
        KeyError, TypeError, ValueError: the answer has another form, or a folder lies inside itself.
    """
    base = url.rstrip("/")
    folders = {f["id"]: f for f in json_of(read(f"{base}/folders/1", MENDELEY_JSON))}

    def path(folder: str | None) -> list[str]:
        names: list[str] = []
        while folder in folders:  # whatever is not in the list is the top
            names.insert(0, folders[folder]["name"])
            folder = folders[folder].get("parent_id")
            if len(names) > len(folders):
                raise ValueError("a folder lies inside itself")
        return names

    for folder in ("root", *folders):
        asked = f"{base}/files?folder_id={quote(folder, safe='')}&version=1"
        for entry in json_of(read(asked, MENDELEY_JSON)):
            details = entry["content_details"]
            name = "/".join([*path(entry.get("folder_id", folder)), entry["filename"]])
            link = urljoin(url, details["download_url"])
            yield RemoteFile(name, link, "sha256", details["sha256_hash"].lower(), details["size"])


SOURCES = {
    "chbmit": Source(
        "CHB-MIT Scalp EEG Database 1.0.0, PhysioNet",
        "https://physionet.org/files/chbmit/1.0.0/",
        physionet,
        re.compile(r"^(chb\d\d)/"),
        "ODC-By 1.0; cite Guttag 2010 (doi 10.13026/C2K01R) and Shoeb 2009",
    ),
    "zenodo": Source(
        "Neonatal EEG with seizure annotations (Helsinki), Zenodo record 4940267",
        "https://zenodo.org/api/records/4940267",
        zenodo,
        re.compile(r"^(eeg\d+)\.edf$"),
        "CC BY 4.0; cite Stevenson et al. 2019 (doi 10.5281/zenodo.4940267)",
    ),
    "aubmc": Source(
        "Epileptic EEG Dataset (AUBMC), Mendeley Data 5pc2j46cbc version 1",
        "https://data.mendeley.com/public-api/datasets/5pc2j46cbc",
        mendeley,
        re.compile(r"(?:^|/)(p\d+)_Record", re.IGNORECASE),
        "see the page of the dataset; cite Nasreddine 2021 (doi 10.17632/5pc2j46cbc.1)",
    ),
}


def how_to_get(name: str, root: Path) -> str:
    """What to type to have the corpus ``name`` in ``root``."""
    if name in SOURCES:
        return f"python scripts/download.py dataset={name} root={root}"
    if name == "tusz":
        return "python scripts/download.py dataset=tusz says how to apply for it"
    return f"dataset={name} dataset.root=FOLDER"


def files_of(source: Source, read: Read, url: str) -> list[RemoteFile]:
    """Every file of the corpus, checked for what a listing may not say.

    Raises:
        DataError: ``bad_listing`` or ``unsafe_path``.
    """
    try:
        files = list(dict.fromkeys(source.entries(read, url)))
        for file in files:
            _check(file)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)[:200]
        raise DataError(
            f"{url}: the listing cannot be read ({what}); expected that of {source.title}. Is url= right, or "
            "does a proxy answer in its place?",
            reason="bad_listing",
        ) from None
    twice = [name for name, n in Counter(f.name for f in files).items() if n > 1]
    if twice or not files:
        found = f"{twice[0]} twice and not the same" if twice else "no file"
        raise DataError(f"{url}: the listing has {found}; nothing was fetched.", reason="bad_listing")
    return files


def choose(source: Source, files: list[RemoteFile], cases: Collection[str]) -> list[RemoteFile]:
    """The files of ``cases`` and those of no case; all without ``cases``.

    Raises:
        ConfigError: ``unknown_case``.
    """
    of = {f: match[1] for f in files if (match := source.case.search(f.name))}
    unknown = sorted(set(cases) - set(of.values()))
    if unknown:
        known = ", ".join(sorted(set(of.values()), key=lambda c: (len(c), c)))
        raise ConfigError(
            f"cases={','.join(unknown)}: not in the listing; it has {known}.", reason="unknown_case"
        )
    return [f for f in files if not cases or f not in of or of[f] in cases]


def _check(file: RemoteFile) -> None:
    """Refuse a name that leaves the root, a checksum or a size that cannot be one."""
    if any(part in ("", ".", "..") for part in file.name.split("/")) or _UNSAFE.search(file.name):
        raise DataError(
            f"the listing names {file.name!r}; expected a plain path below the root. Nothing was fetched.",
            reason="unsafe_path",
        )
    if not re.fullmatch("[0-9a-f]+", file.checksum) or len(file.checksum) != FIGURES.get(file.algorithm):
        raise ValueError(f"{file.name} has {file.algorithm} {file.checksum!r}")
    if file.size is not None and (type(file.size) is not int or file.size < 0):
        raise ValueError(f"{file.name} has size {file.size!r}")
