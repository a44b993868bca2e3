"""Sizes and speeds of networks, measured in turns on one machine."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from distilclip_eeg.config import build, load
from distilclip_eeg.data import Data
from distilclip_eeg.runs import commit, provenance, write_atomic

SPEED = "speed.csv"
"""Where it stands, beside the tables of results."""
SIZES = ["n_chans", "n_times", "n_outputs"]
"""What a speed belongs to."""


def measure_speed(models: list[str], sizes: dict, rounds: int = 5) -> pd.DataFrame:
    """Parameters, ms of a training step (32 windows) and windows scored a second (batches of 256).

    The models take turns on random windows, so that what else the machine does falls on all alike; the best
    of the rounds counts. Networks only.
    """
    nets = {name: build(load("train", [f"model={name}"])["model"]["net"], **sizes) for name in models}
    eeg = torch.randn(256, sizes["n_chans"], sizes["n_times"])
    label = torch.zeros(32, dtype=torch.long)
    best = {name: [np.inf, np.inf] for name in models}
    for _ in range(rounds):
        for name, net in nets.items():
            start = time.perf_counter()
            torch.nn.functional.cross_entropy(net.train()(eeg[:32]), label).backward()
            best[name][0] = min(best[name][0], time.perf_counter() - start)
            with torch.no_grad():
                start = time.perf_counter()
                net.eval()(eeg)
                best[name][1] = min(best[name][1], time.perf_counter() - start)
    return pd.DataFrame(
        {
            "model": name,
            "n_chans": sizes["n_chans"],
            "n_times": sizes["n_times"],
            "n_outputs": sizes["n_outputs"],
            "parameters": sum(p.numel() for p in net.parameters()),
            "step_ms": round(1000 * best[name][0], 2),
            "windows_per_s": round(len(eeg) / best[name][1]),
        }
        for name, net in nets.items()
    )


def speeds(models: list[str], data: Data, path: Path) -> pd.DataFrame:
    """These models' speeds on the data's sizes, from ``path``; measured, all anew, where one lacks."""
    sizes = data.sizes()
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["model", *SIZES])
    mine = (known[SIZES] == [sizes[c] for c in SIZES]).all(axis=1)
    wanted = list(dict.fromkeys([*models, *known.loc[mine, "model"]]))
    if set(wanted) != set(known.loc[mine, "model"]):
        about = {"minutes": 0, "seed": 0, "hardware": provenance()["machine"], "commit": commit()}
        command = f"python scripts/reproduce_table1.py dataset={data.store.manifest['corpus']}"
        found = measure_speed(wanted, sizes).assign(**about, command=command)
        path.parent.mkdir(parents=True, exist_ok=True)
        known = pd.concat([known[~mine], found], ignore_index=True)
        write_atomic(path, known.to_csv(index=False).encode())
        mine = (known[SIZES] == [sizes[c] for c in SIZES]).all(axis=1)
    return known[mine].set_index("model")
