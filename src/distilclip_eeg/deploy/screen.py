"""``python scripts/detect.py``: one file, a folder of them or a BIDS tree through a model.

A file that cannot be used does not stop the others; one that is finished is not scored again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from distilclip_eeg.artefact.folder import Folder, load_folder
from distilclip_eeg.artefact.recipe import Network
from distilclip_eeg.config.data import Links
from distilclip_eeg.config.on_files import DetectSettings
from distilclip_eeg.corpora.bids_files import entity, read_participants
from distilclip_eeg.corpora.edf.fields import start_time
from distilclip_eeg.corpora.walk import Walk, link_outside, looks_like_edf
from distilclip_eeg.deploy.detection import UNLIKE
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.engines import OnnxNetwork, open_network
from distilclip_eeg.deploy.writers import (
    EVENTS,
    REVIEW,
    check_place,
    foreign_files,
    read_record,
    write_detection,
)
from distilclip_eeg.files.digests import sha256_of
from distilclip_eeg.schema import ConfigError, DataError, SkipRecording, check_choice, visible
from distilclip_eeg.signals.store import fingerprint

HEAD = ("file", "seconds", "events", "what was odd")
USED = ("hop_s", "channels", "ages", "engine", "precision", "figure", "review", "dates")
"""Settings that change what is written."""
MOST_WORDS = 100
"""Of a reason, in the table; the line above it says all."""
AnyNetwork = TypeVar("AnyNetwork", bound=Network)


@dataclass(frozen=True)
class Item:
    """A recording to score."""

    path: Path
    name: Path
    """Below the output, without an ending."""
    age_band: str = ""
    refused: DataError | None = None
    """Why it is not even opened: a link that leads out of the folder."""

    @property
    def label(self) -> str:
        """Its name as text, for tables and messages."""
        return visible(self.name.as_posix())

    def check(self) -> None:
        """Refuse what is not to be opened.

        Raises:
            SkipRecording: ``link_outside``.
        """
        if self.refused is not None:
            raise self.refused


def screen(settings: DetectSettings) -> int:
    """Score every recording of ``input``, print a line for each and a table.

    Returns:
        How many could not be used.

    Raises:
        ConfigError: a wrong setting.
        DataError: ``nothing_usable``, or what is wrong with the only file or the model.
    """
    folder, output = load_folder(settings.weights), Path(settings.output)
    items = find(Path(settings.input), settings.links)
    check_output(output, items)
    detector = detector_of(folder, settings)
    about, rows, failed = about_of(folder, detector, settings), [HEAD], []
    for number, item in enumerate(items, start=1):
        said = item.label
        start = f"{number}/{len(items)} {said}:"
        try:
            record, fresh = score(detector, item, output, about, settings)
        except (DataError, OSError) as error:
            if getattr(error, "reason", "") == "write_failed":  # the output's fault, not the recording's
                raise
            failed.append(error)
            rows.append((said, "-", "-", getattr(error, "reason", "unreadable")))
            print(f"{start} failed: {visible(error)}", flush=True)
            continue
        odd = ", ".join(dict.fromkeys(w.partition(":")[0] for w in record["warnings"])) or "-"
        rows.append((said, f"{record['seconds']:.0f}", record["events"], odd))
        what = f"{record['events']} events of p >= {detector.detect.threshold:g} in {record['seconds']:.0f} s"
        how = "written" if fresh else "was finished"
        print(f"{start} {what}; {how}: {visible(output)}/{said}{EVENTS}", flush=True)
        for warning in record["warnings"]:
            if warning.startswith(UNLIKE):
                print(f"  {visible(warning)}", flush=True)
    if len(failed) == len(items):
        if len(items) == 1 and isinstance(failed[0], DataError):
            raise failed[0]
        raise DataError(
            f"{settings.input}: none of {len(items)} recordings can be used. First: {failed[0]}",
            reason="nothing_usable",
        )
    print(f"\n{table(rows)}")
    if failed:
        print(f"{len(failed)} of {len(items)} failed")
        print("next: mend those and give the same command; the others are not repeated")
    else:
        print(f"next: {looking(items, output, settings)}score the events with timescoring (SzCORE)")
    return len(failed)


def looking(items: Sequence[Item], output: Path, settings: DetectSettings) -> str:
    """What to look at first, for the line that says what comes next."""
    if settings.review:
        one = f"{visible(output)}/{items[0].label}{REVIEW}"
        pages = one if len(items) == 1 else f"the *{REVIEW} pages in {visible(output)}"
        return f"open {pages} in a browser, or "
    return f"look at the figures in {visible(output)}, or " if settings.figure else ""


def detector_of(folder: Folder, settings: DetectSettings) -> Detector:
    """The folder's model with the settings of the command line."""
    network = place(open_network(folder, settings.engine, settings.precision), settings.device)
    return Detector(
        folder.recipe,
        network,
        settings.hop_s,
        settings.detect.applied(folder.recipe.detect),
        channels=settings.channels,
        rename=settings.rename,
        ages=settings.ages,
        batch_size=settings.batch_size,
    )


def score(
    detector: Detector, item: Item, output: Path, about: dict, settings: DetectSettings
) -> tuple[dict, bool]:
    """One recording's record, and whether it was made now."""
    item.check()
    folder, stem = output / item.name.parent, item.name.name
    about = about | {"input": key_of(fingerprint(item.path)[1:])}
    check_place(folder, stem)
    record = read_record(folder, stem)
    same = all(record.get(key) == value for key, value in about.items())
    if same and not (wrong := changed_of(folder, record)):
        refuse_odd(item, record["warnings"], settings)
        return record, False
    if same:
        print(f"{folder / wrong[0]}: missing or changed since it was written; scored again", flush=True)
    found = detector.file(item.path, item.age_band, review=settings.review)
    shown = {"figure": settings.figure, "review": settings.review}
    refuse_odd(item, found.warnings, settings)
    start = start_time(item.path) if settings.dates else None
    write_detection(found, folder, stem, about, **shown, start=start)
    return read_record(folder, stem), True


def refuse_odd(item: Item, warnings: Sequence[str], settings: DetectSettings) -> None:
    """Keep to ``unlike=refuse``.

    Raises:
        SkipRecording: ``unlike``.
    """
    odd = [warning for warning in warnings if warning.startswith(UNLIKE)]
    if odd and settings.unlike == "refuse":
        raise SkipRecording(f"{item.path}: {odd[0]}. Look at it, or set unlike=warn.", reason=UNLIKE)


def changed_of(folder: Path, record: dict) -> list[str]:
    """Files of a record that are missing or not what was written; 0.1.0 kept no digests."""
    known = record.get("sha256", {})
    there = {name: folder / name for name in record["files"]}
    return [
        name
        for name, path in there.items()
        if not path.is_file() or name in known and sha256_of(path) != known[name]
    ]


def about_of(folder: Folder, detector: Detector, settings: DetectSettings) -> dict:
    """Which model, in which way; what a record keeps, and what tells whether it still holds."""
    used = {key: getattr(settings, key) for key in USED}
    if settings.rename:  # records of before there was a choice still hold
        used["rename"] = dict(settings.rename)
    detect = {key: value for key, value in asdict(detector.detect).items() if value is not None}
    return {
        "model": {"name": folder.about["model"]["name"], "sha256": folder.about["sha256"]},
        "settings": used | {"detect": detect},
    }


def key_of(values: object) -> str:
    """Sixteen characters that stand for the values."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]


def place(network: AnyNetwork, device: str) -> AnyNetwork:
    """A network on its device; onnxruntime's stays on the CPU.

    Raises:
        ConfigError: ``device`` is unknown, or there is no GPU for this network.
    """
    check_choice("device", device, ("auto", "cpu", "cuda"))
    if isinstance(network, OnnxNetwork):
        if device == "cuda":
            raise ConfigError("device=cuda: onnxruntime answers on the CPU here. Set engine=torch.")
        return network
    import torch  # where it is not installed, the network is onnxruntime's

    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch finds no GPU. Set device=cpu.")
    assert isinstance(network, torch.nn.Module)  # every network that is not onnxruntime's
    return network.to("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def find(root: Path, links: Links = "inside") -> list[Item]:
    """The recordings at ``root``, sorted; in a BIDS tree without ``_eeg``, with ages by participants.tsv.

    Links that lead out of ``root`` and may hold recordings are items, too, unless they are followed: they are
    refused by name.

    Raises:
        DataError: ``missing_file``, ``no_recordings``.
    """
    if not root.exists():
        raise DataError(f"{root}: no such file or folder; give input=FILE or FOLDER.", reason="missing_file")
    if root.is_file():
        return [Item(root, Path(root.stem.removesuffix("_eeg")))]
    walk = Walk(root, links)
    paths = [path for path in walk.files() if looks_like_edf(path)]
    outside = [link for link in walk.refused if looks_like_edf(link) or link.is_dir()]
    if not paths and not outside:
        raise DataError(
            f"{root}: no recording in it; expected files that end in .edf or .bdf. Give another input=.",
            reason="no_recordings",
        )
    people, _ = read_participants(root)
    items = [
        Item(path, name, people.get(entity(path.relative_to(root), "sub-"), {}).get("age_band", ""))
        for path, name in zip(paths, names_of(root, paths), strict=True)
    ]
    refused = [Item(p, p.relative_to(root), refused=link_outside(p, root, "links")) for p in outside]
    return [*items, *refused]


def names_of(root: Path, paths: Sequence[Path]) -> Iterator[Path]:
    """Each path below ``root`` without ``_eeg`` and ending, unless two differ in nothing else."""
    inside = [path.relative_to(root) for path in paths]
    short = [path.with_name(path.stem.removesuffix("_eeg")) for path in inside]
    count = Counter(short)
    for path, name in zip(inside, short, strict=True):
        yield name if count[name] == 1 else path


def check_output(output: Path, items: Sequence[Item] = ()) -> None:
    """Refuse an output that is no folder, or in which files of others have the names of ours.

    Raises:
        ConfigError: a file is there, or ``not_ours``: annotations, say, in the recordings' own folder.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output={output}: a file is there. Give a folder.")
    foreign = [p for i in items for p in foreign_files(output / i.name.parent, i.name.name)]
    if foreign:
        raise ConfigError(
            f"output={output}: {len(foreign)} files there are named like those of a detection and none wrote "
            f"them, the first: {visible(foreign[0])}. Give another folder; nothing was changed.",
            reason="not_ours",
        )


def table(rows: Sequence[tuple]) -> str:
    """Rows of text, the first of them the head, columns as wide as their widest cell."""
    cells = [[str(cell)[:MOST_WORDS] for cell in row] for row in rows]
    width = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, width)).rstrip() for row in cells)
