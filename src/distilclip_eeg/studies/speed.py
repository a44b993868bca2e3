"""Sizes and speeds of networks, measured in turns on one machine."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from distilclip_eeg.config.learning import ModelConfig
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.files.writing import csv_bytes
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.models.cost import count
from distilclip_eeg.runs import commit, provenance
from distilclip_eeg.training.data import Data

SPEED = "speed.csv"
"""Where it stands, beside the tables of results."""
KEY = ["n_chans", "n_times", "n_outputs", "hardware"]
"""What a network's speed belongs to, beside its name and settings."""
ROUNDS, SEED = 5, 0


def hardware(device: str) -> str:
    """The GPU that ``device`` stands for here, else the kind of machine."""
    cuda = device != "cpu" and torch.cuda.is_available()
    return torch.cuda.get_device_name() if cuda else provenance()["machine"]


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of ``work``, to the end of what it started on a GPU."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def measure_speed(nets: dict[str, ModelConfig], sizes: dict[str, Any], device: torch.device) -> pd.DataFrame:
    """Parameters, ms of a training step (32 windows) and windows scored a second (batches of 256).

    The networks take turns on random windows, so that what else the machine does falls on all alike; the
    best of five rounds counts. A step is forward and backward; the optimiser's part is left out.

    Args:
        nets: networks by the names that they go by.
        sizes: n_chans, n_times, sfreq and n_outputs.

    Returns:
        A row a network; ``minutes`` is what its measurement took.
    """
    torch.manual_seed(SEED)
    built = {name: build_network(model, sizes).to(device) for name, model in nets.items()}
    eeg = torch.randn(256, sizes["n_chans"], sizes["n_times"]).to(device)
    label = torch.zeros(32, dtype=torch.long, device=device)
    taken = {name: np.full((ROUNDS, 2), np.nan) for name in nets}
    for i in range(ROUNDS):
        for name, net in built.items():
            net.train()
            taken[name][i, 0] = seconds_of(partial(step, net, eeg[:32], label), device)
            net.eval()
            with torch.no_grad():
                taken[name][i, 1] = seconds_of(partial(net, eeg), device)
    rows = []
    for name, net in built.items():
        step_s, score_s = taken[name].min(0)
        row = {"model": name, **{size: sizes[size] for size in KEY[:3]}}
        row["parameters"] = count(net)
        row |= {"step_ms": round(1000 * step_s, 2), "windows_per_s": round(len(eeg) / score_s)}
        rows.append(row | {"minutes": round(taken[name].sum() / 60, 3), "seed": SEED})
    return pd.DataFrame(rows)


def step(net: torch.nn.Module, eeg_BCT: torch.Tensor, label_B: torch.Tensor) -> None:
    """Forward and backward of one batch."""
    torch.nn.functional.cross_entropy(net(eeg_BCT), label_B).backward()


def with_speed(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Result rows with what ``path`` says of their networks (column ``net``), sizes and machines."""
    columns = ["parameters", "step_ms", "windows_per_s"]
    if not path.exists() or rows.empty:
        return rows.assign(**dict.fromkeys(columns, np.nan))
    net = rows["net"].fillna(rows["model"]) if "net" in rows else rows["model"]
    measured = read_csv(path).rename(columns={"model": "net"})[["net", *KEY, *columns]]
    return rows.assign(net=net).merge(measured, on=["net", *KEY], how="left")


def known_speeds(path: Path, sizes: dict[str, Any]) -> pd.DataFrame:
    """The rows of ``path`` that belong to ``sizes`` (any of ``KEY``), by the networks' names."""
    table = read_csv(path) if path.exists() else pd.DataFrame(columns=["model", *KEY, "parameters"])
    mine = np.all([table[key] == sizes[key] for key in KEY if key in sizes], axis=0)
    return table[mine].set_index("model")


def speeds(nets: dict[str, ModelConfig], data: Data, device: torch.device, path: Path) -> pd.DataFrame:
    """These networks' speeds on the data's sizes and this machine.

    All are measured if ``path`` lacks one, or has another network of its name, as its parameters tell.
    """
    sizes = data.sizes()
    here = {**sizes, "hardware": hardware(device.type)}
    known = known_speeds(path, here)["parameters"].to_dict()
    if any(known.get(name) != count(build_network(model, sizes)) for name, model in nets.items()):
        command = f"python scripts/reproduce_table1.py dataset={data.store.manifest['corpus']}"
        found = measure_speed(nets, sizes, device).assign(
            hardware=here["hardware"], commit=commit(), command=command
        )
        table = pd.concat([read_csv(path), found]) if path.exists() else found
        table = table.drop_duplicates(["model", *KEY], keep="last")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, csv_bytes(table))
    return known_speeds(path, here)
