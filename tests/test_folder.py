"""A folder of one's own recordings and one table: what may stand in it, and what is refused with its line."""

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
from distilclip_eeg.config.data import SignalConfig, WindowConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.folder import Folder
from distilclip_eeg.corpora.invented.layouts.bids import recording_bytes
from distilclip_eeg.corpora.invented.layouts.edf import Header
from distilclip_eeg.corpora.invented.layouts.folder import (
    ALL_COLUMNS,
    COLUMNS,
    LABELS,
    SECRET,
    table_bytes,
    write_folder,
)
from distilclip_eeg.schema import ConfigError, DataError, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.signals.windows import cut, without

ROW = ("rec", 5, 3, "sz")


def folder(root, rows=(ROW,), columns=COLUMNS, *, files=("rec.edf",), table="table.csv", **style):
    """White noise of 20 s in every file, and a table."""
    root.mkdir(parents=True, exist_ok=True)
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording_bytes(20, labels=LABELS, bdf=path.suffix.lower() == ".bdf"))
    (root / table).write_bytes(table_bytes(rows, columns, **style))
    return root


def only(root, **kw):
    corpus = Folder(root=root, **kw)
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


def test_a_recording_has_19_electrodes_in_volts_and_the_table_s_events(tmp_path):
    corpus = Folder(root=folder(tmp_path))
    (ref,) = corpus.recordings()
    recording = corpus.read(ref)
    assert corpus.classes == ("bckg", "sz") and corpus.ch_names == STANDARD_19
    assert spans(recording.events) == [(5, 8, "sz")] and recording.excluded == ()
    raw = mne.io.read_raw_edf(ref.path, verbose="error")
    assert np.abs(recording.pieces[0].eeg_CT - raw.get_data([*LABELS])).max() < 1e-9
    assert [path.name for path in ref.files] == ["rec.edf", "table.csv"]


def test_labels_are_the_classes_sorted_and_the_background_s_are_none(tmp_path):
    rows = [
        ("rec", 0, 2, "normal"),
        ("rec", 3, 2, "gpd"),
        ("rec", 6, 2, "artifact-free"),
        ("rec", 9, 2, "absence"),
    ]
    corpus = Folder(root=folder(tmp_path, rows), background=["normal", "artifact-free"])
    assert corpus.classes == ("bckg", "absence", "gpd")  # known before any recording is
    recording = corpus.read(corpus.recordings()[0])
    assert spans(recording.events) == [(3, 5, "gpd"), (9, 11, "absence")]
    assert corpus.warnings == (
        "subject_unknown: 1 recordings have no subject; each counts as a person of its own",
    )


def test_the_classes_may_be_put_in_order_and_then_no_other_label_is_one(tmp_path):
    rows = [("rec", 3, 2, "gpd"), ("rec", 6, 2, "absence")]
    root = folder(tmp_path, rows)
    assert Folder(root=root, classes=["gpd", "absence", "lpd"]).classes == ("bckg", "gpd", "absence", "lpd")
    reason, message = refused(DataError, Folder(root=root, classes=["gpd"]).recordings)
    assert reason == "unknown_label" and "line 3" in message and "absence" in message


def test_labels_that_are_numbers_are_labels(tmp_path):
    root = folder(tmp_path, [("rec", 0, 2, 0), ("rec", 3, 2, 1)])
    assert Folder(root=root, background=0).classes == ("bckg", "1")
    assert Folder(root=root, background=["0"], classes=[1]).classes == ("bckg", "1")


def test_time_without_a_row_is_background_or_excluded(tmp_path):
    root = folder(tmp_path, [("rec", 2, 3, "bckg"), ("rec", 5, 3, "sz"), ("rec", 10, 2, "sz")])
    assert only(root).excluded == ()
    recording = only(root, unlabelled="exclude")
    assert spans(recording.events) == [(5, 8, "sz"), (10, 12, "sz")]
    assert spans(recording.excluded) == [(0, 2, "unlabelled"), (8, 10, "unlabelled"), (12, 20, "unlabelled")]


def test_a_recording_without_a_row_is_left_out_and_one_background_row_is_enough(tmp_path):
    root = folder(tmp_path, [ROW, ("quiet", 0, 1, "bckg")], files=("rec.edf", "quiet.edf", "silent.edf"))
    corpus = Folder(root=root)
    quiet, _, silent = corpus.recordings()
    assert corpus.read(quiet).events == () and corpus.read(quiet).excluded == ()
    reason, message = refused(SkipRecording, lambda: corpus.read(silent))
    assert reason == "unlabelled_recording" and "silent.edf" in message


@pytest.mark.parametrize(
    "rows, events, expected",
    [
        ([(12, 2, "sz"), (2, 2, "sz")], [(2, 4), (12, 14)], []),
        ([(2, 7, "sz"), (5, 2, "sz")], [(2, 9)], ["overlapping_events"]),
        ([(18, 9, "sz")], [(18, 20)], ["annotation_outside"]),
        ([(-2, 5, "sz")], [(0, 3)], ["annotation_outside"]),
        ([(5, 0, "sz"), (8, 2, "sz")], [(8, 10)], ["zero_length_event"]),
        ([("0.1", "0.2", "sz"), ("0.3", 1, "bckg")], [(0.1, 0.3)], []),  # 0.1 + 0.2 is more than 0.3
    ],
)
def test_rows_are_sorted_joined_and_cut_to_the_recording(tmp_path, rows, events, expected):
    recording = only(folder(tmp_path, [("rec", *row) for row in rows]))
    assert spans(recording.events) == [(*span, "sz") for span in events]
    assert codes(recording.warnings) == expected


@pytest.mark.parametrize("other", ["gpd", "bckg"])
def test_two_labels_of_one_moment_are_refused(tmp_path, other):
    root = folder(tmp_path, [("rec", 2, 5, "sz"), ("rec", 6, 2, other)])
    reason, message = refused(DataError, lambda: only(root))
    assert reason == "conflicting_labels" and other in message


def test_a_row_wholly_past_the_end_means_another_recording(tmp_path):
    root = folder(tmp_path, [("rec", 500, 10, "sz")])
    assert refused(SkipRecording, lambda: only(root))[0] == "annotation_outside"


# --------------------------------------------------------------------------------- which file a row means


@pytest.mark.parametrize(
    "name", ["rec", "rec.edf", "ward/rec", "ward/rec.edf", "ward\\rec.edf", "./ward/rec.edf"]
)
def test_a_file_is_named_by_name_or_path_with_suffix_or_without(tmp_path, name):
    recording = only(folder(tmp_path, [(name, 5, 3, "sz")], files=("ward/rec.edf",)))
    assert recording.ref.recording == "ward/rec" and spans(recording.events) == [(5, 8, "sz")]


def test_rows_that_spell_one_file_differently_belong_together(tmp_path):
    root = folder(tmp_path, [("a.b", 2, 2, "sz"), ("ward/a.b.bdf", 9, 2, "sz")], files=("ward/a.b.bdf",))
    assert spans(only(root).events) == [(2, 4, "sz"), (9, 11, "sz")]


def test_a_name_that_two_files_have_is_refused_until_the_path_says_which(tmp_path):
    root = folder(tmp_path, files=("a/rec.edf", "b/rec.edf"))
    reason, message = refused(DataError, Folder(root=root).recordings)
    assert reason == "ambiguous_name" and "a/rec.edf, b/rec.edf" in message and "line 2" in message
    folder(tmp_path, [("b/rec", 5, 3, "sz")], files=())
    corpus = Folder(root=root)
    assert spans(corpus.read(corpus.recordings()[1]).events) == [(5, 8, "sz")]


def test_a_path_goes_before_a_name(tmp_path):
    corpus = Folder(root=folder(tmp_path, files=("rec.edf", "b/rec.edf")))
    below, above = corpus.recordings()
    assert (below.recording, above.recording) == ("b/rec", "rec")
    assert spans(corpus.read(above).events) == [(5, 8, "sz")]
    assert refused(SkipRecording, lambda: corpus.read(below))[0] == "unlabelled_recording"


def test_two_files_that_differ_in_suffix_only_keep_it_in_their_names(tmp_path):
    corpus = Folder(root=folder(tmp_path, [("rec.bdf", 5, 3, "sz")], files=("rec.edf", "rec.bdf", "c.EDF")))
    assert [ref.recording for ref in corpus.recordings()] == ["c", "rec.bdf", "rec.edf"]


@pytest.mark.parametrize("name", ["../rec.edf", "ward/../../rec", "..\\rec.edf", "", "."])
def test_a_name_that_leads_out_of_the_folder_or_is_none_is_refused(tmp_path, name):
    root = folder(tmp_path / "data", [ROW, (name, 5, 3, "sz")])
    (tmp_path / "rec.edf").write_bytes(b"")
    reason, message = refused(DataError, Folder(root=root).recordings)
    assert reason == "unsafe_path" and "line 3" in message


def test_a_row_without_a_file_is_counted_once_and_no_path_is_made_of_it(tmp_path):
    root = folder(tmp_path / "data", [ROW, *[(str(tmp_path / "out.edf"), k, 1, "sz") for k in (2, 5)]])
    (tmp_path / "out.edf").write_bytes(recording_bytes(20))
    corpus = Folder(root=root)
    assert len(corpus.recordings()) == 1 and corpus.missing == ((tmp_path / "out.edf").as_posix(),)
    assert codes(corpus.warnings) == ["listed_file_missing", "subject_unknown", "no_background_label"]
    assert corpus.warnings[-1].endswith("if one of sz means it, set dataset.background")


def test_hidden_files_and_folders_are_none_of_the_recordings(tmp_path):
    root = folder(tmp_path, files=("rec.edf", "._rec.edf", ".cache/rec.edf"))
    assert [ref.recording for ref in Folder(root=root).recordings()] == ["rec"]


# ------------------------------------------------------------------------------------------------- persons


def test_subject_session_sex_and_age_come_from_the_table(tmp_path):
    rows = [
        ("rec", 5, 3, "sz", "P7", "s2", "female", 11, SECRET),
        ("rec", 9, 3, "bckg", "P7", "", "", "", ""),
    ]
    corpus = Folder(root=folder(tmp_path, rows, ALL_COLUMNS))
    (ref,) = corpus.recordings()
    assert (ref.subject, ref.session) == ("P7", "s2") and corpus.warnings == ()
    assert dict(corpus.read(ref).metadata) == {"sex": "F", "age_band": "child", "montage": "native"}


def test_what_the_table_does_not_say_the_header_may(tmp_path):
    root = folder(tmp_path)
    data = recording_bytes(20, labels=LABELS, header=Header(f"X F X {SECRET} Age:30"))
    (root / "rec.edf").write_bytes(data)
    assert dict(only(root).metadata) == {"sex": "F", "age_band": "adult", "montage": "native"}


@pytest.mark.parametrize(
    "column, values", [("subject", "AB"), ("session", "12"), ("sex", "FM"), ("age", "34")]
)
def test_rows_that_disagree_about_one_recording_are_refused(tmp_path, column, values):
    root = folder(tmp_path, [(*ROW, values[0]), ("rec", 9, 1, "sz", values[1])], (*COLUMNS, column))
    reason, message = refused(DataError, Folder(root=root).recordings)
    assert reason == "conflicting_rows" and column in message and "line 3" in message


def test_without_a_subject_each_recording_is_a_person_and_that_is_said(tmp_path):
    rows = [("a", 5, 3, "sz", ""), ("b", 5, 3, "bckg", "P2"), ("c", 5, 3, "sz", "P2")]
    corpus = Folder(root=folder(tmp_path, rows, (*COLUMNS, "subject"), files=("a.edf", "b.edf", "c.edf")))
    assert [ref.subject for ref in corpus.recordings()] == ["a", "P2", "P2"]
    assert codes(corpus.warnings) == ["subject_unknown"] and "1 recordings" in corpus.warnings[0]


# ------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize(
    "name, style",
    [
        ("t.csv", {}),
        ("t.csv", {"delimiter": ";", "end": "\r\n"}),
        ("t.csv", {"delimiter": "\t"}),
        ("t.tsv", {"delimiter": "\t"}),
        ("T.CSV", {"encoding": "utf-8-sig"}),
        ("t.tsv", {"delimiter": ",", "end": "\r"}),
    ],
)
def test_a_table_is_read_as_pandas_reads_it_whatever_exported_it(tmp_path, name, style):
    rows = [("rec", 5.25, 3.5, "tonic, left"), ("rec", 12, 1, 'the "big" one')]
    root = folder(tmp_path, rows, table=name, **style)
    frame = pd.read_csv(root / name, sep=style.get("delimiter", ","), encoding=style.get("encoding"))
    expected = [(r.onset, r.onset + r.duration, r.label) for r in frame.itertuples()]
    assert spans(only(root).events) == expected == [(5.25, 8.75, "tonic, left"), (12, 13, 'the "big" one')]


def test_columns_may_stand_in_any_order_and_case_and_others_are_ignored(tmp_path):
    columns = ("Notes", " Label ", "DURATION", "onset", "Recording", "notes", "")
    root = folder(tmp_path, [("x", " sz ", " 3 ", "5", " rec ", "y", ""), ("",) * 7], columns)
    assert spans(only(root, label_column="LABEL").events) == [(5, 8, "sz")]


def test_latin_1_is_read_and_said(tmp_path):
    corpus = Folder(root=folder(tmp_path, [("rec", 5, 3, "anf\xe4lle")], encoding="latin-1"))
    assert corpus.classes == ("bckg", "anf\xe4lle")
    corpus.recordings()
    assert "bad_encoding" in codes(corpus.warnings)


@pytest.mark.parametrize(
    "text, reason, words",
    [
        ("", "empty_annotation", "no text"),
        ("\n \n", "empty_annotation", "no text"),
        ("recording,onset,duration,label\n", "no_rows", "a header and no row"),
        ("recording,onset,label\nrec,5,sz\n", "missing_column", "duration not found once"),
        ("recording,onset,onset,duration,label\nrec,5,5,3,sz\n", "missing_column", "onset not found once"),
        ("recording,onset,duration,label\nrec,5,3\n", "bad_row", "line 2: 3 cells"),
        ("recording,onset,duration,label\nrec,5,3,sz,more\n", "bad_row", "line 2: 5 cells"),
        ('recording,onset,duration,label\nrec,5,3,"sz\n', "bad_row", "quotes in pairs"),
        ("recording;onset;duration;label\nrec;5,5;3;sz\n", "bad_number", "line 2: onset 5,5"),
        ("recording,onset,duration,label\nrec,,3,sz\n", "bad_number", "onset ''"),
        ("recording,onset,duration,label\nrec,5,nan,sz\n", "bad_number", "duration nan"),
        ("recording,onset,duration,label\nrec,1e999,3,sz\n", "bad_number", "onset 1e999"),
        ("recording,onset,duration,label\nrec,0:05,3,sz\n", "bad_number", "onset 0:05"),
        ("recording,onset,duration,label\nrec,5,-3,sz\n", "bad_interval", "duration -3 s"),
        ("recording,onset,duration,label\nrec,5,3,\n", "unknown_label", "label ''"),
        ("recording,onset,duration,label\nrec,5,3,sz\nrec,9,3,SZ\n", "unknown_label", "labels SZ and sz"),
        ("recording,onset,duration,label\nrec,5,3,bckg\n", "no_classes", "no label in label but bckg"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused_with_its_line(tmp_path, text, reason, words):
    root = folder(tmp_path)
    (root / "table.csv").write_text(text)
    found, message = refused(DataError, Folder(root=root).recordings)
    assert found == reason and words in message and "table.csv" in message


def test_a_misspelt_label_column_is_answered_with_the_columns_and_the_setting(tmp_path):
    reason, message = refused(DataError, Folder(root=folder(tmp_path), label_column="lable").recordings)
    assert reason == "missing_column" and "lable not found once among the columns recording, " in message
    assert "set dataset.label_column=..." in message


def test_a_table_of_other_recordings_is_refused_with_a_name_of_each_side(tmp_path):
    root = folder(tmp_path, [("other", 5, 3, "sz")], files=("a/rec.edf", "b.edf"))
    reason, message = refused(DataError, Folder(root=root).recordings)
    assert reason == "no_match" and "one of the 2 files here (row 1: other; file 1: a/rec.edf)" in message
    folder(tmp_path, [("other", 5, 3, "sz"), ("b", 5, 3, "sz")], files=())  # one that is here will do
    corpus = Folder(root=root)
    assert len(corpus.recordings()) == 2 and corpus.missing == ("other",)


def test_bckg_is_background_or_nothing(tmp_path):
    root = folder(tmp_path, [ROW, ("rec", 9, 1, "bckg")])
    reason, message = refused(DataError, Folder(root=root, background="normal").recordings)
    assert reason == "unknown_label" and "bckg" in message and "background (normal)" in message


def test_excluding_the_rest_needs_rows_of_background(tmp_path):
    root = folder(tmp_path, [ROW, ("rec", 9, 1, "normal")])
    reason, message = refused(DataError, Folder(root=root, unlabelled="exclude").recordings)
    assert reason == "no_background" and "normal, sz" in message  # the label that was meant is among them
    assert Folder(root=root, unlabelled="exclude", background="normal").classes == ("bckg", "sz")


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"classes": []}, "bad_classes"),
        ({"classes": ["sz", "sz"]}, "bad_classes"),
        ({"classes": ["bckg"]}, "bad_classes"),
        ({"classes": ["sz", "normal"], "background": "normal"}, "bad_classes"),
        ({"channels": ["T3", "T7"]}, "bad_channels"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_before_any_file(tmp_path, settings, reason):
    assert refused(ConfigError, lambda: Folder(root=tmp_path / "absent", **settings))[0] == reason


def test_the_table_is_the_only_one_in_the_folder_or_the_one_that_is_named(tmp_path):
    root = folder(tmp_path, table="a.csv")
    (root / "README.txt").write_text("")
    assert spans(only(root).events) == [(5, 8, "sz")]
    folder(tmp_path, [("rec", 9, 2, "gpd")], table="b.tsv", delimiter="\t")
    reason, message = refused(DataError, Folder(root=root).recordings)
    assert reason == "ambiguous_table" and "a.csv, b.tsv" in message and "dataset.table=" in message
    assert spans(only(root, table="b.tsv").events) == [(9, 11, "gpd")]
    assert spans(only(root, table=str(root / "b.tsv")).events) == [(9, 11, "gpd")]
    assert refused(DataError, Folder(root=root, table="c.csv").recordings)[0] == "missing_table"


@pytest.mark.parametrize(
    "make, reason, words",
    [
        (lambda root: None, "missing_root", "no such folder"),
        (lambda root: root.mkdir(), "empty_root", "an empty folder"),
        (lambda root: folder(root, files=()), "no_recordings", "no EDF or BDF file"),
        (lambda root: folder(root, table="t.txt"), "missing_table", "tables: none"),
    ],
)
def test_a_root_without_recordings_or_table_is_refused_with_what_to_do(tmp_path, make, reason, words):
    root = tmp_path / "data"
    make(root)
    found, message = refused(DataError, Folder(root=root).recordings)
    assert found == reason and words in message and str(root) in message and "dataset." in message


# ------------------------------------------------------------------------------------------------- channels


def test_pairs_are_taken_or_computed(tmp_path):
    root = folder(tmp_path)
    corpus = Folder(root=root, channels=["Fp1-F7", "F7-T7"])
    recording = corpus.read(corpus.recordings()[0])
    raw = mne.io.read_raw_edf(root / "rec.edf", verbose="error")
    expected = raw.get_data(["Fp1", "F7"]) - raw.get_data(["F7", "T3"])
    assert corpus.ch_names == ("FP1-F7", "F7-T3")
    assert np.abs(recording.pieces[0].eeg_CT - expected).max() < 1e-9


@pytest.mark.parametrize("policy, filled", [("zero", True), ("interpolate", True), ("skip", False)])
def test_a_missing_electrode_is_met_as_the_setting_says(tmp_path, policy, filled):
    root = folder(tmp_path)
    (root / "rec.edf").write_bytes(recording_bytes(20, labels=LABELS[:-1]))
    if filled:
        assert only(root, missing_channels=policy).filled == ("PZ",)
    else:
        assert refused(SkipRecording, lambda: only(root))[0] == "missing_channels"


# ------------------------------------------------------------------------------------------- the whole route


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    return root, write_folder(root, n_subjects=6, recordings_per_subject=2, recording_s=60, seed=3)


def test_a_whole_folder_is_prepared_as_it_was_written(written, tmp_path):
    root, truth = written
    store = prepare(Folder(root=root), SignalConfig(sfreq=256.0), tmp_path, n_jobs=2)
    table = store.recordings
    used = table[table["skipped"] == ""]
    assert len(used) == truth["recordings"] and used["subject"].nunique() == truth["subjects"]
    assert Counter(table["skipped"]) - Counter({"": len(used)}) == Counter(truth["skipped"])
    assert used["duration_s"].sum() == truth["duration_s"] and used["excluded_s"].sum() == truth["excluded_s"]
    lengths = (store.events["offset_s"] - store.events["onset_s"]).groupby(store.events["label"])
    assert lengths.size().to_dict() == truth["seizures"] and lengths.sum().to_dict() == truth["seizure_s"]
    assert (used["detail"] == "").all() and truth["warnings"] == {}
    report = data_report(store)
    assert "skipped 1 (unlabelled_recording)" in report and "the first: absent.edf" in report
    assert SECRET not in report + table.to_csv() + (store.path / "manifest.json").read_text()
    assert store.manifest["classes"] == ["bckg", "absence", "focal"]
    people = store.events.merge(used[["number", "subject"]], left_on="recording", right_on="number")
    assert people.groupby("label")["subject"].nunique().to_dict() == {"absence": 6, "focal": 6}


def test_every_file_of_the_folder_is_read_as_edfio_reads_it(written):
    corpus = Folder(root=written[0])
    rates = Counter()
    for ref in corpus.recordings():
        if ref.recording == "unlabelled":
            continue
        recording = corpus.read(ref)
        theirs = (edfio.read_bdf if ref.path.suffix == ".bdf" else edfio.read_edf)(ref.path)
        data = {signal.label: signal.data for signal in theirs.signals}
        uv = recording.pieces[0].eeg_CT * 1e6
        assert np.abs(uv - np.array([data[name] for name in LABELS])).max() < 1e-3
        assert recording.sfreq == theirs.signals[0].sampling_frequency
        rates[ref.path.suffix, recording.sfreq] += 1
    assert {rate for _, rate in rates} == {200, 250, 500} and {suffix for suffix, _ in rates} == {
        ".edf",
        ".bdf",
    }


def test_the_same_seed_writes_the_same_folder_and_another_one_another(tmp_path):
    def written(name, seed):
        truth = write_folder(
            tmp_path / name, n_subjects=1, recordings_per_subject=2, recording_s=60, seed=seed
        )
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return truth, {path.relative_to(tmp_path / name): path.read_bytes() for path in files}

    first = written("a", seed=3)
    assert written("b", seed=3) == first and written("c", seed=4)[1] != first[1]


def test_a_changed_table_or_label_setting_makes_another_store(tmp_path):
    root = folder(tmp_path / "data", [ROW, ("rec", 10, 5, "bckg"), ("rec", 16, 2, "calm")])

    def place(**kw):
        return prepare(Folder(root=root, **kw), SignalConfig(sfreq=256.0), tmp_path / "store", n_jobs=1).path

    first = place(background=["bckg", "calm"])
    assert place(background=["calm", "bckg"]) == first  # a set, not a sequence
    assert len({first, place(), place(background=["bckg", "calm"], unlabelled="exclude")}) == 3
    folder(tmp_path / "data", [ROW, ("rec", 10, 5, "bckg")], files=())
    assert place(background=["bckg", "calm"]) != first


def test_the_config_builds_the_corpus_and_checks_its_settings(tmp_path):
    root = folder(tmp_path, [ROW, ("rec", 9, 1, "calm"), ("rec", 12, 1, "rest")])
    settings = ["dataset=folder", f"dataset.root={root}", "dataset.background=[calm,rest]"]
    corpus = load(TrainSettings, settings).dataset.corpus.build()
    assert corpus.classes == ("bckg", "sz") and len(corpus.recordings()) == 1
    assert json.loads(json.dumps(corpus.options))["background"] == ["calm", "rest"]
    with pytest.raises(ConfigError, match="background"):
        load(TrainSettings, [*settings, "dataset.unlabelled=drop"]).dataset.corpus.build()


# ------------------------------------------------------------------------------------------- shared material


@pytest.mark.shared
@needs_shared
def test_the_iiic_samples_give_labelled_seconds_only():
    root = Path(SHARED) / "data" / "iiic"
    corpus = Folder(root=root, label_column="majority", background="other", unlabelled="exclude")
    assert corpus.classes == ("bckg", "gpd", "grda", "lpd", "lrda", "sz")
    refs = corpus.recordings()
    assert len(refs) == 12 and codes(corpus.warnings) == ["subject_unknown"] and corpus.missing == ()
    pieces, events, excluded = [], [], []
    for number, ref in enumerate(refs):
        recording = corpus.read(ref)
        assert (recording.sfreq, recording.duration_s, recording.ch_names) == (200, 50, STANDARD_19)
        assert spans(recording.excluded) == [(0, 20, "unlabelled"), (30, 50, "unlabelled")]
        assert all((e.onset_s, e.offset_s) == (20, 30) for e in recording.events)
        raw = mne.io.read_raw_edf(ref.path, verbose="error").get_data([*LABELS])
        assert np.abs(recording.pieces[0].eeg_CT - raw).max() < 1e-9
        pieces.append((number, 0.0, number * 10_000, 10_000))
        events += [(number, *span) for span in spans(recording.events)]
        excluded += [(number, *span) for span in spans(recording.excluded)]
    assert Counter(label for *_, label in events) == {"gpd": 3, "grda": 1, "lpd": 2, "lrda": 2, "sz": 1}
    names = ["recording", "onset_s", "offset_s", "label"]
    left = without(
        pd.DataFrame(pieces, columns=["recording", "start_s", "first", "n_samples"]),
        pd.DataFrame(excluded, columns=names),
        200.0,
    )
    assert left["start_s"].tolist() == [20.0] * 12 and left["n_samples"].tolist() == [2000] * 12
    windows = cut(
        left, pd.DataFrame(events, columns=names), corpus.classes, 200.0, WindowConfig(length_s=1.0)
    )
    counts = {corpus.classes[k]: n for k, n in windows["label"].value_counts().items()}
    # Ten seconds: ten windows of background; 0, 0.5, ..., 9 s are nineteen of a pattern.
    assert counts == {"bckg": 30, "gpd": 57, "grda": 19, "lpd": 38, "lrda": 38, "sz": 19}
    assert windows["start_s"].min() == 20 and windows["start_s"].max() == 29


@pytest.mark.shared
@needs_shared
def test_the_two_second_skeletons_of_siena_are_read_and_never_given_their_seizures(tmp_path):
    root = Path(SHARED) / "data" / "skeleton_WHITE_NOISE" / "siena"
    # The folder's own table is of persons, not of stretches: refused by its columns, nothing guessed.
    reason, message = refused(DataError, Folder(root=root).recordings)
    assert reason == "missing_column" and "recording, onset, duration, label not found" in message
    assert refused(DataError, Folder(root=root / "PN00").recordings)[0] == "missing_table"
    # With a table, each file is 29 electrodes, ECG and trends at 512 Hz, of which the 19 are read.
    names = [f"PN00-{k}" for k in range(1, 6)]
    table = tmp_path / "t.csv"
    table.write_bytes(table_bytes([*[(n, 0, 2, "bckg") for n in names[:4]], ("PN00-5", 886, 67, "sz")]))
    corpus = Folder(root=root, table=table)
    read, skipped = [], []
    for ref in corpus.recordings():
        try:
            recording = corpus.read(ref)
            read.append((ref.recording, recording.sfreq, recording.duration_s, len(recording.ch_names)))
            assert codes(recording.warnings) == ["short_for_filter"]
            raw = mne.io.read_raw_edf(ref.path, verbose="error").get_data([f"EEG {name}" for name in LABELS])
            assert np.abs(recording.pieces[0].eeg_CT - raw).max() < 1e-9
        except SkipRecording as problem:
            skipped.append((ref.recording, problem.reason))
    assert read == [(f"PN00/{name}", 512, 2, 19) for name in names[:4]]
    assert skipped == [("PN00/PN00-5", "annotation_outside")]  # its true seizure lies at 886 s
