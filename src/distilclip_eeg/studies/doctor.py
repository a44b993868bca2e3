"""What this machine has for the framework, what it lacks, and the line that mends it; works without torch."""

import importlib
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

import joblib
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.table import Table
from rich.text import Text

from distilclip_eeg.config.commands import DoctorSettings
from distilclip_eeg.config.compose import CONFIG_DIR, composed
from distilclip_eeg.corpora.download.sources import how_to_get
from distilclip_eeg.files.folders import check_writable, free_bytes
from distilclip_eeg.models import hub
from distilclip_eeg.progress import page, size
from distilclip_eeg.schema import ConfigError, MachineError
from distilclip_eeg.workers import memory_here

PACKAGE = "distilclip-eeg"
NEEDED = ("", "train")
"""Extras without which nothing is trained; the first is none at all."""
NOT_SHOWN = ("dev", "docs")
"""Extras of those who work on the package itself."""
LEAST_FREE = 10**9
"""Bytes; below it the store and the checkpoints of no corpus that is worth a training fit on a disk."""
INVENTED = ("synthetic", "placebo")
"""Corpora that are made when they are asked for."""


@dataclass(frozen=True)
class Finding:
    """A line of what was looked at."""

    what: str
    found: str
    mend: str = ""
    """What to type or to set where something is lacking; empty where nothing is."""
    code: int = 0
    """What the command ends with because of it; 0: training does without."""

    @property
    def mark(self) -> str:
        """In front of the line."""
        return "ok" if not self.mend else "NO" if self.code else "-"


def doctor(settings: DoctorSettings) -> int:
    """Print every finding and what it comes to.

    Returns:
        The exit code: 0 where the framework can train.
    """
    sections: dict[str, Callable[[], Iterator[Finding]]] = {
        "Libraries (installed, wanted, brought by)": libraries,
        "Device": devices,
        "Machine": lambda: machine(settings),
        "Hub": lambda: encoders(settings.timeout_s),
        "Corpora": corpora,
    }
    print(page(Text(f"{PACKAGE} {own_version()}", style="bold")))
    found: list[Finding] = []
    for title, look in sections.items():
        here = list(look())
        print(page(Text(f"\n{title}", style="bold"), table_of(here)), flush=True)
        found += here
    wrong = [one for one in found if one.code]
    names = ", ".join(dict.fromkeys(one.what for one in wrong))
    print(f"\nnot ready: {names}" if wrong else "\nready: the framework can train here")
    return min((one.code for one in wrong), default=0)


def table_of(found: list[Finding]) -> Table:
    """The findings below each other; a line that mends several stands once, behind the last of them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=2, no_wrap=True)
    table.add_column(min_width=25, no_wrap=True)
    table.add_column(overflow="fold")
    for one, after in zip(found, [*found[1:], None], strict=True):
        style = {"ok": "green", "NO": "bold red"}.get(one.mark, "yellow")
        table.add_row(Text(one.mark, style=style), Text(one.what), Text(one.found))
        if one.mend and (after is None or after.mend != one.mend):
            table.add_row("", "", Text(f"-> {one.mend}", style="bold"))
    return table


# ------------------------------------------------------------------------------------------------ libraries


def own_version() -> str:
    """Of the package; from its source where it is not installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return f"{importlib.import_module('distilclip_eeg').__version__}, not installed"


def libraries() -> Iterator[Finding]:
    """Python and each library that the package's metadata name, with the range that they want."""
    try:
        asked = {extra: lines for extra, lines in by_extra().items() if extra not in NOT_SHOWN}
        python = metadata(PACKAGE)["Requires-Python"]
    except PackageNotFoundError:
        yield Finding(PACKAGE, "run from a checkout that is not installed", "pip install -e '.[train]'", 2)
        return
    found = platform.python_version()
    fits = SpecifierSet(python).contains(found, prereleases=True)
    mend = "" if fits else f"install Python {ranged(SpecifierSet(python))}"
    yield Finding("Python", in_columns(found, ranged(SpecifierSet(python))), mend, 0 if fits else 2)
    for extra in sorted(asked, key=lambda name: (name not in NEEDED, name)):
        for line in asked[extra]:
            yield library(line, extra)


def by_extra() -> dict[str, list[Requirement]]:
    """What the package's metadata ask for, by the extra that brings it; ``""``: brought by the package."""
    found: dict[str, list[Requirement]] = {"": []}
    extras = metadata(PACKAGE).get_all("Provides-Extra") or []
    for requirement in map(Requirement, requires(PACKAGE) or []):
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            found[""].append(requirement)
            continue
        for extra in extras:
            if marker.evaluate({"extra": extra}) and requirement.name != PACKAGE:
                found.setdefault(extra, []).append(requirement)
    return found


def library(wanted: Requirement, extra: str) -> Finding:
    """One library: which version is installed, and whether it is one that is wanted."""
    code, bring = (2 if extra in NEEDED else 0), f"[{extra}]" if extra else ""
    fitting = ranged(wanted.specifier)
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        mend = f"pip install '{PACKAGE}{bring}'"
        return Finding(wanted.name, in_columns("not installed", fitting, extra), mend, code)
    fits = wanted.specifier.contains(found, prereleases=True)
    mend = "" if fits else f"pip install '{wanted.name}{fitting}'"
    return Finding(wanted.name, in_columns(found, fitting, extra), mend, 0 if fits else code)


def ranged(specifier: SpecifierSet) -> str:
    """A range of versions, its lower end first."""
    return ",".join(sorted(map(str, specifier), key=lambda one: (one[0] != ">", one)))


def in_columns(*words: str) -> str:
    """Words below those of other lines."""
    return "".join(f"{word:18s}" for word in words).rstrip()


# -------------------------------------------------------------------------------------------------- machine


def devices() -> Iterator[Finding]:
    """What torch can compute on, and in which precision."""
    try:
        import torch
    except Exception as error:  # an installation can be broken in as many ways as there are libraries
        why = " ".join(str(error).split())[:200]
        yield Finding("torch", f"cannot be imported: {why}", f"pip install '{PACKAGE}[train]'", 2)
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for number in range(count):
        about = torch.cuda.get_device_properties(number)
        yield Finding(f"GPU {number}", f"{about.name}, {size(about.total_memory)}")
    if not count and Path("/proc/driver/nvidia").exists():
        built = torch.version.cuda
        how = f"is built for CUDA {built}, newer than its driver" if built else "is built without CUDA"
        mend = "install the build of torch that https://pytorch.org/get-started names for the driver"
        yield Finding("GPU", f"there is an NVIDIA GPU, but torch {torch.__version__} {how}", mend)
    elif not count:
        yield Finding("GPU", "none that torch knows; training is on the CPU")
    kinds = "fp32, bf16, fp16" if count else "fp32, bf16 (fp16 needs a CUDA GPU)"
    yield Finding("trainer.precision", kinds)


def machine(settings: DoctorSettings) -> Iterator[Finding]:
    """Cores, memory, and the disks that runs and store lie on."""
    yield Finding("cores", f"{joblib.cpu_count()} to use, {os.cpu_count()} there")
    yield Finding("memory", size(memory_here()))
    for key, root in (("run.root", settings.run.root), ("store.root", settings.store.root)):
        yield disk(key, Path(root))


def disk(key: str, root: Path) -> Finding:
    """Whether a folder can be written to, and what is free there."""
    free = free_bytes(root)
    try:
        check_writable(key, root)
    except ConfigError as problem:
        return Finding(f"{key}={root}", str(problem), f"{key}=FOLDER", problem.exit_code)
    if free < LEAST_FREE:
        mend = f"free some, or set {key}=FOLDER on another disk"
        return Finding(f"{key}={root}", f"{size(free)} free", mend, MachineError.exit_code)
    return Finding(f"{key}={root}", f"{size(free)} free")


def encoders(timeout_s: float) -> Iterator[Finding]:
    """Whether the hub can be asked, and whether the article's text encoder is here."""
    there = False
    if hub.offline():
        yield Finding(hub.address(), "not asked: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
    elif there := hub.answers(timeout_s=timeout_s):
        yield Finding(hub.address(), "answers; nothing was fetched")
    else:
        mend = "HTTPS_PROXY=… or HF_ENDPOINT=MIRROR, where there is one"
        yield Finding(hub.address(), f"no answer within {timeout_s:g} s", mend)
    what, name = "text_encoder=bert_base", hub.BERT_BASE
    try:
        folder = hub.kept(name)
    except ImportError:
        yield Finding(what, "huggingface_hub is lacking", f"pip install '{PACKAGE}[train]'")
        return
    if folder is not None and (folder / hub.WEIGHTS).is_file():
        yield Finding(what, f"{name} is in the hub's cache")
    elif there:
        mend = f"hf download {name}, or leave it to the first run of model=teacher"
        yield Finding(what, f"{name} is not in the hub's cache", mend)
    else:
        mend = "text_encoder=minilm or random_tiny, or text_encoder.path=FOLDER that holds it"
        yield Finding(what, f"{name} is not in the hub's cache", mend)


# -------------------------------------------------------------------------------------------------- corpora


def corpora() -> Iterator[Finding]:
    """Where each corpus is looked for, and whether something lies there."""
    data = os.environ.get("DISTILCLIP_EEG_DATA")
    yield Finding("$DISTILCLIP_EEG_DATA", data or "not set: corpora are looked for in ./data")
    for path in sorted((CONFIG_DIR / "dataset").glob("*.yaml")):
        name = path.stem
        if name in INVENTED:
            yield Finding(f"dataset={name}", "invented when it is asked for")
            continue
        root = Path(composed("describe", [f"dataset={name}"])["dataset"]["root"])
        there = root.is_dir() and any(root.iterdir())
        yield Finding(
            f"dataset={name}",
            str(root) if there else f"{root}: {'empty' if root.is_dir() else 'no such folder'}",
            "" if there else how_to_get(name, root),
        )
