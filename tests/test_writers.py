"""What is written is read back by others: SzCORE's library, our own reader of TUSZ, pandas."""

import io
import json
from dataclasses import replace
from datetime import datetime

import mne
import numpy as np
import pandas as pd
import pytest
from deploy_tools import CHANNELS, brain, write_edf
from epilepsy2bids.annotations import Annotations
from matplotlib.figure import Figure
from PIL import Image

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.corpora.edf.fields import start_time
from distilclip_eeg.corpora.events_tsv import read_events
from distilclip_eeg.corpora.tusz_files import read_csv
from distilclip_eeg.deploy.detection import Detection, Excerpt
from distilclip_eeg.deploy.writers import (
    annotations_txt,
    csv_bi,
    events_tsv,
    probability_parquet,
    screened,
    write_detection,
)
from distilclip_eeg.report.detection import draw_probability
from distilclip_eeg.schema import NOTE, DataError
from distilclip_eeg.scoring.events.detect import Trace

PLAIN = DetectConfig(smooth_s=0, min_duration_s=0)


def detection(probability, starts=None, hop_s=1.0, recorded=((0, 60.004),), **more):
    starts = np.arange(len(probability)) * hop_s if starts is None else starts
    excerpt = Excerpt(10.0, 256.0, CHANNELS, np.random.default_rng(0).normal(0, 50, (3, 2560)))
    trace = Trace(np.array(probability), np.array(starts), hop_s)
    return Detection("a.edf", trace, PLAIN, np.array(recorded, float), excerpt=excerpt, **more)


TWO = [0.1] * 10 + [0.9, 0.7] + [0.2] * 20 + [0.5] * 5 + [0.0] * 23
"""Events from 10 to 12 s and from 32 to 37 s of sixty."""


def test_szcore_s_library_reads_the_events_back(tmp_path):
    path = tmp_path / "a_events.tsv"
    path.write_bytes(events_tsv(detection(TWO)))
    loaded = Annotations.loadTsv(str(path))
    assert loaded.getEvents() == [(10, 12), (32, 37)]
    assert [e["confidence"] for e in loaded.events] == [0.8, 0.5]
    assert {e["dateTime"] for e in loaded.events} == {"n/a"}
    assert loaded.getMask(1).sum() == 7 and len(loaded.getMask(1)) == 60
    file = read_events(path)  # and so do we
    assert file.warnings == () and [(r.onset_s, r.offset_s, r.label) for r in file.rows] == [
        (10, 12, "sz"),
        (32, 37, "sz"),
    ]


def test_the_file_is_the_grammar_to_the_letter():
    assert events_tsv(detection(TWO)).decode() == (
        "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
        "10.00\t2.00\tsz\t0.80\tn/a\tn/a\t60.00\n"
        "32.00\t5.00\tsz\t0.50\tn/a\tn/a\t60.00\n"
    )
    start = datetime(2001, 2, 3, 4, 5, 6)
    assert b"\t2001-02-03 04:05:06\t" in events_tsv(detection(TWO), start)


def test_no_event_is_one_background_row(tmp_path):
    found = detection([0.1] * 60)
    assert events_tsv(found).splitlines()[1:] == [b"0.00\t60.00\tbckg\tn/a\tn/a\tn/a\t60.00"]
    (tmp_path / "a_events.tsv").write_bytes(events_tsv(found))
    loaded = Annotations.loadTsv(str(tmp_path / "a_events.tsv"))
    assert loaded.getEvents() == [] and loaded.getMask(1).sum() == 0
    assert csv_bi(found, "a").splitlines()[-1] == b"TERM,0.0000,60.0040,bckg,1.0000"


def test_our_reader_of_tusz_reads_the_csv_bi_back(tmp_path):
    path = tmp_path / "a.csv_bi"
    path.write_bytes(csv_bi(detection(TWO), "a"))
    file = read_csv(path)
    assert file.warnings == () and file.name == "a" and file.duration_s == 60.004
    rows = [(row.channel, row.event.onset_s, row.event.offset_s, row.event.label) for row in file.rows]
    assert rows == [("TERM", 10, 12, "seiz"), ("TERM", 32, 37, "seiz")]


def test_mne_opens_the_events_with_their_onsets_and_durations(tmp_path):
    path = tmp_path / "a_annotations.txt"
    path.write_bytes(annotations_txt(detection(TWO)))
    opened = mne.read_annotations(path)
    assert opened.onset.tolist() == [10, 32] and opened.duration.tolist() == [2, 5]
    assert opened.description.tolist() == ["seiz", "seiz"] and opened.orig_time is None
    raw = mne.io.RawArray(np.zeros((1, 60 * 64)), mne.create_info(["C3"], 64, "eeg"), verbose="error")
    raw.set_annotations(opened)
    assert raw.annotations.onset.tolist() == [10, 32]


def test_mne_opens_the_events_of_a_file_without_any_and_of_one_alone(tmp_path):
    path = tmp_path / "a_annotations.txt"
    for probability, onsets in ((TWO, [10, 32]), (TWO[:20], [10]), ([0.1] * 60, [])):
        path.write_bytes(annotations_txt(detection(probability)))
        assert mne.read_annotations(path).onset.tolist() == onsets


def test_the_annotations_are_a_table_that_edfbrowser_imports():
    """As its form is to be filled: comma between columns, data from the third line on, seconds."""
    lines = annotations_txt(detection(TWO)).decode().splitlines()
    assert lines[2:] == ["10.000000,2.000000,seiz", "32.000000,5.000000,seiz"]


def test_the_figure_s_main_line_is_the_curve_that_decides():
    starts = [*range(20), *range(40, 60)]
    found = detection([0.1] * 30 + [0.9] * 10, starts, recorded=((0, 20.0), (40.0, 60.0)))
    found = replace(found, detect=DetectConfig(smooth_s=5))
    axes = Figure().subplots()
    draw_probability(axes, screened(found, "a"))
    lines = {line.get_label(): line for line in axes.get_lines()}
    main, faint = lines["smoothed, decides"], lines["each window"]
    assert main.get_linewidth() > faint.get_linewidth()
    time, value = main.get_data()
    assert time[20] == 20 and np.isnan(value[21]) and time[22] == 40  # nothing in the gap
    drawn = np.delete(np.arange(44), [20, 21, 42, 43])  # the ends of the two stretches
    np.testing.assert_allclose(value[drawn], found.smoothed_N)
    np.testing.assert_allclose(faint.get_ydata()[drawn], found.trace.probability_N)
    [(onset, offset)] = found.track.events_E2
    assert np.nanmin(value[(time >= onset) & (time < offset)]) >= 0.5 > value[time == onset - 1][0]
    assert main.get_drawstyle() == "steps-post"  # so that it rises where the event begins


def test_the_table_says_of_every_window_how_probable_and_whether_in_an_event():
    table = pd.read_parquet(io.BytesIO(probability_parquet(detection(TWO))))
    assert table.columns.tolist() == ["start_s", "probability", "seizure"] and len(table) == 60
    np.testing.assert_allclose(table["probability"], TWO, atol=1e-7)
    assert table["start_s"][table["seizure"]].tolist() == [10, 11, 32, 33, 34, 35, 36]
    quiet = pd.read_parquet(io.BytesIO(probability_parquet(detection([0.1] * 60))))
    assert not quiet["seizure"].any()


def test_a_gap_is_in_no_file_a_window_or_an_event(tmp_path):
    starts = [*range(20), *range(40, 60)]
    found = detection([0.9] * 40, starts, recorded=((0, 20.0), (40.0, 60.0)))
    assert found.gaps_G2.tolist() == [[20, 40]]
    table = pd.read_parquet(io.BytesIO(probability_parquet(found)))
    assert not table["start_s"].between(19.5, 39.5).any()
    rows = [line.split("\t")[:2] for line in events_tsv(found).decode().splitlines()[1:]]
    assert rows == [["0.00", "20.00"], ["40.00", "20.00"]]
    assert found.track.recorded_s == 40 and found.span_s == 60


def test_an_event_that_ends_with_the_file_does_not_leave_it_by_rounding():
    found = detection([0.1] * 58 + [0.9], np.arange(59) + 0.999, recorded=((0.999, 59.999),))
    lines = events_tsv(found).decode().splitlines()
    onset, duration, *_, length = lines[1].split("\t")
    assert float(onset) + float(duration) <= float(length) + 1e-9


def test_everything_is_written_and_the_record_last(tmp_path):
    found = detection(TWO, filled=("PZ",), warnings=("odd: a thing",))
    paths = write_detection(found, tmp_path / "new", "a", {"model": {"name": "m"}})
    assert [p.name for p in paths] == [
        *("a_events.tsv", "a.csv_bi", "a_annotations.txt", "a_probability.parquet", "a.png"),
        *("a_review.html", "a_detection.json"),
    ]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in paths)
    record = json.loads(paths[-1].read_text())
    assert record["events"] == 2 and record["seconds"] == 60 and record["filled"] == ["PZ"]
    assert (
        record["warnings"] == ["odd: a thing"] and record["note"] == NOTE and record["model"] == {"name": "m"}
    )
    assert record["files"] == [p.name for p in paths[:-1]]


def test_the_figure_is_the_same_bytes_twice_and_may_be_left_out(tmp_path):
    for name in ("a", "b"):
        write_detection(detection(TWO), tmp_path / name, "x", {})
    assert (tmp_path / "a" / "x.png").read_bytes() == (tmp_path / "b" / "x.png").read_bytes()
    image = np.asarray(Image.open(tmp_path / "a" / "x.png").convert("RGB")).reshape(-1, 3)
    assert len(np.unique(image, axis=0)) > 20  # something is drawn
    paths = write_detection(detection(TWO), tmp_path / "c", "x", {}, figure=False)
    assert not any(path.suffix == ".png" for path in paths)


def test_a_full_disk_leaves_no_record_of_a_finished_file(tmp_path, monkeypatch):
    def full(path, body):
        if path.suffix == ".parquet":
            raise DataError("no space", reason="write_failed")
        path.write_bytes(body)

    write_detection(detection(TWO), tmp_path, "a", {}, figure=False)
    monkeypatch.setattr("distilclip_eeg.deploy.writers.write_atomic", full)
    with pytest.raises(DataError):
        write_detection(detection(TWO), tmp_path, "a", {})
    assert not (tmp_path / "a_detection.json").exists()


@pytest.mark.parametrize(
    "date, clock, expected",
    [
        ("03.02.01", "04.05.06", datetime(2001, 2, 3, 4, 5, 6)),
        ("31.12.85", "23:59:59", datetime(1985, 12, 31, 23, 59, 59)),
        ("31.02.01", "04.05.06", None),
        ("", "", None),
    ],
)
def test_the_start_is_read_only_for_who_asks(tmp_path, date, clock, expected):
    path = write_edf(tmp_path / "a.edf", brain(2, 256), 256, date=date, clock=clock)
    assert start_time(path) == expected
