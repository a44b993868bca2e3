"""Every known quirk of CHB-MIT, each in files of its native layout."""

from pathlib import Path

import numpy as np
import pytest
from tools import SHARED, codes

from distilclip_eeg.config.data import SignalConfig, WindowConfig
from distilclip_eeg.corpora.chbmit import ChbMit
from distilclip_eeg.corpora.chbmit_files import read_seizure_file, read_summary
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.invented.layouts.chbmit import (
    LABELS_22,
    LABELS_23,
    block,
    changed,
    head,
    noise,
    recording_bytes,
    seizure_bytes,
    write_case,
)
from distilclip_eeg.corpora.invented.plan import LABELS_28
from distilclip_eeg.schema import DataError, Event, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.signals.windows import cut

SEIZURE = (Event(5, 8, "seiz"),)
IN_DOTS = (*LABELS_23[:4], ".", *LABELS_23[4:9], "-", *LABELS_23[9:17], ".", *LABELS_23[17:], "ECG", "VNS")
BACKWARDS = tuple(reversed(LABELS_23))


def one(root, case, name, summary, data=None, **settings):
    """The case's only recording, read."""
    write_case(root, case, summary, **{name: data or recording_bytes()})
    corpus = ChbMit(root=root, **settings)
    (ref,) = corpus.recordings()
    return corpus.read(ref)


def spans(recording):
    return [(e.onset_s, e.offset_s) for e in recording.events]


@pytest.mark.parametrize("numbered", [False, True])
def test_chbmit_quirk_01_seizures_are_read_with_a_number_or_without(tmp_path, numbered):
    summary = head() + block("chb99_01.edf", (5, 8), (12, 15), numbered=numbered) + block("chb99_02.edf")
    assert ("Seizure 2 Start" in summary) == numbered
    assert spans(one(tmp_path, "chb99", "chb99_01", summary)) == [(5, 8), (12, 15)]


def test_chbmit_quirk_02_an_end_belongs_to_the_open_start_whatever_its_number(tmp_path):
    summary = block("chb09_08.edf", (3, 5), (12, 16), numbered=True)
    summary = summary.replace("Seizure 2 End", "Seizure 1 End")
    recording = one(tmp_path, "chb09", "chb09_08", summary)
    assert spans(recording) == [(3, 5), (12, 16)]  # by number: 3 to 16, and one without end


def test_chbmit_quirk_03_blanks_and_line_ends_do_not_matter(tmp_path):
    path = write_case(tmp_path, "chb99", None, chb99_01=recording_bytes()) / "chb99" / "chb99-summary.txt"
    path.write_bytes(
        b"\xef\xbb\xbfFile Name:   chb99_01.edf  \r\nNUMBER OF SEIZURES IN FILE:   1 \r\n"
        b"Seizure 1 start time:    5 seconds \r\n\r\n  Seizure 1 End Time:\t   8 seconds\r\n"
    )
    corpus = ChbMit(root=tmp_path)
    (ref,) = corpus.recordings()
    assert corpus.read(ref).events == SEIZURE


@pytest.mark.parametrize(
    "clocks", [("23:21:32", "24:21:32"), ("24:10:00", "25:10:00"), ("1:02:39", "1:21:39"), ("1:2", "soon")]
)
def test_chbmit_quirk_04_times_of_day_are_not_used_whatever_they_say(tmp_path, clocks):
    recording = one(tmp_path, "chb99", "chb99_01", block("chb99_01.edf", (5, 8), clocks=clocks))
    assert recording.events == SEIZURE and recording.duration_s == 20 and recording.warnings == ()


def test_chbmit_quirk_05_a_file_needs_no_times_of_day_and_its_header_tells_its_length(tmp_path):
    summary = block("chb24_01.edf", (5, 8), clocks=None)
    assert "File Start" not in summary
    recording = one(tmp_path, "chb24", "chb24_01", summary, recording_bytes(seconds=33))
    assert recording.events == SEIZURE and recording.duration_s == 33


def test_chbmit_quirk_05_a_file_that_is_not_listed_has_no_seizure_unless_a_seizure_file_says_so(tmp_path):
    files = {"chb24_02": recording_bytes(), "chb24_03": (recording_bytes(), seizure_bytes([(5, 8)]))}
    write_case(tmp_path, "chb24", block("chb24_01.edf", clocks=None), **files)
    corpus = ChbMit(root=tmp_path)
    quiet, unknown = corpus.recordings()
    assert corpus.read(quiet).events == ()
    with pytest.raises(SkipRecording) as caught:
        corpus.read(unknown)
    assert caught.value.reason == "unknown_seizures"
    report = data_report(prepare(corpus, SignalConfig(), tmp_path / "store", n_jobs=1))
    assert "1 of 2 recordings used" in report and "skipped 1 (unknown_seizures)" in report


def test_chbmit_quirk_06_a_list_of_channels_opens_and_closes_no_file(tmp_path):
    lines = block("chb99_01.edf", (5, 8)).splitlines(keepends=True)
    inside = "".join(line + changed(LABELS_28) for line in lines)  # after every single line
    summary = head() + changed(LABELS_22) + changed(LABELS_28) + inside + block("chb99_02.edf")
    recording = one(tmp_path, "chb99", "chb99_01", summary)
    assert recording.events == SEIZURE and recording.warnings == ()
    assert read_summary(tmp_path / "chb99" / "chb99-summary.txt")["chb99_02.edf"] == []


def test_chbmit_quirk_06_the_header_tells_the_channels_whatever_the_summary_says(tmp_path):
    summary = head(LABELS_28) + block("chb99_01.edf", (5, 8))  # the file has 23 signals
    rows = one(tmp_path, "chb99", "chb99_01", summary).pieces[0].eeg_CT
    expected = (noise(LABELS_23, "FP2-F4", 20) + 2048) * 1600 / 4095 - 800  # the ninth of 23
    assert np.abs(rows[8] * 1e6 - expected).max() < 1e-4


@pytest.mark.parametrize(
    "case, name",
    [("chb02", "chb02_16+"), ("chb17", "chb17a_03"), ("chb17", "chb17b_69"), ("chb17", "chb17c_02")],
)
def test_chbmit_quirk_07_names_with_a_plus_or_a_letter_are_recordings_of_their_case(tmp_path, case, name):
    summary = block(f"{name}.edf", (5, 8))
    data = (recording_bytes(), seizure_bytes([(5, 8)]))
    recording = one(tmp_path, case, name, summary, data)
    assert recording.events == SEIZURE and recording.warnings == ()
    assert (recording.ref.recording, recording.ref.subject) == (name, case)
    assert [p.name for p in recording.ref.files][2:] == [f"{name}.edf.seizures"]


def test_chbmit_quirk_07_a_plus_makes_another_file(tmp_path):
    summary = block("chb02_16.edf", (5, 8)) + block("chb02_16+.edf")
    write_case(tmp_path, "chb02", summary, **{"chb02_16": recording_bytes(), "chb02_16+": recording_bytes()})
    corpus = ChbMit(root=tmp_path)
    found = {ref.recording: corpus.read(ref).events for ref in corpus.recordings()}
    assert found == {"chb02_16": SEIZURE, "chb02_16+": ()}


def test_chbmit_quirk_08_the_summary_is_believed_where_the_list_names_another_file(tmp_path):
    files = {"chb07_18": recording_bytes(), "chb07_19": (recording_bytes(), seizure_bytes([(5, 8)]))}
    write_case(tmp_path, "chb07", block("chb07_18.edf") + block("chb07_19.edf", (5, 8)), **files)
    listed = tmp_path / "RECORDS-WITH-SEIZURES"
    listed.write_text("chb03/chb03_01.edf\nchb07/chb07_18.edf\n")  # of absent chb03 nothing is known
    corpus = ChbMit(root=tmp_path)
    found = {ref.recording: corpus.read(ref).events for ref in corpus.recordings()}
    assert found == {"chb07_18": (), "chb07_19": SEIZURE}
    words = "RECORDS-WITH-SEIZURES lists chb07_18.edf without a seizure, lacks chb07_19.edf"
    assert corpus.warnings == (f"records_list_differs: {words}; the summaries are believed",)
    assert corpus.warnings[0] in data_report(prepare(corpus, SignalConfig(), tmp_path / "store", n_jobs=1))
    listed.write_text("chb07/chb07_19.edf\n")
    corpus.recordings()
    assert corpus.warnings == ()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set")
def test_chbmit_quirk_08_the_released_list_is_wrong_about_one_file(tmp_path):
    folder = Path(SHARED) / "data" / "chbmit_annotations_original"
    (tmp_path / "RECORDS-WITH-SEIZURES").symlink_to(folder / "RECORDS-WITH-SEIZURES")
    for path in folder.glob("chb*/chb*-summary.txt"):
        (tmp_path / path.parent.name).mkdir()
        (tmp_path / path.parent.name / path.name).symlink_to(path)
    write_case(tmp_path, "chb07", None, chb07_01=b"")
    corpus = ChbMit(root=tmp_path)
    corpus.recordings()
    assert "lists chb07_18.edf without a seizure, lacks chb07_19.edf;" in corpus.warnings[0]


def test_chbmit_quirk_09_zeros_after_the_records_are_ignored_and_said(tmp_path):
    data = recording_bytes(tail=b"\0" * 256)
    recording = one(tmp_path, "chb17", "chb17b_69", block("chb17b_69.edf", (5, 8)), data)
    assert recording.duration_s == 20 and recording.events == SEIZURE
    assert recording.warnings == ("size_mismatch: 256 bytes after the 20 records claimed, not read",)


def test_chbmit_quirk_09_a_file_shorter_than_its_header_says_is_never_padded(tmp_path):
    data = recording_bytes()[: -23 * 512 - 256]  # a record and a half of a channel are gone
    recording = one(tmp_path, "chb17", "chb17b_69", block("chb17b_69.edf", (5, 8)), data)
    assert recording.duration_s == 18 and codes(recording.warnings) == ["truncated"]
    header_only = recording_bytes()[: 256 * 24]
    write_case(tmp_path, "chb17", None, chb17b_69=header_only)
    with pytest.raises(DataError) as caught:
        read_header(tmp_path / "chb17" / "chb17b_69.edf")
    assert caught.value.reason == "no_data"


@pytest.mark.parametrize("binary, differs", [((5.5, 8), 0), ((6, 9), 0), ((1, 8), 1), ((5, 9.5), 1)])
def test_chbmit_quirk_10_a_seizure_file_that_says_otherwise_is_named_and_the_summary_kept(
    tmp_path, binary, differs
):
    data = (recording_bytes(), seizure_bytes([binary]))
    recording = one(tmp_path, "chb24", "chb24_21", block("chb24_21.edf", (5, 8), clocks=None), data)
    assert read_seizure_file(recording.ref.path.with_suffix(".edf.seizures")) == [binary]
    assert codes(recording.warnings) == ["seizure_file_differs"] * differs
    assert recording.events == SEIZURE


@pytest.mark.parametrize("labels", [LABELS_28, IN_DOTS, BACKWARDS], ids=["28", "dots", "backwards"])
def test_chbmit_quirk_11_channels_go_by_name_past_dummies_and_in_any_order(tmp_path, labels):
    rows = one(tmp_path, "chb14", "chb14_04", block("chb14_04.edf"), recording_bytes(labels)).pieces[0].eeg_CT
    for row, label in zip(rows, LABELS_23, strict=True):
        expected = (noise(labels, label, 20) + 2048) * 1600 / 4095 - 800
        assert np.abs(row * 1e6 - expected).max() < 1e-4


def test_chbmit_quirk_11_t8_p8_stands_twice_and_both_are_rows(tmp_path):
    recording = one(tmp_path, "chb99", "chb99_01", block("chb99_01.edf"))
    rows = recording.pieces[0].eeg_CT
    assert recording.ch_names[14] == "T8-P8" and recording.ch_names[22] == "T8-P8-1"
    assert np.array_equal(rows[14], rows[22]) and recording.warnings == ()
    assert len({row.tobytes() for row in rows}) == 22


def test_chbmit_quirk_12_chb01_and_chb21_are_one_child_at_two_ages(tmp_path):
    (tmp_path / "SUBJECT-INFO").write_text("Case\tGender\tAge (years)\n\nchb01\tF\t 11\nchb21\tF\t13\n")
    for case in ("chb01", "chb21", "chb24"):
        write_case(tmp_path, case, block(f"{case}_01.edf"), **{f"{case}_01": recording_bytes()})
    corpus = ChbMit(root=tmp_path)
    refs = corpus.recordings()
    assert [(r.session, r.subject) for r in refs] == [
        ("chb01", "chb01"), ("chb21", "chb01"), ("chb24", "chb24")
    ]  # fmt: skip
    bands = [corpus.read(ref).metadata.get("age_band") for ref in refs]
    assert bands == ["child", "adolescent", None]  # chb24 is not listed
    assert all("SUBJECT-INFO" in [p.name for p in ref.files] for ref in refs)  # its change rebuilds the store


@pytest.mark.parametrize("date", ["06.11.76", "01.01.85", "31.12.84", "00.00.00"])
def test_chbmit_quirk_13_years_are_surrogates_and_not_used(tmp_path, date):
    recording = one(tmp_path, "chb99", "chb99_01", block("chb99_01.edf", (5, 8)), recording_bytes(date=date))
    assert recording.events == SEIZURE and recording.warnings == ()
    assert recording.metadata == {"montage": "native"}


def test_chbmit_quirk_14_no_window_goes_from_one_file_into_the_next(tmp_path):
    # Two files of 20.5 s that follow each other: 40 windows of a second, not 41.
    summary = block("chb99_01.edf") + block("chb99_02.edf", (0, 3))
    files = {f"chb99_0{k}": recording_bytes(seconds=20.5, record_s=0.5, seed=k) for k in (1, 2)}
    write_case(tmp_path, "chb99", summary, **files)
    store = prepare(ChbMit(root=tmp_path), SignalConfig(), tmp_path / "store", n_jobs=1)
    assert store.pieces["n_samples"].tolist() == [5248, 5248] and store.pieces["start_s"].tolist() == [0, 0]
    windows = cut(store.pieces, store.events, store.classes, 256.0, WindowConfig(seizure_overlap=0.0))
    assert len(windows) == 40 and windows["first"].iloc[20] == 5248
    assert windows["label"].tolist() == [0] * 20 + [1] * 3 + [0] * 17


def test_chbmit_quirk_14_a_gap_inside_a_file_is_kept_and_events_stay_on_its_axis(tmp_path):
    raw = recording_bytes(seconds=24, onsets_s=[*range(12), *range(1445, 1457)])
    summary = block("chb99_01.edf", (2, 9), (1447, 1450))
    recording = one(tmp_path, "chb99", "chb99_01", summary, raw)
    assert [(p.start_s, p.eeg_CT.shape[1] / 256) for p in recording.pieces] == [(0, 12), (1445, 12)]
    assert spans(recording) == [(2, 9), (1447, 1450)]
    assert recording.duration_s == 24 and codes(recording.warnings) == ["discontinuous"]


def test_chbmit_quirk_15_chb03_35_is_a_recording_like_any_other(tmp_path):
    data = (recording_bytes(), seizure_bytes([(5, 8)]))
    recording = one(tmp_path, "chb03", "chb03_35", block("chb03_35.edf", (5, 8)), data)
    assert recording.events == SEIZURE and recording.warnings == () and recording.duration_s == 20
