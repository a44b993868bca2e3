"""The EEG side as ONNX, in fp32 and int8, checked against torch on real windows and measured.

int8 quantises the weights of matrix products when it is exported and their inputs when it runs (dynamic
quantisation of onnxruntime): nearer to fp32 and faster than static quantisation with calibration windows,
with or without the convolutions (docs/LOG.md). It stands beside fp32 and becomes the folder's default only
where it costs at most 0.2 points of F1 on at least 5,000 test windows that the model never saw.
"""

import contextlib
import io
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.special import softmax
from torch import nn

from distilclip_eeg.artefact.folder import TABLE, entry
from distilclip_eeg.deploy.engines import OnnxNetwork
from distilclip_eeg.deploy.networks import TorchNetwork
from distilclip_eeg.models.cost import count, flops
from distilclip_eeg.models.frozen import frozen
from distilclip_eeg.progress import track
from distilclip_eeg.runs import provenance
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.training.data import Data
from distilclip_eeg.training.loaders import WindowSource

if TYPE_CHECKING:  # an extra
    from onnx import ModelProto

PARITY, PARITY_WINDOWS = 1e-5, 256
"""Largest difference of a probability from torch's that fp32 may have, and windows that are asked."""
MOST_POINTS, LEAST_WINDOWS = 0.2, 5000
"""F1 points that int8 may lose to be the default, and test windows that it takes to say so."""
BATCH, SINGLE, BATCHED = 256, 200, 10
"""Windows scored at a time; repeats of the two timings."""
EXTRA = "onnx=true needs {}: pip install 'distilclip-eeg[export]', or set onnx=false."


def check_installed() -> None:
    """Refuse before any work where the extra is lacking.

    Raises:
        ConfigError: ``no_onnx``.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise ConfigError(EXTRA.format(name), reason="no_onnx") from None


def to_onnx(net: nn.Module, data: Data, test: np.ndarray | None) -> tuple[list[dict], dict[str, bytes]]:
    """ONNX files of a network, and the table of what they cost and change.

    Args:
        test: rows of the window index that the network never saw; None: there are none, and the change is
            measured on windows that it was trained on, which decides nothing.

    Returns:
        The entries of ``config.json``, and files by name: ``model.onnx``, ``model.int8.onnx``,
        ``export.json``.

    Raises:
        DataError: ``no_operator`` or ``parity``.
    """
    rows = np.arange(len(data.windows))
    source = data.source(rows)
    fp32 = exported(net, data.sizes())
    bodies = {"fp32": fp32, "int8": quantised(fp32)}
    engines = {"torch": TorchNetwork(net).logits} | {
        name: OnnxNetwork(body, f"{name} ONNX").logits for name, body in bodies.items()
    }
    check_parity(engines, source, spread(rows, PARITY_WINDOWS))
    table = measure(engines, source, spread(rows, LEAST_WINDOWS) if test is None else test)
    table["windows_of"] = "trained on" if test is None else "test"
    table["verdict"] = verdict(table, test is not None)
    table |= sizes_of(net, data.sizes(), bodies) | {"speed": speed(engines, data.sizes())}
    names = {"fp32": "model.onnx", "int8": "model.int8.onnx"}
    default = "int8" if table["verdict"] == "accepted" else "fp32"
    entries = [
        entry(names[p], body) | {"precision": p, "default": p == default} for p, body in bodies.items()
    ]
    text = json.dumps(table, indent=1, sort_keys=True) + "\n"
    return entries, {names[p]: body for p, body in bodies.items()} | {TABLE: text.encode()}


def spread(rows: np.ndarray, n: int) -> np.ndarray:
    """At most ``n`` of ``rows``, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]


def exported(net: nn.Module, sizes: dict) -> bytes:
    """An ONNX file of the frozen network: ``eeg`` (batch, C, T) to ``logits`` (batch, K), any batch.

    Raises:
        DataError: ``no_operator``: a part of the network has none.
    """
    unrolled = [name for name, module in net.named_modules() if type(module) is nn.RNN]
    if unrolled:
        raise DataError(
            f"ONNX: {unrolled[0]} is torch.nn.RNN, which the exporter has no operator for: it would become "
            "several nodes a sample. Export with onnx=false, or train a network of LSTM or GRU cells.",
            reason="no_operator",
        )
    example = torch.zeros(2, sizes["n_chans"], sizes["n_times"])
    try:
        with quiet():
            program = torch.onnx.export(
                nn.Sequential(frozen(net.cpu())),  # a network's own names may be those of a graph
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                input_names=["eeg"],
                output_names=["logits"],
                verbose=False,
            )
    except Exception as error:  # torch raises many kinds, several pages long
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise DataError(
            f"ONNX: {type(net).__name__} cannot be exported ({' '.join(str(cause).split())[:200]}). "
            "Set onnx=false.",
            reason="no_operator",
        ) from cause
    assert program is not None  # the exporter gives it back with dynamo=True
    return bare(program.model_proto).SerializeToString(deterministic=True)


def bare(model: "ModelProto") -> "ModelProto":
    """An ``onnx.ModelProto`` without the exporter's remarks: they name the files of this machine."""
    graphs = [model.graph]
    model.ClearField("metadata_props")
    while graphs:
        graph = graphs.pop()
        inside = graph.node, graph.value_info, graph.input, graph.output, graph.initializer
        for part in (graph, *chain(*inside)):
            part.ClearField("metadata_props")
            part.ClearField("doc_string")
        graphs += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the pages that exporter and quantiser write; what they raise is told by us."""
    loggers = [logging.getLogger(name) for name in (None, "torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def quantised(fp32: bytes) -> bytes:
    """The same network with int8 weights in its matrix products; those of prompts, a matrix a head, stay
    fp32, since onnxruntime has no scale a column for them."""
    from onnx import load_model_from_string
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = load_model_from_string(fp32)
    stacked = {value.name for value in model.graph.initializer if len(value.dims) > 2}
    with tempfile.TemporaryDirectory() as scratch, quiet():
        path = Path(scratch) / "model.onnx"
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_exclude=[node.name for node in model.graph.node if stacked & {*node.input}],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


def probabilities(logits: Callable, source: WindowSource, rows: np.ndarray) -> np.ndarray:
    """Of the windows at ``rows``, (N, K)."""
    chunks = np.array_split(rows, -(-len(rows) // BATCH))
    out = [softmax(logits(source.batch(chunk).eeg_BCT.numpy()), axis=1) for chunk in chunks]
    return np.concatenate(out)


def check_parity(engines: dict[str, Callable], source: WindowSource, rows: np.ndarray) -> None:
    """Refuse an fp32 file that answers otherwise than torch, in a batch or one window at a time.

    Raises:
        DataError: ``parity``.
    """
    want_NK = probabilities(engines["torch"], source, rows)
    one_by_one = np.split(rows[:8], len(rows[:8]))
    alone = np.concatenate([probabilities(engines["fp32"], source, row) for row in one_by_one])
    found_NK = probabilities(engines["fp32"], source, rows)
    worst = max(np.abs(found_NK - want_NK).max(), np.abs(alone - want_NK[: len(alone)]).max())
    if not worst < PARITY:
        raise DataError(
            f"ONNX: probabilities differ from torch's by up to {worst:.2g} on {len(rows)} windows, expected "
            f"less than {PARITY:g}. Nothing was written; export with onnx=false.",
            reason="parity",
        )


def measure(engines: dict[str, Callable], source: WindowSource, rows: np.ndarray) -> dict:
    """Metrics of every engine on the same windows, and how far its probabilities are from torch's."""
    label, found = source.label[rows], {}
    for name, logits in track(engines.items(), len(engines), f"scoring {len(rows):,} windows"):
        found[name] = probabilities(logits, source, rows)
    return {
        "windows": len(rows),
        "scores": {
            name: {
                **{k: finite(v) for k, v in window_metrics(label, p_NK).items() if k in ("f1", "auroc")},
                "max_difference": float(np.abs(p_NK - found["torch"]).max()),
            }
            for name, p_NK in found.items()
        },
    }


def finite(value: float) -> float | None:
    """The value, or None where it is no number, which JSON has no word for."""
    return value if np.isfinite(value) else None


def verdict(table: dict, unseen: bool) -> str:
    """Whether int8 may be the default: ``accepted``, ``refused`` or ``undecided``."""
    before, after = (table["scores"][name]["f1"] for name in ("fp32", "int8"))
    if not unseen or table["windows"] < LEAST_WINDOWS or before is None or after is None:
        return "undecided"
    return "refused" if 100 * (before - after) > MOST_POINTS else "accepted"


def sizes_of(net: nn.Module, sizes: dict, bodies: dict[str, bytes]) -> dict:
    """Parameters, FLOPs of one window (``cost.flops``, which sees no recurrent cell) and bytes."""
    window = torch.zeros(1, sizes["n_chans"], sizes["n_times"])
    recurrent = any(isinstance(module, nn.RNNBase) for module in net.modules())
    return {
        "parameters": count(net),
        "flops": None if recurrent else flops(net, window)[""],
        "bytes": {name: len(body) for name, body in bodies.items()}
        | {"torch": sum(value.nbytes for value in net.state_dict().values())},
    }


def speed(engines: dict[str, Callable], sizes: dict) -> dict:
    """Milliseconds for one window (p50, p99) and windows a second in batches of 64, taken in turns."""
    rng = np.random.default_rng(0)
    eeg_BCT = rng.normal(size=(64, sizes["n_chans"], sizes["n_times"])).astype(np.float32)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in engines}
    for repeat in range(SINGLE):
        for name, logits in engines.items():
            times[name][0].append(seconds(logits, eeg_BCT[:1]))
            if repeat < BATCHED:
                times[name][1].append(seconds(logits, eeg_BCT))
    rows = {}
    for name, (one, many) in times.items():
        p50, p99 = np.percentile(one, [50, 99]) * 1000
        rows[name] = {
            "p50_ms": round(p50, 3),
            "p99_ms": round(p99, 3),
            "windows_per_s": round(64 / np.median(many)),
        }
    return {"machine": provenance()["machine"], "engines": rows}


def seconds(logits: Callable, eeg_BCT: np.ndarray) -> float:
    """Wall time of one answer to windows (B, C, T)."""
    start = time.perf_counter()
    logits(eeg_BCT)
    return time.perf_counter() - start


def page(table: dict) -> str:
    """``export.json`` as printed."""
    work = f"{table['flops'] / 1e6:.1f} MFLOP" if table["flops"] is not None else "FLOPs not counted"
    lines = [
        f"{table['parameters']:,} parameters, {work} a window; {table['speed']['machine']}",
        f"{'':8}{'MB':>8}{'p50 ms':>9}{'p99 ms':>9}{'win/s':>9}{'F1':>8}{'AUROC':>8}{'max |dp|':>10}",
    ]
    for name in ("torch", "fp32", "int8"):
        score, row = table["scores"][name], table["speed"]["engines"][name]
        cells = [score["f1"], score["auroc"]]
        lines.append(
            f"{name:8}{table['bytes'][name] / 1e6:8.2f}{row['p50_ms']:9.2f}{row['p99_ms']:9.2f}"
            f"{row['windows_per_s']:9,}"
            + "".join("       -" if value is None else f"{value:8.3f}" for value in cells)
            + f"{score['max_difference']:10.1e}"
        )
    lines.append(
        f"scores on {table['windows']:,} windows ({table['windows_of']}); int8 as default: "
        f"{REASONS[table['verdict']]}"
    )
    return "\n".join(lines)


REASONS = {
    "accepted": f"accepted, it loses at most {MOST_POINTS} points of F1",
    "refused": f"refused, it loses more than {MOST_POINTS} points of F1",
    "undecided": f"undecided, which takes {LEAST_WINDOWS:,} test windows that the model never saw",
}
