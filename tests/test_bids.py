"""Any SzCORE / BIDS-EEG tree: what it holds, what it may lack, and what is told of both."""

import json
from collections import Counter
from pathlib import Path

import edfio
import mne
import numpy as np
import pandas as pd
import pytest
from tools import SHARED, codes, needs_shared

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.bids import Bids
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.bids import (
    LABELS,
    POINTER,
    SECRET,
    events_bytes,
    put,
    recording_bytes,
    write_bids,
    write_json,
)
from distilclip_eeg.schema import ConfigError, DataError, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare

RUN = "sub-01_ses-01_task-szMonitoring_run-00"


def tree(root, rows=((5, 3, "sz"),), *, name=RUN, seconds=20, length=None, levels=(), **style):
    """A tree of one white-noise recording; ``levels`` go into its events.json."""
    events = events_bytes(rows, seconds if length is None else length, **style)
    put(root, name, recording_bytes(seconds), events)
    if levels:
        write_json(root / "events.json", {"eventType": {"Levels": dict.fromkeys(levels, "")}})
    return root


def only(root, **kw):
    corpus = Bids(root=root, **kw)
    (ref,) = corpus.recordings()
    return corpus.read(ref)


def spans(events):
    return [(e.onset_s, e.offset_s, e.label) for e in events]


def refused(kind, act):
    with pytest.raises(kind) as caught:
        act()
    message = str(caught.value)
    assert "expected" in message and "\n" not in message
    return caught.value.reason, message


# ------------------------------------------------------------------------------------------- what it means


def test_a_recording_has_19_electrodes_by_name_in_volts_and_its_seizure(tmp_path):
    recording = only(tree(tmp_path))
    assert recording.ch_names == STANDARD_19 and recording.sfreq == 256 and recording.duration_s == 20
    assert spans(recording.events) == [(5, 8, "seiz")] and recording.excluded == ()
    raw = mne.io.read_raw_edf(recording.ref.path, verbose="error")
    order = [f"{name.capitalize()}-Avg" for name in STANDARD_19]
    assert np.abs(recording.pieces[0].eeg_CT - raw.get_data(order)).max() < 1e-9


@pytest.mark.parametrize("level", ["sz", "sz_foc_ia_nm", "sz-gen", "sz_uo", "SZ_FOC"])
def test_by_default_every_seizure_is_one_class(tmp_path, level):
    recording = only(tree(tmp_path, [(5, 3, level)]))
    assert spans(recording.events) == [(5, 8, "seiz")] and recording.warnings == ()


def test_a_background_row_says_that_there_is_no_seizure(tmp_path):
    recording = only(tree(tmp_path, [(0, 20, "bckg")]))
    assert (recording.events, recording.excluded, recording.warnings) == ((), (), ())


def test_a_background_row_may_be_rounded_past_the_end(tmp_path):
    recording = only(tree(tmp_path, [(0, 20.6, "bckg")], length=20.6))
    assert recording.events == () and recording.warnings == ()


def test_rows_of_other_levels_are_neither_seizure_nor_background(tmp_path):
    rows = [(12, 3, "artf"), (1, 2, "impd"), (5, 3, "sz"), (2.5, 1, "artf")]
    recording = only(tree(tmp_path, rows, levels=("impd", "artf")))
    assert spans(recording.events) == [(5, 8, "seiz")]
    assert spans(recording.excluded) == [
        (1, 3, "impd"),
        (3, 3.5, "artf"),
        (12, 15, "artf"),
    ]  # no moment twice


def test_what_is_excluded_inside_a_seizure_is_said(tmp_path):
    recording = only(tree(tmp_path, [(5, 6, "sz"), (9, 5, "impd")], levels=["impd"]))
    assert spans(recording.events) == [(5, 11, "seiz")] and spans(recording.excluded) == [(9, 14, "impd")]
    assert codes(recording.warnings) == ["excluded_in_seizure"]


def test_time_without_a_row_may_be_excluded(tmp_path):
    rows = [(2, 3, "bckg"), (5, 3, "sz"), (10, 2, "impd")]
    recording = only(tree(tmp_path, rows, levels=["impd"]), unlabelled="exclude")
    assert spans(recording.excluded) == [
        (0, 2, "unlabelled"),
        (8, 10, "unlabelled"),
        (10, 12, "impd"),
        (12, 20, "unlabelled"),
    ]


# ---------------------------------------------------------------------------------------------- its classes

FIVE = [(1, 1, "sz_foc_ia_m"), (3, 1, "sz_gen_m_tonic"), (5, 1, "sz_foc_f2b"), (7, 1, "sz_uo"), (9, 1, "sz")]


@pytest.mark.parametrize(
    "classes, expected",
    [
        (["sz_foc", "sz_gen"], ["sz_foc", "sz_gen", "sz_foc", None, None]),
        (["sz_foc", "sz_foc_ia", "sz_gen"], ["sz_foc_ia", "sz_gen", "sz_foc", None, None]),  # the longest
        (["sz-gen", "sz"], ["sz", "sz_gen", "sz", "sz", "sz"]),
        (["sz_foc_a"], [None] * 5),  # sz_foc_ia is no child of sz_foc_a
    ],
)
def test_a_seizure_belongs_to_its_longest_listed_ancestor(tmp_path, classes, expected):
    corpus = Bids(root=tree(tmp_path, FIVE), classes=classes)
    assert corpus.classes == ("bckg", *(level.replace("-", "_") for level in classes))
    recording = corpus.read(corpus.recordings()[0])
    labels = {e.onset_s: e.label for e in recording.events}
    assert [labels.get(onset) for onset, _, _ in FIVE] == expected
    lost = [(onset, onset + 1, "other_type") for (onset, _, _), label in zip(FIVE, expected, strict=True)
            if label is None]  # fmt: skip
    assert spans(recording.excluded) == lost
    assert codes(recording.warnings) == ["other_type"] * bool(lost)


def test_a_level_of_the_tree_s_own_may_be_a_class(tmp_path):
    root = tree(tmp_path, [(5, 3, "spikes_left"), (9, 2, "impd")], levels=["spikes", "spikes_left", "impd"])
    recording = only(root, classes=["spikes"])
    assert spans(recording.events) == [(5, 8, "spikes")] and spans(recording.excluded) == [(9, 11, "impd")]


def test_plain_bids_with_trial_type_needs_levels_and_classes_only(tmp_path):
    events = b"onset\tduration\ttrial_type\n5\t3\tseizure\n10\t2\teyes_open\n"
    put(tmp_path, "sub-01_task-rest", recording_bytes(20), events)
    levels = {"trial_type": {"Levels": {"seizure": "", "eyes_open": ""}}}
    write_json(tmp_path / "task-rest_events.json", levels)
    recording = only(tmp_path, label_column="trial_type", classes=["seizure"])
    assert spans(recording.events) == [(5, 8, "seizure")] and spans(recording.excluded) == [
        (10, 12, "eyes_open")
    ]


@pytest.mark.parametrize(
    "classes",
    [[], ["sz_foc", "sz-foc"], ["bckg", "sz"], ["sz_foc", ""]],
    ids=["none", "twice", "bckg", "blank"],
)
def test_classes_that_are_none_are_refused_before_any_file(tmp_path, classes):
    reason, message = refused(ConfigError, lambda: Bids(root=tmp_path / "absent", classes=classes))
    assert reason == "bad_classes" and "dataset.classes" in message


def test_a_class_that_is_no_level_of_the_tree_is_refused(tmp_path):
    root = tree(tmp_path)
    reason, message = refused(ConfigError, Bids(root=root, classes=["sz_focal"]).recordings)
    assert reason == "unknown_label" and "sz_focal" in message


# ---------------------------------------------------------------------------------------- what lies where


def test_recordings_are_found_with_and_without_sessions_in_both_formats(tmp_path):
    for name, suffix in (
        ("sub-02_task-a_run-01", ".edf"),
        ("sub-01_ses-02_task-a_run-00", ".bdf"),
        ("sub-01_ses-01_task-a_run-00", ".EDF"),
    ):
        put(tmp_path, name, b"", b"", suffix)
    put(tmp_path / "derivatives" / "x", "sub-01_task-a", b"", b"")  # derivatives are not the recordings
    (tmp_path / "sub-02" / "eeg" / "._sub-02_task-a_run-01_eeg.edf").write_bytes(b"")  # what a Mac leaves
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\nsub-02\n")
    corpus = Bids(root=tmp_path)
    refs = corpus.recordings()
    assert [(r.recording, r.subject, r.session) for r in refs] == [
        ("sub-01_ses-01_task-a_run-00", "sub-01", "ses-01"),
        ("sub-01_ses-02_task-a_run-00", "sub-01", "ses-02"),  # as chb21: one person, two sessions
        ("sub-02_task-a_run-01", "sub-02", ""),
    ]
    assert [p.name for p in refs[2].files] == [
        "sub-02_task-a_run-01_eeg.edf",
        "sub-02_task-a_run-01_events.tsv",
        "participants.tsv",
    ]
    assert corpus.missing == () and corpus.warnings == ()


def test_a_folder_above_the_root_is_no_session(tmp_path):
    put(tmp_path / "ses-99" / "tree", "sub-01_task-a", b"", b"")
    (ref,) = Bids(root=tmp_path / "ses-99" / "tree").recordings()
    assert (ref.subject, ref.session) == ("sub-01", "")


def test_a_sidecar_holds_for_what_lies_below_it_and_shares_its_entities(tmp_path):
    rows = [(5, 3, "impd")]
    tree(tmp_path, rows, name="sub-01_ses-01_task-a")
    tree(tmp_path, rows, name="sub-01_ses-01_task-b")
    tree(tmp_path, rows, name="sub-02_ses-01_task-a")
    levels = {"eventType": {"Levels": {"impd": ""}}}
    write_json(tmp_path / "sub-01" / "sub-01_task-a_events.json", levels)
    corpus = Bids(root=tmp_path)
    found = {}
    for ref in corpus.recordings():
        try:
            found[ref.recording] = spans(corpus.read(ref).excluded)
        except DataError as problem:
            found[ref.recording] = problem.reason
    assert found == {
        "sub-01_ses-01_task-a": [(5, 8, "impd")],
        "sub-01_ses-01_task-b": "unknown_label",
        "sub-02_ses-01_task-a": "unknown_label",
    }


def test_a_recording_without_events_is_left_out_never_free_of_seizures(tmp_path):
    put(tmp_path, RUN, recording_bytes(20))
    reason, message = refused(SkipRecording, lambda: only(tmp_path))
    assert reason == "missing_annotation" and "run-00_events.tsv" in message and "bckg" in message


def test_events_without_their_recording_are_counted(tmp_path):
    tree(tmp_path)
    put(tmp_path, "sub-02_task-a", None, b"")
    corpus = Bids(root=tmp_path)
    assert len(corpus.recordings()) == 1
    assert corpus.missing == ("sub-02_task-a_eeg.edf",) and codes(corpus.warnings) == ["listed_file_missing"]


def test_recordings_of_other_formats_are_counted_not_read(tmp_path):
    put(tree(tmp_path), "sub-02_task-a", b"", None, ".set")
    corpus = Bids(root=tmp_path)
    assert len(corpus.recordings()) == 1 and codes(corpus.warnings) == ["unread_format"]
    assert "sub-02_task-a_eeg.set" in corpus.warnings[0]


@pytest.mark.parametrize(
    "data",
    [
        POINTER,
        b"../../../.git/annex/objects/Xx/Yy/MD5E-s1--0.edf/MD5E-s1--0.edf",  # a link as Windows checks it out
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 42\n",
        None,  # a link that leads nowhere
    ],
)
def test_a_recording_that_was_not_fetched_is_left_out_with_how_to_get_it(tmp_path, data):
    path = put(tmp_path, RUN, data, events_bytes([(5, 3, "sz")], 20))
    if data is None:
        path.symlink_to("../../../.git/annex/objects/Xx/Yy/MD5E-s1--0.edf")
    reason, message = refused(SkipRecording, lambda: only(tmp_path))
    assert reason == "not_fetched" and "datalad get" in message and str(path) in message


@pytest.mark.parametrize(
    "make, reason, words",
    [
        (lambda root: None, "missing_root", "no such folder"),
        (lambda root: root.mkdir(), "empty_root", "an empty folder"),
        (lambda root: (root / "chb01").mkdir(parents=True), "empty_root", "no sub-XX folder among 1 entries"),
        (lambda root: (root / "sub-01").mkdir(parents=True), "no_recordings", "no EDF or BDF"),
        (lambda root: put(root, RUN, None, b""), "no_recordings", "1 events files"),
        (lambda root: put(root, RUN, b"", b"", ".set"), "no_recordings", "1 recordings of another format"),
        (
            lambda root: [put(root, RUN, b"", b"", s) for s in (".edf", ".bdf")],
            "duplicate_recording",
            "second",
        ),
    ],
)
def test_a_root_without_a_tree_is_refused_with_what_to_do(tmp_path, make, reason, words):
    root = tmp_path / "data"
    make(root)
    found, message = refused(DataError, Bids(root=root).recordings)
    assert found == reason and words in message and str(root) in message


def test_a_root_that_is_one_person_is_pointed_to_its_parent(tmp_path):
    tree(tmp_path)
    _, message = refused(DataError, Bids(root=tmp_path / "sub-01").recordings)
    assert f"Set dataset.root={tmp_path}" in message


# -------------------------------------------------------------------------------- events and recording


@pytest.mark.parametrize(
    "length, ok", [(20.9, True), (19.2, True), (21.5, False), (18.5, False), (1289, False)]
)
def test_events_of_another_length_belong_to_another_recording(tmp_path, length, ok):
    root = tree(tmp_path, length=length)
    if ok:
        assert spans(only(root).events) == [(5, 8, "seiz")]
    else:
        reason, message = refused(DataError, lambda: only(root))
        assert reason == "duration_mismatch" and f"{length:g} s" in message and "20 s" in message


@pytest.mark.parametrize("length, ok", [(20, True), (80, True), (82, False), (18, False)])
def test_gaps_may_count_in_the_length_or_not(tmp_path, length, ok):
    data = recording_bytes(20, onsets_s=[*range(10), *range(70, 80)])
    put(tmp_path, RUN, data, events_bytes([(72, 3, "sz")], length))
    if not ok:
        assert refused(DataError, lambda: only(tmp_path))[0] == "duration_mismatch"
        return
    recording = only(tmp_path)
    assert [p.start_s for p in recording.pieces] == [0, 70] and spans(recording.events) == [(72, 75, "seiz")]


def test_a_truncated_recording_keeps_the_events_that_are_there(tmp_path):
    data = recording_bytes(20)
    put(tmp_path, RUN, data[: -5 * 19 * 512], events_bytes([(5, 3, "sz"), (16, 3, "sz")], 20))
    recording = only(tmp_path)
    assert recording.duration_s == 15 and spans(recording.events) == [(5, 8, "seiz")]
    assert codes(recording.warnings) == ["truncated", "annotation_outside"]


@pytest.mark.parametrize(
    "rows, events, expected",
    [
        ([(12, 2, "sz"), (2, 2, "sz")], [(2, 4), (12, 14)], []),
        ([(2, 7, "sz"), (5, 2, "sz_foc")], [(2, 9)], ["overlapping_events"]),
        ([(-1, 4, "sz")], [(0, 3)], ["annotation_outside"]),
        ([(18, 1e308, "sz")], [(18, 20)], ["annotation_outside"]),
        ([(5, 0, "sz"), (8, 2, "sz")], [(8, 10)], ["zero_length_event"]),
        ([(8, 2, "sz"), (8, 2, "sz")], [(8, 10)], ["duplicate_event"]),
    ],
)
def test_events_are_sorted_joined_and_cut_to_the_recording(tmp_path, rows, events, expected):
    recording = only(tree(tmp_path, rows))
    assert spans(recording.events) == [(*span, "seiz") for span in events]
    assert codes(recording.warnings) == expected


def test_a_seizure_wholly_past_the_end_means_another_recording(tmp_path):
    root = tree(tmp_path, [(500, 10, "sz")])
    assert refused(SkipRecording, lambda: only(root))[0] == "annotation_outside"


@pytest.mark.parametrize(
    "rows", [[(0, 20, "bckg"), (5, 3, "sz")], [(5, 3, "sz_foc"), (7, 3, "sz_gen")]], ids=["bckg", "types"]
)
def test_two_labels_of_one_moment_are_refused(tmp_path, rows):
    root = tree(tmp_path, rows)
    assert (
        refused(DataError, lambda: only(root, classes=["sz_foc", "sz_gen", "sz"]))[0] == "conflicting_labels"
    )


def test_one_hundredth_of_overlap_is_rounding(tmp_path):
    recording = only(tree(tmp_path, [(0, 5.01, "bckg"), (5, 3.01, "sz_foc"), (8, 2, "sz_gen")]),
                     classes=["sz_foc", "sz_gen"])  # fmt: skip
    assert spans(recording.events) == [(5, 8, "sz_foc"), (8, 10, "sz_gen")] and recording.warnings == ()


# ------------------------------------------------------------------------------------------------- channels


def test_a_tree_of_bipolar_pairs_is_read_as_named(tmp_path):  # as SzCORE keeps CHB-MIT
    pairs = ["F7-T7", "T7-P7", "P7-O1"]
    put(tmp_path, RUN, recording_bytes(20, labels=pairs), events_bytes([(5, 3, "sz")], 20))
    corpus = Bids(root=tmp_path, channels=pairs)
    recording = corpus.read(corpus.recordings()[0])
    assert corpus.ch_names == ("F7-T3", "T3-T5", "T5-O1")
    raw = mne.io.read_raw_edf(recording.ref.path, verbose="error")
    assert np.abs(recording.pieces[0].eeg_CT - raw.get_data(pairs)).max() < 1e-9
    assert refused(SkipRecording, lambda: only(tmp_path))[0] == "missing_channels"


def test_a_pair_that_the_file_lacks_is_computed_from_its_electrodes(tmp_path):
    recording = only(tree(tmp_path), channels=["F7-T7", "Cz-Avg"])
    raw = mne.io.read_raw_edf(recording.ref.path, verbose="error")
    expected = raw.get_data(["F7-Avg"]) - raw.get_data(["T3-Avg"])
    assert recording.ch_names == ("F7-T3", "CZ")
    assert np.abs(recording.pieces[0].eeg_CT[:1] - expected).max() < 1e-9


def test_the_common_montages_come_out_of_the_same_tree(tmp_path):
    root = tree(tmp_path)
    assert only(root, montage="bipolar18").pieces[0].eeg_CT.shape == (18, 5120)
    average = only(root, montage="car19").pieces[0].eeg_CT
    assert np.abs(average.mean(axis=0)).max() < 1e-9


@pytest.mark.parametrize("channels", [[], ["T3", "T7"], ["Fp1", "-"]])
def test_channels_that_are_none_or_the_same_are_refused(tmp_path, channels):
    assert refused(ConfigError, lambda: Bids(root=tmp_path, channels=channels))[0] == "bad_channels"


def test_a_bdf_is_read_as_edfio_and_mne_read_it(tmp_path):
    uv = {"CZ": np.linspace(-4000, 4000, 5120)}  # 1/32 uV a step: four times what 16 bits can count
    data = recording_bytes(20, labels=("ECG", *LABELS[::-1]), uv=uv, bdf=True)
    path = put(tmp_path, RUN, data, events_bytes([(5, 3, "sz")], 20), ".bdf")
    ours = only(tmp_path).pieces[0].eeg_CT
    order = [f"{name.capitalize()}-Avg" for name in STANDARD_19]
    theirs = {signal.label: signal.data for signal in edfio.read_bdf(path).signals}
    assert np.abs(ours * 1e6 - np.array([theirs[name] for name in order])).max() < 1e-3
    assert np.abs(ours - mne.io.read_raw_bdf(path, verbose="error").get_data(order)).max() < 1e-9
    assert np.abs(ours[STANDARD_19.index("CZ")] * 1e6 - uv["CZ"]).max() < 1 / 64 + 1e-3  # half a step


# --------------------------------------------------------------------------------------------------- persons


def people(root, text, units=None):
    (root / "participants.tsv").write_text(text)
    if units:
        write_json(root / "participants.json", {"age": {"Units": units}})
    recording = only(tree(root))
    return {key: value for key, value in recording.metadata.items() if key != "montage"}


@pytest.mark.parametrize(
    "text, facts",
    [
        ("participant_id\tsex\tage\nsub-01\tf\t11\n", {"sex": "F", "age_band": "child"}),
        ("participant_id\tage\tsex\r\nsub-01\t1.5\tMale\r\n", {"sex": "M", "age_band": "infant"}),
        ("participant_id\tsex\tage\n01\tF\t89+\n", {"sex": "F", "age_band": "older adult"}),
        ("participant_id\tsex\tage\nsub-01\tn/a\tn/a\n", {}),
        ("participant_id\tsex\tage\nsub-01\to\t-3\n", {}),
        ("participant_id\tsex\tage\nsub-01\tf\t11\nsub-01\tf\t14\n", {"sex": "F"}),  # two sessions
        ("participant_id\tgroup\nsub-01\tsecret\n", {}),
    ],
)
def test_sex_and_age_band_are_all_that_leaves_the_table_of_persons(tmp_path, text, facts):
    assert people(tmp_path, text) == facts


@pytest.mark.parametrize(
    "units, used", [("years", True), ("year", True), ("weeks", False), ("months", False)]
)
def test_ages_are_used_only_in_years(tmp_path, units, used):
    facts = people(tmp_path, "participant_id\tage\nsub-01\t30\n", units)
    corpus = Bids(root=tmp_path)
    corpus.recordings()
    assert facts == ({"age_band": "adult"} if used else {})
    assert codes(corpus.warnings) == ([] if used else ["unknown_unit"])


@pytest.mark.parametrize("text", ["id\tsex\nsub-01\tf\n", "", "participant_id\tsex\nsub-01\n"])
def test_a_table_of_persons_that_cannot_be_used_costs_a_warning_only(tmp_path, text):
    assert people(tmp_path, text) == {}
    corpus = Bids(root=tmp_path)
    corpus.recordings()
    assert codes(corpus.warnings) == ["bad_participants"] and "\n" not in corpus.warnings[0]


def test_a_person_who_is_not_in_the_table_is_said(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tsex\nsub-02\tf\n")
    corpus = Bids(root=tree(tmp_path))
    corpus.recordings()
    assert codes(corpus.warnings) == ["unlisted_person"] and "1 of 1 persons" in corpus.warnings[0]


# ------------------------------------------------------------------------------------------- the whole route


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("bids")
    return root, write_bids(root, n_subjects=6, recordings_per_subject=2, recording_s=60, seed=3)


@pytest.mark.parametrize("classes", [None, ["sz_foc", "sz_gen"]])
def test_a_whole_tree_is_prepared_as_it_was_written(written, tmp_path, classes):
    root, truth = written
    store = prepare(Bids(root=root, classes=classes), SignalConfig(sfreq=256.0), tmp_path, n_jobs=2)
    table = store.recordings
    used = table[table["skipped"] == ""]
    assert len(used) == truth["recordings"] and used["subject"].nunique() == truth["subjects"]
    assert Counter(table["skipped"]) - Counter({"": len(used)}) == Counter(truth["skipped"])
    assert used["duration_s"].sum() == truth["duration_s"] and used["excluded_s"].sum() == truth["excluded_s"]
    lengths = (store.events["offset_s"] - store.events["onset_s"]).groupby(store.events["label"])
    events, seconds = ("seizures", "seizure_s") if classes is None else ("types", "type_s")
    assert lengths.size().to_dict() == truth[events] and lengths.sum().to_dict() == truth[seconds]
    odd = used["detail"][used["detail"] != ""].str.split("; ").explode().str.partition(":")[0]
    assert odd.value_counts().to_dict() == truth["warnings"]
    report = data_report(store)
    assert "impd 16 s" in report and "skipped 1 (not_fetched)" in report and "listed files" in report
    assert SECRET not in report + table.to_csv() + (store.path / "manifest.json").read_text()


def test_every_type_occurs_in_five_persons(written):
    corpus = Bids(root=written[0], classes=["sz_foc", "sz_gen"])
    found = {(e.label, ref.subject) for ref in corpus.recordings() if not ref.recording.endswith(("90", "91"))
             for e in corpus.read(ref).events}  # fmt: skip
    assert Counter(label for label, _ in found) == {"sz_foc": 6, "sz_gen": 6}


def test_the_same_seed_writes_the_same_tree_and_another_one_another(tmp_path):
    def written(name, seed):
        truth = write_bids(tmp_path / name, n_subjects=1, recordings_per_subject=2, recording_s=60, seed=seed)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return truth, {path.relative_to(tmp_path / name): path.read_bytes() for path in files}

    first = written("a", seed=3)
    assert written("b", seed=3) == first and written("c", seed=4)[1] != first[1]


def test_a_changed_label_setting_or_sidecar_makes_another_store(tmp_path):
    root = tree(tmp_path / "tree", [(5, 3, "sz"), (10, 4, "impd")], levels=["impd"])

    def folder(**kw):
        return prepare(Bids(root=root, **kw), SignalConfig(sfreq=256.0), tmp_path / "store", n_jobs=1).path

    first = folder()
    assert folder() == first and folder(unlabelled="exclude") != first and folder(classes=["sz"]) != first
    write_json(root / "events.json", {"eventType": {"Levels": {"impd": "", "more": ""}}})
    assert folder() != first


def test_the_config_builds_the_corpus_and_checks_its_settings(tmp_path):
    words = ["dataset=bids", f"dataset.root={tmp_path}"]
    more = ["dataset.classes=[sz_foc,sz_gen]", "dataset.channels=[F7-T7,T7-P7]", "dataset.unlabelled=exclude"]
    corpus = load(TrainSettings, [*words, *more]).dataset.corpus.build()
    assert corpus.classes == ("bckg", "sz_foc", "sz_gen") and corpus.ch_names == ("F7-T3", "T3-T5")
    assert json.loads(json.dumps(corpus.options)) == {
        "missing_channels": "skip",
        "derive": True,
        "label_column": "eventType",
        "unlabelled": "exclude",
    }
    wrong = load(TrainSettings, [*words, "dataset.unlabelled=drop"])
    with pytest.raises(ConfigError, match="'drop' is not one of 'background', 'exclude'"):
        wrong.dataset.corpus.build()


# ------------------------------------------------------------------------------------------- shared material


@pytest.mark.shared
@needs_shared
def test_seizeit2_without_its_signals_is_no_tree_and_with_them_its_impd_time_is_excluded(tmp_path):
    root = Path(SHARED) / "data" / "seizeit2_annotations"
    reason, message = refused(DataError, Bids(root=root).recordings)
    assert reason == "no_recordings" and "126 events files" in message
    for name in ("events.json", "participants.tsv", "participants.json"):
        (tmp_path / name).symlink_to(root / name)
    # Its real annotations beside files of the true length at 1 Hz: nothing but times is of interest here.
    for path in sorted(root.rglob("*_events.tsv")):
        folder = tmp_path / path.parent.relative_to(root)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).symlink_to(path)
        seconds = int(float(pd.read_csv(path, sep="\t")["recordingDuration"][0]))
        data = recording_bytes(seconds, labels=["BTEleft SD", "CROSStop SD"], sfreq=1, record_s=seconds)
        (folder / path.name.replace("_events.tsv", "_eeg.edf")).write_bytes(data)
    corpus = Bids(
        root=tmp_path,
        channels=["BTEleft SD", "CROSStop SD"],
        classes=["sz_foc_a", "sz_foc_ia", "sz"],
        links="follow",
    )
    seizures, excluded, facts = Counter(), Counter(), Counter()
    refs = corpus.recordings()
    for ref in refs:
        labels = corpus.labels(ref, read_header(ref.path))
        seizures.update(event.label for event in labels.events)
        for event in labels.excluded:
            excluded[event.label] += event.offset_s - event.onset_s
        facts[labels.metadata["sex"]] += 1
        assert labels.warnings == ()
    frames = pd.concat([pd.read_csv(p, sep="\t") for p in root.rglob("*_events.tsv")])
    impd = frames.loc[frames["eventType"] == "impd", "duration"].sum()
    assert (len(refs), len({ref.subject for ref in refs})) == (126, 12)
    (warning,) = corpus.warnings
    n = (frames["eventType"] == "impd").sum()
    assert (
        warning.startswith(f"uncounted_type: {n} events are neither seizure nor background")
        and "impd" in warning
    )
    assert seizures == {"sz_foc_a": 13, "sz_foc_ia": 26, "sz": 1} and excluded == {"impd": impd}
    assert facts.total() == 126 and set(facts) == {"F", "M"}
