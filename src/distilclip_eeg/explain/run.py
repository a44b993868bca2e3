"""One fold of a run explained: everything that a report shows of a model, written beside its weights.

``RUN/fold<k>/explain/`` holds ``ecam.npz``, ``faithfulness.json``, ``examples.npz`` and ``examples.json``,
``embedding.npz``, ``cost.csv``, on the synthetic corpus ``focus.csv``, and, last of all, ``explain.json``:
what was asked, and what was left out and why. ``scripts/report.py`` reads these files and never a model.

Shapes: N windows, C channels, T samples, K classes.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.data import HERE, Places
from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.learning import Learning
from distilclip_eeg.explain import examples, faithfulness, focus
from distilclip_eeg.explain.ecam import ecam, window_columns
from distilclip_eeg.explain.maps import METHODS, check_method, methods_for
from distilclip_eeg.explain.model import FoldModel
from distilclip_eeg.files.digests import sign
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import write_csv, write_json, write_npz
from distilclip_eeg.models import cost
from distilclip_eeg.models.weights import ABOUT, load_network
from distilclip_eeg.progress import track
from distilclip_eeg.runs import Run, find_scored, sound
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.training.data import Data, reopen, test_rows, train_rows
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Timed

FOLDER, DONE = "explain", "explain.json"
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


class LeftOut(Exception):
    """A part that this run cannot have, and why."""


def explain(run: Run, ask: Ask, places: Places = HERE, *, fresh: bool = False) -> Path:
    """Write the folder of one fold and return it; one that answers the same question already is left alone.

    Args:
        places: where data and store are now.
        fresh: again, although it is there.

    Raises:
        ConfigError: the run keeps no network, the fold is not finished, or the method does not fit.
        DataError: the data are not the run's, or the network answers nothing without text.
    """
    check_run(run, ask.fold)
    folder, scratch = (run.fold(ask.fold) / name for name in (FOLDER, f".{FOLDER}-unfinished"))
    asked = asdict(ask) | {"weights_sha256": read_json(run.fold(ask.fold) / ABOUT, "sha256")["sha256"]}
    check_place(folder)
    if not fresh and (folder / DONE).exists() and read_json(folder / DONE, "asked")["asked"] == asked:
        return folder
    net = load_network(run.fold(ask.fold))
    check_method(net, ask.method)
    settings, data = reopen(run, places)
    rows = train_rows(data, ask.fold)
    where = make_accelerator("fp32", places.device).device
    model = FoldModel(net.to(where), data.source(rows), where)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with Timed() as timed:
        left_out = write_parts(run, settings, data, model, ask, scratch)
    write_json(scratch / DONE, {"asked": asked, "left_out": left_out})
    sign(scratch, [path.name for path in scratch.iterdir()])
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    run.add_time(f"explain{ask.fold}_s", timed.seconds)
    return folder


def check_place(folder: Path) -> None:
    """Refuse to replace what ``explain`` did not write.

    Raises:
        DataError: ``not_ours``.
    """
    if folder.is_symlink() or (folder.exists() and not (folder / DONE).exists() and any(folder.iterdir())):
        raise DataError(
            f"{folder}: holds no {DONE}, so none of ours wrote it. Move it away.", reason="not_ours"
        )


def networks(root: Path) -> list[Run]:
    """The runs of networks below ``root`` with a finished fold, the newest last.

    Raises:
        ConfigError: there is none.
    """
    found = [run for run in sound(find_scored(root)) if run.settings.model.kind in KINDS]
    if not found:
        raise ConfigError(
            f"root={root}: holds no finished run of a network. Run `python train.py` first, or give "
            "run=RUN, the folder of one."
        )
    return found


def check_run(run: Run, fold: int) -> None:
    """Refuse a run, or a fold, that has no network to explain.

    Raises:
        ConfigError: the kind keeps none, or the fold is not finished.
    """
    kind = run.settings.model.kind
    if kind not in KINDS:
        raise ConfigError(f"run={run.path}: model.kind={kind} keeps no network; give a network's run.")
    if not run.fold_done(fold):
        raise ConfigError(
            f"run={run.path}: fold {fold} is not finished; finished are {run.folds_done()}. Choose one of "
            "these, or run the command that made it again."
        )


def write_parts(
    run: Run, settings: RunSettings, data: Data, model: FoldModel, ask: Ask, folder: Path
) -> dict[str, str]:
    """All files but ``explain.json``; what was left out, and why."""
    test = test_rows(data, ask.fold)
    label_N = data.windows["label"].to_numpy()
    rng = np.random.default_rng([data.seed, ask.fold, 3])
    rows = test[examples.draw(label_N[test], ask.windows, rng)]
    logits_NK = model.logits(rows)
    predicted_N = logits_NK.argmax(1)
    methods = [m for m in methods_for(model.net) if m in (ask.method, *FAITHFUL)]
    maps = {m: model.maps(rows, predicted_N, m) for m in track(methods, len(methods), "maps")}
    shown = ecam(data, rows, predicted_N, maps[ask.method])
    write_npz(folder / "ecam.npz", method=ask.method, **shown)
    write_json(folder / "faithfulness.json", measure_faithfulness(model, rows, predicted_N, maps, rng))
    texts = examples.texts_of(run, settings.learning, data, ask.fold, test)
    chosen = examples.choose(label_N[rows], predicted_N, rng)
    pictures, records = examples.examples(data, model, rows[chosen], logits_NK[chosen], texts)
    write_npz(folder / "examples.npz", **pictures)
    write_json(folder / "examples.json", records)
    more = {
        "embedding.npz": lambda: embedding(data, model, test, rng),
        "cost.csv": lambda: cost_table(settings.learning, data),
        "focus.csv": lambda: focus_of(settings.dataset.corpus, data, model, test, methods),
    }
    left_out = {}
    for name, make in more.items():
        try:
            content = make()
        except LeftOut as why:
            left_out[name] = str(why)
            continue
        if isinstance(content, pd.DataFrame):
            write_csv(folder / name, content)
        else:
            write_npz(folder / name, **content)
    return left_out


def measure_faithfulness(
    model: FoldModel,
    rows: np.ndarray,
    target_N: np.ndarray,
    maps: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> dict:
    """``faithfulness.json``; see ``faithfulness.summary``."""
    orders = [faithfulness.descending(map_NC) for map_NC in maps.values()]
    channels_NC = np.tile(np.arange(orders[0].shape[1]), (len(rows), 1))
    orders += [rng.permuted(channels_NC, axis=1) for _ in range(RANDOM_ORDERS)]
    curves = [model.deletion(rows, target_N, order) for order in track(orders, len(orders), "deletion")]
    random = np.mean(curves[len(maps) :], axis=0)
    return faithfulness.summary(maps, dict(zip(maps, curves, strict=False)), random)


def embedding(
    data: Data, model: FoldModel, test: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """``embedding.npz``: test windows by the first two principal components of their features.

    Raises:
        LeftOut: the network has no features.
    """
    if not model.has_features:
        raise LeftOut("this network has no features of its own to arrange windows by")
    rows = test[examples.draw(data.windows["label"].to_numpy()[test], EMBEDDED, rng)]
    xy_N2, explained_2 = examples.flat_map(model.features(rows))
    return window_columns(data, rows) | {
        "xy_N2": xy_N2.astype(np.float32),
        "explained_2": explained_2,
        "predicted_N": model.logits(rows).argmax(1),
        "classes": np.array(data.store.classes),
    }


def cost_table(learning: Learning, data: Data) -> pd.DataFrame:
    """``cost.csv``: parameters and FLOPs by layer, cumulative, with what they depend on in every row.

    Raises:
        LeftOut: the network's layers are not known.
    """
    work = cost.Workload()
    try:
        table = cost.layer_cost(learning, data.sizes(), work)
    except ConfigError as error:
        raise LeftOut(str(error)) from None
    text = "text" in set(table["side"])
    return table.assign(
        unit="FLOP of one forward pass, two a multiply-add",
        batch=work.batch,
        text_included=text,
        texts=work.texts if text else 0,
        tokens=work.tokens if text else 0,
    )


def focus_of(
    corpus: Component, data: Data, model: FoldModel, test: np.ndarray, methods: list[str]
) -> pd.DataFrame:
    """``focus.csv``, of the correctly detected early windows of the fold.

    Raises:
        LeftOut: the focus is not known here, or no early window was detected.
    """
    if not corpus.target.endswith(".Synthetic"):
        raise LeftOut("where a seizure starts is known of the synthetic corpus alone")
    if data.cut.labels != "annotations" or not all("-" in name for name in data.store.ch_names):
        raise LeftOut("the focus is looked for with true labels and bipolar channels")
    rows, label_N = focus.early(data, test), data.windows["label"].to_numpy()
    if len(rows):
        rows = rows[model.logits(rows).argmax(1) == label_N[rows]]
    if not len(rows):
        raise LeftOut("no window of the first third of a seizure was detected")
    maps = {method: model.maps(rows, label_N[rows], method) for method in methods}
    return focus.focus_table(corpus, data, rows, maps)
