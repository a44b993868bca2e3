"""The pictures of README and gallery: ``make pictures``, or ``python docs/pictures.py`` after the demo.

The first shows the demo's student on an invented recording; the others are figures of the demo's own report.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.corpora.synthetic import Synthetic
from distilclip_eeg.deploy.detection import Detection
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.export import export
from distilclip_eeg.report.drawing import OKABE_ITO, new_figure, png_of, styled
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import Recording

IMAGES = Path(__file__).parent / "images"
RUN, RECORDING = "synthetic/student_tiny-subject-*", "chb12_01"
"""Of the demo: its student of people never seen, and a recording with two seizures."""
GALLERY = (
    *("fig5_curves_synthetic_subject", "fig7_flops_synthetic", "fig8_confusion_synthetic_subject"),
    *("fig9_ecam_synthetic_subject_teacher_tiny", "deletion_synthetic_subject_teacher_tiny"),
    *("embedding_synthetic_subject_teacher_tiny", "events_synthetic_subject_student_tiny"),
    *("reliability_synthetic_subject", "roc_pr_synthetic_subject", "roc_pr_synthetic_window"),
)
"""Of the report's figures, those that the page shows."""
SHOWN = ("FP1-F7", "F7-T7", "C3-P3", "FZ-CZ", "P8-O2")
ROOM_UV = 350
"""Half of the room that a channel has."""
WAVE, ALARM, SEIZURE, CURVE = "#333333", OKABE_ITO[1], "black", OKABE_ITO[0]


def main(runs: Path) -> None:
    """Draw the first picture anew and take the others from the report.

    Args:
        runs: where the demo left its runs.
    """
    report = runs / "report" / "figures"
    if not report.is_dir():
        sys.exit(f"error: {report}: not there. Run make demo first.")
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "detection.png").write_bytes(detection(Run(next(runs.glob(RUN)))))
    for name in GALLERY:
        shutil.copyfile(report / f"{name}.png", IMAGES / f"{name}.png")
    print(f"written: {len(GALLERY) + 1} pictures in docs/images")


def detection(run: Run) -> bytes:
    """One recording, what a network that never saw its person says of it every second, and its events."""
    corpus = Synthetic(root="data/synthetic")
    ref = next(ref for ref in corpus.recordings() if ref.recording.endswith(RECORDING))
    (fold,) = [k for k in run.folds_done() if ref.subject in run.predictions(k)["subject"]]
    with tempfile.TemporaryDirectory() as scratch:
        export(run, fold, Path(scratch) / "model", onnx=False)
        folder = load_folder(Path(scratch) / "model")
        found = Detector(folder.recipe, open_network(folder)).file(ref.path)
    return drawn(corpus.read(ref), found)


@styled
def drawn(recording: Recording, found: Detection) -> bytes:
    """EEG, probability its threshold, and two rows of bars: annotated seizures black, found ones coloured."""
    figure = new_figure(7.2, 2.9)
    above, below, bars = figure.subplots(3, 1, sharex=True, height_ratios=[2.2, 1, 0.32])
    waves(above, recording)
    for axes in (above, below):
        for onset_s, offset_s in found.track.events_E2:
            axes.axvspan(onset_s, offset_s, color=ALARM, alpha=0.2, linewidth=0)
    below.plot(found.trace.start_s_N, found.smoothed_N, color=CURVE, drawstyle="steps-post")
    below.axhline(found.detect.threshold, color=ALARM, linestyle="--", linewidth=0.9)
    below.set(ylim=(0, 1.04), yticks=[0, 1])
    annotated = [(event.onset_s, event.offset_s - event.onset_s) for event in recording.events]
    bars.broken_barh(annotated, (1.1, 0.9), facecolor=SEIZURE)
    bars.broken_barh(
        [(first, last - first) for first, last in found.track.events_E2], (0, 0.9), facecolor=ALARM
    )
    bars.set(ylim=(-0.1, 2.1), yticks=[], xlim=(0, found.span_s))
    bars.xaxis.set_major_formatter("{x:g} s")
    for axes in (above, below, bars):
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(bottom=False)
    for axes in (above, bars):
        axes.spines["left"].set_visible(False)
    return png_of(figure)


def waves(axes: Axes, recording: Recording) -> None:
    """Some channels one below the other; what is larger than the room between them is cut off."""
    names = list(recording.ch_names)
    rows, places_C1 = [names.index(name) for name in SHOWN], -np.arange(len(SHOWN))[:, None]
    for piece in recording.pieces:
        uv_CT = 1e6 * piece.eeg_CT[rows].reshape(len(rows), -1)[:, ::2]
        time_s = piece.start_s + 2 * np.arange(uv_CT.shape[1]) / recording.sfreq
        axes.plot(
            time_s, (uv_CT.clip(-ROOM_UV, ROOM_UV) / 2 / ROOM_UV + places_C1).T, color=WAVE, linewidth=0.3
        )
    axes.set(ylim=(-len(SHOWN) + 0.4, 0.6), yticks=[])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
