"""Cross-validation: the run folder, every fold of it, one model a fold, predictions and metrics.

Networks go through ``engine.Fit``, floors through scikit-learn; both leave the same files.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from accelerate.utils import set_seed

from distilclip_eeg.config.compose import build, read
from distilclip_eeg.models.floors import band_features
from distilclip_eeg.progress import Ticker
from distilclip_eeg.runs import (
    Run,
    digest_of,
    provenance,
    read_json,
    write_json,
    write_predictions,
    write_yaml,
)
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.signals import splits
from distilclip_eeg.training import engine
from distilclip_eeg.training.augment import standard
from distilclip_eeg.training.data import CHUNK, Data, describe_data, test_rows, train_rows
from distilclip_eeg.training.engine import Fit, OptimConfig, Timed, TrainerConfig


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
        "leak_note": data.leak_note,
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
        write_json(run.path / "metrics.json", {"folds": len(rows), "test": summary_of(rows)})


def summary_of(rows: list[dict]) -> dict[str, dict]:
    """Mean and SD of each metric over the folds that define it, and how many they are."""
    summary = {}
    for name in rows[0].keys() - {"n"}:
        defined = [row[name] for row in rows if np.isfinite(row[name])]
        summary[name] = {
            "mean": float(np.mean(defined)) if defined else None,
            "sd": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
            "folds": len(defined),
        }
    return summary


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
    """Fit a classic classifier; it has no epoch to choose, so it trains on train and validation windows.

    Its validation windows are scored by a second one, trained without them, to choose a threshold on.
    """
    run.fold(fold).mkdir(exist_ok=True)
    seed = config["seed"]
    train, val = (train_rows(data, fold, seed, part) for part in ("train", "val"))
    rows = {"val": data.rows(fold, "val"), "test": test_rows(data, fold, seed)}
    logits = {
        "val": floor_logits(config, data, train, rows["val"]),
        "test": floor_logits(config, data, np.sort(np.concatenate([train, val])), rows["test"]),
    }
    finish_fold(data, run, fold, rows, logits)


def floor_logits(config: dict, data: Data, fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Log probabilities (N, K) of ``rows`` by a classifier fitted on the rows ``fit``."""
    floor = build(config["model"]["net"])
    source = data.source(fit)

    def features(rows: np.ndarray) -> np.ndarray:
        chunks = np.array_split(rows, -(-len(rows) // CHUNK))
        get = source.microvolts if floor.units == "microvolt" else lambda r: source.batch(r).eeg_BCT.numpy()
        return np.concatenate([band_features(get(c), data.store.sfreq) for c in chunks])

    label = data.windows["label"].to_numpy()
    return floor.fit_predict(
        features(fit), label[fit], features(rows), len(data.store.classes), config["seed"]
    )


def network_fold(config: dict, data: Data, run: Run, fold: int, make_task, ticker: Ticker, left: int) -> None:
    """Train one network on one fold and predict its validation and test windows."""
    folder = run.fold(fold)
    run.forget(fold)
    fit, saver = open_fit(
        config, data, folder, fold, make_task, tick=lambda n, text: ticker.advance(n, f"fold {fold}, {text}")
    )
    ticker.expect(fit.total_steps - fit.step + fit.total_steps * (left - 1))
    task = fit.run()
    parts = {"val": fit.val_rows, "test": test_rows(data, fold, config["seed"])}
    logits = {p: engine.predict(task, fit.source, r, fit.accelerator) for p, r in parts.items()}
    saver(folder, task)
    epochs, best = fit.trainer.epochs, fit.best["epoch"]
    finish_fold(data, run, fold, parts, logits, epochs=epochs, best_epoch=best, steps=fit.step)


def open_fit(config: dict, data: Data, folder: Path, fold: int, make_task, **watch) -> tuple[Fit, Callable]:
    """One fold's training in ``folder``, at its newest checkpoint, and what saves its network.

    It knows training and validation windows alone; ``watch`` is ``tick`` and ``after_epoch`` of ``Fit``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in folder.glob(".*.tmp.*"):
        left_by_a_kill.unlink()
    trainer = read(TrainerConfig, config["trainer"], "trainer")
    accelerator = engine.make_accelerator(trainer.precision, config["device"])
    seed = config["seed"]
    rows = train_rows(data, fold, seed)
    source = data.source(rows)
    set_seed(seed * 1000 + fold)
    task, saver = make_task(fold, source, accelerator)
    fit = Fit(
        task,
        source,
        rows,
        data.rows(fold, "val"),
        folder,
        trainer=trainer,
        optim=read(OptimConfig, config["optim"], "optim"),
        seed=seed * 1000 + fold,
        accelerator=accelerator,
        augment=partial(standard, sfreq=source.store.sfreq) if config["augment"] == "standard" else None,
        **watch,
    )
    return fit, saver
