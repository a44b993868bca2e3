"""Words of the command line, ``key=value``: paths and texts as typed, whatever Hydra's grammar makes of them.

One place for all that a shell or a person may put into a word. ``spoken`` checks the form, ``quoted`` puts a
path or a text into the quotes of Hydra's grammar, ``unquoted`` takes them off again, ``at_home`` puts in the
home folder for ``~``.
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException

from distilclip_eeg.schema import ConfigError, nearest

KEY = re.compile(r"(\+{0,2}[^\W\d][\w./@:$-]*)=|~[^\W\d][\w./@:$-]*(=|$)")
"""What stands before the value; ``~key`` takes a key out."""
IN_QUOTES = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
QUOTED_KEY = re.compile(r"([{,]\s*)('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")(?=\s*:)")
"""Of a mapping, which Hydra's grammar wants without quotes."""
INTERPOLATION = re.compile(r"\$\{[^${}]*\}")
PATHS_OF_PARTS = ("root", "table", "path")
"""Arguments of parts that are paths."""


def spoken(word: str, known: Iterable[str], paths: Iterable[str]) -> str:
    """The same word, which has the form ``key=value``.

    Args:
        known: keys there are.
        paths: those of them that are paths, what must be told first.

    Raises:
        ConfigError: ``no_key``: it has not, with the word that may be meant.
    """
    if KEY.match(word):
        return word
    known, paths = list(known), list(paths)
    name = word.partition("=")[0].strip()
    if name in known:
        meant = f" Did you mean {name}=VALUE?"
    elif paths and (os.sep in word or "\\" in word or word.startswith("~") or os.path.exists(word)):
        meant = f" Did you mean {paths[0]}={word}?"
    else:
        meant = nearest(name, known) if name else ""
        meant = meant.replace("?", "=VALUE?") if meant.startswith(" Did") else " --help lists the keys."
    raise ConfigError(f"{word!r}: expected KEY=VALUE, in one word.{meant}", reason="no_key")


def readable(word: str) -> str:
    """The same word, whose value Hydra's grammar can read.

    Raises:
        ConfigError: ``unreadable_value``.
    """
    try:
        OverridesParser.create().parse_override(word)
    except (HydraException, ValueError) as error:
        said = " ".join(str(error).partition("See https")[0].split())
        raise ConfigError(
            f"{word}: its value cannot be read ({said[:120]}). Expected KEY=VALUE, KEY=[A,B], a text "
            "with other characters in two pairs of quotes: KEY=\"'A (B)'\".",
            reason="unreadable_value",
        ) from None
    return word


def quoted(word: str, typed: Mapping[str, bool]) -> str:
    """A path or a text as typed, in the quotes of Hydra's grammar; null and what is in such quotes as it is.

    Args:
        typed: keys that are taken as typed, and whether each may be a list, too.
    """
    left, _, value = word.partition("=")
    key = left.lstrip("+")
    if key not in typed or value in ("", "null", "???") or IN_QUOTES.fullmatch(value):
        return word
    if typed[key] and value.startswith("["):
        return word
    return f"{left}={in_quotes(value)}"


def in_quotes(value: str) -> str:
    """``value`` in the single quotes of Hydra's grammar, which then says just that."""
    if "${" in value and not INTERPOLATION.search(value):
        value = value.replace("${", "\\${")
    # A backslash means itself but before a quote, the closing one included.
    body = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{body}'"


def unquoted(word: str, typed: Mapping[str, bool]) -> str:
    """A word as it was typed, of one in the quotes of Hydra's grammar; the other way round to ``quoted``."""
    left, _, value = word.partition("=")
    if left.lstrip("+") not in typed or not IN_QUOTES.fullmatch(value):
        return word
    read = OverridesParser.create().parse_override(word).value()
    plain = read.text if isinstance(read, QuotedString) else str(read)
    plain = plain.replace("\\${", "${") if not INTERPOLATION.search(plain) else plain
    return word if IN_QUOTES.fullmatch(plain) or plain in ("", "null", "???") else f"{left}={plain}"


def bare_keys(word: str, mappings: Iterable[str]) -> str:
    """A mapping as Hydra's grammar has it: ``{"EEG 1":Fp1}`` as it stands in JSON or yaml will do.

    Args:
        mappings: keys whose value is a mapping of texts.
    """
    left, _, value = word.partition("=")
    if left.lstrip("+") not in mappings or not value.startswith("{"):
        return word
    return f"{left}={QUOTED_KEY.sub(lambda m: m[1] + _escaped(m[2][1:-1]), value)}"


def _escaped(text: str) -> str:
    """A text that Hydra's grammar reads without quotes."""
    return re.sub(r"([\\()\[\]{}:=, \t])", r"\\\1", text)


def spoken_by(values: Mapping[str, Any]) -> list[str]:
    """Settings of Python, a value by its dotted key, as words of the command line."""
    return [f"{key}={_written(value)}" for key, value in values.items()]


def _written(value: Any) -> str:
    """A value of Python in Hydra's grammar; texts as typed."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_escaped(str(k))}:{_written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def home_word(word: str, paths: Iterable[str]) -> str:
    """``key=~/x`` of a path with the home folder put in."""
    left, _, value = word.partition("=")
    if left.lstrip("+") in set(paths) and value.startswith("~"):
        return f"{left}={os.path.expanduser(value)}"
    return word


def at_home(tree: Any, paths: Iterable[str]) -> None:
    """Put the home folder into the paths of composed settings, wherever they were written; in place.

    Args:
        paths: dotted keys of them.
    """
    for name in paths:
        *above, last = name.split(".")
        node = tree
        for part in above:
            node = node.get(part) if isinstance(node, dict) else None
        value = node.get(last) if isinstance(node, dict) else None
        if isinstance(value, str) and value.startswith("~"):
            node[last] = os.path.expanduser(value)
