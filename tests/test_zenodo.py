"""The Helsinki neonatal corpus: its tables, the consensus of its experts, and the real annotations."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tools import SHARED, bad_module, codes, needs_shared

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import BIPOLAR_18, STANDARD_19
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.invented.layouts.zenodo import (
    CLINICAL_COLUMNS,
    SECRET,
    annotation_csv,
    annotation_mat,
    clinical_csv,
    recording_bytes,
    write_zenodo,
)
from distilclip_eeg.corpora.zenodo import Zenodo
from distilclip_eeg.corpora.zenodo_files import read_annotations, read_mat, read_seconds, read_sexes
from distilclip_eeg.schema import ConfigError, DataError, Event, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare, store_digest

NAMES = ("A_fixed", "B", "C")
MARKED = [0] * 3 + [1] * 7 + [0] * 10
"""Twenty seconds, of which 3 to 10 are marked."""


def table(tmp_path, text):
    path = tmp_path / "annotations_2017_B.csv"
    path.write_text(text)
    return path


def put(root, a=None, b=None, c=None, *, seconds=20, number=4, names=NAMES):
    """One neonate: its recording and the seconds of A, B and C, each ``MARKED`` unless given."""
    root.mkdir(exist_ok=True)
    (root / f"eeg{number}.edf").write_bytes(recording_bytes(seconds))
    for name, column in zip(names, (a, b, c), strict=True):
        text = annotation_csv({number: MARKED if column is None else column})
        (root / f"annotations_2017_{name}.csv").write_text(text)
    return root


def only(root, **settings):
    corpus = Zenodo(root=root, **settings)
    (ref,) = corpus.recordings()
    return corpus.read(ref)


def seizures(*spans):
    return tuple(Event(a, b, "seiz") for a, b in spans)


def error_of(call, kind=DataError):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and "expected" in message
    return caught.value.reason


# ------------------------------------------------------------------------------------------------- tables


def test_a_table_gives_the_seconds_of_each_neonate_without_the_blank_tail(tmp_path):
    found = read_seconds(table(tmp_path, "4,9,12\n0,0,1\n1,0,1\n1,,0\n"))
    assert {n: s.tolist() for n, s in found.items()} == {4: [0, 1, 1], 9: [0, 0], 12: [1, 1, 0]}
    assert {s.dtype for s in found.values()} == {np.dtype("uint8")}


@pytest.mark.parametrize(
    "text",
    ["4,9\r\n0,1\r\n1,\r\n", "\ufeff4,9\n0,1\n1,\n\n\n", '"4","9"\n"0","1"\n"1",""\n', " 4,9\n 0,1 \n1, \n"],
)
def test_line_ends_byte_order_mark_quotes_and_blanks_do_not_matter(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    assert {n: s.tolist() for n, s in read_seconds(path).items()} == {4: [0, 1], 9: [1]}


def test_a_lone_neonate_and_a_column_without_a_second_are_read(tmp_path):
    assert read_seconds(table(tmp_path, "7\n0\n1\n\n"))[7].tolist() == [0, 1]
    found = read_seconds(table(tmp_path, "7,8\n0,\n1,\n"))
    assert [len(found[n]) for n in (7, 8)] == [2, 0]


@pytest.mark.parametrize(
    "text, reason, words",
    [
        ("", "no_rows", "line 1"),
        ("\n", "no_rows", "line 1"),
        ("1,2,3\n", "no_rows", "no row of seconds"),
        ("1,2\n0,0\n2,0\n", "bad_value", "line 3: a cell holds '2'"),
        ("1,2\n0,-1\n", "bad_value", "line 2: a cell holds '-1'"),
        ("1,2\n0,yes\n", "bad_value", "'yes'"),
        ("1,2\n0,inf\n", "bad_value", "'inf'"),
        ("1,2\n0,0.5\n", "bad_value", "'0.5'"),
        ("1,2\n0,0\n,0\n1,0\n", "hole_in_column", "neonate 1: blank at second 1"),
        ("1,2\n0,0,0\n", "bad_row", "line 2: 3 cells"),
        ("1,2\n0,0\n1", "bad_row", "line 3: 1 cells"),  # cut in the middle of a row
        ("1,2\n0,0\n\n0,0\n", "bad_row", "line 3: 1 cells"),
        ("1;2\n0;0\n", "bad_value", "'1;2'"),
        ("0,0,1\n0,0,1\n", "bad_value", "line 1: '0'"),  # a row of seconds for a header
        ("1,1\n0,0\n", "duplicate_neonate", "line 1"),
        ("eeg1,eeg2\n0,0\n", "bad_value", "'eeg1'"),
        (",1,2\n0,0,0\n", "bad_value", "line 1: ''"),  # an index column
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused_with_its_line(tmp_path, text, reason, words):
    path = table(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_seconds(path)
    message = str(caught.value)
    assert caught.value.reason == reason and words in message and str(path) in message
    assert "expected" in message and "\n" not in message


def test_the_mat_file_holds_the_same_as_three_tables(tmp_path):
    rng = np.random.default_rng(0)
    cells = [rng.integers(0, 2, (3, length)) for length in (20, 13, 31)]
    (tmp_path / "annotations_2017.mat").write_bytes(annotation_mat(cells))
    for k, name in enumerate(NAMES):
        columns = {n: cell[k] for n, cell in enumerate(cells, start=1)}
        (tmp_path / f"annotations_2017_{name}.csv").write_text(annotation_csv(columns))
    both = read_annotations(tmp_path)
    for name in NAMES:
        (tmp_path / f"annotations_2017_{name}.csv").unlink()
    alone = read_annotations(tmp_path)
    assert both.warnings == alone.warnings == () and [len(f.files) for f in (both, alone)] == [4, 1]
    for n, cell in enumerate(cells, start=1):
        assert np.array_equal(both.experts[n], cell) and np.array_equal(alone.experts[n], cell)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "bad_annotations"),
        (b"rubbish" * 100, "bad_annotations"),
        (annotation_mat([np.zeros((3, 5))])[:-20], "bad_annotations"),
        (annotation_mat([np.zeros((3, 5))], variable="other"), "bad_annotations"),
        (annotation_mat([np.zeros((2, 5))]), "bad_annotations"),
        (annotation_mat([]), "no_rows"),
        (annotation_mat([np.full((3, 5), 2)]), "bad_value"),
        (annotation_mat([np.array([[0, np.nan, 1]] * 3)]), "hole_in_column"),
    ],
)
def test_a_mat_file_that_cannot_be_trusted_is_refused(tmp_path, data, reason):
    path = tmp_path / "annotations_2017.mat"
    path.write_bytes(data)
    assert error_of(lambda: read_mat(path)) == reason


def test_nan_at_the_end_of_a_mat_row_is_no_second(tmp_path):
    path = tmp_path / "annotations_2017.mat"
    path.write_bytes(annotation_mat([np.array([[0, 1, np.nan], [0, 1, 1], [1, 1, 0]])]))
    assert [row.tolist() for row in read_mat(path)[1]] == [[0, 1], [0, 1, 1], [1, 1, 0]]


def test_a_mat_file_that_says_otherwise_is_named_and_the_tables_are_kept(tmp_path):
    put(tmp_path, number=1)
    (tmp_path / "annotations_2017.mat").write_bytes(annotation_mat([np.zeros((3, 20))]))
    corpus = Zenodo(root=tmp_path)
    (ref,) = corpus.recordings()
    assert codes(corpus.warnings) == ["annotations_differ"] and "neonates 1;" in corpus.warnings[0]
    assert corpus.read(ref).events == seizures((3, 10))
    (tmp_path / "annotations_2017.mat").write_bytes(b"rubbish")
    assert codes(read_annotations(tmp_path).warnings) == ["bad_annotations"]


def test_annotations_that_are_not_complete_are_refused_or_said(tmp_path):
    put(tmp_path)
    (tmp_path / "annotations_2017_C.csv").unlink()
    with pytest.raises(DataError, match="no annotations_2017_C.csv") as caught:
        Zenodo(root=tmp_path).recordings()
    assert caught.value.reason == "missing_annotation"
    cells = [np.array([MARKED] * 3)] * 4
    (tmp_path / "annotations_2017.mat").write_bytes(annotation_mat(cells))
    corpus = Zenodo(root=tmp_path)
    (ref,) = corpus.recordings()
    assert corpus.read(ref).events == seizures((3, 10))
    assert codes(corpus.warnings)[0] == "incomplete_annotations"
    assert corpus.missing == ("eeg1.edf", "eeg2.edf", "eeg3.edf")


def test_a_neonate_whom_only_two_experts_saw_is_left_out(tmp_path):
    put(tmp_path)
    (tmp_path / "eeg5.edf").write_bytes(recording_bytes(20))
    for name, columns in zip(NAMES, ({4: MARKED, 5: MARKED}, {4: MARKED}, {4: MARKED, 5: []}), strict=True):
        (tmp_path / f"annotations_2017_{name}.csv").write_text(annotation_csv(columns))
    corpus = Zenodo(root=tmp_path)
    seen, unseen = corpus.recordings()
    assert codes(corpus.warnings) == ["incomplete_annotations"]
    assert corpus.read(seen).events == seizures((3, 10))
    assert error_of(lambda: corpus.read(unseen), SkipRecording) == "missing_annotation"


# ------------------------------------------------------------------------------------- consensus and lengths


def marks(*spans, seconds=20):
    column = np.zeros(seconds, int)
    for first, last in spans:
        column[first:last] = 1
    return column.tolist()


@pytest.mark.parametrize(
    "consensus, events, disputed",
    [
        ("unanimous", [(5, 8)], [(3, 5), (8, 12)]),
        ("majority", [(4, 10)], []),
        ("any", [(3, 12)], []),
    ],
)
def test_each_consensus_gives_the_seconds_worked_by_hand(tmp_path, consensus, events, disputed):
    # A 3-8, B 4-10, C 5-12: one vote from 3, two from 4, three from 5 to 8, two to 10, one to 12.
    root = put(tmp_path, marks((3, 8)), marks((4, 10)), marks((5, 12)))
    recording = only(root, consensus=consensus)
    assert recording.events == seizures(*events)
    assert recording.excluded == tuple(Event(a, b, "disagreement") for a, b in disputed)
    assert recording.warnings == ()


def test_a_second_that_one_expert_marks_is_background_for_the_majority_and_nothing_for_all_three(tmp_path):
    root = put(tmp_path, marks((3, 8)), marks(), marks())
    assert only(root).events == () and only(root).excluded == (Event(3, 8, "disagreement"),)
    assert only(root, consensus="majority").events == only(root, consensus="majority").excluded == ()


def test_consensus_is_part_of_the_key_of_the_store_and_so_is_every_second(tmp_path):
    long = marks((3, 8), seconds=80_000)  # a table too long for the ends to tell its middle
    put(tmp_path, b=long)

    def digest(**settings):
        corpus = Zenodo(root=tmp_path, **settings)
        return store_digest(corpus, corpus.recordings(), SignalConfig())

    before = digest()
    assert digest() == before != digest(consensus="any")
    path = tmp_path / "annotations_2017_B.csv"
    raw = bytearray(path.read_bytes())
    raw[80_000] ^= 1  # 0 becomes 1
    path.write_bytes(raw)
    assert digest() != before


@pytest.mark.parametrize("consensus", ["all", "Unanimous", 2, None])
def test_an_unknown_consensus_is_a_wrong_setting(consensus, tmp_path):
    with pytest.raises(ConfigError, match="dataset.consensus.*'unanimous', 'majority', 'any'"):
        Zenodo(root=tmp_path, consensus=consensus)


@pytest.mark.parametrize(
    "seconds, known, warns, excluded",
    [
        (20, 20, [], []),
        (20, 19, [], [(19, 20)]),
        (21, 20, [], [(20, 21)]),
        (20, 21, [], []),
        (20.5, 20, [], [(20, 20.5)]),
        (25, 20, ["duration_mismatch"], [(20, 25)]),
        (20, 25, ["duration_mismatch"], []),
        (20.5, 30, ["duration_mismatch"], [(20, 20.5)]),
    ],
)
def test_what_is_not_annotated_is_excluded_and_a_difference_of_seconds_is_said(
    tmp_path, seconds, known, warns, excluded
):
    column = (MARKED + [0] * 20)[:known]
    put(tmp_path, column, column, column)
    (tmp_path / "eeg4.edf").write_bytes(recording_bytes(seconds, record_s=0.5))
    recording = only(tmp_path)
    assert recording.events == seizures((3, 10)) and codes(recording.warnings) == warns
    assert recording.excluded == tuple(Event(a, b, "unannotated") for a, b in excluded)
    assert all(f"{known} s are annotated, {seconds:g} s recorded" in w for w in recording.warnings)


@pytest.mark.parametrize("seconds, known", [(20, 41), (41, 20)])
def test_a_recording_of_another_length_than_its_annotation_is_a_wrong_pair(tmp_path, seconds, known):
    column = [0] * known
    put(tmp_path, column, column, column, seconds=seconds)
    with pytest.raises(DataError, match=f"{known} s are annotated, {seconds} s recorded") as caught:
        only(tmp_path)
    assert caught.value.reason == "duration_mismatch" and not isinstance(caught.value, SkipRecording)


def test_marks_past_the_end_of_the_recording_are_counted(tmp_path):
    column = marks((3, 10), (18, 28), seconds=30)
    recording = only(put(tmp_path, column, column, column, seconds=20))
    assert recording.events == seizures((3, 10), (18, 20))
    assert codes(recording.warnings) == ["duration_mismatch", "annotation_outside"]
    assert "8 s that an expert marked" in recording.warnings[1]


def test_a_truncated_recording_is_the_right_one_and_damaged(tmp_path):
    column = marks((3, 5), (16, 18))
    put(tmp_path, column, column, column)
    path = tmp_path / "eeg4.edf"
    path.write_bytes(path.read_bytes()[: 256 * 22 + 8 * 21 * 512])  # 8 of 20 records
    recording = only(tmp_path)
    assert recording.events == seizures((3, 5)) and recording.duration_s == 8
    assert codes(recording.warnings)[0] == "truncated" and "annotation_outside" in codes(recording.warnings)


# --------------------------------------------------------------------------------- folder, persons, montages


@pytest.mark.parametrize(
    "build, reason, words",
    [
        (lambda root: None, "missing_root", "no such folder"),
        (lambda root: root.mkdir(), "empty_root", "an empty folder"),
        (lambda root: (root / "sub").mkdir(parents=True), "no_recordings", "no eegN.edf"),
        (lambda root: put(root.parent / "x", number=1).rename(root), "", ""),
    ],
)
def test_a_root_without_the_corpus_is_refused_with_what_to_do(tmp_path, build, reason, words):
    root = tmp_path / "data"
    build(root)
    if not reason:
        assert len(Zenodo(root=root).recordings()) == 1
        return
    with pytest.raises(DataError) as caught:
        Zenodo(root=str(root)).recordings()
    message = str(caught.value)
    assert caught.value.reason == reason and words in message and str(root) in message
    assert "dataset.root=" in message and "expected" in message and "\n" not in message


def test_a_root_one_folder_too_high_is_pointed_to_the_right_one(tmp_path):
    put(tmp_path / "inside")
    with pytest.raises(DataError, match=f"Set dataset.root={tmp_path / 'inside'}"):
        Zenodo(root=tmp_path).recordings()


def test_files_of_other_names_are_said_and_one_neonate_has_one_recording(tmp_path):
    put(tmp_path)
    (tmp_path / "eeg4 (1).edf").write_bytes(b"")
    (tmp_path / "._eeg4.edf").write_bytes(b"")
    (tmp_path / "eeg4.edf.part").write_bytes(b"")
    corpus = Zenodo(root=tmp_path)
    (ref,) = corpus.recordings()
    assert corpus.warnings == ("unknown_file: eeg4 (1).edf is not named eegN.edf and not read",)
    assert (ref.recording, ref.subject) == ("eeg4", "eeg4")
    (tmp_path / "EEG04.EDF").write_bytes(b"")
    assert error_of(Zenodo(root=tmp_path).recordings) == "duplicate_file"


def test_reading_needs_no_earlier_listing(tmp_path):
    put(tmp_path)
    (ref,) = Zenodo(root=tmp_path).recordings()
    assert Zenodo(root=tmp_path).read(ref).events == seizures((3, 10))


def test_only_the_sex_is_taken_from_the_table_of_persons(tmp_path):
    path = tmp_path / "clinical_information.csv"
    path.write_text(clinical_csv({4: "f", 9: "m", 12: "", 13: "N/A"}))
    assert read_sexes(path) == {"eeg4": "F", "eeg9": "M"}
    put(tmp_path)
    recording = only(tmp_path)
    assert recording.metadata == {"sex": "F", "age_band": "neonate", "montage": "native"}
    assert SECRET in path.read_text() and SECRET not in repr(recording)
    path.unlink()
    assert only(tmp_path).metadata == {"age_band": "neonate", "montage": "native"}


def test_the_table_of_persons_is_read_by_column_names_and_refused_without_them(tmp_path):
    path = tmp_path / "clinical_information.csv"
    path.write_text('Other,GENDER, EEG file\n"two\nlines, m",F,EEG17.edf\nshort\n')
    assert read_sexes(path) == {"eeg17": "F"}
    path.write_text("ID,Sex\n1,f\n")
    assert error_of(lambda: read_sexes(path)) == "missing_column"
    assert {"EEG file", "Gender"} < set(CLINICAL_COLUMNS)


@pytest.mark.parametrize(
    "montage, names", [("native", STANDARD_19), ("bipolar18", BIPOLAR_18), ("car19", STANDARD_19)]
)
def test_each_montage_comes_out_of_the_electrodes(tmp_path, montage, names):
    put(tmp_path)
    recording, native = only(tmp_path, montage=montage), only(tmp_path)
    assert recording.ch_names == names and recording.sfreq == 256
    (got,), (eeg,) = ([p.eeg_CT for p in r.pieces] for r in (recording, native))
    at = STANDARD_19.index
    expected = {
        "native": eeg,
        "bipolar18": np.array([eeg[at(a)] - eeg[at(b)] for a, b in (n.split("-") for n in BIPOLAR_18)]),
        "car19": eeg - eeg.mean(axis=0),
    }[montage]
    assert np.abs(got - expected).max() < 1e-10


def test_a_missing_electrode_is_left_out_zero_or_interpolated(tmp_path):
    put(tmp_path)
    names = [f"EEG {name.capitalize()}-Ref" for name in STANDARD_19 if name != "CZ"]
    (tmp_path / "eeg4.edf").write_bytes(recording_bytes(20, names=names))
    assert error_of(lambda: only(tmp_path), SkipRecording) == "missing_channels"
    zero, drawn = (only(tmp_path, missing_channels=how) for how in ("zero", "interpolate"))
    row = STANDARD_19.index("CZ")
    assert zero.filled == drawn.filled == ("CZ",)
    assert not zero.pieces[0].eeg_CT[row].any() and drawn.pieces[0].eeg_CT[row].std() > 1e-6


# ---------------------------------------------------------------------------------------------- whole trees


@pytest.mark.parametrize("form", ["csv", "mat"])
def test_a_whole_tree_is_read_as_it_was_written(tmp_path, form):
    truth = write_zenodo(tmp_path / "tree", n_subjects=10, recording_s=60, seed=1)
    if form == "mat":
        for path in (tmp_path / "tree").glob("annotations_2017_*.csv"):
            path.unlink()
    corpus = Zenodo(root=tmp_path / "tree")
    store = prepare(corpus, SignalConfig(), tmp_path / "store", n_jobs=2)
    used = store.recordings[store.recordings["skipped"] == ""]
    lengths = store.events["offset_s"] - store.events["onset_s"]
    detail = used["detail"].str.cat(sep="; ")
    assert {
        "recordings": len(used),
        "skipped": store.recordings["skipped"].replace("", np.nan).value_counts().to_dict(),
        "subjects": used["subject"].nunique(),
        "seizures": store.events["label"].value_counts().to_dict(),
        "seizure_s": lengths.groupby(store.events["label"]).sum().to_dict(),
        "excluded_s": used["excluded_s"].sum(),
        "duration_s": used["duration_s"].sum(),
        "warnings": {code: detail.count(f"{code}: ") for code in truth["warnings"]},
    } == truth
    assert truth["recordings"] == 10 and truth["seizures"]["seiz"] > 10 and corpus.warnings == ()
    assert used["recording"].tolist() == [f"eeg{n}" for n in range(1, 11)]
    report = data_report(store)
    assert "10 of 10 recordings used" in report and "disagreement" in report and "unannotated" in report


def test_the_bytes_of_a_tree_depend_on_its_arguments_alone(tmp_path):
    def files(name, **settings):
        write_zenodo(tmp_path / name, n_subjects=4, recording_s=60, **settings)
        return {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()}

    one, again, other = files("a"), files("b"), files("c", seed=1)
    assert one == again and one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one if name.startswith(("eeg", "annotations")))
    with pytest.raises(ValueError, match="recordings_per_subject"):
        write_zenodo(tmp_path / "d", n_subjects=4, recordings_per_subject=2)


# ------------------------------------------------------------------------------------------ shared material


def bad_tables():
    """The shared corpus of bad tables; nothing where it is absent."""
    module = bad_module()
    if module is None:
        return []
    module.build_ann()
    return [pytest.param(c, id=c["name"]) for c in module.CASES if c["kind"] == "helsinki_csv"]


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("case", bad_tables())
def test_a_bad_table_is_met_as_the_manifest_says(tmp_path, case):
    path = tmp_path / f"{case['name']}.csv"
    path.write_bytes(case["data"])
    if case["expect"] == "error":
        assert error_of(lambda: read_seconds(path)) == case["reason"]
    else:
        assert {n: s.tolist() for n, s in read_seconds(path).items()} == {1: [0, 1, 1], 2: [0, 0, 0], 3: []}


@pytest.fixture(scope="module")
def real():
    return read_annotations(Path(SHARED) / "data" / "helsinki_annotations")


def events_of(column):
    """Runs of ones, counted where a one follows a zero or the start."""
    return int(np.sum((column == 1) & (np.r_[0, column[:-1]] == 0)))


@pytest.mark.shared
@needs_shared
def test_the_real_tables_agree_with_the_mat_file_and_with_pandas(real):
    folder = Path(SHARED) / "data" / "helsinki_annotations"
    assert real.warnings == () and len(real.files) == 4 and not real.padded  # csv and mat agree on all 79
    for k, name in enumerate(NAMES):
        frame = pd.read_csv(folder / f"annotations_2017_{name}.csv")
        assert [int(c) for c in frame.columns] == sorted(real.experts) == list(range(1, 80))
        for neonate, three in real.experts.items():
            assert np.array_equal(frame[str(neonate)].dropna(), three[k])
    by_mat = read_mat(folder / "annotations_2017.mat")
    assert all(np.array_equal(by_mat[n], three) for n, three in real.experts.items())


@pytest.mark.shared
@needs_shared
def test_the_real_annotations_add_up_to_what_is_published(real):
    columns = [list(column) for column in zip(*real.experts.values(), strict=True)]
    counts = [sum(map(events_of, column)) for column in columns]
    assert counts == [402, 429, 548] and round(sum(counts) / 3) == 460  # as the article says of each
    votes = {n: np.sum(three, axis=0) for n, three in real.experts.items()}  # all three are equally long
    unanimous = [n for n, v in votes.items() if (v == 3).any()]
    by_each = [n for n, three in real.experts.items() if all(column.any() for column in three)]
    assert (len(unanimous), len(by_each)) == (Zenodo.published["recordings_with_seizures"], 40)
    assert sum(not v.any() for v in votes.values()) == 22
    assert np.median([len(v) for v in votes.values()]) / 60 == pytest.approx(74, abs=0.5)


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize(
    "consensus, babies, events, seconds, disputed",
    [("unanimous", 39, 343, 39259, 34583), ("majority", 46, 492, 50612, 0), ("any", 57, 543, 73842, 0)],
)
def test_labels_of_the_real_annotations_are_those_of_a_count_by_pandas(
    tmp_path, real, consensus, babies, events, seconds, disputed
):
    folder = Path(SHARED) / "data" / "helsinki_annotations"
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "eeg1.edf").write_bytes(recording_bytes(20))
    corpus = Zenodo(root=tmp_path, consensus=consensus)
    (ref,) = corpus.recordings()
    header = read_header(ref.path)
    frames = [pd.read_csv(folder / f"annotations_2017_{name}.csv") for name in NAMES]
    needed = {"unanimous": 3, "majority": 2, "any": 1}[consensus]
    total = {"babies": 0, "events": 0, "seconds": 0, "disputed": 0}
    for number, three in real.experts.items():
        path = tmp_path / f"eeg{number}.edf"
        length = len(three[0])
        true = dataclasses.replace(header, n_records=length, onsets_s=np.arange(length, dtype=float))
        labels = corpus.labels(dataclasses.replace(ref, path=path, recording=path.stem), true)
        votes = sum(frame[str(number)].dropna().to_numpy() for frame in frames)
        mask = np.zeros(length, bool)
        for event in labels.events:
            mask[int(event.onset_s) : int(event.offset_s)] = True
        assert np.array_equal(mask, votes >= needed) and labels.warnings == ()
        assert len(labels.events) == events_of(mask)
        total["babies"] += bool(labels.events)
        total["events"] += len(labels.events)
        total["seconds"] += mask.sum()
        total["disputed"] += sum(e.offset_s - e.onset_s for e in labels.excluded)
    assert list(total.values()) == [babies, events, seconds, disputed]
    assert len(corpus.missing) == 78


@pytest.mark.shared
@needs_shared
def test_a_real_neonate_in_the_layout_of_the_corpus_is_read_with_all_19_electrodes():
    """Its last two signals are ``ECG EKG-Ref`` and ``EEG Effort-Ref``: neither is an electrode."""
    eeg = read_eeg(Path(SHARED) / "data" / "neonatal" / "eeg_burst_eg.edf", STANDARD_19)
    assert eeg.warnings == () and eeg.filled == () and (eeg.sfreq, eeg.header.span_s) == (256, 211)
    assert len(eeg.header.labels) == 21 and eeg.pieces[0].eeg_CT.shape == (19, 211 * 256)
    assert [label.upper() for label in eeg.header.labels[:19]] == [f"EEG {n}-REF" for n in STANDARD_19]


def test_the_writer_writes_csv_that_the_standard_library_reads_back():
    text = annotation_csv({4: [0, 1, 1], 9: [0, 0]}, spelling=("0.0", "1.0"), blank="NaN")
    assert list(csv.reader(text.splitlines())) == [["4", "9"], ["0.0", "0.0"], ["1.0", "0.0"], ["1.0", "NaN"]]
