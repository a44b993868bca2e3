"""What every setting means, from the classes themselves: for ``--help`` and for the documentation."""

import ast
import functools
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from distilclip_eeg.config.compose import CONFIG_DIR, SETTINGS, defaults, group_folders, is_open, keys
from distilclip_eeg.config.ranges import Range
from distilclip_eeg.config.rules import Settings, bare, hints, is_settings, marks, said
from distilclip_eeg.config.usual import ARGUMENTS, unit_of

ROOT = Path(__file__).parents[1]
HANDED_ON = {
    "bert_lp": "distilclip_eeg.models.bert_lp.BertLP",
    "as_pretrained": "distilclip_eeg.models.text_backends.pretrained",
}
"""Whose arguments stand behind the two stars of a part."""
PLAIN = {"None": None, "True": True, "False": False}
"""Python's words, as they stand in a source."""


@dataclass(frozen=True)
class Key:
    """One setting."""

    name: str
    """Dotted, as it is typed."""
    kind: str
    """Its type, choices and range in words."""
    default: str
    """As a user would type it; ``required`` where there is none."""
    meaning: str

    @property
    def unit(self) -> str:
        """Of a number, where its name tells one."""
        return unit_of(self.name, self.kind)


def describe(command: str, words: tuple[str, ...] = ()) -> list[Key]:
    """Every key of a command, in the order of its class, and the arguments of the parts that it names.

    Args:
        words: choose other groups than the default, such as ``dataset=tusz``.
    """
    cls, tree = SETTINGS[command], defaults(command, words)
    found: list[Key] = []
    for name, hint in keys(cls):
        inner = bare(hint)
        value = _at(tree, name)
        if is_open(hint):
            found.append(Key(name, "a part and its arguments", "", meaning_of(cls, name)))
            found += arguments(name, value)
        elif not is_settings(inner) and not any(is_settings(bare(m)) for m in getattr(inner, "__args__", ())):
            found.append(Key(name, kind_of(hint), typed(value), meaning_of(cls, name)))
    return found


def kind_of(hint: Any) -> str:
    """An annotation in words, its range included."""
    limits = [str(mark) for mark in marks(hint) if isinstance(mark, Range)]
    words = "text or list" if bare(hint) is Any else re.sub(r"\bstr\b", "text", said(hint))
    return ", ".join([words, *limits])


def typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if value == "???":
        return "required"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(typed, value))}]"
    return str(value)


def meaning_of(cls: type[Settings], name: str) -> str:
    """The string below a field, of the section it stands in."""
    first, _, rest = name.partition(".")
    if rest:
        inner = bare(hints(cls)[first])
        options = (inner, *map(bare, getattr(inner, "__args__", ())))
        section = next(option for option in options if is_settings(option))
        return meaning_of(section, rest)
    for one in cls.__mro__:
        text = field_strings(one).get(name) if one is not object else None
        if text:
            return text
    return ""


def field_strings(cls: type) -> dict[str, str]:
    """The strings below the fields of one class, without those it inherits."""
    return _field_strings(cast(Any, cls))


@functools.cache
def parsed(source: str) -> ast.Module:
    """A module, whose many classes are each asked for."""
    return ast.parse(source)


@functools.cache
def _field_strings(cls: Any) -> dict[str, str]:
    try:
        tree = parsed(inspect.getsource(inspect.getmodule(cls)))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return {}
    body = next((n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == cls.__name__), [])
    found = {}
    for field, below in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def arguments(name: str, section: Any) -> list[Key]:
    """What the part that ``section`` names takes, read from its source, so that nothing is imported."""
    target = section.get("_target_") if isinstance(section, dict) else None
    given = {k: v for k, v in section.items() if not k.startswith("_")} if target else {}
    rows: dict[str, Key] = {}
    while tree := source_of(str(target)) if target else None:
        function, told = constructor(tree)
        if function is None:
            break
        for arg, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if arg.arg in ("n_chans", "n_times", "sfreq", "n_outputs", "sentences"):
                continue  # the data tell
            usual = ast.unparse(default).strip("'\"") if default is not None else "required"
            value = typed(given.get(arg.arg, PLAIN.get(usual, usual)))
            kind = re.sub(r"\bstr\b", "text", ast.unparse(arg.annotation)) if arg.annotation else ""
            meaning = told.get(arg.arg, "")
            if not meaning or meaning.startswith("see "):
                meaning = ARGUMENTS.get(arg.arg, meaning)
            key = Key(f"{name}.{arg.arg}", kind.replace("None", "null"), value, meaning)
            rows.setdefault(key.name, key)
        stars = function.args.kwarg.arg if function.args.kwarg else ""
        target = HANDED_ON.get(stars)
    return list(rows.values())


def constructor(
    tree: ast.ClassDef | ast.FunctionDef,
) -> tuple[ast.FunctionDef | None, dict[str, str]]:
    """The function that takes a part's arguments, and what the docstrings say of each."""
    within = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    function = tree if isinstance(tree, ast.FunctionDef) else next(within, None)
    texts = [ast.get_docstring(node) or "" for node in (tree, function) if node is not None]
    return function, argument_strings("\n".join(texts))


def source_of(target: str) -> ast.ClassDef | ast.FunctionDef | None:
    """The definition that a dotted name of this package stands for."""
    package, _, inside = target.partition(".")
    path = ROOT.joinpath(*inside.split(".")[:-1]).with_suffix(".py")
    if package != ROOT.name or not path.is_file():
        return None
    for node in parsed(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == target.rpartition(".")[2]:
            return node
    return None


def argument_strings(docstring: str) -> dict[str, str]:
    """The ``Args:`` of a docstring in Google's style."""
    found: dict[str, str] = {}
    name, inside = "", False
    for line in docstring.splitlines():
        if line.strip() in ("Args:", "Raises:", "Returns:", "Shapes:"):
            inside = line.strip() == "Args:"
        elif inside and line.startswith("    ") and not line.startswith("     "):
            names, _, text = line.strip().partition(":")
            name = names
            for one in names.split(","):
                found[one.strip()] = text.strip()
        elif inside and name and line.strip():
            for one in name.split(","):
                found[one.strip()] += f" {line.strip()}"
    return found


def _at(tree: Any, name: str) -> Any:
    for part in name.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def groups_of(command: str) -> dict[str, list[str]]:
    """The groups that a command composes, with their alternatives."""
    path = CONFIG_DIR / f"{command}.yaml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return {
        folder.name: sorted(p.stem for p in folder.glob("*.yaml"))
        for folder in group_folders()
        if f"- {folder.name}:" in text or f"optional {folder.name}:" in text
    }
