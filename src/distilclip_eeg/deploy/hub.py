"""Exported models on the Hugging Face hub: fetched, and put there, only where that is asked for.

A repository holds the files of an exported folder as they are, and its card as ``README.md`` once more, which
is what the hub shows. Nothing of it is executed, and every file is checked by its SHA-256 when it is used.
"""

import re
import shutil
import tempfile
from pathlib import Path

from distilclip_eeg.artefact.folder import CARD, PATTERNS, Folder, load_folder, written
from distilclip_eeg.config.starter import located
from distilclip_eeg.files.reading import read_text
from distilclip_eeg.schema import ConfigError, lacking

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
"""``owner/name``; anything else can only be a folder."""
HEAD = "---\nlibrary_name: distilclip-eeg\ntags:\n- eeg\n- seizure-detection\n---\n"
"""What the hub itself reads of a page."""


def opened(folder_or_hub_id: str | Path, revision: str | None = None) -> Folder:
    """An exported folder on disk, or one fetched from the hub by its id, such as ``owner/name``.

    A folder on disk, ``starter`` among them, needs no network; what was fetched once is kept by the hub's own
    cache, which ``HF_HUB_OFFLINE=1`` keeps to.

    Args:
        revision: branch, tag or, to get the same bytes for ever, commit of a hub id.

    Raises:
        ConfigError: ``not_found``: neither a folder nor a repository that can be fetched.
        DataError: a damaged folder, or one that is no export of this package.
    """
    path = located(folder_or_hub_id)
    if not path.is_dir():
        path = fetched(str(folder_or_hub_id), revision)
    return load_folder(path)


def fetched(name: str, revision: str | None) -> Path:
    """Where the files of a repository lie, fetched as far as they are not there.

    Raises:
        ConfigError: ``not_found``.
    """
    why = "no id of the hub"
    if ID.fullmatch(name):
        try:
            from huggingface_hub import snapshot_download

            return Path(snapshot_download(name, revision=revision, allow_patterns=PATTERNS))
        except Exception as error:  # the hub raises many kinds: bad id, not cached, no network, not there
            if isinstance(error, ImportError) and (line := lacking(f"{name}: the hub", error)):
                raise ConfigError(line, reason="not_found") from None
            why = type(error).__name__
    raise ConfigError(
        f"{name}: no folder, nor fetched from the hub ({why}). Give the folder that scripts/export.py wrote, "
        "starter, or owner/name.",
        reason="not_found",
    )


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str = "An export of distilclip-eeg",
    token: str | None = None,
) -> str:
    """Put an exported folder on the hub, in one commit; files of an older export there go.

    What it uploads is the folder: weights, recipe and card, which names the persons of training where the
    export was told to.

    Args:
        folder: that ``scripts/export.py`` or ``save_pretrained`` wrote; it is checked first.
        repo_id: ``owner/name``; made where it is not there.
        private: whether a new repository is; None: as the owner has it.
        revision: branch; None: the main one.
        token: of the hub; None: that of ``hf auth login`` or ``HF_TOKEN``.

    Returns:
        The address of the commit.

    Raises:
        ConfigError: ``hub_refused``: the hub cannot be reached, or does not let you; huggingface_hub lacks.
        DataError: the folder is damaged or no export.
    """
    found = load_folder(folder)
    for named in (*found.about["weights"], *found.about["onnx"], *text_files(found)):
        found.read(named)
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise ConfigError(lacking("push_to_hub", error) or str(error)) from None
    with tempfile.TemporaryDirectory() as staging:
        for name in sorted(written(found.path)):
            if (found.path / name).is_file():
                shutil.copyfile(found.path / name, Path(staging) / name)
        (Path(staging) / "README.md").write_text(HEAD + read_text(found.path / CARD), encoding="utf-8")
        try:
            hub = HfApi(token=token)
            hub.create_repo(repo_id, private=private, exist_ok=True)
            commit = hub.upload_folder(
                repo_id=repo_id,
                folder_path=staging,
                revision=revision,
                commit_message=message,
                delete_patterns=PATTERNS,
            )
        except Exception as error:  # as many kinds as above
            said = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{repo_id}: the hub did not take it ({type(error).__name__}: {said}). Log in by hf auth "
                "login, and give a repository that you may write to.",
                reason="hub_refused",
            ) from error
    return str(commit.commit_url)


def text_files(folder: Folder) -> list[dict]:
    """What a folder's ``config.json`` says of the files of its text side."""
    text = folder.about["text"]
    return [] if text is None else [text["weights"], text["tokenizer"]]
