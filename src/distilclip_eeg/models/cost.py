"""Parameters and FLOPs of teacher and student by layer, cumulative (article, Figs. 6 and 7).

FLOPs are those of one forward pass over a batch as torch's own counter sees them: products of matrices
and convolutions, two a multiply-add; norms, activations and softmax are not counted. Two counts stand side
by side: ``article``, the architecture word for word (``models.literal``); ``executed``, what our modules do.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.learning import Learning
from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.literal import LiteralConformer
from distilclip_eeg.models.text_backends import weightless
from distilclip_eeg.schema import ConfigError

COUNTS = ["parameters", "article", "executed"]
COLUMNS = ["side", "layer", *COUNTS]


@dataclass(frozen=True)
class Workload:
    """What FLOPs depend on beside the model; the defaults are the reading that fits the article's Fig. 7."""

    batch: int = 32
    texts: int = 32
    """Distinct texts in the batch; the article's count has one a window, training here encodes each once."""
    tokens: int = 64
    """Of each text, prompts included."""


def flops(net: nn.Module, *inputs: Tensor) -> dict[str, int]:
    """FLOPs of every module below ``net`` by its dotted name, of all under ``""``; ``net`` is left frozen."""
    net.eval().requires_grad_(False)  # a view of a trained prompt among a module's inputs stops the counter
    # The CPU's fused attention is unknown to the counter; the plain one is products of matrices.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        net(*inputs)
    root = type(net).__name__
    counts = {name: sum(by_kind.values()) for name, by_kind in counter.get_flop_counts().items()}
    return {name.removeprefix(root).lstrip("."): n for name, n in counts.items() if name != "Global"}


def count(module: nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def own_prompts(encoder: Conformer | BertLP, layer: int) -> int:
    """Parameters of the prompts that ``layer`` has for itself."""
    own = None if encoder.prompts is None else encoder.prompts.of(layer)
    return 0 if own is None else own.numel()


def eeg_cost(net: Conformer, n_times: int, batch: int) -> pd.DataFrame:
    """A row for each layer of the EEG side; prompts count with their layer. ``net`` is on the meta device."""
    eeg = torch.empty(batch, net.stem.n_chans, n_times, device="meta")
    article, executed = flops(LiteralConformer(net), eeg), flops(net, eeg)
    parts: list[tuple[str, str, nn.Module, int]] = [("stem", "stem", net.stem, 0)]
    for i, block in enumerate(net.blocks):
        parts.append((f"layer {i + 1}", f"blocks.{i}", block, own_prompts(net, i)))
    parts += [("head", "head", net.head, 0), ("classifier", "classifier", net.classifier, 0)]
    rows = [("eeg", name, count(part) + more, article[at], executed[at]) for name, at, part, more in parts]
    return pd.DataFrame(rows, columns=COLUMNS)


def text_cost(encoder: BertLP, width: int, work: Workload) -> pd.DataFrame:
    """A row for each layer of the text side, its map to the shared ``width`` included where there is one.

    Raises:
        ConfigError: ``work.tokens`` has no room for a word beside the prompts.
    """
    n_prompts = 0 if encoder.prompts is None else encoder.prompts.n
    if work.tokens <= n_prompts:
        raise ConfigError(
            f"tokens={work.tokens} leaves no word beside {n_prompts} prompts. Give more tokens."
        )
    ids = torch.zeros(1, work.tokens - n_prompts, dtype=torch.long)  # texts cost the same, so one is counted
    counted = flops(encoder, ids, torch.ones_like(ids))
    rows = [("embeddings", count(encoder.bert.embeddings), 0)]
    for i, layer in enumerate(encoder.bert.encoder.layer):
        rows.append(
            (f"layer {i + 1}", count(layer) + own_prompts(encoder, i), counted[f"bert.encoder.layer.{i}"])
        )
    if encoder.dim != width:
        rows.append(("projection", (encoder.dim + 1) * width, 2 * encoder.dim * width))
    both = [("text", name, size, *(2 * [work.texts * n])) for name, size, n in rows]
    return pd.DataFrame(both, columns=COLUMNS)


def text_encoder(settings: Component) -> BertLP:
    """The text encoder of a config; BERT-base by its sizes alone, so that its weights are not needed."""
    if settings.target.endswith(".pretrained"):
        return weightless(n_prompts=settings.arguments["n_prompts"])
    return settings.build("text_encoder", sentences=["a window"]).encoder


def model_cost(model: str, sizes: dict, work: Workload) -> pd.DataFrame:
    """Rows by layer of a preset, EEG side first, with cumulative columns; a student has no text side.

    Args:
        sizes: n_chans, n_times, sfreq, n_outputs.
    """
    return layer_cost(load(TrainSettings, [f"model={model}"]).learning, sizes, work)


def layer_cost(learning: Learning, sizes: dict, work: Workload) -> pd.DataFrame:
    """``model_cost`` of a run's settings.

    Raises:
        ConfigError: its network is no Conformer, whose layers are known.
    """
    model = learning.model
    if "conformer.Conformer" not in model.net.target:
        raise ConfigError(f"model={model.name}: layers are counted of teachers and students alone.")
    with torch.device("meta"):
        net = model.net.build("network", **sizes)
    tables = [eeg_cost(net, sizes["n_times"], work.batch)]
    if model.kind == "teacher":
        tables.append(text_cost(text_encoder(learning.text_encoder), net.dim, work))
    table = pd.concat(tables, ignore_index=True)
    return table.join(table[COUNTS].cumsum().add_suffix("_cumulative"))


def page(table: pd.DataFrame, model: str, sizes: dict, work: Workload) -> str:
    """``model_cost`` as printed, with everything that the figures depend on above it."""
    text = f"text included: {work.texts} texts of {work.tokens} tokens, prompts among them"
    if "text" not in set(table["side"]):
        text = "text not included: a student has no text encoder"
    lines = [
        f"{model}: {sizes['n_chans']} channels, {sizes['n_times']} samples at {sizes['sfreq']:g} Hz, "
        f"{sizes['n_outputs']} classes; batch {work.batch}; {text}",
        "GFLOP of one forward pass, two a multiply-add: of the article's architecture, and as executed here",
        f"{'side':6s}{'layer':12s}{'parameters':>13s}{'so far':>13s}"
        f"{'article':>11s}{'so far':>11s}{'executed':>11s}{'so far':>11s}",
    ]
    for row in table.to_dict("records"):
        work_done = (row[c] / 1e9 for name in COUNTS[1:] for c in (name, f"{name}_cumulative"))
        lines.append(
            f"{row['side']:6s}{row['layer']:12s}{row['parameters']:13,d}{row['parameters_cumulative']:13,d}"
            + "".join(f"{n:11.3f}" for n in work_done)
        )
    sums = table.groupby("side", sort=False)[COUNTS].sum()
    sums.loc["all"] = table[COUNTS].sum()
    for side, n in sums.iterrows():
        done = [f"{n[c]:.3g}".replace("e+", "e") for c in COUNTS[1:]]
        lines.append(f"{side}: {n['parameters']:,d} parameters, {done[0]} FLOPs, executed {done[1]}")
    return "\n".join(lines)
