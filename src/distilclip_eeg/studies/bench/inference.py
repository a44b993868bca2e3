"""G10: an exported student beside the plain network, and a file beside its windows."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.deploy import benchmark, onnx
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.studies.bench.contest import Contest, Ratio, fact, row_of

SEED, NET, WIDE = 0, "student_lean", 256
SIZES = {"n_chans": 23, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}


class Eager:
    """A network of torch as it was trained."""

    def __init__(self, net: nn.Module):
        self.net = net.eval()

    @torch.inference_mode()
    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Class logits (B, K) of windows (B, C, T)."""
        return self.net(torch.from_numpy(eeg_BCT)).numpy()


def session(body: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """An ONNX file on one thread, as torch has it here."""
    import onnxruntime  # an extra

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    opened = onnxruntime.InferenceSession(body, options, providers=["CPUExecutionProvider"])
    return lambda eeg_BCT: opened.run(None, {"eeg": eeg_BCT})[0]


def made() -> nn.Module:
    """The student with random weights; they change no time."""
    torch.manual_seed(SEED)
    return build_network(load(TrainSettings, [f"model={NET}"]).model, SIZES).eval()


def engines(rounds: int) -> tuple[list[dict], list[Contest]]:
    """Sizes of the files, and contests of single windows and of batches."""
    net = made()
    fp32 = onnx.exported(net, SIZES)
    int8 = onnx.quantised(fp32)
    ways = {"eager": Eager(net).logits, "fp32": session(fp32), "int8": session(int8)}
    found = []
    for n, aims, repeats in ((1, (">= 1.6", ">= 4"), 20), (WIDE, (">= 1.25", ">= 3"), 1)):
        eeg_BCT = np.random.default_rng(SEED).standard_normal((n, 23, 256), np.float32)

        def again(logits: Callable, eeg_BCT: np.ndarray = eeg_BCT, repeats: int = repeats) -> None:
            for _ in range(repeats):
                logits(eeg_BCT)

        asked = tuple(
            Ratio("G10", f"{NET}, {n} at a time: eager / ONNX {kind}", "eager", kind, aim)
            for kind, aim in zip(("fp32", "int8"), aims, strict=True)
        )
        all_ways = {name: partial(again, logits) for name, logits in ways.items()}
        found.append(Contest(f"{NET}, {n} windows at a time", all_ways, asked, rounds))
    return [fact("G10", f"{NET}: bytes of int8 / fp32", len(int8) / len(fp32), "<= 0.27")], found


def whole(minutes: int, rounds: int) -> list[dict]:
    """A recording from file to events beside the bare network on as many windows."""
    with tempfile.TemporaryDirectory() as folder:
        path = benchmark.write_long(Path(folder) / "long.edf", minutes)
        table = benchmark.seconds_of(path, Eager(made()), rounds, 128)
    told = f"{minutes} min of EDF: file to events / "
    return [
        row_of(Ratio("G10", f"{told}bare network", "", "", "<= 1.05"), table["ratio"].to_numpy()),
        row_of(Ratio("G10", f"{told}network's part of it", "", "", "<= 1.05"), table["within"].to_numpy()),
    ]


def rows(minutes: int, rounds: int) -> Iterator[tuple[str, list[dict]]]:
    """G10, with what was measured."""
    facts, found = engines(rounds)
    yield "bytes", facts
    for contest in found:
        yield contest.what, contest.rows(contest.run())
    yield f"a file of {minutes} min", whole(minutes, min(rounds, 3))
