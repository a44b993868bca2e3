"""Every known quirk of the Helsinki neonatal corpus, each in files of its native layout."""

import numpy as np
import pytest
from tools import codes

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.zenodo import (
    SECRET,
    annotation_csv,
    clinical_csv,
    labels,
    recording_bytes,
)
from distilclip_eeg.corpora.zenodo import Zenodo
from distilclip_eeg.corpora.zenodo_files import read_seconds
from distilclip_eeg.schema import DataError, Event
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare

QUIET, ICTAL = [0] * 20, [0] * 5 + [1] * 6 + [0] * 9


def put(root, columns, *, names=("A_fixed", "B", "C"), **spelling):
    """Tables of three experts who agree, and a recording as long as each column."""
    for name in names:
        (root / f"annotations_2017_{name}.csv").write_text(annotation_csv(columns, **spelling))
    for number, column in columns.items():
        reference = "REF" if number < 3 else "Ref"
        data = recording_bytes(len(column), reference=reference, seed=number)
        (root / f"eeg{number}.edf").write_bytes(data)
    return root


def read(root):
    corpus = Zenodo(root=root)
    return {ref.recording: corpus.read(ref) for ref in corpus.recordings()}


def spans(recording):
    return [(e.onset_s, e.offset_s) for e in recording.events]


def test_zenodo_quirk_01_the_row_of_numbers_is_no_second(tmp_path):
    # Neonate 1's number looks like a mark: taken for data it would be a seizure of one second.
    found = read(put(tmp_path, {1: QUIET, 2: ICTAL}))
    assert spans(found["eeg1"]) == [] and spans(found["eeg2"]) == [(5, 11)]
    seconds = read_seconds(tmp_path / "annotations_2017_B.csv")
    assert [len(column) for column in seconds.values()] == [20, 20]


def test_zenodo_quirk_01_a_table_without_its_row_of_numbers_is_refused(tmp_path):
    put(tmp_path, {1: QUIET, 2: ICTAL})
    path = tmp_path / "annotations_2017_C.csv"
    path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(DataError) as caught:
        Zenodo(root=tmp_path).recordings()
    assert caught.value.reason == "bad_value" and "line 1" in str(caught.value)


def test_zenodo_quirk_02_ref_in_either_case_is_the_same_electrode(tmp_path):
    (tmp_path / "both").mkdir()
    root = put(tmp_path / "both", {1: QUIET, 3: QUIET})
    for number, reference in ((1, "REF"), (3, "Ref")):
        uv = {name: np.random.default_rng(k).normal(0, 20, 20 * 256) for k, name in enumerate(STANDARD_19)}
        (root / f"eeg{number}.edf").write_bytes(recording_bytes(20, reference=reference, uv=uv))
    one, three = read(root).values()
    assert one.ch_names == three.ch_names == STANDARD_19
    assert np.array_equal(one.pieces[0].eeg_CT, three.pieces[0].eeg_CT)
    assert one.warnings == three.warnings == ()


@pytest.mark.parametrize("reference", ["Ref", "REF"])
def test_zenodo_quirk_03_heart_and_breath_are_never_a_channel(tmp_path, reference):
    names = labels(reference)
    assert [n.split("-")[0] for n in names[19:]] == ["ECG EKG", "Resp Effort"]
    put(tmp_path, {4: QUIET})
    uv = {name: np.full(20 * 256, float(k)) for k, name in enumerate(STANDARD_19, start=1)}
    uv["FP1"] = uv["FP1"] + np.tile([0.0, 10.0], 10 * 256)  # not all flat
    shuffled = [names[20], *names[1:19], names[19], names[0]]  # they stand first and in the middle
    (tmp_path / "eeg4.edf").write_bytes(recording_bytes(20, names=shuffled, uv=uv))
    rows = read(tmp_path)["eeg4"].pieces[0].eeg_CT
    expected = np.stack([uv[name] for name in STANDARD_19])  # FP1 stands last in the file, Resp in its place
    assert rows.shape == expected.shape and np.abs(rows * 1e6 - expected).max() < 0.08


@pytest.mark.parametrize("blank", ["", "NaN"])
def test_zenodo_quirk_04_blank_tails_are_unknown_not_background(tmp_path, blank):
    put(tmp_path, {4: ICTAL, 9: [0] * 30}, blank=blank)
    (tmp_path / "eeg4.edf").write_bytes(recording_bytes(26))  # goes on 6 s after its annotation
    recording = read(tmp_path)["eeg4"]
    assert spans(recording) == [(5, 11)]
    assert recording.excluded == (Event(20, 26, "unannotated"),)
    assert recording.warnings == ("duration_mismatch: 20 s are annotated, 26 s recorded",)


def test_zenodo_quirk_04_zeros_in_place_of_blank_tails_are_told_from_a_wrong_pair(tmp_path):
    # Re-saved: every column as long as the longest recording of the corpus.
    put(tmp_path, {4: ICTAL, 9: [0] * 60})
    padded = annotation_csv({4: ICTAL + [0] * 40, 9: [0] * 60}, spelling=("0.0", "1.0"))
    for name in ("A_fixed", "B", "C"):
        (tmp_path / f"annotations_2017_{name}.csv").write_text(padded)
    recording = read(tmp_path)["eeg4"]
    assert spans(recording) == [(5, 11)] and recording.excluded == ()
    words = "60 s are annotated, 20 s recorded, the rest is zeros in every column"
    assert recording.warnings == (f"duration_mismatch: {words}",)
    marked = padded.replace("0.0,0.0\n", "1.0,0.0\n")  # marks after the end: another recording's column
    (tmp_path / "annotations_2017_C.csv").write_text(marked)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert caught.value.reason == "duration_mismatch"


def test_zenodo_quirk_04_values_and_numbers_may_be_decimals(tmp_path):
    put(tmp_path, {4: ICTAL}, spelling=("0.0", "1.0"))
    path = tmp_path / "annotations_2017_B.csv"
    path.write_text(path.read_text().replace("4\n", "4.0\n", 1))
    assert spans(read(tmp_path)["eeg4"]) == [(5, 11)]


def test_zenodo_quirk_05_the_corrected_table_of_a_is_preferred(tmp_path):
    put(tmp_path, {4: ICTAL})
    (tmp_path / "annotations_2017_A.csv").write_text(annotation_csv({4: QUIET}))
    corpus = Zenodo(root=tmp_path)
    (ref,) = corpus.recordings()
    assert spans(corpus.read(ref)) == [(5, 11)] and corpus.warnings == ()
    names = [path.name for path in ref.files]
    assert "annotations_2017_A_fixed.csv" in names and "annotations_2017_A.csv" not in names


def test_zenodo_quirk_05_the_old_table_alone_is_used_and_said(tmp_path):
    corpus = Zenodo(root=put(tmp_path, {4: ICTAL}, names=("A", "B", "C")))
    (ref,) = corpus.recordings()
    assert spans(corpus.read(ref)) == [(5, 11)] and codes(corpus.warnings) == ["old_annotations"]
    report = data_report(prepare(corpus, SignalConfig(), tmp_path / "store", n_jobs=1))
    assert "old_annotations: annotations_2017_A.csv was corrected later" in report


def test_zenodo_quirk_06_a_seizure_to_the_last_second_ends_with_the_recording(tmp_path):
    found = read(put(tmp_path, {4: [0] * 14 + [1] * 6, 9: [1] * 20, 12: [0] * 30}))
    assert spans(found["eeg4"]) == [(14, 20)] and spans(found["eeg9"]) == [(0, 20)]
    assert found["eeg4"].excluded == () and found["eeg4"].warnings == ()


def test_zenodo_quirk_07_recordings_are_sorted_by_number(tmp_path):
    put(tmp_path, {n: QUIET for n in (10, 9, 2, 1, 79)})
    refs = Zenodo(root=tmp_path).recordings()
    assert [r.recording for r in refs] == ["eeg1", "eeg2", "eeg9", "eeg10", "eeg79"]
    assert len({r.subject for r in refs}) == 5


def test_zenodo_quirk_07_columns_go_by_their_number_not_by_their_place(tmp_path):
    put(tmp_path, {9: ICTAL, 10: QUIET})
    swapped = annotation_csv({10: QUIET, 9: ICTAL})
    (tmp_path / "annotations_2017_B.csv").write_text(swapped)
    found = read(tmp_path)
    assert spans(found["eeg9"]) == [(5, 11)] and found["eeg10"].excluded == found["eeg10"].events == ()


def test_zenodo_quirk_08_the_shortest_expert_ends_what_is_known(tmp_path):
    put(tmp_path, {4: ICTAL})
    (tmp_path / "annotations_2017_B.csv").write_text(annotation_csv({4: ICTAL[:-1]}))
    recording = read(tmp_path)["eeg4"]
    assert spans(recording) == [(5, 11)] and recording.warnings == ()  # a trailing row is usual
    assert recording.excluded == (Event(19, 20, "unannotated"),)
    (tmp_path / "annotations_2017_B.csv").write_text(annotation_csv({4: ICTAL[:12]}))
    recording = read(tmp_path)["eeg4"]
    assert recording.excluded == (Event(12, 20, "unannotated"),)
    assert recording.warnings[0] == "duration_mismatch: the experts annotated A 20 s, B 12 s, C 20 s"


@pytest.mark.parametrize("number", [1, 25, 62])
def test_zenodo_quirk_09_no_recording_is_left_out_without_a_reason(tmp_path, number):
    (recording,) = read(put(tmp_path, {number: ICTAL})).values()
    assert spans(recording) == [(5, 11)] and recording.warnings == ()


@pytest.mark.parametrize(
    "name", ["clinical_information.csv", "Clinical_Information.CSV", "clincal_information.csv"]
)
def test_zenodo_quirk_10_the_table_of_persons_is_found_however_it_is_spelt(tmp_path, name):
    put(tmp_path, {4: ICTAL})
    (tmp_path / name).write_text(clinical_csv({4: "m"}))
    (tmp_path / f"._{name}").write_bytes(b"what a Mac leaves behind")
    (ref,) = Zenodo(root=tmp_path).recordings()
    metadata = Zenodo(root=tmp_path).read(ref).metadata
    assert metadata == {"sex": "M", "age_band": "neonate", "montage": "native"}
    assert name in [path.name for path in ref.files]  # a change of it rebuilds the store
    assert SECRET not in str(metadata)
