"""Entry of the launchers, ``distilclip-eeg VERB key=value …``: errors are one line, sweeps are Hydra's."""

import errno
import functools
import io
import os
import re
import sys
import tempfile
import textwrap
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from distilclip_eeg.commands import COMMANDS, GROUPS
from distilclip_eeg.commands.command import EXITS
from distilclip_eeg.config.compose import CONFIG_DIR, as_typed, is_plain, load, prepared, primary, registered
from distilclip_eeg.config.describe import Key, describe, groups_of
from distilclip_eeg.config.words import in_quotes
from distilclip_eeg.endings import Stop, asked, listening, memory_used_up, peer_gone
from distilclip_eeg.files.folders import check_writable
from distilclip_eeg.progress import columns as terminal_columns
from distilclip_eeg.progress import job
from distilclip_eeg.schema import (
    NOTE,
    ConfigError,
    DataError,
    MachineError,
    UserError,
    lacking,
    nearest,
)

TELLING = {"-sc", "--shell-completion", "-c", "--cfg", "-i", "--info", "--hydra-help", "-p", "--package"}
"""Flags of Hydra's that tell something and do nothing."""
GONE = "peer_gone"
"""Why one of several processes ends that has done nothing wrong itself."""
QUOTES = "'\""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, *FULL)
"""What the system says of a file that it does not let us read or write."""
SHARED = ("train", "distill")
"""Verbs that several processes may do together."""
AT_TOP = ("train", "distill", "evaluate")
"""Verbs whose launcher stands at the top of the checkout, others' in ``scripts``."""


def main() -> None:
    """``distilclip-eeg VERB key=value …``."""
    argv = sys.argv[1:]
    if argv[:1] == ["--version"]:
        print(f"distilclip-eeg {version('distilclip-eeg')}")
    elif not argv or argv[0] in ("--help", "-h"):
        print(usage())
    elif argv[0] not in COMMANDS:
        print(f"error: {argv[0]}: there is no such verb.{nearest(argv[0], COMMANDS)}", file=sys.stderr)
        sys.exit(ConfigError.exit_code)
    else:
        run(argv[0], argv[1:])


def run(verb: str, argv: list[str] | None = None) -> None:
    """Entry of the launchers; exits with the error's code."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):  # names of files may hold bytes that no encoding knows
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    number, _ = job()
    if number:  # of several processes the first one speaks
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
    with listening():
        try:
            if {"--help", "-h"} & set(argv):
                print(help_of(verb))
            elif flags := [a for a in argv if a.startswith("-")]:
                with_flags(verb, argv, flags)
            else:
                act(verb, argv)
            return
        except UserError as error:
            said, code = told(error), error.exit_code
            if number:  # what the first one says too is not said again
                said = (
                    ""
                    if isinstance(error, ConfigError) or error.reason == GONE
                    else f"process {number}: {said}"
                )
        except KeyboardInterrupt as stop:
            said, code = stopped(verb), stop.code if isinstance(stop, Stop) else 130
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except Exception as error:
            if signum := asked():  # an import, or a library's own thread, that was stopped in between
                said, code = stopped(verb), Stop(signum).code
            elif isinstance(error, ImportError) and (line := lacking(verb, error)):
                said, code = f"error: {line}", ConfigError.exit_code
            else:
                raise
    if said and not (number and code > 128):  # nor is a signal told by each
        print(said, file=sys.stderr)
    sys.exit(code)


def told(error: UserError) -> str:
    """An error as it is printed: a line; of several at once each below it, with the line that mends it."""
    lines = [f"error: {error}"]
    for number, one in enumerate(error.parts, 1):
        what = str(one).replace(one.mend, "").rstrip(" :") if one.mend else str(one)
        lines += folded(what, "     ", first=f"  {number}. ")
        lines += [f"     -> {one.mend}"] if one.mend else []
    return "\n".join(lines)


def stopped(verb: str) -> str:
    """What is said after a signal."""
    usual = "stopped; the same command continues where this one ended"
    return COMMANDS[verb].exits.get(130, usual)


def act(verb: str, words: list[str]) -> None:
    """Compose a verb's settings and do it; an exit code other than 0 ends the process."""
    command = COMMANDS[verb]
    words = command.complete(as_typed(verb, words))
    settings = load(command.settings, words)
    for key in command.writes:
        if (folder := value_at(settings, key)) is not None:
            check_writable(key, Path(folder))
    if job()[1] > 1 and verb not in SHARED:
        raise ConfigError(f"{verb}: {job()[1]} processes were started, and one does this. Start it alone.")
    try:
        code = command.run(settings, words)
    except Exception as error:
        if asked() or isinstance(error, UserError):
            raise
        if job()[1] > 1 and peer_gone(error):
            raise MachineError(
                f"{verb}: another process of this job ended. The same command continues where it ended.",
                reason=GONE,
            ) from error
        if memory_used_up(error):
            raise MachineError(f"{verb}: {out_of_memory(settings, error)}", reason="out_of_memory") from error
        if isinstance(error, OSError) and error.errno in REFUSED and (error.filename or error.errno in FULL):
            where = error.filename or f"{verb}: the file that it prints into"
            raise DataError(f"{where}: {error.strerror}.", reason="refused") from error
        raise
    if code:
        sys.exit(code)


def value_at(settings: object, key: str) -> Any:
    """The setting of a dotted name; None where there is none."""
    return functools.reduce(lambda node, part: getattr(node, part, None), key.split("."), settings)


def out_of_memory(settings: object, error: BaseException) -> str:
    """What was lacking, and which of the settings make it less."""
    lower = [
        f"{key}={value} (lower it)"
        for key in ("trainer.batch_size", "batch_size", "n_jobs", "jobs")
        if (value := value_at(settings, key)) is not None and value != 1
    ]
    if value_at(settings, "device") in ("auto", "cuda") and "cuda" in str(error).lower():
        lower.append("device=cpu uses the machine's own memory")
    if value_at(settings, "model.net") is not None:
        lower.append("a smaller model")
    what = " ".join(str(error).split())[:160] or type(error).__name__
    return f"out of memory ({what.rstrip('.')}). What makes it less: {'; '.join(lower) or 'shorter files'}."


# ------------------------------------------------------------------------------------------ Hydra's flags


def with_flags(verb: str, argv: list[str], flags: list[str]) -> None:
    """``-m`` sweeps, ``--cfg job``, ``--config-dir DIR``, tab completion and Hydra's other flags."""
    argv = searched(argv)
    # Hydra wants its flags before the words; here they may stand anywhere.
    said = [a for a in argv if not a.startswith("-") and ("=" in a or a.startswith("~"))]
    rest = [a for a in argv if a not in said]
    if not rest:
        act(verb, said)
        return
    if not TELLING & {flag.partition("=")[0] for flag in rest}:
        no_stray(verb, rest)
        said = COMMANDS[verb].complete(as_typed(verb, said))
        load(COMMANDS[verb].settings, first_of_sweep(prepared(verb, said)))  # one line, not Hydra's several
    if {"-m", "--multirun"} & set(rest):
        said = [apart(word) for word in said]
    hydra_main(verb, rest, prepared(verb, said))


def apart(word: str) -> str:
    """``run.name=NAME`` of a sweep, whose runs each need a folder: their digest behind the name."""
    key, _, name = word.partition("=")
    swept = re.search(r"[,(\[]", name) or "{digest}" in name  # several names, or told apart already
    if key != "run.name" or swept or name in ("", "null"):
        return word
    return f"run.name='{name.strip(QUOTES)}-{{digest}}'"


WITH_VALUE = ("-cp", "--config-path", "-cn", "--config-name", "--experimental-rerun")
"""Hydra's flags, beside those that tell, that a word follows."""


def no_stray(verb: str, rest: list[str]) -> None:
    """Refuse a word that is neither ``key=value`` nor a flag or what belongs to one."""
    before = ""
    for word in rest:
        if not word.startswith("-") and before not in WITH_VALUE:
            prepared(verb, [word])
        before = word


def searched(argv: list[str]) -> list[str]:
    """``--config-dir DIR`` as the search path that it stands for, in sweeps and single runs alike."""
    folders, kept, words = [], [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            folders.append(Path(value if equals else next(words, "")).expanduser().absolute())
        else:
            kept.append(word)
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {folder}: no such folder.")
    paths = ",".join(in_quotes(f"file://{folder}") for folder in folders)
    return [f"hydra.searchpath=[{paths}]", *kept] if folders else kept


def hydra_main(verb: str, flags: list[str], words: list[str]) -> None:
    """Hand over to Hydra; each job of a sweep composes its own settings, as a single run does."""
    path = [word for word in words if word.startswith("hydra.searchpath=")]

    folder = None if is_plain(verb) else str(CONFIG_DIR)

    @hydra.main(config_path=folder, config_name=primary(verb), version_base="1.3")
    def job(node: object) -> None:
        overrides = [*path, *HydraConfig.get().overrides.task]
        outer = GlobalHydra.instance()
        held, outer.hydra = outer.hydra, None
        try:
            act(verb, overrides)
        except UserError as error:
            print(told(error), file=sys.stderr)
            sys.exit(error.exit_code)
        finally:
            outer.hydra = held

    with (
        registered(verb),
        tempfile.TemporaryDirectory() as scratch,
    ):  # for Hydra's multirun.yaml, which holds machine paths
        quiet = [
            "hydra.output_subdir=null",
            "hydra.run.dir=.",
            f"hydra.sweep.dir={scratch}",
            "hydra.sweep.subdir=.",
            "hydra.job.chdir=false",
            "hydra/job_logging=disabled",
            "hydra/hydra_logging=disabled",
        ]
        sys.argv = [f"{verb}.py", *flags, *words, *quiet]
        job()


def first_of_sweep(words: list[str]) -> list[str]:
    """Words of Hydra's grammar with the first value of each sweep."""
    parsed = OverridesParser.create().parse_overrides(words)
    return [
        f"{o.get_key_element()}={next(o.sweep_string_iterator())}"
        if o.is_sweep_override()
        else str(o.input_line)
        for o in parsed
    ]


# ------------------------------------------------------------------------------------------------- help


def usage() -> str:
    """What ``distilclip-eeg`` prints alone."""
    lines = ["usage: distilclip-eeg VERB [key=value …]     distilclip-eeg VERB --help     --version", ""]
    for group, commands in GROUPS.items():
        lines.append(group)
        lines += [line for name, one in commands.items() for line in columns(name, one.purpose, 14)]
        lines.append("")
    return "\n".join([*lines, NOTE])


def help_of(verb: str) -> str:
    """What ``VERB --help`` prints: purpose, examples, groups, every setting, exit codes."""
    command = COMMANDS[verb]
    script = f"python {verb}.py" if verb in AT_TOP else f"python scripts/{verb}.py"
    lines = [f"distilclip-eeg {verb} [key=value …], or {script}", ""]
    for paragraph in command.paragraphs:
        lines += [*folded(paragraph, ""), ""]
    lines += ["Examples", *(f"  {script} {words}".rstrip() for words in command.examples), ""]
    if groups := groups_of(verb):
        lines.append("Groups (NAME=CHOICE)")
        lines += [line for name, there in groups.items() for line in columns(name, ", ".join(there), 14)]
        lines.append("")
    lines.append("Settings (key=value): type, range and unit, default, meaning")
    lines += [line for key in describe(verb) for line in setting_lines(key)]
    lines += [
        "",
        "Hydra's own: -m KEY=A,B runs a sweep (hydra/launcher=NAME elsewhere); --cfg job prints the",
    ]
    lines += ["  settings; --config-dir DIR or hydra.searchpath=[file://DIR] adds configs of yours;"]
    lines += [f'  -sc install=bash completes with the tab key (eval "$({script} -sc install=bash)")', ""]
    lines.append("Exit codes")
    lines += [f"  {code:<4d}{words}" for code, words in sorted((EXITS | command.exits).items())]
    return "\n".join([*lines, "", NOTE])


def setting_lines(key: Key) -> list[str]:
    """A setting as the help shows it: name, type and default, then what it means."""
    kind = ", ".join(filter(None, [key.kind, key.unit]))
    head = f"  {key.name}  ({kind})" if kind else f"  {key.name}"
    head += f"  = {key.default}" if key.default else ""
    return [*folded(head, "    ", first=""), *folded(key.meaning, "      ")]


def columns(name: str, text: str, width: int) -> list[str]:
    """A name and a text beside it that goes on below itself."""
    return folded(text, " " * (width + 2), first=f"  {name:{width}s}")


def folded(text: str, indent: str, first: str | None = None) -> list[str]:
    """Lines no wider than the terminal, 100 columns at most."""
    lead = indent if first is None else first
    return textwrap.wrap(
        text, terminal_columns(), initial_indent=lead, subsequent_indent=indent, break_on_hyphens=False
    )
