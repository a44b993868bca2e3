"""Refuse whatever can be refused before any file is read or written."""

import torch
from torch import nn

from distilclip_eeg.config import registry
from distilclip_eeg.config.data import DataSettings, View
from distilclip_eeg.config.learning import Learning, ModelConfig
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.models.losses import check_classification, check_targets
from distilclip_eeg.models.weights import check_start
from distilclip_eeg.progress import job
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.splits import table_of
from distilclip_eeg.training.descriptions import check_text
from distilclip_eeg.training.devices import make_accelerator

PLAIN_HEAD = {"input": "eeg", "inference": "head"}


def check(data: DataSettings, learning: Learning) -> None:
    """Settings that are wrong or do not fit each other; every part is built once, without memory.

    Raises:
        ConfigError: the first that is found.
    """
    if data.split.name == "table":
        table_of(data.split)
    if data.split.name == "transfer" or learning.model.kind == "transfer":
        raise ConfigError(
            "transfer: evaluate dataset=OTHER makes these runs; choose another model and split."
        )
    if learning.augment != "none":
        registry.find(learning.augment, "augmentation")
    check_targets(learning.loss.targets)
    check_classification(learning.loss.classification)
    check_head(learning)
    corpus = data.dataset.corpus.build("corpus")
    check_text(learning.text, data.windows.length_s, tuple(corpus.classes))
    model = learning.model
    if model.kind == "floor":
        if not hasattr(registry.find(model.net.target, "network"), "fit_predict"):
            raise ConfigError(
                f"model.kind=floor: model.net={model.net.target} is a network. Leave model.kind out.",
                reason="no_floor",
            )
        model.net.build("network")
        if job()[1] > 1:
            raise ConfigError(f"model={model.name} is fitted by one process; {job()[1]} were started.")
        if learning.init_from:
            raise ConfigError(f"init_from: {model.name} has no weights to start from.")
        return
    view = View.of(data.windows, data.signals.sfreq)
    sizes = {
        "n_chans": len(corpus.ch_names),
        "n_times": view.total,
        "sfreq": data.signals.sfreq,
        "n_outputs": len(corpus.classes),
    }
    if learning.init_from:
        ours = {"ch_names": corpus.ch_names, "classes": corpus.classes}
        ours |= {"before": view.before, "after": view.after}
        check_start(learning.init_from, ours | {key: sizes[key] for key in ("n_times", "sfreq")})
    make_accelerator(learning.trainer.precision, learning.device)
    with torch.device("meta"):  # shapes without memory
        check_sizes(model, build_network(model, sizes), sizes)
    if learning.uses_text:
        learning.text_encoder.build("text_encoder", sentences=["a window"])


MOST_WEIGHTS = 2 * 10**9
"""Weights of a network; with gradients and Adam's two moments 32 GB."""


def check_sizes(model: ModelConfig, net: nn.Module, sizes: dict) -> None:
    """Refuse a network that no memory holds, or whose layers do not fit each other; no weight is made.

    Args:
        net: built on torch's meta device, as the default device is now.
        sizes: n_chans, n_times, sfreq and n_outputs.

    Raises:
        ConfigError: ``too_large`` or ``sizes_do_not_fit``.
    """
    count = sum(p.numel() for p in net.parameters() if not isinstance(p, nn.UninitializedParameter))
    if count > MOST_WEIGHTS:
        raise ConfigError(
            f"model={model.name}: {count:,} weights; expected {MOST_WEIGHTS:,} or fewer. Lower its sizes "
            "(model.net: dim, depth, embed, filters).",
            reason="too_large",
        )
    was = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(2, sizes["n_chans"], sizes["n_times"]))
    except (RuntimeError, ValueError, ArithmeticError, IndexError, AssertionError) as error:
        said = " ".join(str(error).split())
        if not any(word in said for word in ("meta", "Meta", "scalarType")):  # some operations need values
            raise ConfigError(
                f"model={model.name}: its sizes do not fit windows of {sizes['n_chans']} x "
                f"{sizes['n_times']}: {said[:200]}",
                reason="sizes_do_not_fit",
            ) from error
    finally:
        net.train(was)


def check_head(learning: Learning) -> None:
    """Refuse a head or an inference that needs text where there is none."""
    head, source = learning.head, learning.text.source
    asks = next(
        (f"head.{k}={getattr(head, k)}" for k, v in PLAIN_HEAD.items() if getattr(head, k) != v), None
    )
    if asks and not learning.uses_text:
        raise ConfigError(
            f"{asks} needs a teacher trained with text: model.kind={learning.model.kind}, "
            f"text.source={source}, loss.alpha={learning.loss.alpha}. Choose a teacher, another text.source, "
            "or loss.alpha above 0."
        )
    if head.input != "eeg" and source == "class_template":
        raise ConfigError(
            f"head.input={head.input} reads a window's own text, and with text.source=class_template that "
            "would be its label. Use text.source=descriptors or handcrafted."
        )
