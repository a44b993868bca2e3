"""Figures as pictures: the same bytes twice, nothing clipped or tiny, and what is drawn worked by hand."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image
from report_runs import CHANNELS, COST, PLACES, WHAT, add_explanation, make_run

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.report import diagrams, drawing, eeg_figures, explained, figures, scalp
from distilclip_eeg.report.entries import choose
from distilclip_eeg.runs import find_runs
from distilclip_eeg.scoring.events.detect import Trace

TEACHER = pd.read_csv(io.StringIO(COST)).assign(**WHAT)
STUDENT = TEACHER[TEACHER["layer"].isin(("stem", "classifier")) | (TEACHER["layer"] == "layer 1")][:3]
STUDENT = STUDENT.reset_index(drop=True)
TRACE = Trace(np.where(np.arange(120) // 20 == 2, 0.9, 0.1), np.arange(120.0))
REFERENCE = pd.DataFrame({"onset_s": [38.0], "offset_s": [60.0], "label": ["seiz"]})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Entries of a teacher, an ablation, a student and a floor; arrays of the teacher's explain folder."""
    root = tmp_path_factory.mktemp("figures")
    teacher = make_run(root, "teacher_tiny", "teacher")
    make_run(root, "teacher_tiny", "teacher", name="ablation", text="none")
    make_run(root, "student_tiny", "student")
    make_run(root, "logreg_bandpower", "floor")
    saved = explained.Explained(add_explanation(teacher))
    return choose(find_runs(root)), saved


def window():
    """An example window of 23 channels, and what is known of it."""
    uv_CT = 40 * np.sin(np.linspace(0, 30, 128) + np.arange(23)[:, None])
    about = {"true": "seiz", "predicted": "bckg", "probability": 0.5, "subject": "s", "start_s": 1.0}
    return uv_CT, [f"CH{i}" for i in range(23)], 128.0, about, "example"


DRAWINGS = {
    "curves": lambda entries, saved: figures.training_curves(entries),
    "parameters": lambda *_: figures.parameters({"teacher": TEACHER, "student": STUDENT}, "fig6"),
    "flops": lambda *_: figures.cumulative_flops({"teacher": TEACHER, "student": STUDENT}, "fig7"),
    "confusion": lambda entries, saved: figures.confusion_matrices(entries),
    "roc": lambda entries, saved: diagrams.roc_and_pr(entries),
    "reliability": lambda entries, saved: diagrams.reliability_diagram(entries),
    "scalp": lambda entries, saved: scalp.scalp_maps(saved.arrays("ecam.npz"), "fig9", "split=subject"),
    "deletion": lambda _, saved: explained.deletion_curves(saved.json("faithfulness.json"), "d", "p"),
    "embedding": lambda _, saved: explained.embedding_map(saved.arrays("embedding.npz"), "e", "p"),
    "example": lambda *_: eeg_figures.example_window(*window()),
    "events": lambda *_: eeg_figures.trace_with_events(TRACE, REFERENCE, DetectConfig(), "t", "r$_1$", "p"),
}


QUICK = ("scalp", "events")
"""One with and one without mne; the others are rendered in the slow run."""


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in DRAWINGS]
)
def test_a_figure_is_the_same_bytes_twice(name, world):
    one, two = DRAWINGS[name](*world), DRAWINGS[name](*world)
    assert one == two
    assert Image.open(io.BytesIO(one.png)).size[0] in (
        int(drawing.DPI * width) for width in (drawing.COLUMN, drawing.PAGE)
    )
    assert b"Software" not in one.png and b"CreationDate" not in one.pdf and one.pdf.startswith(b"%PDF")
    assert one.alt and one.caption and one.title


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_text_is_smaller_than_eight_points_or_cut_off(name, world, drawn, monkeypatch):
    DRAWINGS[name](*world)
    figure = drawn[0]
    written = texts_of(figure, monkeypatch)
    inside = figure.bbox.padded(1)
    assert len(written) > 3
    for text in written:
        box = text.get_window_extent()
        assert text.get_fontsize() >= 8, text
        assert inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1), (text, box, inside)


def texts_of(figure, monkeypatch):
    """What a reader sees written: texts that are drawn, laid out anew."""
    seen, draw = [], Text.draw
    figure.set_layout_engine("constrained")
    with matplotlib.rc_context(drawing.STYLE), monkeypatch.context() as patch:
        figure.draw_without_rendering()
        patch.setattr(Text, "draw", lambda text, renderer: (seen.append(text), draw(text, renderer)))
        figure.draw_without_rendering()
    return [text for text in seen if text.get_visible() and text.get_text().strip()]


def test_the_scale_bar_of_an_example_says_its_microvolts(drawn, monkeypatch):
    eeg_figures.example_window(*window())
    # 40 uV of a sine: SD 28, four of it 113, so the bar is 200 uV.
    assert "200 µV" in [text.get_text() for text in texts_of(drawn[0], monkeypatch)]


def plots(figure):
    """Axes that hold data, colour bars left out."""
    return [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]


@pytest.mark.parametrize("name", [n for n in DRAWINGS if n not in ("scalp", "confusion")])
def test_every_axis_says_what_it_shows(name, world, drawn):
    DRAWINGS[name](*world)
    for axis in plots(drawn[0]):
        assert axis.get_xlabel()
        shared = len(axis.get_shared_y_axes().get_siblings(axis)) > 1
        assert (
            axis.get_ylabel() or shared or len(axis.get_yticklabels()) in (2, 4, 23)
        )  # names of channels, models, components


@pytest.mark.parametrize("name", ["scalp", "confusion"])
def test_every_colour_bar_is_labelled_and_one_scale_serves_all_panels(name, world, drawn):
    DRAWINGS[name](*world)
    bars = [axis for axis in drawn[0].axes if axis.get_label() == "<colorbar>"]
    assert len(bars) == 1 and bars[0].get_ylabel()
    limits = {image.get_clim() for axis in plots(drawn[0]) for image in axis.images}
    assert len(limits) == 1


def test_curves_are_the_mean_of_the_folds_between_the_lowest_and_the_highest(world, drawn):
    figures.training_curves(world[0])
    accuracy = drawn[0].axes[2]
    # Folds at 60, 70, 80 and at 70, 80, 90 %.
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [65, 75, 85])
    np.testing.assert_allclose(accuracy.collections[0].get_datalim(accuracy.transData).intervaly, [60, 90])
    assert [axis.get_title("left") for axis in drawn[0].axes[::3]] == ["teacher_tiny", "student_tiny"]


def test_each_loss_has_an_axis_of_its_own(world, drawn):
    figures.training_curves(world[0])
    training, validation, accuracy = drawn[0].axes[:3]
    assert [axis.get_ylabel() for axis in (training, validation)] == ["training loss", "validation loss"]
    assert [len(axis.lines) for axis in (training, validation, accuracy)] == [1, 1, 2]
    np.testing.assert_allclose(training.lines[0].get_ydata(), [2, 1, 2 / 3])
    np.testing.assert_allclose(validation.lines[0].get_ydata(), [1, 1 / 2, 1 / 3])


def test_the_smallest_component_shows_beside_the_largest(drawn):
    figures.parameters({"teacher": TEACHER, "student": STUDENT}, "fig6")
    (axis,) = drawn[0].axes
    assert axis.get_xscale() == "log" and axis.get_xlim()[0] <= 10 and axis.get_xlim()[1] > 6000
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["EEG: stem", "EEG: layers", "EEG: classifier", "text: layers"]
    written = [text.get_text() for text in axis.texts]
    assert written == ["1,000", "6,000", "10", "500", "1,000", "3,000", "10"]


def test_confusion_counts_the_windows_of_all_folds(world, drawn):
    figures.confusion_matrices(world[0])
    said = [text.get_text() for text in drawn[0].axes[0].texts]
    assert said == ["11\n92 %", "1\n8 %", "1\n12 %", "7\n88 %"]
    titles = [axis.get_title().partition("\n2")[0] for axis in plots(drawn[0]) if axis.axison]
    assert titles == ["teacher_tiny", "teacher_tiny,\neeg_lp", "student_tiny"]


def test_each_layers_flops_stand_above_its_own_name_for_a_shallower_student_too(drawn):
    figures.cumulative_flops({"teacher": TEACHER, "student": STUDENT}, "fig7")
    axis = drawn[0].axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    teacher, student = axis.lines
    np.testing.assert_allclose(teacher.get_xdata(), [2, 6, 10, 10.001, 15.001])
    assert [names[int(y)] for y in student.get_ydata()] == ["eeg stem", "eeg layer 1", "eeg classifier"]
    assert axis.get_xlim()[0] == 0 and axis.get_xlim() == drawn[0].axes[1].get_xlim()


def test_what_was_counted_is_stated_with_the_flops():
    caption = figures.cumulative_flops({"teacher": TEACHER, "student": STUDENT}, "fig7").caption
    assert "two a multiply-add" in caption
    assert "teacher: batch of 32 windows, text included: 4 texts of 64 tokens" in caption
    assert "student: batch of 32 windows, text not included" in caption


def test_derivations_at_one_place_are_averaged_and_those_at_none_left_out():
    value, xy = scalp.at_places(np.arange(10.0), np.array(PLACES))
    assert len(value) == len(xy) == 8
    (there,) = np.flatnonzero(np.isclose(xy, PLACES[2]).all(1))
    assert value[there] == (2 + 3) / 2
    assert 9 not in value and sorted(value) == [0, 1, 2.5, 4, 5, 6, 7, 8]


def test_maps_are_called_by_the_classes_of_the_corpus_and_every_one_is_shown(world):
    saved = world[1].arrays("ecam.npz")
    two = scalp.panels(saved)
    assert list(two) == ["seiz", "bckg", "seiz − bckg"]
    np.testing.assert_allclose(two["seiz"] - two["bckg"], two["seiz − bckg"])
    maps = np.vstack([saved["class_map_KC"], np.full(10, np.nan)])
    three = scalp.panels(saved | {"classes": np.array(["bckg", "a", "never right"]), "class_map_KC": maps})
    assert list(three) == ["all but bckg", "bckg", "a", "all but bckg − bckg"]


def test_electrodes_are_named_in_the_spelling_of_the_corpus(world, drawn):
    scalp.scalp_maps(world[1].arrays("ecam.npz"), "fig9", "split=subject")
    named = {text.get_text() for text in drawn[0].axes[0].texts}
    assert named == {"FP1", "F7", "T7", "P7", "FZ", "CZ", "PZ", "FP2", "F8", "T8", "P8"}


def test_an_example_is_coloured_by_the_relevance_of_each_channel(drawn):
    relevance_C = np.zeros(23)
    relevance_C[[4, 9]] = 1, -1
    found = eeg_figures.example_window(*window(), relevance_C)
    (image,) = drawn[0].axes[0].images
    np.testing.assert_allclose(image.get_array()[:, 0], relevance_C)
    assert image.get_clim() == (-1, 1) and image.get_extent()[2:] == [-22.5 * 200, 100]  # a row a channel
    assert "most of all CH4" in found.caption


def test_the_scalp_map_names_the_strongest_channel_and_what_it_leaves_out(world):
    drawn = scalp.scalp_maps(world[1].arrays("ecam.npz"), "fig9", "split=subject")
    assert "seiz FP1-F7" in drawn.alt
    assert "not drawn: ECG" in drawn.caption and "5 answered right" in drawn.caption


def test_channels_without_places_give_no_scalp_map(world):
    saved = world[1].arrays("ecam.npz")
    nowhere = np.full((len(CHANNELS), 2), np.nan)
    assert scalp.scalp_maps(saved | {"positions_C2": nowhere}, "fig9", "p") is None


def test_reliability_bins_hold_equal_mass_and_their_own_frequency():
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9])
    truth = np.array([0, 0, 0, 1, 1, 0, 1, 1])
    mean, share, n = diagrams.reliability(truth, score, n_bins=2)
    np.testing.assert_allclose(mean, [0.25, 0.75])
    np.testing.assert_allclose(share, [0.25, 0.75])
    np.testing.assert_allclose(n, [4, 4])
    assert diagrams.reliability(truth, np.full(8, 0.5)).tolist() == [[0.5], [0.5], [8]]


def test_models_without_windows_of_both_kinds_have_no_roc_curve(world, monkeypatch):
    monkeypatch.setattr(diagrams, "any_seizure", lambda entry: (np.ones(3, bool), np.ones(3)))
    assert diagrams.roc_and_pr(world[0]) is None and diagrams.reliability_diagram(world[0]) is None


def test_the_trace_shows_the_seizure_and_the_event_that_was_detected(drawn):
    found = eeg_figures.trace_with_events(TRACE, REFERENCE, DetectConfig(smooth_s=0), "t", "r", "p")
    assert "1 annotated seizures, 1 detected events" in found.caption
    alarm = next(line for line in drawn[0].axes[0].lines if line.get_label() == "detected event")
    np.testing.assert_allclose(alarm.get_xdata(), [40 / 60, 1])


def test_a_gap_in_a_recording_is_not_bridged(drawn):
    start_s = np.concatenate([np.arange(10.0), np.arange(50.0, 60.0)])
    trace = Trace(np.full(20, 0.2), start_s)
    eeg_figures.trace_with_events(trace, REFERENCE[:0], DetectConfig(), "t", "r", "p")
    black = [line for line in drawn[0].axes[0].lines if line.get_color() == "black"]
    assert [line.get_xdata().tolist() for line in black] == [list(start_s[:10] / 60), list(start_s[10:] / 60)]


@pytest.mark.parametrize(
    "value, bar", [(0.9, 1), (1, 1), (3, 5), (120, 200), (501, 1000), (0, 1), (np.nan, 1)]
)
def test_scale_bars_are_round(value, bar):
    assert eeg_figures.nice(value) == bar


def test_a_palette_keeps_every_colour_to_the_eye_even_one_of_few_pixels():
    figure = drawing.new_figure(2, 2)
    axis = figure.subplots()
    axis.imshow(np.linspace(0, 1, 10_000).reshape(100, 100), cmap="RdBu_r")
    axis.plot([5, 5], [5, 6], color=drawing.OKABE_ITO[2], lw=2)
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    png = drawing.png_of(figure)
    before, after = (np.asarray(Image.open(f).convert("RGB")).astype(int) for f in (whole, io.BytesIO(png)))
    assert Image.open(io.BytesIO(png)).mode == "P"
    assert np.abs(before - after).max() <= 16  # of 255
    assert len(png) < len(whole.getvalue()) / 2


def test_lines_differ_in_colour_and_in_dash():
    looks = [drawing.look(i) for i in range(4)]
    assert len({one["color"] for one in looks}) == len({one["linestyle"] for one in looks}) == 4


def test_file_names_stay_inside_their_folder():
    assert drawing.file_name("../../etc", "a b/c\\d:é") == "_.._etc_a_b_c_d__"
    assert drawing.file_name("..") == "unnamed"
