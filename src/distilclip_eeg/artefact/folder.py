"""The artefact on disk: one folder with everything between a recording and an answer. No torch in here.

``config.json`` names every other file with its SHA-256 and is itself behind one, so that a damaged or
exchanged folder is refused before any of it is used. Nothing that a folder names is executed: weights are
safetensors, and networks are built from this package's own classes (``model.net``).
"""

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config import registry
from distilclip_eeg.config.starter import located
from distilclip_eeg.endings import unbroken
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.folders import make_folder, remove_left
from distilclip_eeg.files.locks import unfinished
from distilclip_eeg.files.reading import read_bytes, read_json
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.schema import ConfigError, DataError

FORMAT = 1
CONFIG, CARD, TABLE = "config.json", "card.md", "export.json"
KEYS = {"format", "recipe", "model", "weights", "text", "made", "onnx", "sha256"}
MODEL_KEYS = {"name", "kind", "net", "n_chans", "n_times", "sfreq", "n_outputs"}
FILE_KEYS = {"file", "sha256", "bytes"}
TEXT_KEYS = {"weights", "tokenizer", "bert", "bert_lp", "width"}
NETWORKS = r"distilclip_eeg\.models\.(conformer\.Conformer|clip\.prompt_classifier|baselines\.\w+\.[A-Z]\w+)"
"""What ``model.net._target_`` may be beside networks that a plug-in of this machine has registered."""
PATTERNS = ["*.safetensors", "*.onnx", "tokenizer.json", CONFIG, CARD, TABLE]
"""Every kind of file that such a folder may hold."""
AGAIN = "Export the model again, or fetch the folder anew."


def entry(name: str, body: bytes) -> dict:
    """How ``config.json`` names a file."""
    return {"file": name, "sha256": sha256(body), "bytes": len(body)}


def sha256(body: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def digest(about: dict) -> str:
    """SHA-256 of everything in ``config.json`` but itself."""
    content = {k: v for k, v in about.items() if k != "sha256"}
    return sha256(json.dumps(content, sort_keys=True).encode())


@dataclass(frozen=True)
class Folder:
    """An exported model, its ``config.json`` read and checked; other files are checked when they are used."""

    path: Path
    about: dict
    """``config.json`` as it stands."""
    recipe: Recipe

    def read(self, named: dict) -> bytes:
        """The bytes of one of its files, as ``config.json`` names it.

        Raises:
            DataError: ``missing_file`` or ``file_changed``.
        """
        path = self.path / named["file"]
        if not path.is_file():
            raise DataError(
                f"{path}: there is no such file, but {CONFIG} names it. {AGAIN}", reason="missing_file"
            )
        body = path.read_bytes()
        if entry(path.name, body) != {key: named[key] for key in FILE_KEYS}:
            raise DataError(
                f"{path}: not the file that its {CONFIG} describes (sha256 differs). {AGAIN}",
                reason="file_changed",
            )
        return body

    @property
    def members(self) -> int:
        """How many networks it has; several are an ensemble."""
        return len(self.about["weights"])

    def weights(self, member: int = 0) -> bytes:
        """The safetensors of one of its networks.

        Raises:
            DataError: as :meth:`read`.
        """
        return self.read(self.about["weights"][member])

    def text_weights(self) -> bytes:
        """The safetensors of its text side, which it has where ``reads_as`` is true of anything.

        Raises:
            DataError: as :meth:`read`.
        """
        return self.read(self.about["text"]["weights"])

    def reads_as(self, tokenizer: str) -> bool:
        """Whether it has a text side whose tokenizer is this one.

        Args:
            tokenizer: as ``text.tokenizer.save_tokenizer`` gives it.
        """
        text = self.about["text"]
        return text is not None and text["tokenizer"]["sha256"] == sha256(tokenizer.encode())


def load_folder(path: Path | str) -> Folder:
    """Read and check an exported folder; no weights are read yet.

    Args:
        path: ``starter`` is the one that comes with the package.

    Raises:
        DataError: it is no such folder, or anything in ``config.json`` is unknown, missing, of a wrong shape
            or changed since the export.
    """
    path = located(path)
    if not (path / CONFIG).is_file():
        raise DataError(
            f"{path}: no exported model (it has no {CONFIG}). Make one: python scripts/export.py run=RUN "
            f"output={path}.",
            reason="no_folder",
        )
    try:
        about = json.loads(read_bytes(path / CONFIG, AGAIN).decode())
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON ({error})") from None
    check_about(path, about)
    try:
        recipe = Recipe.from_json(about["recipe"])
    except (ConfigError, DataError) as error:
        raise damaged(path, str(error), "bad_recipe") from None
    sizes = {
        "n_chans": len(recipe.ch_names),
        "n_times": recipe.n_times,
        "sfreq": recipe.signals.sfreq,
        "n_outputs": len(recipe.classes),
    }
    wrong = [
        f"{k}={about['model'][k]} where the recipe says {v}"
        for k, v in sizes.items()
        if about["model"][k] != v
    ]
    if wrong:
        raise damaged(path, f"model.{wrong[0]}", "wrong_shape")
    return Folder(path, about, recipe)


def damaged(path: Path, what: str, reason: str = "bad_folder") -> DataError:
    """What is wrong with a ``config.json``, to be raised."""
    return DataError(f"{path / CONFIG}: {what}. {AGAIN}", reason=reason)


def check_about(path: Path, about: object) -> None:
    """Refuse a ``config.json`` that this version did not write, or that changed since.

    Raises:
        DataError: the first thing that is found, with its place.
    """
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else type(about).__name__
        raise damaged(path, f"format {found!r}, expected {FORMAT}", "format")
    check_keys(path, "", about, KEYS)
    check_keys(path, "model.", about["model"], MODEL_KEYS)
    check_net(path, about["model"]["net"])
    if not isinstance(about["weights"], list) or not about["weights"] or not isinstance(about["onnx"], list):
        raise damaged(path, "weights must be a list of one file or more, and onnx a list")
    for named in about["weights"]:
        check_file(path, named, FILE_KEYS, ".safetensors")
    for named in about["onnx"]:
        check_file(path, named, FILE_KEYS | {"precision", "default"}, ".onnx")
    if about["text"] is not None:
        check_keys(path, "text.", about["text"], TEXT_KEYS)
        check_file(path, about["text"]["weights"], FILE_KEYS, ".safetensors")
        check_file(path, about["text"]["tokenizer"], FILE_KEYS, ".json")
    if about["sha256"] != digest(about):
        raise damaged(
            path,
            "changed since the export (its own sha256 differs); settings such as the threshold are "
            "given to the command that uses the folder instead",
            "file_changed",
        )


def check_keys(path: Path, where: str, found: object, expected: set[str]) -> dict:
    """What was found, which must be a mapping with exactly these keys.

    Raises:
        DataError: ``bad_folder``, ``unknown_key`` or ``missing_key``.
    """
    if not isinstance(found, dict):
        raise damaged(
            path, f"{where.rstrip('.')} is {type(found).__name__}, expected {', '.join(sorted(expected))}"
        )
    if unknown := sorted(found.keys() - expected):
        raise damaged(path, f"{where}{unknown[0]}: there is no such key", "unknown_key")
    if missing := sorted(expected - found.keys()):
        raise damaged(path, f"{where}{missing[0]} is missing", "missing_key")
    return found


def check_file(path: Path, named: object, keys: set[str], suffix: str) -> None:
    """Refuse an entry that leads out of the folder, or to another kind of file.

    Raises:
        DataError: ``unsafe_path`` or ``wrong_kind``, or as ``check_keys``.
    """
    name = check_keys(path, "file.", named, keys)["file"]
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII):
        raise damaged(path, f"file {name!r} must be a plain name inside the folder", "unsafe_path")
    if not name.endswith(suffix):
        raise damaged(path, f"file {name!r} must be a {suffix} file; no other kind is read", "wrong_kind")


def check_net(path: Path, net: object) -> None:
    """Refuse settings that would call anything but one network of this package.

    Raises:
        DataError: ``unknown_target``.
    """
    given = net if isinstance(net, dict) else {}
    target = given.get("_target_")
    text = json.dumps({k: v for k, v in given.items() if k != "_target_"}) if target else ""
    own = re.fullmatch(NETWORKS, str(target)) is not None
    if (
        not (own or target in registry.registered_targets("network"))
        or "_target_" in text
        or "${" in text
        or "_partial_" in text
    ):
        raise damaged(
            path,
            f"model.net names {target!r}, expected one registered network and plain settings",
            "unknown_target",
        )


def check_output(path: Path) -> None:
    """Refuse to replace what is not an export.

    Raises:
        ConfigError: something else is there.
    """
    strange = sorted({p.name for p in path.iterdir()} - written(path)) if path.is_dir() else []
    elsewhere = path.is_symlink() or (path.exists() and not path.is_dir()) or path.resolve() == Path.cwd()
    if strange or elsewhere:
        first = f" ({strange[0]}, which no export wrote)" if strange else ""
        raise ConfigError(
            f"output={path}: something else is there{first}. Give a folder that does not exist yet.",
            reason="not_ours",
        )


def written(path: Path) -> set[str]:
    """Names of the files that an export put into its folder; none where it is no export of ours."""
    try:
        about = read_json(path / CONFIG, *KEYS)
        text = about["text"] or {}
        files = [*about["weights"], *about["onnx"], *(text[k] for k in ("weights", "tokenizer") if k in text)]
        return {CONFIG, CARD, TABLE, *(str(named["file"]) for named in files)}
    except (DataError, TypeError, KeyError):
        return set()


def write_folder(path: Path, about: dict, files: dict[str, bytes], card: str) -> Folder:
    """Write a whole folder under another name and rename it into place; an older export there is replaced.

    Args:
        about: ``config.json`` without ``format`` and ``sha256``.
        files: what it names, and ``export.json``, by file name.

    Raises:
        ConfigError: something else than an export is there.
    """
    check_output(path)
    about = {**about, "format": FORMAT}
    about["sha256"] = digest(about)
    new, old = (path.with_name(unfinished(path.name, kind)) for kind in ("tmp", "old"))
    remove_left(path.parent, f".{path.name}.*")
    try:
        make_folder(new)
        for name, body in files.items():
            write_atomic(new / name, body)
        write_atomic(new / CARD, card.encode())
        write_json(new / CONFIG, about)
        load_folder(new)
        with unbroken():
            if path.exists():
                path.rename(old)
            new.rename(path)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return load_folder(path)
