"""From a resolved config to a finished run folder: data, folds, one model a fold, predictions.

``train`` and ``distill`` differ in the task alone; everything else is shared.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file, save

from distilclip_eeg import engine
from distilclip_eeg.config import build, read
from distilclip_eeg.engine import Fit, OptimConfig, Timed, TrainerConfig
from distilclip_eeg.loaders import WindowSource
from distilclip_eeg.losses import check_alpha, check_targets, distillation_loss
from distilclip_eeg.metrics import window_metrics
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.floors import band_features
from distilclip_eeg.progress import Ticker, track
from distilclip_eeg.runs import (
    Run,
    digest_of,
    provenance,
    read_json,
    write_atomic,
    write_json,
    write_predictions,
    write_yaml,
)
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.signals import splits
from distilclip_eeg.signals.preprocess import SignalConfig
from distilclip_eeg.signals.splits import SplitConfig
from distilclip_eeg.signals.store import Store, data_report, prepare
from distilclip_eeg.signals.windows import WindowConfig, balanced, cut
from distilclip_eeg.tasks import ClassifyTask, ClipTask, DistillTask, TextBank
from distilclip_eeg.text.descriptors import Describer
from distilclip_eeg.text.measures import measure

CHUNK = 512
"""Windows that are measured at a time."""


@dataclass
class Data:
    """A corpus as the models see it."""

    store: Store
    windows: pd.DataFrame
    """The index with recording_name, subject and a ``fold<k>`` column a fold."""
    length: int
    signals: SignalConfig
    cut: WindowConfig
    audit: dict[str, float]
    _measures: pd.DataFrame | None = None

    def rows(self, fold: int, part: str) -> np.ndarray:
        return np.flatnonzero(self.windows[f"fold{fold}"] == part)

    def source(self, fit_rows: np.ndarray) -> WindowSource:
        """Windows normalised as configured; ``fit_rows`` are training rows."""
        return WindowSource(self.store, self.windows, self.length, self.signals.normalize, fit_rows)

    def measures(self) -> pd.DataFrame:
        """What the descriptions are made of, for every window: from its own microvolts, no label in reach."""
        if self._measures is None:
            source = WindowSource(self.store, self.windows, self.length, "recording")
            parts = np.array_split(np.arange(len(self.windows)), -(-len(self.windows) // CHUNK))
            self._measures = pd.concat(
                [
                    measure(source.microvolts(rows), self.store.sfreq, self.store.ch_names)
                    for rows in track(parts, len(parts), "describing windows")
                ],
                ignore_index=True,
            )
        return self._measures

    def sizes(self) -> dict:
        """The four sizes every model takes from the data."""
        return {
            "n_chans": len(self.store.ch_names),
            "n_times": self.length,
            "sfreq": self.store.sfreq,
            "n_outputs": len(self.store.classes),
        }


def check(config: dict) -> None:
    """Refuse whatever can be refused before any file is read or written."""
    signals = read(SignalConfig, config["signals"], "signals")
    windows = read(WindowConfig, config["windows"], "windows")
    name = config["split"]["name"]
    read(SplitConfig, {**config["split"], "name": "window" if name == "auto" else name}, "split")
    chosen_folds(config)
    check_choice("text.source", config["text"]["source"], ("descriptors", "none"))
    Describer(config["text"]["detail"])
    check_alpha("loss.alpha", config["loss"]["alpha"])
    check_targets(config["loss"]["targets"])
    corpus = build(config["dataset"]["corpus"])
    check_choice("model.kind", config["model"]["kind"], ("teacher", "student", "floor"))
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


def load_data(config: dict) -> Data:
    """Store, window index and folds of ``config``; settings are checked before any file is read."""
    signals = read(SignalConfig, config["signals"], "signals")
    windows_config = read(WindowConfig, config["windows"], "windows")
    corpus = build(config["dataset"]["corpus"])
    store = prepare(corpus, signals, Path(config["store"]["root"]), n_jobs=config["n_jobs"], progress=track)
    windows = cut(store.pieces, store.events, store.classes, store.sfreq, windows_config)
    used = store.recordings[store.recordings["skipped"] == ""].set_index("number")
    windows["recording_name"] = used["recording"].loc[windows["recording"]].to_numpy()
    windows["subject"] = used["subject"].loc[windows["recording"]].to_numpy()
    if config["split"]["name"] == "auto":
        config["split"]["name"] = "subject" if windows["subject"].nunique() >= 5 else "recording"
    split = read(SplitConfig, config["split"], "split")
    length = round(windows_config.length_s * store.sfreq)
    folds = splits.make_folds(windows, split, config["seed"])
    shares = splits.audit(folds, length)
    splits.check_audit(shares, split.name)
    return Data(store, folds, length, signals, windows_config, shares)


def describe_data(data: Data) -> str:
    """The data report, with windows by class."""
    counts = data.windows["label"].value_counts().sort_index()
    names = ", ".join(f"{data.store.classes[k]} {n:,}" for k, n in counts.items())
    return f"{data_report(data.store)}\n  windows of {data.cut.length_s:g} s: {names}"


def open_run(config: dict, data: Data, **extra) -> Run:
    """The run's folder, with config, provenance and folds written; continued where it already stands."""
    name = config["run"]["name"] or "-".join(
        (config["model"]["name"], config["split"]["name"], f"s{config['seed']}", digest_of(config))
    )
    if Path(name).name != name:
        raise ConfigError(
            f"run.name={name!r} must be a plain folder name, without a path.", reason="unsafe_path"
        )
    run = Run(Path(config["run"]["root"]) / config["dataset"]["name"] / name)
    if config["run"]["fresh"] and run.path.exists():
        shutil.rmtree(run.path)
    found = splits.folds_hash(data.windows)
    info = {
        "folds_sha256": found,
        "store_digest": data.store.manifest["digest"],
        "audit": data.audit,
        "leak_note": splits.audit_line(config["split"]["name"], data.audit),
        "windows": asdict(data.cut),
        **extra,
    }
    if (run.path / "data.json").exists():
        before = read_json(run.path / "data.json")
        if before["folds_sha256"] != found or before["store_digest"] != info["store_digest"]:
            raise DataError(
                f"{run.path}: was made from other data or folds than are there now. Add run.fresh=true to "
                "start anew, or run.name=… to keep both.",
                reason="data_changed",
            )
    run.path.mkdir(parents=True, exist_ok=True)
    write_yaml(run.path / "config.yaml", config)
    write_json(run.path / "data.json", info)
    if not (run.path / "provenance.json").exists():
        (run.path / "data_report.txt").write_text(describe_data(data) + "\n")
        data.windows.to_parquet(run.path / "folds.parquet")
        write_json(run.path / "provenance.json", provenance())  # last: with it, the other two are whole
    return run


def chosen_folds(config: dict) -> list[int]:
    """``fold=`` as a list, checked."""
    n = config["split"]["n_folds"]
    fold = config["fold"]
    folds = list(range(n)) if fold is None else fold if isinstance(fold, list) else [fold]
    for k in folds:
        check_choice("fold", k, range(n))
    return folds


def run_folds(config: dict, data: Data, run: Run, make_task) -> None:
    """Train and predict every chosen fold that is not finished; ``metrics.json`` is written last."""
    kind = config["model"]["kind"]
    epochs = config["trainer"].get("epochs")
    chosen = chosen_folds(config)
    todo = [k for k in chosen if not run.fold_done(k, epochs)]
    if len(todo) < len(chosen):
        print(f"{len(chosen) - len(todo)} of {len(chosen)} folds are finished already")
    if todo:
        (run.path / "metrics.json").unlink(missing_ok=True)
    units = len(todo) if kind == "floor" else 0
    with Ticker(units, run.path.name) as ticker:
        for done, fold in enumerate(todo):
            with Timed() as timed:
                if kind == "floor":
                    floor_fold(config, data, run, fold)
                    ticker.advance(1)
                else:
                    network_fold(config, data, run, fold, make_task, ticker, len(todo) - done)
            run.add_time(f"fold{fold}_s", timed.seconds)
            row = read_json(run.fold(fold) / "metrics.json")["test"]
            print(
                f"fold {fold}: test accuracy {row['accuracy']:.3f}, f1 {row['f1']:.3f}, "
                f"auroc {row['auroc']:.3f} ({timed.seconds:.0f} s)",
                flush=True,
            )
    if len(run.folds_done()) == config["split"]["n_folds"]:
        rows = [read_json(run.fold(k) / "metrics.json")["test"] for k in run.folds_done()]
        summary = {
            name: {
                "mean": float(np.mean([r[name] for r in rows])),
                "sd": float(np.std([r[name] for r in rows], ddof=1)),
            }
            for name in rows[0]
            if name not in ("n",)
        }
        write_json(run.path / "metrics.json", {"folds": len(rows), "test": summary})


def train_rows(data: Data, fold: int, seed: int, part: str = "train") -> np.ndarray:
    """Training rows of a fold, balanced where configured; a pure function of the seed."""
    rows = data.rows(fold, part)
    if data.cut.balance_train:
        rows = rows[balanced(data.windows["label"].to_numpy()[rows], np.random.default_rng([seed, fold]))]
    return rows


def test_rows(data: Data, fold: int, seed: int) -> np.ndarray:
    """Test rows of a fold, balanced only where configured."""
    rows = data.rows(fold, "test")
    if data.cut.balance_test:
        rows = rows[balanced(data.windows["label"].to_numpy()[rows], np.random.default_rng([seed, fold, 1]))]
    return rows


def finish_fold(
    data: Data, run: Run, fold: int, rows: dict[str, np.ndarray], logits: dict[str, np.ndarray], **info
) -> None:
    """Write predictions, then metrics: a fold that has metrics is finished."""
    order = list(rows)
    windows = data.windows.iloc[np.concatenate([rows[p] for p in order])]
    part = np.repeat(order, [len(rows[p]) for p in order])
    write_predictions(
        run.fold(fold) / "predictions.npz",
        windows,
        part,
        np.concatenate([logits[p] for p in order]),
        data.store.classes,
    )
    saved = run.predictions(fold)
    metrics = {
        p: window_metrics(saved["label"][saved["part"] == p], saved["probability_NK"][saved["part"] == p])
        for p in order
    }
    write_json(run.fold(fold) / "metrics.json", {**metrics, **info})


def floor_fold(config: dict, data: Data, run: Run, fold: int) -> None:
    """Fit a classic classifier; it has no epoch to choose, so it trains on train and validation windows."""
    run.fold(fold).mkdir(exist_ok=True)
    floor = build(config["model"]["net"])
    fit = np.sort(np.concatenate([train_rows(data, fold, config["seed"], p) for p in ("train", "val")]))
    source = data.source(fit)
    test = test_rows(data, fold, config["seed"])

    def features(rows: np.ndarray) -> np.ndarray:
        chunks = np.array_split(rows, -(-len(rows) // CHUNK))
        get = source.microvolts if floor.units == "microvolt" else lambda r: source.batch(r).eeg_BCT.numpy()
        return np.concatenate([band_features(get(c), data.store.sfreq) for c in chunks])

    label = data.windows["label"].to_numpy()
    logits = floor.fit_predict(
        features(fit), label[fit], features(test), len(data.store.classes), config["seed"]
    )
    finish_fold(data, run, fold, {"test": test}, {"test": logits})


def network_fold(config: dict, data: Data, run: Run, fold: int, make_task, ticker: Ticker, left: int) -> None:
    """Train one network on one fold and predict its validation and test windows."""
    folder = run.fold(fold)
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").unlink(missing_ok=True)
    for left_by_a_kill in folder.glob(".*.tmp.*"):
        left_by_a_kill.unlink()
    trainer = read(TrainerConfig, config["trainer"], "trainer")
    optim = read(OptimConfig, config["optim"], "optim")
    accelerator = engine.make_accelerator(trainer.precision, config["device"])
    seed = config["seed"]
    rows = {
        "train": train_rows(data, fold, seed),
        "val": data.rows(fold, "val"),
        "test": test_rows(data, fold, seed),
    }
    source = data.source(rows["train"])
    set_seed(seed * 1000 + fold)
    task, saver = make_task(fold, source, accelerator)
    fit = Fit(
        task,
        source,
        rows["train"],
        rows["val"],
        folder,
        trainer=trainer,
        optim=optim,
        seed=seed * 1000 + fold,
        accelerator=accelerator,
        tick=lambda n, text: ticker.advance(n, f"fold {fold}, {text}"),
    )
    if ticker.done == 0:
        ticker.total = fit.total_steps * left
        ticker.skip(0)
    task = fit.run()
    parts = {p: rows[p] for p in ("val", "test")}
    logits = {p: engine.predict(task.net, source, r, accelerator) for p, r in parts.items()}
    saver(folder, task)
    finish_fold(
        data, run, fold, parts, logits, epochs=trainer.epochs, best_epoch=fit.best["epoch"], steps=fit.step
    )


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


def train(config: dict) -> Run:
    """``python train.py``: cross-validate one model."""
    check(config)
    data = load_data(config)
    print(describe_data(data))
    print(f"split={config['split']['name']}: {splits.audit_line(config['split']['name'], data.audit)}")
    run = open_run(config, data)
    print(f"run folder: {run.path}")

    def make_task(fold: int, source: WindowSource, accelerator):
        about = about_model(config, data)
        if not uses_text(config):
            task = ClassifyTask(build(config["model"]["net"], **data.sizes()))
            return task, lambda folder, task: save_net(folder, task.net, about)
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


def check_distill(config: dict, teacher: Run) -> None:
    """Refuse distillation settings that do not fit together, before any data are read."""
    settings = {k: config["distill"][k] for k in ("alpha", "temperature", "direction")}
    distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), **settings)
    contrast, made = config["distill"]["contrast"], teacher.config
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
