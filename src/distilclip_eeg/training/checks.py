"""Refuse whatever can be refused before any file is read or written."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from distilclip_eeg.config import registry
from distilclip_eeg.config.data import DataSettings, View
from distilclip_eeg.config.learning import Learning, ModelConfig
from distilclip_eeg.corpora.download.sources import how_to_get
from distilclip_eeg.corpora.synthetic import Synthetic
from distilclip_eeg.models import hub
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.models.losses import check_classification, check_targets
from distilclip_eeg.models.weights import check_start
from distilclip_eeg.progress import job
from distilclip_eeg.schema import ConfigError, Corpus, DataError, UserError, all_of
from distilclip_eeg.signals.splits import table_of
from distilclip_eeg.training.descriptions import check_text
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.trail import check_tracker

PLAIN_HEAD = {"input": "eeg", "inference": "head"}


def check(data: DataSettings, learning: Learning) -> None:
    """Settings that are wrong or do not fit each other; every part is built once, without memory.

    What this machine lacks (data, precision, text encoder) is told all at once, behind what is wrong.

    Raises:
        ConfigError: the first that is found.
        DataError: nothing but the data is lacking.
    """
    if data.split.name == "table":
        table_of(data.split)
    if data.split.name == "transfer" or learning.model.kind == "transfer":
        raise ConfigError(
            "transfer: evaluate dataset=OTHER makes these runs; choose another model and split."
        )
    if learning.augment != "none":
        for part in learning.augment.split("+"):
            registry.find(part, "augmentation")
    check_targets(learning.loss.targets)
    check_classification(learning.loss.classification)
    check_head(learning)
    corpus = data.dataset.corpus.build("corpus")
    check_text(learning.text, data.windows.length_s, tuple(corpus.classes))
    model, there = learning.model, partial(check_root, data.dataset.name, corpus)
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
        there()
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
    with torch.device("meta"):  # shapes without memory
        check_sizes(model, build_network(model, sizes), sizes)
    check_here(learning, there)


def check_here(learning: Learning, there: Callable[[], None]) -> None:
    """What a run needs of this machine: data, precision, text encoder; all that is lacking is told at once.

    Args:
        there: refuses data that are not there.

    Raises:
        UserError: see :func:`~distilclip_eeg.schema.all_of`.
    """
    trainer = learning.trainer
    tries: list[Callable[[], object]] = [
        there,
        partial(make_accelerator, trainer.precision, learning.device),
        partial(check_tracker, trainer.log_with),
    ]
    if not learning.uses_text:
        return all_of(tries)
    encode = partial(learning.text_encoder.build, "text_encoder", sentences=["a window"])
    try:
        all_of(tries)
    except UserError:  # nothing is fetched for a run that cannot begin
        all_of([*tries, partial(hub.unfetched, encode)])
    encode()


def check_root(name: str, corpus: Corpus) -> None:
    """Refuse a corpus of ours whose folder is not there; others may be anywhere, and a synthetic one is made.

    Raises:
        DataError: ``missing_root``.
    """
    root = getattr(corpus, "root", None)
    ours = type(corpus).__module__.startswith(f"{registry.OWN}.") and not isinstance(corpus, Synthetic)
    if not ours or root is None or Path(root).is_dir():
        return
    try:
        corpus.recordings()
    except DataError as problem:
        how = how_to_get(name, root)
        raise DataError(f"{problem} {how}", reason=problem.reason, mend=how) from None


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
