"""Fig. 9: EEG channel activation maps on the scalp, of each class, seizure, normal and their difference."""

from collections.abc import Mapping

import mne
import numpy as np

from distilclip_eeg.report.drawing import DIVERGING, PAGE, Picture, new_figure, picture, sentence, styled

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
    """Maps (C,) by title: of each class where there are more than two, then seizure, normal, difference."""
    classes = [str(c) for c in saved["classes"]]
    maps_KC, difference_C = saved["class_map_KC"], saved["difference_C"]
    normal_C = maps_KC[0]
    each = dict(zip(classes, maps_KC, strict=True)) if len(classes) > 2 else {}
    every = {"seizure": normal_C + difference_C, "normal": normal_C, "seizure − normal": difference_C}
    return {title: map_C for title, map_C in (each | every).items() if np.isfinite(map_C).all()}


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
    for axis in axes.flat[len(placed) :]:
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="mean relevance (1: the\nwindow's strongest channel)", shrink=0.85)
    left_out = [str(c) for c, there in zip(saved["ch_names"], known, strict=True) if not there]
    top = {t: str(saved["ch_names"][np.argmax(m)]) for t, m in shown.items() if t != "seizure − normal"}
    n = int((saved["label_N"] == saved["predicted_N"]).sum())
    return picture(
        figure,
        name,
        "Channel activation maps (Fig. 9)",
        f"Method {saved['method']}, {n:,} windows answered right, one scale for all. A derivation stands "
        "at the middle of its two electrodes, and those with the same middle are averaged. "
        + (f"Without a known place, not drawn: {sentence(left_out)}. " if left_out else "")
        + f"Where the model looks is not where a seizure begins. {protocol}.",
        f"Scalp maps; strongest channel: {sentence([f'{t} {c}' for t, c in top.items()])}.",
    )
