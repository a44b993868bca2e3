"""Fig. 9: EEG channel activation maps on the scalp, of each class by its name, and of their difference."""

from collections.abc import Iterable, Mapping

import mne
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from distilclip_eeg.corpora.edf.montage import split_reference
from distilclip_eeg.report.drawing import DIVERGING, PAGE, Picture, new_figure, picture, sentence, styled
from distilclip_eeg.signals.electrodes import electrodes

CENTRE_M, RADIUS_M = np.array([0.0, 0.018]), 0.095
"""Of the drawn head around the 10-20 positions, whose Cz lies 18 mm before the origin."""
SAME_M = 1e-4
"""Positions nearer than this are one: two derivations with the same midpoint."""
FEWEST = 4
"""Positions that an interpolation needs."""


def at_places(value_C: np.ndarray, positions_C2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and positions (P,), (P, 2): channels at one place averaged, those at unknown places left out."""
    known = np.isfinite(positions_C2).all(1)
    value_C, positions_C2 = value_C[known], positions_C2[known]
    _, place_C = np.unique(np.round(positions_C2 / SAME_M).astype(int), axis=0, return_inverse=True)
    sums = [np.bincount(place_C, values) for values in (value_C, *positions_C2.T)]
    value_P, x_P, y_P = sums / np.bincount(place_C)
    return value_P, np.column_stack([x_P, y_P])


def panels(saved: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Maps (C,) by title: classes as the corpus calls them, all seizures, and those less background."""
    background, *seizures = (str(c) for c in saved["classes"])
    maps_KC, difference_C = saved["class_map_KC"], saved["difference_C"]
    together = seizures[0] if len(seizures) == 1 else f"all but {background}"
    shown = {together: maps_KC[0] + difference_C, background: maps_KC[0]}
    each = dict(zip(seizures, maps_KC[1:], strict=True)) if len(seizures) > 1 else {}
    shown |= each | {f"{together} − {background}": difference_C}
    return {title: map_C for title, map_C in shown.items() if np.isfinite(map_C).all()}


def name_electrodes(axis: Axes, ch_names: Iterable[str]) -> None:
    """Names of the electrodes that the channels are made of, where they lie on the drawn head."""
    places, named = electrodes(), set()
    for channel in ch_names:
        own = [name for name in channel.upper().split("-") if name in places]
        named |= set(own or split_reference(channel)[0].split("-"))  # the corpus's spelling where it is one
    for name in sorted(named & set(places)):
        x, y = places[name] - CENTRE_M
        axis.text(
            x, y, name, ha="center", va="center", path_effects=[withStroke(linewidth=1.5, foreground="w")]
        )


@styled
def scalp_maps(saved: Mapping[str, np.ndarray], name: str, protocol: str) -> Picture | None:
    """Every panel on one scale; None where fewer than four channels have a known place.

    Args:
        saved: ``ecam.npz``.
    """
    shown, positions_C2 = panels(saved), saved["positions_C2"]
    known = np.isfinite(positions_C2).all(1)
    placed = {title: at_places(map_C, positions_C2) for title, map_C in shown.items()}
    if not placed or len(next(iter(placed.values()))[0]) < FEWEST:
        return None
    most = float(max(np.abs(value).max() for value, _ in placed.values())) or 1.0
    levels = np.linspace(-most, most, 8)
    across = min(len(placed), 3 if len(placed) < 4 else 4)
    down = -(-len(placed) // across)
    figure = new_figure(PAGE, down * ((PAGE - 1.1) / across + 0.25))
    axes = figure.subplots(down, across, squeeze=False)
    for axis, (title, (value, xy)) in zip(axes.flat, placed.items(), strict=False):
        image, _ = mne.viz.plot_topomap(
            value,
            xy - CENTRE_M,
            axes=axis,
            show=False,
            sphere=RADIUS_M,
            cmap=DIVERGING,
            vlim=(-most, most),
            contours=levels,
            image_interp="linear",  # a cubic one overshoots between near middles
        )
        axis.set_title(title)
        name_electrodes(axis, [str(c) for c in saved["ch_names"]])
    for axis in axes.flat[len(placed) :]:
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="mean relevance (1: the\nwindow's strongest channel)", shrink=0.85)
    left_out = [str(c) for c, there in zip(saved["ch_names"], known, strict=True) if not there]
    top = {t: str(saved["ch_names"][np.argmax(m)]) for t, m in shown.items() if " − " not in t}
    n = int((saved["label_N"] == saved["predicted_N"]).sum())
    return picture(
        figure,
        name,
        "Channel activation maps (Fig. 9)",
        f"Test windows of each class as the corpus calls it. Method {saved['method']}, {n:,} answered "
        "right, one scale for all. A derivation stands at the middle of its two electrodes, which are named, "
        "and those with the same middle are averaged. "
        + (f"Without a known place, not drawn: {sentence(left_out)}. " if left_out else "")
        + f"Where the model looks is not where a seizure begins. {protocol}.",
        f"Scalp maps; strongest channel: {sentence([f'{t} {c}' for t, c in top.items()])}.",
    )
