"""``train`` and ``distill``: from a resolved config to a finished run folder.

The two differ in the task alone; data, folds, loop and files are shared.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed

from distilclip_eeg.config.compose import build, read
from distilclip_eeg.models.clip import HEAD_INPUTS, INFERENCES, DistilCLIP, PromptClassifier
from distilclip_eeg.models.conformer import take_layers
from distilclip_eeg.models.losses import check_alpha, check_targets, distillation_loss
from distilclip_eeg.models.weights import (
    check_start,
    load_encoder,
    load_network,
    load_text,
    save_network,
    save_text,
    start_from,
    start_text,
)
from distilclip_eeg.runs import Run, read_json
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.signals import splits
from distilclip_eeg.signals.preprocess import SignalConfig
from distilclip_eeg.signals.splits import SplitConfig
from distilclip_eeg.signals.windows import WindowConfig
from distilclip_eeg.text.classes import class_sentences
from distilclip_eeg.text.tokenizer import save_tokenizer
from distilclip_eeg.training import augment, engine
from distilclip_eeg.training.crossval import chosen_folds, open_run, run_folds
from distilclip_eeg.training.data import Data, describe_data, load_data, train_rows
from distilclip_eeg.training.descriptions import check_text, describe_fold
from distilclip_eeg.training.engine import OptimConfig, TrainerConfig
from distilclip_eeg.training.loaders import WindowSource
from distilclip_eeg.training.tasks import (
    ClassifyTask,
    ClipTask,
    DistillTask,
    FeatureTask,
    MetaTask,
    Task,
    TextBank,
)

CLASS_WEIGHTS = ("none", "balanced")
PLAIN_HEAD = {"input": "eeg", "inference": "head"}
DISTILLED_LOGITS = ("head", "similarity")
STUDENT_INITS = ("random", "teacher")
TERMS = ("contrast", "cosine", "mse")
"""Weights of the optional terms of a distillation, all of which compare features."""


def check(config: dict) -> None:
    """Refuse whatever can be refused before any file is read or written."""
    signals = read(SignalConfig, config["signals"], "signals")
    windows = read(WindowConfig, config["windows"], "windows")
    name = config["split"]["name"]
    read(SplitConfig, {**config["split"], "name": "window" if name == "auto" else name}, "split")
    if config["split"]["n_folds"] is not None:  # else the data tell how many there are
        chosen_folds(config)
    check_choice("augment", config["augment"], augment.KINDS)
    check_alpha("loss.alpha", config["loss"]["alpha"])
    check_targets(config["loss"]["targets"])
    check_choice("loss.class_weights", config["loss"]["class_weights"], CLASS_WEIGHTS)
    check_head(config)
    corpus = build(config["dataset"]["corpus"])
    check_text(config, tuple(corpus.classes))
    check_choice("model.kind", config["model"]["kind"], ("teacher", "student", "baseline", "floor"))
    if config["model"]["kind"] == "floor":
        build(config["model"]["net"])
        if config.get("init_from"):
            raise ConfigError(f"init_from: {config['model']['name']} has no weights to start from.")
        return
    if config.get("init_from"):
        n_times = round(windows.length_s * signals.sfreq)
        ours = {"ch_names": corpus.ch_names, "classes": corpus.classes}
        check_start(Path(config["init_from"]), ours | {"n_times": n_times, "sfreq": signals.sfreq})
    trainer = read(TrainerConfig, config["trainer"], "trainer")
    read(OptimConfig, config["optim"], "optim")
    engine.make_accelerator(trainer.precision, config["device"])
    with torch.device("meta"):  # shapes without memory
        build(
            config["model"]["net"],
            n_chans=len(corpus.ch_names),
            n_times=round(windows.length_s * signals.sfreq),
            sfreq=signals.sfreq,
            n_outputs=len(corpus.classes),
        )
    if uses_text(config):
        build(config["text_encoder"], sentences=["a window"])


def uses_text(config: dict) -> bool:
    """Whether training this config takes text."""
    with_text = config["model"]["kind"] == "teacher" and config["text"]["source"] != "none"
    return with_text and (config["loss"]["alpha"] > 0 or config["head"]["input"] != "eeg")


def check_head(config: dict) -> None:
    """Refuse a head or an inference that needs text where there is none."""
    head, source = config["head"], config["text"]["source"]
    check_choice("head.input", head["input"], HEAD_INPUTS)
    check_choice("head.inference", head["inference"], INFERENCES)
    asks = next((f"head.{k}={head[k]}" for k, plain in PLAIN_HEAD.items() if head[k] != plain), None)
    if asks and not uses_text(config):
        raise ConfigError(
            f"{asks} needs a teacher trained with text: model.kind={config['model']['kind']}, "
            f"text.source={source}, loss.alpha={config['loss']['alpha']}. Choose a teacher, another "
            "text.source, or loss.alpha above 0."
        )
    if head["input"] != "eeg" and head["inference"] != "head":
        raise ConfigError(
            f"head.input={head['input']} with head.inference={head['inference']}: class prompts are compared "
            "with EEG features alone. Use head.input=eeg, or head.inference=head."
        )
    if head["input"] != "eeg" and source == "class_template":
        raise ConfigError(
            f"head.input={head['input']} reads a window's own text, and with text.source=class_template that "
            "would be its label. Use text.source=descriptors or handcrafted."
        )


def about_model(config: dict, data: Data) -> dict:
    return {
        "net": network_of(config, config["head"]["inference"]),
        **data.sizes(),
        "ch_names": list(data.store.ch_names),
        "classes": list(data.store.classes),
        "signals": config["signals"],
        "store_digest": data.store.manifest["digest"],
        "folds_sha256": splits.folds_hash(data.windows),
    } | ({} if config["head"]["input"] == "eeg" else {"needs_text": config["head"]["input"]})


def make_net(config: dict, data: Data) -> torch.nn.Module:
    """The network to train, from random weights or from those of ``init_from``."""
    net = build(config["model"]["net"], **data.sizes())
    folder = config.get("init_from")
    return start_from(net, Path(folder)) if folder else net


def network_of(config: dict, inference: str) -> dict:
    """``_target_`` and settings of the network that is kept, for ``weights.load_network``."""
    net = config["model"]["net"]
    if inference == "head":
        return net
    return {**net, "_target_": "distilclip_eeg.models.clip.prompt_classifier", "inference": inference}


def class_weight(config: dict, data: Data, fold: int) -> torch.Tensor | None:
    """``loss.class_weights=balanced``: N / (K n_k) over the training rows, as scikit-learn; (K,) or None."""
    if config["loss"]["class_weights"] == "none":
        return None
    n_classes = len(data.store.classes)
    label = data.windows["label"].to_numpy()[train_rows(data, fold, config["seed"])]
    count = np.bincount(label, minlength=n_classes)
    weight = np.divide(len(label), n_classes * count, out=np.zeros(n_classes), where=count > 0)
    return torch.from_numpy(weight).float()


def make_teacher(config: dict, data: Data, fold: int) -> tuple[DistilCLIP, TextBank, str]:
    """The CLIP model and the texts of one fold, and what describes a window, as JSON."""
    description, writer = describe_fold(config, data, fold)
    vocabulary = writer.vocabulary_sentences()
    classes = class_sentences(data.store.classes, config["text"].get("class_prompts"))
    compared = config["loss"]["targets"] == "class_prompt" or config["head"]["inference"] != "head"
    backend = build(config["text_encoder"], sentences=[*vocabulary, *(classes if compared else ())])
    model = DistilCLIP(
        make_net(config, data),
        backend.encoder,
        head_input=config["head"]["input"],
        with_bias=config["loss"]["targets"] == "sigmoid",
    )
    start = config.get("init_from")
    if start and not start_text(model, save_tokenizer(backend.tokenizer), Path(start)):
        print(f"init_from={start}: no text encoder there for these words; this one starts anew")
    return model, TextBank(backend.tokenizer, description, classes), writer.to_json()


def train(config: dict, *, report: bool = True) -> Run:
    """``python train.py``: cross-validate one model; ``report`` prints what the data are first."""
    check(config)
    data = load_data(config)
    if report:
        print(describe_data(data))
    print(f"split={config['split']['name']}: {data.leak_note}")
    run = open_run(config, data)
    print(f"run folder: {run.path}")
    run_folds(config, data, run, train_task(config, data))
    return run


def train_task(config: dict, data: Data) -> Callable:
    """How ``train`` makes a fold's task and saves it: ``make_task(fold, source, accelerator)``."""

    def make_task(fold: int, source: WindowSource, accelerator):
        about, weight = about_model(config, data), class_weight(config, data, fold)
        if not uses_text(config):
            task = plain_task(config, data, weight)
            return task, lambda folder, task: save_network(folder, task.net, about)
        model, bank, writer = make_teacher(config, data, fold)
        about["describer"] = json.loads(writer)
        loss, inference = config["loss"], config["head"]["inference"]
        settings = {"alpha": loss["alpha"], "targets": loss["targets"], "inference": inference}
        task = ClipTask(model, bank, **settings, class_weight_K=weight)

        def saver(folder: Path, task: ClipTask) -> None:
            save_network(folder, task.inference_net(), about)
            state = engine.kept_state(task.model)
            save_text(folder, {k: v for k, v in state.items() if not k.startswith("eeg.")})

        return task, saver

    return make_task


def plain_task(config: dict, data: Data, weight: torch.Tensor | None = None) -> ClassifyTask | MetaTask:
    """A network without text: by cross-entropy, or meta-learned over subjects as ``model.meta_lr`` says."""
    net, meta_lr = make_net(config, data), config["model"].get("meta_lr")
    if meta_lr is None:
        return ClassifyTask(net, class_weight_K=weight)
    subject_N = np.unique(data.windows["subject"], return_inverse=True)[1]
    return MetaTask(net, torch.from_numpy(subject_N), inner_lr=meta_lr, class_weight_K=weight)


def check_distill(config: dict, teacher: Run) -> None:
    """Refuse distillation settings that do not fit together, before any data are read."""
    settings = {k: config["distill"][k] for k in ("alpha", "temperature", "direction")}
    distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), **settings)
    wanted, made = config["distill"], teacher.config
    check_choice("distill.logits", wanted["logits"], DISTILLED_LOGITS)
    check_choice("distill.init", wanted["init"], STUDENT_INITS)
    if config["augment"] != "none":
        raise ConfigError(
            f"augment={config['augment']}: the teacher's logits are cached for the windows as they are. "
            "Leave augment out when distilling."
        )
    if made["head"]["input"] != "eeg":
        raise ConfigError(
            f"{teacher.path}: its head reads descriptions (head.input={made['head']['input']}), which a "
            "student has not. Distil from a teacher with head.input=eeg."
        )
    for name in TERMS:
        if wanted[name] < 0:
            raise ConfigError(f"distill.{name}={wanted[name]} must be 0 or more.")
    asks = [f"distill.{name}={wanted[name]}" for name in TERMS if wanted[name] > 0]
    with_text = [word for word in asks if "contrast" in word]
    if wanted["logits"] == "similarity":
        with_text.append("distill.logits=similarity")
    if with_text and not uses_text(made):
        raise ConfigError(
            f"{with_text[0]}, but the teacher {teacher.path} was trained without text. Leave it out, or "
            "choose another teacher."
        )
    ours, theirs = config["model"]["net"].get("embed"), made["model"]["net"].get("embed")
    if (asks or with_text) and ours != theirs:
        raise ConfigError(
            f"{(with_text + asks)[0]} compares student and teacher features, but model.net.embed={ours} and "
            f"the teacher's is {theirs}. Set model.net.embed={theirs}, or leave it out."
        )


def distill(config: dict, teacher: Run) -> Run:
    """``python distill.py``: Algorithm 2 on the teacher's own folds; the teacher is read, never written."""
    check(config)
    check_distill(config, teacher)
    data = load_data(config)
    check_folds(data, teacher)
    digests = weights_of(teacher)
    # Of all folds, whichever are chosen now: fold=0, fold=1 … fill one run folder.
    config["distill"]["teacher_sha256"] = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]
    run = open_run(config, data, teacher={"run": teacher.path.name, "weights_sha256": digests})
    print(f"teacher: {teacher.path}\nrun folder: {run.path}")
    run_folds(config, data, run, distill_task(config, data, teacher))
    return run


def weights_of(teacher: Run) -> dict[str, str]:
    """SHA-256 of the network of each finished fold."""
    files = [teacher.fold(k) / "model.safetensors" for k in teacher.folds_done()]
    return {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def check_folds(data: Data, teacher: Run) -> None:
    """A student must not be trained on windows that its teacher is tested on."""
    found = splits.folds_hash(data.windows)
    made = read_json(teacher.path / "data.json")
    if made["folds_sha256"] != found:
        raise DataError(
            f"{teacher.path}: its folds ({made['folds_sha256'][:8]}) are not those of this run "
            f"({found[:8]}). Use the teacher's dataset, windows, split and seed.",
            reason="folds_differ",
        )


def distill_task(config: dict, data: Data, teacher: Run) -> Callable:
    """How ``distill`` makes a fold's task and saves its network."""

    wanted = config["distill"]
    inference = "prompt" if wanted["logits"] == "similarity" else "head"

    def make_task(fold: int, source: WindowSource, accelerator):
        rows = train_rows(data, fold, config["seed"])
        theirs = load_network(teacher.fold(fold)).requires_grad_(False).to(accelerator.device)
        text = cached_text(teacher, fold, data) if wanted["contrast"] > 0 or inference == "prompt" else {}
        classes_KE = text.pop("class_features_KE", None)
        if wanted["cosine"] > 0 or wanted["mse"] > 0:
            text["teacher_NE"] = cached(FeatureTask(theirs), data, source, rows, accelerator)
        teacher_NK = cached(ClassifyTask(theirs), data, source, rows, accelerator)
        set_seed(config["seed"] * 1000 + fold)
        student = make_net(config, data)
        if inference == "prompt":
            student = PromptClassifier(student, inference).set_classes(classes_KE, text["logit_scale"])
        if wanted["init"] == "teacher":
            take_layers(getattr(student, "eeg", student), getattr(theirs, "eeg", theirs))
        settings = {k: wanted[k] for k in ("alpha", "temperature", "direction", *TERMS)}
        task = DistillTask(
            student, teacher_NK, **settings, **text, class_weight_K=class_weight(config, data, fold)
        )
        about = about_model(config, data) | {"net": network_of(config, inference)}
        return task, lambda folder, task: save_network(folder, task.net, about)

    return make_task


def cached(task: Task, data: Data, source: WindowSource, rows: np.ndarray, accelerator) -> torch.Tensor:
    """What a frozen task answers to the windows at ``rows``, by row of the window index; elsewhere NaN."""
    found = torch.from_numpy(engine.predict(task.eval(), source, rows, accelerator))
    answer = torch.full((len(data.windows), found.shape[1]), float("nan"))
    answer[rows] = found
    return answer


def frozen_teacher(teacher: Run, fold: int, data: Data) -> tuple[DistilCLIP, TextBank]:
    """The whole teacher of a finished fold in eval mode, and its texts."""
    model, bank, _ = make_teacher(teacher.config | {"init_from": None}, data, fold)
    load_text(teacher.fold(fold), model)
    kept = load_encoder(teacher.fold(fold))
    model.eeg = getattr(kept, "eeg", kept)
    return model.requires_grad_(False).eval(), bank


@torch.no_grad()
def cached_text(teacher: Run, fold: int, data: Data) -> dict:
    """The frozen teacher's features of every distinct description and of the class prompts, computed once."""
    model, bank = frozen_teacher(teacher, fold, data)
    return {
        "bank": bank,
        "text_UE": model.encode_text(bank.input_ids, bank.attention_mask),
        "class_features_KE": model.encode_text(**bank.classes),
        "logit_scale": model.logit_scale.detach(),
    }
