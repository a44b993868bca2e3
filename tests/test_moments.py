"""The figure of a search: what each panel is called, and what of it is shaded."""

import numpy as np
import pytest

from distilclip_eeg.report import moments
from distilclip_eeg.report.moments import Moment, moments_png, short_names

SFREQ, LONG = 64.0, "sub-the-one-with-a-very-long-code_ses-01_task-szMonitoring_run-01_eeg"


def found(*recordings):
    """Four seconds of each recording from second 100 on, of which the window from 101.5 to 102.5 is meant."""
    uv_CT = 30 * np.sin(np.linspace(0, 60, 256) + np.arange(18)[:, None])
    about = 100.0, SFREQ, [f"CH{i}" for i in range(18)], uv_CT, 101.5, 102.5
    return [Moment(i + 1, name, 0.1, *about) for i, name in enumerate(recordings)]


def test_a_hit_is_called_by_the_last_part_of_its_path_and_as_much_more_as_tells_it_apart():
    assert short_names(["a1b2/chb06/chb06_01", "a1b2/chb12/chb12_02"]) == ["chb06_01", "chb12_02"]
    assert short_names(["x/p1/night", "x/p2/night", "x/p1/night"]) == ["p1/night", "p2/night", "p1/night"]
    assert short_names(["night", "p2/night"]) == ["night", "p2/night"]
    (name,) = short_names([f"x/{LONG}"])
    assert len(name) == moments.LONGEST and name.startswith("…") and name.endswith(LONG[-20:])
    assert short_names([]) == []


def test_each_panel_says_which_recording_and_when_in_hours_minutes_and_seconds(drawn):
    moments_png("rhythmic theta", found("deep/down/chb06_01", "deep/down/chb06_02"))
    titles = [axes.get_title("left") for axes in drawn[0].axes[:2]]
    assert titles[0] == "1. chb06_01\nat 0:01:42, similarity 0.10"
    assert titles[1].startswith("2. chb06_02\n")
    assert "“rhythmic theta”" in drawn[0].get_suptitle()


def test_the_best_window_alone_is_shaded(drawn):
    moments_png("rhythmic theta", found("a"))
    axes = drawn[0].axes[0]
    (shaded,) = axes.patches
    box = shaded.get_window_extent().transformed(axes.transData.inverted())
    assert (box.x0, box.x1) == pytest.approx((101.5, 102.5))
    assert axes.get_xlim() == pytest.approx((100, 104), abs=0.1)


def test_no_title_is_cut_off_or_runs_into_the_next(drawn):
    question = f"a question that is very long, {'and goes on and on, ' * 20}"
    moments_png(question, found(*[f"x/{LONG}{i}" for i in range(6)]))
    figure = drawn[0]
    figure.draw_without_rendering()
    boxes = [axes._left_title.get_window_extent() for axes in figure.axes]
    suptitle = figure._suptitle.get_window_extent()
    for box in (*boxes, suptitle):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    for i, one in enumerate(boxes):
        assert not one.overlaps(suptitle)
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])


def test_channels_are_named_once_a_line_unless_they_differ(drawn):
    same = found("a", "b")
    moments_png("q", same)
    assert [bool(axes.get_yticklabels()[0].get_text()) for axes in drawn[0].axes[:2]] == [True, False]
    other = found("a")[0]
    object.__setattr__(other, "ch_names", [f"EL{i}" for i in range(18)])
    moments_png("q", [same[0], other])
    assert [axes.get_yticklabels()[0].get_text() for axes in drawn[1].axes[:2]] == ["CH0", "EL0"]
