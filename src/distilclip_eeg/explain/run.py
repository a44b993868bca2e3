"""One fold of a run explained: everything that a report shows of a model, written beside its weights.

``RUN/fold<k>/explain/`` holds ``ecam.npz``, ``faithfulness.json``, ``examples.npz`` and ``examples.json``,
``embedding.npz``, ``cost.csv``, on the synthetic corpus ``focus.csv``, and, last of all, ``explain.json``:
what was asked, and what was left out and why. ``scripts/report.py`` reads these files and never a model.

Shapes: N windows, C channels, T samples, K classes.
"""

import io
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor, nn

from distilclip_eeg import cost, engine
from distilclip_eeg.data import Data, data_of, test_rows, train_rows
from distilclip_eeg.explain import examples, faithfulness, focus
from distilclip_eeg.explain.maps import METHODS, channel_map, check_method, methods_for
from distilclip_eeg.explain.positions import positions
from distilclip_eeg.loaders import WindowSource
from distilclip_eeg.progress import track
from distilclip_eeg.runs import Run, find_runs, read_json, write_atomic, write_json
from distilclip_eeg.schema import ConfigError, check_choice
from distilclip_eeg.weights import ABOUT, load_network

FOLDER, DONE = "explain", "explain.json"
BATCH = 64
FAITHFUL = ("hires", "ig", "occlusion")
"""Methods whose faithfulness is measured, beside the one asked for."""
RANDOM_ORDERS = 3
EMBEDDED = 500
KINDS = ("teacher", "student", "baseline")
"""Runs that keep networks."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is explained, and how."""

    fold: int = 0
    method: str = "hires"
    """Of the maps; see ``explain.maps``."""
    windows: int = 400
    """Test windows at most, of each class as many as there are or as the others leave room for."""

    def __post_init__(self) -> None:
        check_choice("method", self.method, tuple(METHODS))
        if self.windows < 1:
            raise ConfigError(f"windows={self.windows} must be 1 or more.")


@dataclass(frozen=True)
class Looked:
    """A fold's network and the windows that it is asked about."""

    net: nn.Module
    source: WindowSource
    device: torch.device

    def each(self, rows: np.ndarray, answer: Callable[[Tensor, slice], Tensor | np.ndarray]) -> np.ndarray:
        """``answer(eeg_BCT, which)`` of all ``rows``, batch by batch."""
        spans = [slice(i, min(i + BATCH, len(rows))) for i in range(0, len(rows), BATCH)]
        found = (answer(self.source.batch(rows[span], self.device).eeg_BCT, span) for span in spans)
        return np.concatenate([torch.as_tensor(part).cpu().numpy() for part in found])

    @torch.no_grad()
    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, K)."""
        return self.each(rows, lambda eeg_BCT, _: self.net(eeg_BCT))

    def maps(self, rows: np.ndarray, target_N: np.ndarray, method: str) -> np.ndarray:
        """(N, C), not normalised."""
        target = torch.from_numpy(target_N).to(self.device)
        return self.each(rows, lambda eeg_BCT, span: channel_map(self.net, eeg_BCT, target[span], method))

    def deletion(self, rows: np.ndarray, target_N: np.ndarray, order_NC: np.ndarray) -> np.ndarray:
        """(N, C + 1)."""
        target, order = (torch.from_numpy(values).to(self.device) for values in (target_N, order_NC))
        return self.each(
            rows,
            lambda eeg_BCT, span: faithfulness.deletion(self.net, eeg_BCT, target[span], order[span]),
        )


def explain(
    run: Run, ask: Ask, *, device: str = "auto", n_jobs: int = -1, fresh: bool = False, **roots: str | None
) -> Path:
    """Write the folder of one fold and return it; one that answers the same question already is left alone.

    Args:
        roots: ``dataset`` and ``store``, as for ``data.data_of``.

    Raises:
        ConfigError: the run keeps no network, the fold is not finished, or the method does not fit.
        DataError: the data are not the run's, or the network answers nothing without text.
    """
    check_run(run, ask.fold)
    folder = run.fold(ask.fold) / FOLDER
    asked = asdict(ask) | {"weights_sha256": read_json(run.fold(ask.fold) / ABOUT)["sha256"]}
    done = folder / DONE
    if done.exists() and read_json(done)["asked"] == asked and not fresh:
        return folder
    net = load_network(run.fold(ask.fold))
    check_method(net, ask.method)
    config, data = data_of(run, n_jobs=n_jobs, **roots)
    rows = train_rows(data, ask.fold, config["seed"])
    where = engine.make_accelerator("fp32", device).device
    looked = Looked(net.to(where), data.source(rows), where)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with engine.Timed() as timed:
        left_out = write_parts(run, config, data, looked, ask, folder)
    run.add_time(f"explain{ask.fold}_s", timed.seconds)
    write_json(done, {"asked": asked, "left_out": left_out})
    return folder


def wanted(run: str, root: Path) -> list[Run]:
    """What ``run=`` names: a folder, ``latest``, or ``all`` finished runs of networks below ``root``."""
    if run not in ("latest", "all"):
        if not (Path(run) / "config.yaml").exists():
            raise ConfigError(f"run={run}: no run folder (it has no config.yaml). Give runs/DATASET/NAME.")
        return [Run(Path(run))]
    found = [r for r in find_runs(root) if r.config["model"]["kind"] in KINDS]
    if not found:
        raise ConfigError(
            f"run={run}: {root} holds no finished run of a network. Run `python train.py` first, or give "
            "run=RUN, the folder of one."
        )
    return found if run == "all" else found[-1:]


def check_run(run: Run, fold: int) -> None:
    """Refuse a run, or a fold, that has no network to explain."""
    kind = run.config["model"]["kind"]
    if kind not in KINDS:
        raise ConfigError(f"run={run.path}: model.kind={kind} keeps no network; give a network's run.")
    if not run.fold_done(fold):
        raise ConfigError(
            f"run={run.path}: fold {fold} is not finished; finished are {run.folds_done()}. Choose one of "
            "these, or run the command that made it again."
        )


def write_parts(run: Run, config: dict, data: Data, looked: Looked, ask: Ask, folder: Path) -> dict[str, str]:
    """All files but ``explain.json``; what was left out, and why."""
    test = test_rows(data, ask.fold, config["seed"])
    label_N = data.windows["label"].to_numpy()
    rng = np.random.default_rng([config["seed"], ask.fold, 3])
    rows = test[examples.draw(label_N[test], ask.windows, rng)]
    logits_NK = looked.logits(rows)
    predicted_N = logits_NK.argmax(1)
    methods = [m for m in methods_for(looked.net) if m in (ask.method, *FAITHFUL)]
    maps = {m: looked.maps(rows, predicted_N, m) for m in track(methods, len(methods), "maps")}
    about = window_columns(data, rows) | {"predicted_N": predicted_N}
    write_npz(folder / "ecam.npz", **ecam(data, maps[ask.method], about), method=ask.method)
    write_json(folder / "faithfulness.json", faithfulness_of(looked, rows, predicted_N, maps, rng))
    texts = examples.texts_of(run, config, data, ask.fold, test)
    write_examples(folder, data, looked, rows, logits_NK, texts, rng)
    left_out = {}
    if hasattr(looked.net, "encode"):
        rows = test[examples.draw(label_N[test], EMBEDDED, rng)]
        write_npz(folder / "embedding.npz", **embedding(data, looked, rows))
    else:
        left_out["embedding.npz"] = f"{config['model']['name']} has no features of its own to arrange"
    try:
        write_csv(folder / "cost.csv", cost_table(config, data))
    except ConfigError as error:
        left_out["cost.csv"] = str(error)
    why_not, table = focus_of(config, data, looked, test, methods)
    if why_not:
        left_out["focus.csv"] = why_not
    else:
        write_csv(folder / "focus.csv", table)
    return left_out


def write_npz(path: Path, **arrays: object) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    write_atomic(path, table.to_csv(index=False).encode())


def window_columns(data: Data, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What is told of each window: class, where it lies, and the corpus's own code of its person."""
    windows = data.windows.iloc[rows]
    return {
        "label_N": windows["label"].to_numpy(),
        "window_id_N": windows["window_id"].to_numpy(),
        "subject_N": windows["subject"].to_numpy().astype("U"),
        "start_s_N": windows["start_s"].to_numpy(),
    }


def ecam(data: Data, map_NC: np.ndarray, about: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``ecam.npz`` less the method: maps of windows, of classes, and seizure less normal."""
    classes, ch_names = data.store.classes, data.store.ch_names
    map_NC = map_NC / np.maximum(np.abs(map_NC).max(axis=1, keepdims=True), 1e-30)
    label_N, subject_N = about["label_N"], about["subject_N"]
    right_N = about["predicted_N"] == label_N
    class_KC = [mean_map(map_NC, subject_N, right_N & (label_N == k)) for k in range(len(classes))]
    event_N = data.windows["event"].to_numpy()[about["window_id_N"]]
    times = data.store.events.reindex(event_N)  # event -1 is none: NaN
    return about | {
        "ch_names": np.array(ch_names),
        "positions_C2": positions(ch_names),
        "classes": np.array(classes),
        "event_onset_s_N": times["onset_s"].to_numpy(),
        "event_offset_s_N": times["offset_s"].to_numpy(),
        "map_NC": map_NC.astype(np.float32),
        "class_map_KC": np.array(class_KC),
        "difference_C": mean_map(map_NC, subject_N, right_N & (label_N > 0)) - class_KC[0],
    }


def mean_map(map_NC: np.ndarray, subject_N: np.ndarray, chosen_N: np.ndarray) -> np.ndarray:
    """Mean over the chosen windows of each person, then over persons, (C,); NaN where none is chosen."""
    people = np.unique(subject_N[chosen_N])
    if not len(people):
        return np.full(map_NC.shape[1], np.nan)
    return np.mean([map_NC[chosen_N & (subject_N == person)].mean(0) for person in people], axis=0)


def faithfulness_of(
    looked: Looked, rows: np.ndarray, target_N: np.ndarray, maps: dict, rng: np.random.Generator
) -> dict:
    """``faithfulness.json``."""
    orders = {method: faithfulness.descending(map_NC) for method, map_NC in maps.items()}
    shape = maps["occlusion"].shape
    chance = [rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1) for _ in range(RANDOM_ORDERS)]
    all_orders = [*orders.values(), *chance]
    found = [
        looked.deletion(rows, target_N, order) for order in track(all_orders, len(all_orders), "deletion")
    ]
    curves = dict(zip(orders, found, strict=False))
    return faithfulness.summary(maps, curves, np.mean(found[len(orders) :], axis=0))


def write_examples(
    folder: Path,
    data: Data,
    looked: Looked,
    rows: np.ndarray,
    logits_NK: np.ndarray,
    texts: examples.Texts,
    rng: np.random.Generator,
) -> None:
    """``examples.npz``: pictures; ``examples.json``: what is known of each, in the same order."""
    label_N, classes = data.windows["label"].to_numpy()[rows], data.store.classes
    chosen = examples.choose(label_N, logits_NK.argmax(1), rng)
    rows, probability_NK = rows[chosen], softmax(logits_NK[chosen], axis=1)
    uv_NCT, sfreq = examples.drawn(looked.source.microvolts(rows), data.store.sfreq)
    ids = data.windows["window_id"].to_numpy()[rows]
    names = np.array(data.store.ch_names)
    write_npz(folder / "examples.npz", uv_NCT=uv_NCT, sfreq=sfreq, ch_names=names, window_id_N=ids)
    known = texts.features_UE is not None
    features = features_of(looked, rows) if known else [None] * len(rows)
    records = []
    for row, eeg_E, probability_K in zip(rows, features, probability_NK, strict=True):
        window, k = data.windows.iloc[row], int(probability_K.argmax())
        records.append(
            {
                "window_id": int(window["window_id"]),
                "subject": str(window["subject"]),
                "start_s": float(window["start_s"]),
                "true": classes[window["label"]],
                "predicted": classes[k],
                "probability": round(float(probability_K[k]), 4),
                "text": str(texts.sentence_N[row]),
                "nearest": examples.nearest(eeg_E, texts) if known else [],
            }
        )
    write_json(folder / "examples.json", {"windows": records, "texts_compared": len(texts.test_U)})


@torch.no_grad()
def features_of(looked: Looked, rows: np.ndarray) -> np.ndarray:
    """(N, E)."""
    return looked.each(rows, lambda eeg_BCT, _: looked.net.encode(eeg_BCT))


def embedding(data: Data, looked: Looked, rows: np.ndarray) -> dict[str, np.ndarray]:
    """``embedding.npz``: test windows by the first two principal components of their features."""
    xy_N2, explained_2 = examples.flat_map(features_of(looked, rows))
    predicted_N = looked.logits(rows).argmax(1)
    return window_columns(data, rows) | {
        "xy_N2": xy_N2.astype(np.float32),
        "explained_2": explained_2,
        "predicted_N": predicted_N,
        "classes": np.array(data.store.classes),
    }


def cost_table(config: dict, data: Data) -> pd.DataFrame:
    """``cost.csv``: parameters and FLOPs by layer, cumulative, with what they depend on in every row."""
    work = cost.Workload()
    table = cost.config_cost(config, data.sizes(), work)
    return table.assign(
        unit="FLOP of one forward pass, two a multiply-add",
        batch=work.batch,
        text_included="text" in set(table["side"]),
        texts=work.texts,
        tokens=work.tokens,
    )


def focus_of(
    config: dict, data: Data, looked: Looked, test: np.ndarray, methods: list[str]
) -> tuple[str, pd.DataFrame | None]:
    """Why there is no ``focus.csv``, or its table."""
    if not config["dataset"]["corpus"]["_target_"].endswith(".Synthetic"):
        return "where a seizure starts is known of the synthetic corpus alone", None
    if data.cut.labels != "annotations" or not all("-" in name for name in data.store.ch_names):
        return "the focus is looked for with true labels and bipolar channels", None
    rows, label_N = focus.early(data, test), data.windows["label"].to_numpy()
    if len(rows):
        rows = rows[looked.logits(rows).argmax(1) == label_N[rows]]
    if not len(rows):
        return "no window of the first third of a seizure was detected", None
    maps = {method: looked.maps(rows, label_N[rows], method) for method in methods}
    return "", focus.focus_table(config, data, rows, maps)
