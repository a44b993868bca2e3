"""How long a cell will take, from its steps and the speeds of its networks measured here."""

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.learning import ModelConfig
from distilclip_eeg.schema import UserError
from distilclip_eeg.studies.cells import Cell, composed
from distilclip_eeg.studies.speed import SPEED, speeds
from distilclip_eeg.training.data import Data, load_data, train_rows
from distilclip_eeg.training.devices import make_accelerator

FLOOR_S = 10.0
"""Of a fold, whatever the floor."""


def preset_of(words: Sequence[str]) -> str:
    """The network's config that the words name."""
    return next(word.partition("=")[2] for word in words if word.startswith("model="))


def net_key(words: Sequence[str]) -> str:
    """What ``speed.csv`` calls the network of these words: its config and what they change of it."""
    own = [word for word in words if word.lstrip("+").startswith("model.")]
    return shlex.join([preset_of(words), *own])


def nets_of(one: Cell) -> dict[str, ModelConfig]:
    """The networks of a cell by ``net_key``; none of a floor."""
    if one.settings.model.kind == "floor":
        return {}
    told = [one.train] if one.distill is None else [one.train, one.distill]
    return {net_key(words): plain_model(words) for words in told}


def plain_model(words: Sequence[str]) -> ModelConfig:
    """The model of the words without any other setting of theirs."""
    own = (word for word in words if word.lstrip("+").startswith("model."))
    return composed((f"model={preset_of(words)}", *own)).model


def expected_s(one: Cell, data: Data, speed: pd.DataFrame) -> float:
    """Seconds a cell will take on one core: its steps, and a prediction an epoch; text is left out.

    Args:
        data: of some cell of the grid.
        speed: ``step_ms`` (of 32 windows) and ``windows_per_s`` by ``net_key``.
    """
    settings = one.settings
    whole = settings.split.n_folds or data.windows["subject"].nunique()
    chosen = settings.fold if isinstance(settings.fold, list | tuple) else [settings.fold]
    folds = whole if settings.fold is None else len(chosen)
    if settings.model.kind == "floor":
        return FLOOR_S * folds
    trainer, rows = settings.trainer, len(train_rows(data, 0))
    per_epoch = -(-rows // trainer.batch_size)
    steps = min(trainer.max_steps or np.inf, trainer.epochs * per_epoch)
    scored = len(data.rows(0, "val")) * (1 + -(-steps // per_epoch)) + len(data.rows(0, "test"))
    seconds = [
        steps * speed.loc[net, "step_ms"] / 1000 * trainer.batch_size / 32
        + scored / speed.loc[net, "windows_per_s"]
        for net in nets_of(one)
    ]
    return float(folds * sum(seconds))


def expect(todo: Sequence[Cell], cells: Sequence[Cell], results: Path) -> list[float]:
    """Seconds of each cell of ``todo``; speeds that are not known yet are measured first.

    Args:
        cells: all of the grid, whose networks are measured in turns.
        results: folder of ``speed.csv``.

    Returns:
        NaN where the data cannot be read: running the cell will say why.
    """
    try:
        with contextlib.redirect_stdout(None):
            data = load_data(todo[0].settings.data)
    except UserError:
        return [np.nan] * len(todo)
    device = make_accelerator("fp32", todo[0].settings.device).device
    nets = {key: net for one in cells for key, net in nets_of(one).items()}
    speed = speeds(nets, data, device, results / SPEED) if nets else pd.DataFrame()
    return [expected_s(one, data, speed) for one in todo]
