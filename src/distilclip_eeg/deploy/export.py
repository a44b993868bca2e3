"""``python scripts/export.py run=RUN``: a run's model as one folder that needs nothing else of the run.

``weights=final`` is trained on all data (``deploy.final``), ``weights=K`` is the network of a fold,
``weights=ensemble`` the networks of all finished folds, whose probabilities are averaged.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from distilclip_eeg.artefact.folder import CARD, TABLE, Folder, check_output, entry, write_folder
from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config.data import HERE, Places
from distilclip_eeg.config.detection import DetectConfig, EventConfig
from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.learning import Learning
from distilclip_eeg.config.rules import plain
from distilclip_eeg.deploy.card import card
from distilclip_eeg.deploy.final import Final, train_final
from distilclip_eeg.deploy.likeness import profiles_of, ranges
from distilclip_eeg.deploy.networks import pack_text, save_state, together, weight_names
from distilclip_eeg.deploy.onnx import check_installed, to_onnx
from distilclip_eeg.deploy.onnx import page as onnx_page
from distilclip_eeg.deploy.text_side import TextSide
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.runs import Run, provenance
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.calibration import ictal_score
from distilclip_eeg.scoring.event_scores import GRID, WHOLE, held_out, references
from distilclip_eeg.scoring.events import budget
from distilclip_eeg.text.tokenizer import save_tokenizer
from distilclip_eeg.training import traces
from distilclip_eeg.training.crossval import summary_of
from distilclip_eeg.training.data import Data, reopen, test_rows
from distilclip_eeg.training.pipeline import frozen_teacher

AGE_GROUPS = {
    "neonate": "neonate",
    **dict.fromkeys(("infant", "child", "adolescent"), "child"),
    **dict.fromkeys(("adult", "older adult"), "adult"),
}
"""``Recipe.ages`` of an age band."""
HOP_S = 1.0
"""Seconds from one window to the next where a threshold is chosen, as ``detect.py`` has it by default."""
Weights = Literal["final", "ensemble"] | int
"""Which networks of a run: one trained on all data, those of all folds, or that of one fold."""


@dataclass(frozen=True)
class Chosen:
    """What is exported of a run, and the windows that it saw."""

    name: str
    """``final``, ``ensemble`` or ``fold<k>``."""
    holder: Run
    """The run, or its final model in its place."""
    members: list[int]
    """Folds of ``holder`` whose networks answer together."""
    folds: list[int]
    """Folds of the run whose networks are in it: none of what one alone tests chooses its threshold."""
    seen: np.ndarray
    """Rows of the window index that some member was trained on."""
    test: np.ndarray | None
    """Rows of the test part that no member saw, where there is one."""

    def networks(self) -> list[nn.Module]:
        """The members, in eval mode."""
        return [load_network(self.holder.fold(k)) for k in self.members]


def export(
    run: Run,
    weights: Weights = "final",
    output: Path | None = None,
    places: Places = HERE,
    *,
    onnx: bool = True,
    persons: bool = False,
    events: EventConfig | None = None,
) -> Folder:
    """Write the folder, whole or not at all.

    Args:
        weights: ``final``, ``ensemble``, or the number of a fold.
        output: None: ``export`` in the run's folder.
        onnx: with ONNX files, checked against torch and measured (``deploy.onnx``).
        places: where data and store are now, and what may be used.
        persons: write the codes of the people it was trained on into it.
        events: the budget of false alarms that its threshold is chosen for; None: the usual one.

    Raises:
        ConfigError: there is no such fold, or the run has no network that could stand alone.
        DataError: data, folds or weights are not those of the run any more, or ONNX answers differently.
    """
    output = output or run.path / "export"
    check_output(output)
    check_run(run, weights)
    if onnx:
        check_installed()
    settings, data = reopen(run, places)
    chosen = choose(run, weights, settings, data)
    nets = chosen.networks()
    files = dict(zip(weight_names(len(nets)), map(save_state, nets), strict=True))
    detect, chosen_on = detection_of(run, chosen, events or EventConfig(), places)
    recipe = replace(
        recipe_of(data, chosen),
        detect=detect,
        most_alarm=chosen_on.get("most_alarm"),
    )
    if not persons:
        recipe = replace(recipe, persons=())
    text, text_files = pack_text(text_side(settings.learning, data, chosen))
    net = read_json(chosen.holder.fold(chosen.members[0]) / "model.json", "net")["net"]
    about = {
        "recipe": recipe.as_json(),
        "model": {"name": settings.model.name, "kind": settings.model.kind, "net": net, **data.sizes()},
        "weights": [entry(*item) for item in files.items()],
        "text": text,
        "made": made_of(run, settings, data, chosen) | {"threshold": chosen_on},
        "onnx": [],
    }
    if onnx:
        about["onnx"], onnx_files = to_onnx(together(nets), data, chosen.test)
        files |= onnx_files
    return write_folder(output, about, files | text_files, card(about))


def recipe_of(data: Data, chosen: Chosen) -> Recipe:
    """What the model asks of a recording, and whom it was trained on; how events are made is left open."""
    seen = data.windows.iloc[chosen.seen]
    return Recipe(
        ch_names=data.store.ch_names,
        classes=data.store.classes,
        n_times=data.view.total,
        before=data.view.before,
        after=data.view.after,
        signals=data.signals,
        ages=ages_of(data, chosen.seen),
        like=ranges(profiles_of(data.store, seen["recording"].unique())),
        persons=tuple(sorted(seen["subject"].unique())),
    )


def page(folder: Folder) -> str:
    """What was written, and what to do with it."""
    made, model = folder.about["made"], folder.about["model"]
    lines = [f"{made['run']}: {made['part']} are finished; the export rests on these"] if made["part"] else []
    lines.append(f"written: {folder.path}: {', '.join(sorted(p.name for p in folder.path.iterdir()))}")
    table = folder.path / TABLE
    if table.exists():
        lines.append(onnx_page(read_json(table)))
    lines += [
        f"{model['name']} ({made['weights']}), threshold {folder.recipe.detect.threshold:.4g}: "
        f"{made['threshold']['rule']}; read {folder.path / CARD} before use",
        f"next: python scripts/detect.py weights={folder.path} input=FILE_OR_FOLDER output=FOLDER",
    ]
    return "\n".join(lines)


def check_run(run: Run, weights: Weights) -> None:
    """Refuse what cannot be exported, before any data are read.

    Raises:
        ConfigError: the run keeps no weights, no fold of it is finished, or it rests on its own recordings.
        DataError: ``needs_text``, or a network that was changed.
    """
    settings, folds = run.settings, run.folds_done()
    if settings.model.kind == "floor":
        raise ConfigError(
            f"run={run.path}: {settings.model.name} keeps no weights; give the run of a network."
        )
    if settings.model.kind == "transfer":
        raise ConfigError(
            f"run={run.path}: scores of another run's models ({run.data['run']}), which has the networks. "
            "Export that run."
        )
    if settings.signals.normalize == "train":
        raise ConfigError(
            f"run={run.path}: signals.normalize=train rests on the run's own recordings. Train with "
            "signals.normalize=recording or running to use the model on others."
        )
    if not folds:
        raise ConfigError(
            f"run={run.path}: no fold is finished yet. Run the command that made it again; it continues."
        )
    if weights not in ("final", "ensemble", *folds):
        there = ", ".join(["final", "ensemble", *map(str, folds)])
        raise ConfigError(f"weights={weights} is not one of {there}.")
    load_network(run.fold(folds[0]))  # refuses a head that reads text


def choose(run: Run, weights: Weights, settings: RunSettings, data: Data) -> Chosen:
    """The networks to export; the final one is trained here. An ensemble of one fold is that fold."""
    folds, everything = run.folds_done(), np.arange(len(data.windows))
    if weights == "final":
        return Chosen("final", train_final(run, settings, data), [0], folds, everything, None)
    if weights == "ensemble" and len(folds) > 1:
        known = np.unique(np.concatenate([data.rows(k, "train") for k in folds]))
        return Chosen("ensemble", run, folds, folds, known if run.part else everything, None)
    weights = folds[0] if weights == "ensemble" else weights
    seen, test = data.rows(weights, "train"), test_rows(data, weights)
    return Chosen(f"fold{weights}", run, [weights], [weights], seen, test)


def detection_of(
    run: Run, chosen: Chosen, events: EventConfig, places: Places
) -> tuple[DetectConfig, dict[str, Any]]:
    """How the model's events are made, for a budget of false alarms, and what the choice rests on.

    Chosen on recordings of all finished folds, each scored by a network that never saw it: second by second
    and smoothed, as the detector will. Whom a single fold tests has no say in its threshold. Where the
    protocol leaves no recording whole, on validation windows.
    """
    folds = run.folds_done()
    single = chosen.folds[0] if chosen.test is not None else None
    try:
        if run.settings.split.name in WHOLE:
            grid = run.path / GRID
            usual_s = min(HOP_S, run.settings.windows.length_s)
            hop_s = read_json(grid, "hop_s")["hop_s"] if grid.exists() else usual_s
            traces.score(run, folds, hop_s=hop_s, places=places)
            made = budget.choose(held_out(run, single, references(run), folds), events)
            return made.detect, made.basis | {"folds": folds}
        folds = chosen.folds
        label_N, score_N = (np.concatenate(v) for v in zip(*(validated(run, k) for k in folds), strict=True))
        detect, basis = budget.choose_window_level(label_N, score_N, events)
        return detect, basis | {"folds": folds}
    except DataError as error:
        if error.reason not in ("no_validation", "no_background"):
            raise
        basis = {
            "folds": folds,
            "windows": 0,
            "rule": f"0.5, for want of validation background ({error.reason})",
        }
        return events.with_threshold(0.5), basis


def validated(run: Run, fold: int) -> tuple[np.ndarray, np.ndarray]:
    """Whether each validation window is ictal, and its probability of being so, as they were saved; (N,)."""
    saved = run.predictions(fold)
    val = saved["part"] == "val"
    return (saved["label"][val] > 0).astype(int), ictal_score(saved["probability_NK"][val])


def ages_of(data: Data, rows: np.ndarray) -> str:
    """``Recipe.ages`` of the people behind ``rows``; unknown where any of theirs is."""
    bands = set(data.metadata()["age_band"].iloc[rows])
    groups = {AGE_GROUPS.get(band, "unknown") for band in bands}
    if groups == {"child", "adult"}:
        return "child and adult"
    return groups.pop() if len(groups) == 1 else "unknown"


def text_side(learning: Learning, data: Data, chosen: Chosen) -> TextSide | None:
    """A teacher's text encoder; an ensemble has as many spaces as members, and none that all share."""
    if len(chosen.members) > 1 or not learning.uses_text:
        return None
    model, bank = frozen_teacher(chosen.holder, chosen.members[0], data)
    return TextSide.of(model, save_tokenizer(bank.tokenizer))


def made_of(run: Run, settings: RunSettings, data: Data, chosen: Chosen) -> dict:
    """How the model came about: for the card, and for whoever asks later."""
    recorded, seen = run.data, data.windows.iloc[chosen.seen]
    people = data.metadata().iloc[chosen.seen].assign(subject=seen["subject"].to_numpy())
    people = people.drop_duplicates("subject")
    used = data.store.recordings[data.store.recordings["number"].isin(seen["recording"])]
    count = seen["label"].value_counts()
    test = (
        None
        if chosen.test is None
        else read_json(run.fold(chosen.members[0]) / "metrics.json", "test")["test"]
    )
    whole = (
        read_json(run.path / "metrics.json", "test")["test"]
        if run.finished
        else summary_of([run.metrics(k)["test"] for k in run.folds_done()])
    )
    software = (
        provenance()
        if chosen.name == "final"
        else read_json(run.path / "provenance.json", "libraries", "commit")
    )
    return {
        "run": run.path.name,
        "weights": chosen.name,
        "part": run.part,
        "epochs": chosen.holder.epochs if isinstance(chosen.holder, Final) else None,
        "dataset": settings.dataset.name,
        "split": settings.split.name,
        "seed": settings.seed,
        "targets": settings.loss.targets if settings.learning.uses_text else None,
        "windows": plain(settings.windows),
        "folds_sha256": recorded["folds_sha256"],
        "store_digest": recorded["store_digest"],
        "protocol": recorded["leak_note"],
        "libraries": software["libraries"],
        "commit": software["commit"],
        "trained_on": {
            "people": len(people) if data.store.manifest["identified"] else None,
            "recordings": len(used),
            "hours": round(float(used["duration_s"].sum()) / 3600, 3),
            "seizures": int(used["n_seizures"].sum()),
            "windows": {name: int(count.get(k, 0)) for k, name in enumerate(data.store.classes)},
            "age_bands": people["age_band"].replace("", "unknown").value_counts().sort_index().to_dict(),
            "sexes": people["sex"].replace("", "unknown").value_counts().sort_index().to_dict(),
        },
        "test": test and {name: value if np.isfinite(value) else None for name, value in test.items()},
        "cross_validation": whole,
    }
