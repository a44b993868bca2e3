"""Sizes of every pair of teacher and student, as a table; one model by layer is ``models.cost``'s."""

from collections.abc import Iterator
from typing import cast

from safetensors.torch import save

from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.models.cost import COUNTS, Workload, eeg_cost

SHAPES = ((19, 256, 256.0), (23, 256, 256.0), (19, 500, 500.0))
"""Channels, samples and rate of the four corpora's windows."""


def pairs(classes: int) -> Iterator[str]:
    """One line a pair of teacher and student and a montage, below a head.

    Args:
        classes: outputs of every network.
    """
    batch = Workload.batch
    yield f"{classes} classes; one-second windows; weights as float32 safetensors"
    yield f"GFLOP: a batch of {batch}, EEG side, the article's architecture / as executed here"
    yield (
        "pair       channels   Hz      teacher      student    ratio  bytes ratio  teacher GFLOP  "
        "student GFLOP"
    )
    for path in sorted((CONFIG_DIR / "model").glob("teacher*.yaml")):
        teacher = load(TrainSettings, [f"model={path.stem}"]).model
        student = load(TrainSettings, [f"model={teacher.student}"]).model
        pair = path.stem.removeprefix("teacher").removeprefix("_") or "article"
        for n_chans, n_times, sfreq in SHAPES:
            sizes = {"n_chans": n_chans, "n_times": n_times, "sfreq": sfreq, "n_outputs": classes}
            nets = [cast(Conformer, build_network(model, sizes)) for model in (teacher, student)]
            count = [sum(p.numel() for p in net.parameters()) for net in nets]
            size = [len(save(net.state_dict())) for net in nets]
            costs = [eeg_cost(net.to("meta"), n_times, batch)[COUNTS].sum() / 1e9 for net in nets]
            yield (
                f"{pair:11s}{n_chans:8d}{sfreq:5.0f}{count[0]:13,d}{count[1]:13,d}{count[1] / count[0]:9.2%}"
                f"{size[1] / size[0]:13.2%}"
                + "".join(f"{c['article']:8.1f} /{c['executed']:5.1f}" for c in costs)
            )
