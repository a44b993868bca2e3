"""One corpus's models on another: ``python evaluate.py run=RUN dataset=OTHER``.

Every fold's network scores every window of the other corpus; nothing of that corpus is fitted, chosen or
calibrated. The signals are made as the run's were (filter, rate, montage, normalisation), so the two corpora
must share a montage. Where the classes differ, both are reduced to background and seizure.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from distilclip_eeg.config.data import DatasetConfig, View
from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.digests import sign, write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import write_json, write_yaml
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.progress import track
from distilclip_eeg.runs import Run, provenance, write_predictions
from distilclip_eeg.schema import BACKGROUND, SEIZURE, ConfigError, Corpus
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import Store, prepare
from distilclip_eeg.training.crossval import summary_of
from distilclip_eeg.training.data import index_windows
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.loaders import WindowSource
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import ClassifyTask

PROTOCOL: Literal["transfer"] = "transfer"
"""Name of this protocol in tables, where others have their split."""
BINARY = (BACKGROUND, SEIZURE)


@dataclass(frozen=True)
class Target:
    """The other corpus, and where its windows and scores go."""

    dataset: DatasetConfig
    """Its settings, montage set to the run's."""
    store_root: Path
    run_root: Path
    device: str
    n_jobs: int


def transfer(run: Run, target: Target) -> Run:
    """Score the other corpus with every fold's network; the result is a run folder of its own.

    Raises:
        ConfigError: the run has no network, normalises by training recordings, or its channels differ.
    """
    made = run.settings
    if made.model.kind == "floor":
        raise ConfigError(f"run={run.path}: {made.model.name} keeps no weights; give a network's run.")
    signals, cut = made.signals, made.windows
    if signals.normalize == "train":
        raise ConfigError(
            f"run={run.path}: signals.normalize=train rests on the run's own recordings. Train with "
            "signals.normalize=recording or running to test on another corpus."
        )
    corpus = target.dataset.corpus.build("corpus")
    about = read_json(run.fold(run.folds_done()[0]) / "model.json", "ch_names", "classes")
    check_channels(run, tuple(about["ch_names"]), corpus)
    store = prepare(corpus, signals, target.store_root, n_jobs=target.n_jobs, progress=track)
    windows = index_windows(store, cut)
    print(data_report(store))
    names = {"same": tuple(about["classes"]) == store.classes, "classes": tuple(about["classes"])}
    classes = store.classes if names["same"] else BINARY
    if not names["same"]:
        windows["label"] = (windows["label"] > 0).astype(int)
    result = open_result(run, made, target, store)
    source = WindowSource(store, windows, View.of(cut, store.sfreq), signals.normalize)
    accelerator = make_accelerator("fp32", target.device)
    rows, tests = np.arange(len(windows)), []
    for fold in track(run.folds_done(), len(run.folds_done()), "scoring with each fold's model"):
        net = load_network(run.fold(fold)).to(accelerator.device)
        logits = predict(ClassifyTask(net).eval(), source, rows, accelerator)
        logits = logits if names["same"] else binary_logits(logits)
        folder = result.fold(fold)
        folder.mkdir(exist_ok=True)
        part = np.full(len(rows), "test")
        write_predictions(folder / "predictions.npz", windows, part, logits, classes)
        saved = result.predictions(fold)
        tests.append(window_metrics(saved["label"], saved["probability_NK"]))
        write_json(folder / "metrics.json", {"test": tests[-1]})
        sign(folder, ["predictions.npz", "metrics.json"])
    write_json(result.path / "metrics.json", {"folds": len(tests), "test": summary_of(tests)})
    sign(result.path, ["metrics.json"])
    return result


def check_channels(run: Run, theirs: tuple[str, ...], corpus: Corpus) -> None:
    """Refuse to score signals whose rows mean something else than those the network was trained on."""
    if theirs == corpus.ch_names:
        return
    raise ConfigError(
        f"run={run.path}: its model takes {len(theirs)} channels ({', '.join(theirs[:3])}, ...), dataset="
        f"{corpus.name} gives {len(corpus.ch_names)} ({', '.join(corpus.ch_names[:3])}, ...). Train with "
        "signals.montage=bipolar18 or car19, which are the same for every corpus."
    )


def open_result(run: Run, made: RunSettings, target: Target, store: Store) -> Run:
    """The folder of the scores: config, data report and protocol, as any run has them."""
    model, theirs, ours = made.model.name, made.dataset.name, target.dataset.name
    named = run.data.get("digest") or run.path.name.rpartition("-")[2]
    name = f"{model}-from-{theirs}-{named}"
    result = Run(target.run_root / ours / f"{name}-{store.manifest['digest'][:8]}")
    settings = replace(
        made,
        dataset=target.dataset,
        model=replace(made.model, name=f"{model} from {theirs}", kind=PROTOCOL),
        split=replace(made.split, name=PROTOCOL),
        windows=replace(made.windows, balance_test=False),
        run=replace(made.run, fresh=False),
    )
    digest = digest_of(settings)
    result.begin(digest, settings)
    result.path.mkdir(parents=True, exist_ok=True)
    for old in (result.path, *(result.fold(k) for k in result.folds_done())):  # of an earlier start
        (old / "metrics.json").unlink(missing_ok=True)
    write_yaml(result.path / "config.yaml", plain(settings))
    note = (
        f"every window of {ours}, scored by the models of each fold of {theirs} ({made.split.name}); "
        f"nothing was fitted on {ours}, and nothing is known of persons who may stand in both"
    )
    info = {
        "digest": digest,
        "leak_note": note,
        "audit": None,
        "store_digest": store.manifest["digest"],
        "run": run.path.name,
    }
    write_json(result.path / "data.json", info)
    write_atomic(result.path / "data_report.txt", f"{data_report(store)}\n".encode())
    write_json(result.path / "provenance.json", provenance())
    sign(result.path, ("config.yaml", "data.json", "data_report.txt", "provenance.json"))
    return result


def binary_logits(logits_NK: np.ndarray) -> np.ndarray:
    """Background against any seizure: the seizure classes' probabilities added up, as logits (N, 2)."""
    return np.stack([logits_NK[:, 0], np.logaddexp.reduce(logits_NK[:, 1:], axis=1)], axis=1)
