"""``train`` and ``distill``: from a resolved config to a finished run folder.

The two differ in the task alone; data, folds, loop and files are shared.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file, save

from distilclip_eeg import augment, engine
from distilclip_eeg.config import build, read
from distilclip_eeg.crossval import chosen_folds, open_run, run_folds
from distilclip_eeg.data import Data, describe_data, load_data, train_rows
from distilclip_eeg.engine import OptimConfig, TrainerConfig
from distilclip_eeg.loaders import WindowSource
from distilclip_eeg.losses import check_alpha, check_targets, distillation_loss
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.runs import (
    Run,
    read_json,
    write_atomic,
    write_json,
)
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.signals import splits
from distilclip_eeg.signals.preprocess import SignalConfig
from distilclip_eeg.signals.splits import SplitConfig
from distilclip_eeg.signals.windows import WindowConfig
from distilclip_eeg.tasks import ClassifyTask, ClipTask, DistillTask, MetaTask, TextBank
from distilclip_eeg.text.descriptors import Describer


def check(config: dict) -> None:
    """Refuse whatever can be refused before any file is read or written."""
    signals = read(SignalConfig, config["signals"], "signals")
    windows = read(WindowConfig, config["windows"], "windows")
    name = config["split"]["name"]
    read(SplitConfig, {**config["split"], "name": "window" if name == "auto" else name}, "split")
    if config["split"]["n_folds"] is not None:  # else the data tell how many there are
        chosen_folds(config)
    check_choice("text.source", config["text"]["source"], ("descriptors", "none"))
    Describer(config["text"]["detail"])
    check_choice("augment", config["augment"], augment.KINDS)
    check_alpha("loss.alpha", config["loss"]["alpha"])
    check_targets(config["loss"]["targets"])
    corpus = build(config["dataset"]["corpus"])
    check_choice("model.kind", config["model"]["kind"], ("teacher", "student", "baseline", "floor"))
    if config["model"]["kind"] == "floor":
        build(config["model"]["net"])
        return
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
    """Whether training this config takes descriptions."""
    with_text = config["model"]["kind"] == "teacher" and config["text"]["source"] != "none"
    return with_text and config["loss"]["alpha"] > 0


def save_net(folder: Path, net: torch.nn.Module, about: dict) -> None:
    """Inference weights as safetensors, and plain JSON that says what they are."""
    body = save({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()})
    write_atomic(folder / "model.safetensors", body)
    write_json(folder / "model.json", {**about, "sha256": hashlib.sha256(body).hexdigest()})


def about_model(config: dict, data: Data) -> dict:
    return {
        "net": config["model"]["net"],
        **data.sizes(),
        "ch_names": list(data.store.ch_names),
        "classes": list(data.store.classes),
        "signals": config["signals"],
        "store_digest": data.store.manifest["digest"],
        "folds_sha256": splits.folds_hash(data.windows),
    }


def make_teacher(config: dict, data: Data, description: list[str], sentences: list[str]) -> tuple:
    """The CLIP model and the texts of one fold."""
    settings = dict(config["text_encoder"])
    backend = build(settings, sentences=sentences)
    eeg = build(config["model"]["net"], **data.sizes())
    return DistilCLIP(eeg, backend.encoder), TextBank(backend.tokenizer, description)


def describe_fold(config: dict, data: Data, fold: int) -> tuple[list[str], Describer]:
    """Every window's description, its bin edges fitted on this fold's training rows."""
    describer = Describer(config["text"]["detail"])
    describer.fit(data.measures().iloc[data.rows(fold, "train")])
    return describer.describe(data.measures()), describer


def train(config: dict, *, report: bool = True) -> Run:
    """``python train.py``: cross-validate one model; ``report`` prints what the data are first."""
    check(config)
    data = load_data(config)
    if report:
        print(describe_data(data))
    print(f"split={config['split']['name']}: {data.leak_note}")
    run = open_run(config, data)
    print(f"run folder: {run.path}")

    def make_task(fold: int, source: WindowSource, accelerator):
        about = about_model(config, data)
        if not uses_text(config):
            return plain_task(config, data), lambda folder, task: save_net(folder, task.net, about)
        description, describer = describe_fold(config, data, fold)
        model, bank = make_teacher(config, data, description, describer.vocabulary_sentences())
        about["describer"] = json.loads(describer.to_json())
        task = ClipTask(model, bank, **config["loss"])

        def saver(folder: Path, task: ClipTask) -> None:
            save_net(folder, task.net, about)
            state = {k: v for k, v in engine.kept_state(task.model).items() if not k.startswith("eeg.")}
            write_atomic(folder / "text.safetensors", save({k: v.contiguous() for k, v in state.items()}))

        return task, saver

    run_folds(config, data, run, make_task)
    return run


def plain_task(config: dict, data: Data) -> ClassifyTask | MetaTask:
    """A network without text: by cross-entropy, or meta-learned over subjects as ``model.meta_lr`` says."""
    net, meta_lr = build(config["model"]["net"], **data.sizes()), config["model"].get("meta_lr")
    if meta_lr is None:
        return ClassifyTask(net)
    subject_N = np.unique(data.windows["subject"], return_inverse=True)[1]
    return MetaTask(net, torch.from_numpy(subject_N), inner_lr=meta_lr)


def check_distill(config: dict, teacher: Run) -> None:
    """Refuse distillation settings that do not fit together, before any data are read."""
    settings = {k: config["distill"][k] for k in ("alpha", "temperature", "direction")}
    distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), **settings)
    contrast, made = config["distill"]["contrast"], teacher.config
    if config["augment"] != "none":
        raise ConfigError(
            f"augment={config['augment']}: the teacher's logits are cached for the windows as they are. "
            "Leave augment out when distilling."
        )
    if contrast < 0:
        raise ConfigError(f"distill.contrast={contrast} must be 0 or more.")
    if contrast > 0 and not uses_text(made):
        raise ConfigError(
            f"distill.contrast={contrast}, but the teacher {teacher.path} was trained without text. "
            "Set distill.contrast=0, or choose another teacher."
        )
    ours, theirs = config["model"]["net"].get("embed"), made["model"]["net"].get("embed")
    if contrast > 0 and ours != theirs:
        raise ConfigError(
            f"distill.contrast={contrast} compares student and text features, but model.net.embed={ours} and "
            f"the teacher's is {theirs}. Set model.net.embed={theirs}, or distill.contrast=0."
        )


def distill(config: dict, teacher: Run) -> Run:
    """``python distill.py``: Algorithm 2 on the teacher's own folds; the teacher is read, never written."""
    check(config)
    check_distill(config, teacher)
    data = load_data(config)
    found = splits.folds_hash(data.windows)
    made = read_json(teacher.path / "data.json")
    if made["folds_sha256"] != found:
        raise DataError(
            f"{teacher.path}: its folds ({made['folds_sha256'][:8]}) are not those of this run "
            f"({found[:8]}). Use the teacher's dataset, windows, split and seed.",
            reason="folds_differ",
        )
    files = [teacher.fold(k) / "model.safetensors" for k in teacher.folds_done()]
    digests = {f.parent.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    # Of all folds, whichever are chosen now: fold=0, fold=1 … fill one run folder.
    config["distill"]["teacher_sha256"] = hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]
    run = open_run(config, data, teacher={"run": teacher.path.name, "weights_sha256": digests})
    print(f"teacher: {teacher.path}\nrun folder: {run.path}")

    def make_task(fold: int, source: WindowSource, accelerator):
        folder = teacher.fold(fold)
        rows = train_rows(data, fold, config["seed"])
        settings = {k: config["distill"][k] for k in ("alpha", "temperature", "direction", "contrast")}
        text = cached_text(teacher, fold, data) if settings["contrast"] > 0 else {}
        net = build(teacher.config["model"]["net"], **data.sizes())
        net.load_state_dict(load_file(folder / "model.safetensors"))
        net.requires_grad_(False).eval().to(accelerator.device)
        teacher_NK = torch.full((len(data.windows), len(data.store.classes)), float("nan"))
        teacher_NK[rows] = torch.from_numpy(engine.predict(net, source, rows, accelerator))
        set_seed(config["seed"] * 1000 + fold)
        student = build(config["model"]["net"], **data.sizes())
        task = DistillTask(student, teacher_NK, **settings, **text)
        return task, lambda folder, task: save_net(folder, task.net, about_model(config, data))

    run_folds(config, data, run, make_task)
    return run


@torch.no_grad()
def cached_text(teacher: Run, fold: int, data: Data) -> dict:
    """The frozen teacher's features of every distinct description, computed once."""
    config = teacher.config
    description, describer = describe_fold(config, data, fold)
    model, bank = make_teacher(config, data, description, describer.vocabulary_sentences())
    _, unexpected = model.load_state_dict(load_file(teacher.fold(fold) / "text.safetensors"), strict=False)
    unexpected = [k for k in unexpected if k not in dict(model.named_buffers())]  # BERT's position ids
    if unexpected:
        raise DataError(
            f"{teacher.fold(fold)}/text.safetensors does not fit its run's text_encoder ({unexpected[0]}).",
            reason="text_state",
        )
    model.eval()
    return {
        "bank": bank,
        "text_UE": model.encode_text(bank.input_ids, bank.attention_mask),
        "logit_scale": model.logit_scale.detach(),
    }
