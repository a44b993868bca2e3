"""The hub of pretrained text encoders: what lies in its cache, whether it answers, and fetching from it.

Only what is asked for by name is fetched, and nothing where ``HF_HUB_OFFLINE`` is set. Nothing here needs
torch, and only :func:`kept` and :func:`fetched` need huggingface_hub.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import requests

from distilclip_eeg.progress import job

BERT_BASE = "google-bert/bert-base-uncased"
"""The article's text encoder."""
WEIGHTS = "model.safetensors"
FILES = ["config.json", WEIGHTS, "tokenizer*", "vocab.txt", "special_tokens_map.json"]
"""What of a model is used; 0.4 GB of BERT-base."""
PATIENCE_S = 2.5
"""How long the hub is waited for before it counts as out of reach."""


def offline() -> bool:
    """Whether the user's environment forbids to ask the hub, by the hub's own variables."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in ("1", "ON", "YES", "TRUE")


def address() -> str:
    """The hub, or the mirror that ``HF_ENDPOINT`` names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def answers(name: str = BERT_BASE, timeout_s: float = PATIENCE_S) -> bool:
    """Whether the hub would hand out a model; one small question, and nothing is fetched.

    Asked in a thread, because looking up the name of a host takes as long as it likes, whatever the timeout.
    """
    said: list[bool] = []

    def ask() -> None:
        with suppress(requests.RequestException, OSError):
            said.append(requests.head(f"{address()}/{name}/resolve/main/config.json", timeout=timeout_s).ok)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout_s)
    return said == [True]


def kept(name: str) -> Path | None:
    """The folder of a model in the hub's cache, weights and all; None: it is not there."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=FILES))
    except Exception:  # the hub raises many kinds: not cached, or no name of a model
        return None
    return folder if (folder / "config.json").is_file() else None


class Fetchable(Exception):
    """It could be fetched, and this is not the time to do so."""


class _State:
    """Of this process: whether fetching is put off."""

    put_off = False


def unfetched(build: Callable[[], object]) -> None:
    """Do ``build`` as far as it goes without fetching anything: what the hub would hand out is no error."""
    _State.put_off = True
    try:
        with suppress(Fetchable):
            build()
    finally:
        _State.put_off = False


def fetched(name: str) -> Path:
    """Fetch a model into the hub's cache, with a bar; what is there of it already is not fetched again.

    Raises:
        Fetchable: inside :func:`unfetched`.
        Exception: of many kinds, as the hub has them: no such model, no network, no disk.
    """
    if _State.put_off:
        raise Fetchable(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    print(f"fetching {name} from {address()} into the hub's cache, once", flush=True)
    if job()[0]:  # of several processes the first one speaks
        disable_progress_bars()
    try:
        return Path(snapshot_download(name, allow_patterns=FILES))
    finally:
        enable_progress_bars()
