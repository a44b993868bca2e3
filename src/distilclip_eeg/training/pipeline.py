"""``train``: from settings to a cross-validation that is ready to run; and how a fold's task is made.

``distill`` differs from it in the task alone; data, folds, loop and files are shared.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import ArrayLike

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.learning import Learning, LossConfig, ModelConfig
from distilclip_eeg.config.rules import plain
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.contract import EncoderWithHead, build_network
from distilclip_eeg.models.weights import (
    load_encoder,
    load_text,
    save_network,
    save_text,
    start_from,
    start_text,
)
from distilclip_eeg.runs import Run
from distilclip_eeg.signals import splits
from distilclip_eeg.text.classes import class_sentences
from distilclip_eeg.text.tokenizer import save_tokenizer
from distilclip_eeg.training.checks import check
from distilclip_eeg.training.crossval import CrossValidation, MakeTask, Saver
from distilclip_eeg.training.data import Data, describe_data, learned_rows, load_data
from distilclip_eeg.training.descriptions import describe_fold
from distilclip_eeg.training.loaders import WindowSource
from distilclip_eeg.training.opening import Planned
from distilclip_eeg.training.tasks import ClassifyTask, ClassLoss, ClipTask, MetaTask, Task
from distilclip_eeg.training.text_bank import TextBank


def plan(settings: RunSettings, *, report: bool = True) -> Planned:
    """``python train.py``: one model under one protocol, before anything is written.

    Args:
        report: print what the data are.

    Raises:
        ConfigError: settings that are wrong, before any file is read.
        DataError: the data are not what they should be.
    """
    learning = settings.learning
    check(settings.data, learning)
    data = load_data(settings.data)
    if report:
        print(describe_data(data))
    print(f"split={data.split.name}: {data.leak_note}")
    folds = settings.folds(data.split.n_folds)
    return Planned(settings, data, folds, partial(train_task, learning))


def training(settings: RunSettings, *, report: bool = True) -> CrossValidation:
    """The same with its folder begun, ready to be trained."""
    return plan(settings, report=report).begin()


def train_task(learning: Learning, data: Data) -> MakeTask:
    """How ``train`` makes a fold's task and saves it: ``make_task(fold, source, accelerator)``."""

    def make_task(fold: int, source: WindowSource, accelerator: Accelerator) -> tuple[Task, Saver]:
        about, loss = about_model(learning, data), class_loss(learning, data, fold)
        if not learning.uses_text:
            task = plain_task(learning, data.sizes(), data.windows["subject"], loss)
            return task, lambda folder, task: save_network(folder, task.net, about)
        model, bank, writer = make_teacher(learning, data, fold)
        about["describer"] = json.loads(writer)
        clip = ClipTask(
            model,
            bank,
            alpha=learning.loss.alpha,
            targets=learning.loss.targets,
            inference=learning.head.inference,
            loss=loss,
        )

        def saver(folder: Path, task: ClipTask) -> None:
            save_network(folder, task.inference_net(), about)
            save_text(folder, task.text_state())

        return clip, saver

    return make_task


def plain_task(
    learning: Learning, sizes: dict, person_N: ArrayLike, loss: ClassLoss | None = None
) -> ClassifyTask | MetaTask:
    """A network without text: by cross-entropy, or meta-learned over persons as ``model.meta_lr`` says.

    Args:
        sizes: n_chans, n_times, sfreq and n_outputs.
        person_N: whose each row of the window index is.
    """
    net, meta_lr = make_net(learning.model, sizes, learning.init_from), learning.model.meta_lr
    if meta_lr is None:
        return ClassifyTask(net, loss)
    subject_N = np.unique(person_N, return_inverse=True)[1]
    return MetaTask(net, subject_N, inner_lr=meta_lr, loss=loss)


def about_model(learning: Learning, data: Data) -> dict:
    """What ``model.json`` says of a fold's network beside its hash."""
    about = {
        "net": network_of(learning.model, learning.head.inference),
        **data.sizes(),
        "ch_names": list(data.store.ch_names),
        "classes": list(data.store.classes),
        "signals": plain(data.signals),
        "store_digest": data.store.manifest["digest"],
        "folds_sha256": splits.folds_hash(data.windows),
    }
    return about if learning.head.input == "eeg" else about | {"needs_text": learning.head.input}


def make_net(model: ModelConfig, sizes: dict, init_from: str | None) -> EncoderWithHead:
    """The network to train, from random weights or from those of an exported model."""
    net = cast(EncoderWithHead, build_network(model, sizes))  # of a baseline, any network
    if init_from:
        start_from(net, Path(init_from))
    return net


def network_of(model: ModelConfig, inference: str) -> dict:
    """``_target_`` and settings of the network that is kept, for ``weights.load_network``."""
    net = model.net.plain()
    if inference == "head":
        return net
    kept = {**net, "_target_": "distilclip_eeg.models.clip.prompt_classifier", "inference": inference}
    usual = "distilclip_eeg.models.conformer.Conformer"
    return kept if model.net.target == usual else kept | {"encoder": model.net.target}


def class_loss(learning: Learning, data: Data, fold: int) -> ClassLoss:
    """The loss of class logits as ``loss:`` says, weighed by the fold's training rows."""
    rows = learned_rows(data, fold, learning.trainer.max_train_windows)
    return weighed(learning.loss, data.windows["label"].to_numpy()[rows], len(data.store.classes))


def weighed(wanted: LossConfig, label_N: np.ndarray, n_classes: int) -> ClassLoss:
    """The loss of class logits; ``loss.class_weights=balanced``: N / (K n_k), as scikit-learn.

    Args:
        label_N: class index of each training window.
    """
    if wanted.class_weights == "none":
        return ClassLoss(None, wanted.classification)
    count = np.bincount(label_N, minlength=n_classes)
    weight = np.divide(len(label_N), n_classes * count, out=np.zeros(n_classes), where=count > 0)
    return ClassLoss(torch.from_numpy(weight).float(), wanted.classification)


def make_teacher(learning: Learning, data: Data, fold: int) -> tuple[DistilCLIP, TextBank, str]:
    """The CLIP model and the texts of one fold, and what describes a window, as JSON."""
    description, writer = describe_fold(learning.text, data, fold)
    vocabulary = writer.vocabulary_sentences()
    classes = class_sentences(data.store.classes, learning.text.class_prompts)
    compared = learning.loss.targets == "class_prompt" or learning.head.inference != "head"
    sentences = [*vocabulary, *(classes if compared else ())]
    backend = learning.text_encoder.build("text_encoder", sentences=sentences)
    model = DistilCLIP(
        make_net(learning.model, data.sizes(), learning.init_from),
        backend.encoder,
        head_input=learning.head.input,
        with_bias=learning.loss.targets == "sigmoid",
    )
    start = learning.init_from
    if start and not start_text(model, save_tokenizer(backend.tokenizer), Path(start)):
        print(f"init_from={start}: no text encoder there for these words; this one starts anew")
    return model, TextBank(backend.tokenizer, description, classes), writer.to_json()


def frozen_teacher(teacher: Run, fold: int, data: Data) -> tuple[DistilCLIP, TextBank]:
    """The whole teacher of a finished fold in eval mode, and its texts."""
    model, bank, _ = make_teacher(without_start(teacher.settings.learning), data, fold)
    load_text(teacher.fold(fold), model)
    kept = load_encoder(teacher.fold(fold))
    model.eeg = cast(EncoderWithHead, getattr(kept, "eeg", kept))
    return model.requires_grad_(False).eval(), bank


def without_start(learning: Learning) -> Learning:
    """The same learning from random weights: what it began with is overwritten anyway."""
    return replace(learning, init_from=None)
