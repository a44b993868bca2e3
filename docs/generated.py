"""Pages that are made from the code when the documentation is built: every setting, and every module."""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import results_index

from distilclip_eeg.commands import COMMANDS
from distilclip_eeg.commands.command import EXITS
from distilclip_eeg.config.compose import CONFIG_DIR
from distilclip_eeg.config.describe import ROOT, Key, describe, groups_of

BASE = "train"
"""The verb whose settings are told whole; others repeat of them only what has another default."""
PARTS = {"model": "model.net", "dataset": "dataset.corpus", "text_encoder": "text_encoder"}
"""Groups whose choices are parts with arguments of their own, and where these are set."""


def write(folder: Path) -> None:
    """All of them, anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Markdown by name: ``settings-VERB``, ``settings-parts``, ``api-ROOM`` and ``results-index``."""
    made = {f"settings-{verb}": verb_page(verb) for verb in COMMANDS}
    made["settings-parts"] = parts_page()
    made |= {f"api-{room.stem}": api_page(room) for room in rooms()}
    made["results-index"] = results_index.page()
    return made


# ------------------------------------------------------------------------------------------------- settings


def verb_page(verb: str) -> str:
    """What a verb is for, its examples, groups, settings and exit codes: what its ``--help`` prints."""
    command, script = COMMANDS[verb], launcher(verb)
    lines = [f"# {verb}", ""]
    for paragraph in command.paragraphs:
        lines += [paragraph, ""]
    lines += ["```console", *(f"$ {script} {words}".rstrip() for words in command.examples), "```", ""]
    if groups := groups_of(verb):
        lines += ["## Groups", ""]
        for name, there in groups.items():
            lines += [f"`{name}=`", f": {', '.join(f'`{one}`' for one in there)}", ""]
    keys = describe(verb)
    told = (
        {(key.name, key.kind, key.default, key.meaning) for key in describe(BASE)} if verb != BASE else set()
    )
    own = [key for key in keys if (key.name, key.kind, key.default, key.meaning) not in told]
    lines += ["## Settings", ""]
    if len(own) < len(keys):
        same = len(keys) - len(own)
        lines += [f"And {same} settings as in [{BASE}](settings-{BASE}.md), with the same defaults.", ""]
    section = ""
    for key in own:
        if verb == BASE and key.name.partition(".")[0] != section:
            section = key.name.partition(".")[0]
            lines += [f"### {section}", ""]
        lines += entry(key)
    lines += ["## Exit codes", ""]
    for code, words in sorted((EXITS | command.exits).items()):
        lines += [f"`{code}`", f": {words}", ""]
    return "\n".join(lines)


def entry(key: Key) -> list[str]:
    """A setting: name, type, range, unit and default, then what it means."""
    kind = ", ".join(filter(None, [key.kind, key.unit]))
    about = f" ({escaped(kind)})" if kind else ""
    default = f" = `{key.default}`" if key.default else ""
    return [f"`{key.name}`{about}{default}", f": {escaped(key.meaning)}", ""]


def escaped(text: str) -> str:
    """Plain text as Markdown takes it; what stands between double backticks is code."""
    parts = text.split("``")
    for i in range(0, len(parts), 2):
        for mark in "\\*_[]<>|$":
            parts[i] = parts[i].replace(mark, f"\\{mark}")
    return "".join(f"`{part}`" if i % 2 else part for i, part in enumerate(parts))


def launcher(verb: str) -> str:
    """How a verb is started in a checkout."""
    at_top = (ROOT.parents[1] / f"{verb}.py").exists()
    return f"python {verb}.py" if at_top else f"python scripts/{verb}.py"


def parts_page() -> str:
    """The arguments of every model, corpus and text encoder, with the values of its preset."""
    lines = ["# Arguments of parts", ""]
    lines += [
        "A choice of a group names a part: a network, a corpus or a text encoder. Its arguments are set by"
    ]
    lines += ["the part's place, such as `model.net.depth=4`; the defaults here are those of the choice.", ""]
    for group, where in PARTS.items():
        lines += [f"## {group}", ""]
        for path in sorted((CONFIG_DIR / group).glob("*.yaml")):
            keys = [k for k in describe(BASE, (f"{group}={path.stem}",)) if k.name.startswith(f"{where}.")]
            lines += [f"### {group}={path.stem}", ""]
            lines += [line for key in keys for line in entry(key)] or ["No arguments.", ""]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------------------------ API


def rooms() -> list[Path]:
    """The packages and modules right below the package's own."""
    inside = (p for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists())
    return sorted((p for p in inside if not p.name.startswith("__")), key=lambda p: p.stem)


def modules(room: Path) -> Iterator[str]:
    """Dotted names of a room's modules that define something."""
    for path in sorted(room.rglob("*.py")) if room.is_dir() else [room]:
        if ast.parse(path.read_text(encoding="utf-8")).body[1:]:
            parts = path.relative_to(ROOT.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def api_page(room: Path) -> str:
    """Every module of a room, by autodoc."""
    lines = [f"# {room.stem}", ""]
    for name in modules(room):
        lines += [f"## {name.removeprefix('distilclip_eeg.')}", ""]
        lines += ["```{eval-rst}", f".. automodule:: {name}", "```", ""]
    return "\n".join(lines)
