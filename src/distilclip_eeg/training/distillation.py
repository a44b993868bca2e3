"""``distill``: Algorithm 2 on a finished teacher's own folds; the teacher is read, never written."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from distilclip_eeg.config.data import Places, small_seed
from distilclip_eeg.config.experiment import RunSettings, narrowed
from distilclip_eeg.config.learning import DistillConfig, Learning
from distilclip_eeg.files.reading import read_bytes
from distilclip_eeg.models.clip import PromptClassifier
from distilclip_eeg.models.conformer import take_layers
from distilclip_eeg.models.contract import EncoderWithHead
from distilclip_eeg.models.weights import load_network, save_network
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.signals import splits
from distilclip_eeg.training.checks import check
from distilclip_eeg.training.crossval import CrossValidation, MakeTask, Saver
from distilclip_eeg.training.data import Data, check_places, learned_rows, load_data
from distilclip_eeg.training.loaders import WindowSource
from distilclip_eeg.training.opening import Planned
from distilclip_eeg.training.pipeline import about_model, class_loss, frozen_teacher, make_net, network_of
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import CachedText, ClassifyTask, DistillTask, FeatureTask, Task

TERMS = ("contrast", "cosine", "mse")
"""Weights of the optional terms of a distillation, all of which compare features."""


def plan(settings: RunSettings, teacher: Run) -> Planned:
    """``python distill.py``: a student of a finished teacher run, before anything is written.

    Raises:
        ConfigError: settings that are wrong or do not fit the teacher's, before any file is read.
        DataError: ``folds_differ``: the data give other folds than the teacher's.
    """
    check(settings.data, with_kind(settings.learning))
    check_distill(settings.learning, teacher)
    data = load_data(settings.data)
    check_folds(data, teacher)
    folds = settings.folds(data.split.n_folds)
    digests = weights_of(teacher)
    # Of all folds, whichever are chosen now: fold=0, fold=1 … fill one run folder.
    sha256 = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]
    settings = replace(settings, distill=replace(wanted_of(settings.learning), teacher_sha256=sha256))
    about = {"teacher": {"run": teacher.path.name, "weights_sha256": digests}}
    print(f"teacher: {teacher.path}")
    return Planned(settings, data, folds, partial(distill_task, settings.learning, teacher=teacher), about)


def distillation(settings: RunSettings, teacher: Run) -> CrossValidation:
    """The same with its folder begun, ready to be trained."""
    return plan(settings, teacher).begin()


def with_teacher_data(settings: RunSettings, teacher: Run, root: str | None = None) -> RunSettings:
    """``settings`` with the data, folds, seed and text of the teacher, which a student must share.

    Args:
        root: where the recordings are now, if not where the teacher had them.
    """
    made = teacher.settings
    check_places(teacher, Places(dataset=root, store=settings.store.root))
    return replace(
        narrowed(RunSettings, settings),
        dataset=made.dataset.at(root),
        signals=made.signals,
        windows=made.windows,
        split=made.split,
        seed=made.seed,
        text=made.text,
        text_encoder=made.text_encoder,
        teacher=str(teacher.path),
    )


def with_kind(learning: Learning) -> Learning:
    """The same, its network held to what a student must offer, whatever else it may be.

    Raises:
        ConfigError: a floor or a teacher is no student.
    """
    model = learning.model
    if model.kind not in ("student", "baseline"):
        raise ConfigError(f"model={model.name}: model.kind={model.kind} cannot be a student; name a student.")
    return replace(learning, model=replace(model, kind="student"))


def wanted_of(learning: Learning) -> DistillConfig:
    """What is asked of the distillation; the article's values where nothing is."""
    return learning.distill or DistillConfig()


def check_distill(learning: Learning, teacher: Run) -> None:
    """Refuse distillation settings that do not fit together, before any data are read."""
    wanted, made = wanted_of(learning), teacher.settings.learning
    if learning.augment != "none":
        raise ConfigError(
            f"augment={learning.augment}: the teacher's logits are cached for the windows as they are. "
            "Leave augment out when distilling."
        )
    if made.head.input != "eeg":
        raise ConfigError(
            f"{teacher.path}: its head reads descriptions (head.input={made.head.input}), which a student "
            "has not. Distil from a teacher with head.input=eeg."
        )
    asks = [f"distill.{name}={getattr(wanted, name)}" for name in TERMS if getattr(wanted, name) > 0]
    with_text = [word for word in asks if "contrast" in word]
    if wanted.logits == "similarity":
        with_text.append("distill.logits=similarity")
    if with_text and not made.uses_text:
        raise ConfigError(
            f"{with_text[0]}, but the teacher {teacher.path} was trained without text. Leave it out, or "
            "choose another teacher."
        )
    ours, theirs = learning.model.net.get("embed"), made.model.net.get("embed")
    if (asks or with_text) and ours != theirs:
        raise ConfigError(
            f"{(with_text + asks)[0]} compares student and teacher features, but model.net.embed={ours} and "
            f"the teacher's is {theirs}. Set model.net.embed={theirs}, or leave it out."
        )


def weights_of(teacher: Run) -> dict[str, str]:
    """SHA-256 of the network of each finished fold."""
    files = [teacher.fold(k) / "model.safetensors" for k in teacher.folds_done()]
    return {f.parent.name: hashlib.sha256(read_bytes(f)).hexdigest() for f in files}


def check_folds(data: Data, teacher: Run) -> None:
    """A student must not be trained on windows that its teacher is tested on.

    Raises:
        DataError: ``folds_differ``.
    """
    found, made = splits.folds_hash(data.windows), teacher.data["folds_sha256"]
    if made != found:
        raise DataError(
            f"{teacher.path}: its folds ({made[:8]}) are not those of this run ({found[:8]}). Use the "
            "teacher's dataset, windows, split and seed.",
            reason="folds_differ",
        )


def distill_task(learning: Learning, data: Data, teacher: Run) -> MakeTask:
    """How ``distill`` makes a fold's task and saves its network."""
    wanted = wanted_of(learning)
    inference = "prompt" if wanted.logits == "similarity" else "head"

    def make_task(fold: int, source: WindowSource, accelerator: Accelerator) -> tuple[Task, Saver]:
        rows = learned_rows(data, fold, learning.trainer.max_train_windows)
        theirs = cast(EncoderWithHead, load_network(teacher.fold(fold)))
        theirs = theirs.requires_grad_(False).to(accelerator.device)
        text = cached_text(teacher, fold, data) if wanted.contrast > 0 or inference == "prompt" else None
        teacher_NE = None
        if wanted.cosine > 0 or wanted.mse > 0:
            teacher_NE = cached(FeatureTask(theirs), data, source, rows, accelerator)
        teacher_NK = cached(ClassifyTask(theirs), data, source, rows, accelerator)
        set_seed(small_seed(data.seed, fold))
        encoder = make_net(learning.model, data.sizes(), learning.init_from)
        student: EncoderWithHead | PromptClassifier = encoder
        if inference == "prompt" and text is not None:
            student = PromptClassifier(encoder, inference)
            student.set_classes(text.class_features_KE, text.logit_scale)
        if wanted.init == "teacher":
            take_layers(encoder, getattr(theirs, "eeg", theirs))
        loss = class_loss(learning, data, fold)
        task = DistillTask(student, teacher_NK, wanted, teacher_NE=teacher_NE, text=text, loss=loss)
        about = about_model(learning, data) | {"net": network_of(learning.model, inference)}
        return task, lambda folder, task: save_network(folder, task.net, about)

    return make_task


def cached(
    task: Task, data: Data, source: WindowSource, rows: np.ndarray, accelerator: Accelerator
) -> torch.Tensor:
    """What a frozen task answers to the windows at ``rows``, by row of the window index; elsewhere NaN."""
    found = torch.from_numpy(predict(task.eval(), source, rows, accelerator))
    answer = torch.full((len(data.windows), found.shape[1]), float("nan"))
    answer[rows] = found
    return answer


@torch.no_grad()
def cached_text(teacher: Run, fold: int, data: Data) -> CachedText:
    """The frozen teacher's features of every distinct description and of the class prompts, computed once."""
    model, bank = frozen_teacher(teacher, fold, data)
    assert bank.classes is not None, "a teacher's bank has class prompts"
    return CachedText(
        bank,
        model.encode_text(bank.input_ids, bank.attention_mask),
        model.encode_text(bank.classes["input_ids"], bank.classes["attention_mask"]),
        model.logit_scale.detach(),
    )
