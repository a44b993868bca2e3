"""AUBMC: the ready-made arrays as recordings of one-second pieces; the raw recordings and their table."""

import pickle
import struct

import mne
import numpy as np
import pytest
from tools import bad_module, codes, needs_shared

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig, WindowConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.aubmc import AubmcWindows, open_array
from distilclip_eeg.corpora.aubmc_raw import AubmcRaw, read_table, start_clock
from distilclip_eeg.corpora.edf.montage import AUBMC_19, BIPOLAR_18, STANDARD_19
from distilclip_eeg.corpora.invented.layouts.aubmc import (
    noise_windows,
    raw_edf,
    write_arrays,
    write_aubmc,
    write_aubmc_raw,
    write_edf,
    write_table,
)
from distilclip_eeg.schema import ConfigError, DataError, Event, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.preprocess import preprocess
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.signals.windows import cut, without

AS_THEY_ARE = SignalConfig(l_freq=None, h_freq=None, clip_uv=None, sfreq=500.0, normalize="train")


def refused(call, kind=DataError):
    """Reason and message of the error that ``call`` raises; the message is one line."""
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)
    return caught.value.reason, str(caught.value)


def arrays(root, y, x=None, part="train", **options):
    """One pair of arrays; white noise where no signal is given."""
    y = np.asarray(y)
    write_arrays(root, part, noise_windows(len(y)) if x is None else x, y, **options)
    return AubmcWindows(root=root)


def only(corpus):
    (ref,) = corpus.recordings()
    return corpus.read(ref)


# ------------------------------------------------------------------------------------------------- arrays


def test_windows_come_out_as_pieces_of_one_second_in_volts_with_their_class(tmp_path):
    x = noise_windows(5)
    recording = only(arrays(tmp_path, [0, 1, 0, 3, 2], x))
    assert (recording.sfreq, recording.ch_names, recording.duration_s) == (500.0, AUBMC_19, 5.0)
    assert [piece.start_s for piece in recording.pieces] == [0, 1, 2, 3, 4]
    for piece, window in zip(recording.pieces, x, strict=True):
        np.testing.assert_allclose(piece.eeg_CT, window * 1e-6, rtol=1e-6)
        assert piece.eeg_CT.dtype == np.float32
    assert recording.events == (
        Event(1, 2, "complex_partial"),
        Event(3, 4, "video_detected"),
        Event(4, 5, "electrographic"),
    )
    assert recording.warnings == () and recording.metadata == {"montage": "native"}


def test_a_long_array_becomes_recordings_of_at_most_500_windows_of_like_length(tmp_path):
    y = np.arange(1101) % 4
    corpus = arrays(tmp_path, y)
    refs = corpus.recordings()
    assert [ref.recording for ref in refs] == ["train_00000", "train_00367", "train_00734"]
    assert {ref.subject for ref in refs} == {"unknown"} and {ref.part for ref in refs} == {"train"}
    found = [corpus.read(ref) for ref in refs]
    assert [len(recording.pieces) for recording in found] == [367, 367, 367]
    x = np.load(tmp_path / "Npy_files" / "x_train.npy")
    np.testing.assert_allclose(found[2].pieces[-1].eeg_CT, x[1100] * 1e-6, rtol=1e-6)
    assert found[1].events[0] == Event(0, 1, "video_detected")  # window 367 is of class 3


def test_every_piece_gives_exactly_one_window_with_its_own_class(tmp_path):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 4, 300)
    store = prepare(arrays(tmp_path, y), AS_THEY_ARE, tmp_path / "store", n_jobs=1)
    pieces = without(store.pieces, store.excluded, store.sfreq)
    for overlap in (0.0, 0.5, 0.75):
        for background in (0.0, 0.5):
            settings = WindowConfig(seizure_overlap=overlap, background_overlap=background)
            windows = cut(pieces, store.events, store.classes, store.sfreq, settings)
            assert windows["label"].tolist() == y.tolist()
            assert windows["first"].tolist() == [500 * k for k in range(300)]


def test_the_store_holds_each_window_less_its_mean(tmp_path):
    x = noise_windows(6) + np.float32(40)  # microvolts of offset
    corpus = arrays(tmp_path, [0, 1, 2, 3, 0, 1], x)
    for clean, window in zip(preprocess(only(corpus), AS_THEY_ARE), x, strict=True):
        expected = window - window.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(clean.uv_CT, expected, atol=1e-3)
        assert not clean.short_for_filter and clean.clipped == 0
    store = prepare(corpus, AS_THEY_ARE, tmp_path / "store", n_jobs=1)
    uv = store.signal_TC.reshape(6, 500, 19).swapaxes(1, 2) * store.gain_RC[0][:, None]
    np.testing.assert_allclose(uv, x - x.mean(axis=2, keepdims=True), atol=0.005)  # half a step of int16


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16", ">f4"])
def test_any_plain_type_of_number_is_read_and_memory_order_does_not_matter(tmp_path, dtype):
    x = np.rint(noise_windows(3)).astype(dtype)
    recording = only(arrays(tmp_path, [0, 0, 1], np.asfortranarray(x)))
    np.testing.assert_allclose(recording.pieces[1].eeg_CT, x[1].astype(float) * 1e-6, rtol=1e-5)


@pytest.mark.parametrize("unit, factor", [("uV", 1.0), ("mV", 1e-3), ("V", 1e-6)])
def test_the_unit_is_a_setting_and_another_one_is_noticed(tmp_path, unit, factor):
    write_arrays(tmp_path, "train", noise_windows(3) * np.float32(factor), np.array([0, 0, 1]))
    recording = only(AubmcWindows(root=tmp_path, unit=unit))
    assert recording.pieces[0].eeg_CT.std() == pytest.approx(30e-6, rel=0.02)
    for other in {"uV", "mV", "V"} - {unit}:
        reason, message = refused(lambda other=other: only(AubmcWindows(root=tmp_path, unit=other)))
        assert reason == "implausible_amplitude" and "dataset.unit=" in message


def test_the_unit_is_part_of_the_stores_key(tmp_path):
    corpus = arrays(tmp_path, [0, 1])
    assert corpus.options["unit"] == "uV" and AubmcWindows(root=tmp_path, unit="mV").options["unit"] == "mV"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_number_that_is_none_is_refused_with_its_place(tmp_path, bad):
    x = noise_windows(600).astype(float)
    x[450, 17, 3] = bad
    corpus = arrays(tmp_path, np.arange(600) % 2, x)
    first, second = corpus.recordings()
    corpus.read(first)
    reason, message = refused(lambda: corpus.read(second))
    assert reason == "non_finite" and "window 450, A1" in message


def test_windows_without_any_change_are_said(tmp_path):
    x = noise_windows(4)
    x[2] = 7.0
    recording = only(arrays(tmp_path, [0, 0, 1, 1], x))
    assert recording.warnings == ("flat_window: 1 windows in which no channel changes",)


@pytest.mark.parametrize(
    "x, y, reason, words",
    [
        (np.ones((4, 500, 19)), [0] * 4, "bad_shape", "(n, 19, 500)"),
        (np.ones((4, 19, 250)), [0] * 4, "bad_shape", "(4, 19, 250)"),
        (np.ones((4, 19)), [0] * 4, "bad_shape", "(4, 19)"),
        (np.ones((4, 19, 500)), np.eye(4, dtype=int), "bad_shape", "(4, 4)"),
        (np.ones((1, 19, 500)), np.int64(0), "bad_shape", "()"),
        (np.ones((4, 19, 500)), [0] * 5, "count_mismatch", "5 classes for 4 windows"),
        (np.ones((4, 19, 500)), [0, 1, 4, 2], "unknown_label", "class 4 of window 2"),
        (np.ones((4, 19, 500)), [0, -1, 1, 2], "unknown_label", "class -1 of window 1"),
        (np.ones((4, 19, 500)), [0, 1.5, 1, 2], "unknown_label", "class 1.5 of window 1"),
        (np.ones((4, 19, 500)), [0, np.nan, 1, 2], "unknown_label", "class nan of window 1"),
        (np.ones((4, 19, 500)), ["0", "1", "2", "3"], "bad_dtype", "y_train.npy"),
        (np.ones((4, 19, 500), complex), [0] * 4, "bad_dtype", "x_train.npy"),
        (np.ones((4, 19, 500), bool), [0] * 4, "bad_dtype", "bool"),
        (np.ones((0, 19, 500)), np.zeros(0, int), "no_rows", "empty"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, x, y, reason, words):
    write_arrays(tmp_path, "train", x, np.asarray(y))
    found, message = refused(AubmcWindows(root=tmp_path).recordings)
    assert found == reason and words in message and str(tmp_path) in message


def test_whole_numbers_written_as_floats_are_classes(tmp_path):
    assert only(arrays(tmp_path, [0.0, 2.0])).events == (Event(1, 2, "electrographic"),)


# ------------------------------------------------------------------------------------- files with a sting


class Canary:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def claim(shape, body=b"\0" * 16, version=1):
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape!r}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(head)) + head + body


def test_python_objects_are_refused_and_nothing_of_them_is_run(tmp_path):
    flag = tmp_path / "code_ran"
    arrays(tmp_path, [0])
    np.save(tmp_path / "Npy_files" / "x_train.npy", np.array([Canary(str(flag))]), allow_pickle=True)
    reason, message = refused(AubmcWindows(root=tmp_path).recordings)
    assert reason == "unsafe_array" and "x_train.npy" in message and not flag.exists()
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Canary(str(flag))))
    assert refused(lambda: open_array(tmp_path / "a.npy"))[0] == "not_npy" and not flag.exists()


@pytest.mark.parametrize("shape", [(2**37,), (2**62, 2**62), (1,), (3,), (-1, -2), (2**62, 0)])
def test_a_header_that_claims_another_size_than_the_file_has_is_refused_at_once(tmp_path, shape):
    path = tmp_path / "a.npy"
    path.write_bytes(claim(shape))
    assert refused(lambda: open_array(path))[0] == "size_mismatch"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04" + b"\0" * 100,
        claim((2,), version=9),
        claim((2,))[:40],
        b"\x93NUMPY\x01\0\x10\0" + b"(" * 16,
        b"\x93NUMPY\x01\0\x10\0" + b"{'shape': (1,) }",
        b"\x93NUMPY\x02\0" + struct.pack("<I", 2**31) + b"-" * 5000,
        claim((2,)).replace(b"'<f8'", b"'xyz'"),
        b"<!DOCTYPE html>",
    ],
)
def test_what_is_no_array_is_refused(tmp_path, data):
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    assert refused(lambda: open_array(path))[0] == "not_npy"


def test_an_array_that_cannot_be_opened_is_refused(tmp_path):
    assert refused(lambda: open_array(tmp_path / "a.npy"))[0] == "unreadable"
    assert refused(lambda: open_array(tmp_path))[0] == "unreadable"


def test_a_good_array_is_mapped_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    found = open_array(tmp_path / "a.npy")
    assert isinstance(found, np.memmap) and not found.flags.writeable
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


def bad_arrays():
    """The shared cases of kind npy; nothing where they are absent."""
    module = bad_module()
    if module is None:
        return []
    return [("obj_pickle_npy", module._npy_obj, "unsafe_array")] + [
        ("npy_claims_1TB", lambda flag: module._npy_claim((2**37,)), "size_mismatch")
    ]


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("name, make, reason", bad_arrays())
def test_a_bad_array_is_met_as_the_manifest_says(tmp_path, name, make, reason):
    flag = tmp_path / "CANARY_CODE_RAN"
    path = tmp_path / f"{name}.npy"
    path.write_bytes(make(str(flag)))
    assert refused(lambda: open_array(path))[0] == reason and not flag.exists()


# ------------------------------------------------------------------------------------- settings and folder


def test_only_what_arrays_without_names_allow_can_be_set():
    for settings, key in (
        ({"montage": "car19"}, "signals.montage"),
        ({"montage": "bipolar18"}, "signals.montage"),
        ({"missing_channels": "zero"}, "dataset.missing_channels"),
        ({"missing_channels": "interpolate"}, "dataset.missing_channels"),
        ({"unit": "nV"}, "dataset.unit"),
    ):
        with pytest.raises(ConfigError, match=key):
            AubmcWindows(root="x", **settings)


def test_the_arrays_may_lie_in_the_root_and_their_names_may_be_in_any_case(tmp_path):
    arrays(tmp_path, [0, 1])
    (tmp_path / "Npy_files").rename(tmp_path / "NPY_FILES")
    (tmp_path / "NPY_FILES" / "x_train.npy").rename(tmp_path / "NPY_FILES" / "X_train.npy")
    for root in (tmp_path, tmp_path / "NPY_FILES", str(tmp_path)):
        assert len(only(AubmcWindows(root=root)).pieces) == 2


def test_an_array_that_is_missing_with_its_labels_is_listed(tmp_path):
    corpus = arrays(tmp_path, [0, 1])
    assert len(corpus.recordings()) == 1 and corpus.missing == ("x_test.npy", "y_test.npy")
    assert codes(corpus.warnings)[:3] == ["listed_file_missing", "listed_file_missing", "count_differs"]


@pytest.mark.parametrize("gone", ["x_train.npy", "y_train.npy"])
def test_windows_without_classes_or_the_reverse_are_refused(tmp_path, gone):
    corpus = arrays(tmp_path, [0, 1])
    (tmp_path / "Npy_files" / gone).unlink()
    reason, message = refused(corpus.recordings)
    assert reason == "missing_file" and gone in message


@pytest.mark.parametrize("corpus", [AubmcWindows, AubmcRaw])
@pytest.mark.parametrize(
    "build, reason",
    [
        (lambda root: None, "missing_root"),
        (lambda root: root.write_text(""), "missing_root"),
        (lambda root: root.mkdir(), "empty_root"),
        (lambda root: (root / "tusz").mkdir(parents=True), "no_recordings"),
        (lambda root: (root / "Npy_files").mkdir(parents=True), "no_recordings"),
        (lambda root: (root / "Raw_EDF_Files").mkdir(parents=True), "no_recordings"),
    ],
)
def test_a_root_without_the_corpus_is_refused_with_what_to_do(tmp_path, corpus, build, reason):
    root = tmp_path / "data"
    build(root)
    found, message = refused(corpus(root=root).recordings)
    assert found == reason and str(root) in message and "dataset.root=" in message


def test_a_channel_order_and_a_unit_that_are_taken_for_granted_are_said(tmp_path):
    corpus = arrays(tmp_path, [0, 1])
    corpus.recordings()
    assert codes(corpus.warnings)[-2:] == ["assumed_channel_order", "assumed_unit"]
    assert corpus.identified is False


@pytest.mark.parametrize("name, cls", [("aubmc", AubmcWindows), ("aubmc_raw", AubmcRaw)])
def test_the_config_builds_the_corpus(tmp_path, name, cls):
    settings = load(TrainSettings, [f"dataset={name}", f"dataset.root={tmp_path}"])
    corpus, signals = settings.dataset.corpus.build(), settings.signals
    assert isinstance(corpus, cls) and corpus.name == name == settings.dataset.name
    assert (signals.sfreq, settings.windows.seizure_overlap) == (500.0, 0.75)
    assert (signals.l_freq, signals.h_freq) == ((None, None) if name == "aubmc" else (0.1, 70.0))


# ------------------------------------------------------------------------------------------- whole trees


@pytest.mark.parametrize("column_labels", [False, True])
def test_an_invented_set_of_arrays_is_read_as_it_was_written(tmp_path, column_labels):
    truth = write_aubmc(tmp_path, recording_s=40, column_labels=column_labels, dtype="float64")
    corpus = AubmcWindows(root=tmp_path)
    store = prepare(corpus, AS_THEY_ARE, tmp_path / "store", n_jobs=2)
    used = store.recordings
    assert (used["skipped"] == "").all() and len(used) == truth["recordings"]
    assert used["duration_s"].sum() == truth["duration_s"]
    assert store.events["label"].value_counts().to_dict() == truth["seizures"]
    lengths = store.events.eval("offset_s - onset_s").groupby(store.events["label"]).sum()
    assert lengths.to_dict() == truth["seizure_s"]
    report = data_report(store)
    assert "count_differs" in report and "assumed_channel_order" in report
    y = [np.load(tmp_path / "Npy_files" / f"y_{part}.npy").ravel() for part in ("train", "test")]
    shares = [np.bincount(part, minlength=4) / len(part) for part in y]
    np.testing.assert_allclose(*shares, atol=0.02)  # both parts have the classes in one proportion


@pytest.mark.parametrize("by_patient", [False, True])
def test_an_invented_set_of_recordings_is_read_as_it_was_written(tmp_path, by_patient):
    truth = write_aubmc_raw(tmp_path, n_subjects=5, recordings_per_subject=2, recording_s=40)
    table = read_table(tmp_path / "Preprocessing_Scripts" / "Seizure_times.py")
    if by_patient:
        other = write_aubmc_raw(
            tmp_path, n_subjects=5, recordings_per_subject=2, recording_s=40, by_patient=True
        )
        assert other == truth
        assert read_table(tmp_path / "Preprocessing_Scripts" / "Seizure_times.py") == table
    store = prepare(AubmcRaw(root=tmp_path), SignalConfig(sfreq=500.0), tmp_path / "store", n_jobs=2)
    used = store.recordings[store.recordings["skipped"] == ""]
    skipped = store.recordings["skipped"].value_counts().drop("").to_dict()
    assert (len(used), skipped) == (truth["recordings"], truth["skipped"])
    assert used["subject"].unique().tolist() == ["p10", "p11", "p12", "p13", "p14"]
    assert used["duration_s"].sum() == truth["duration_s"]
    assert store.events["label"].value_counts().to_dict() == truth["seizures"]
    assert store.events.eval("offset_s - onset_s").sum() == truth["seizure_s"]["seiz"]
    warned = used["detail"].str.split("; ").explode().str.partition(": ")[0].value_counts()
    assert warned.drop("", errors="ignore").to_dict() == truth["warnings"]


def test_the_bytes_of_a_tree_depend_on_its_settings_alone(tmp_path):
    for write in (write_aubmc, write_aubmc_raw):
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            write(tmp_path / name, n_subjects=1, recordings_per_subject=3, recording_s=40, seed=seed)
    files = {name: {p.name: p.read_bytes() for p in sorted((tmp_path / name).rglob("*.*"))} for name in "abc"}
    assert files["a"] == files["b"] and files["a"] != files["c"] and len(files["a"]) == 9


# --------------------------------------------------------------------------------------------- recordings


def raw(root, times, clock="09.00.00", seconds=60, **edf):
    """p11's first record and a table; its corpus."""
    write_edf(root, "p11_Record1", raw_edf(seconds, clock=clock, **edf))
    write_table(root, times)
    return AubmcRaw(root=root)


def test_a_recording_is_what_mne_reads_in_the_order_of_the_arrays(tmp_path):
    recording = only(raw(tmp_path, {11: {1: [(9, 0, 10, 20)]}}, sex="F"))
    assert (recording.sfreq, recording.ch_names) == (500.0, AUBMC_19)
    assert recording.events == (Event(10, 30, "seiz"),)
    assert recording.metadata == {"sex": "F", "montage": "native"} and recording.warnings == ()
    other = mne.io.read_raw_edf(recording.ref.path, verbose="error")
    names = [name for wanted in AUBMC_19 for name in other.ch_names if name.upper() == f"EEG {wanted}-REF"]
    np.testing.assert_allclose(recording.pieces[0].eeg_CT, other.get_data(picks=names), atol=1e-9)


def test_other_montages_are_made_of_the_electrodes(tmp_path):
    raw(tmp_path, {11: {1: []}})
    native = only(AubmcRaw(root=tmp_path))
    uv = dict(zip(native.ch_names, native.pieces[0].eeg_CT, strict=True))
    pairs = only(AubmcRaw(root=tmp_path, montage="bipolar18"))
    assert pairs.ch_names == BIPOLAR_18
    np.testing.assert_allclose(pairs.pieces[0].eeg_CT[0], uv["FP1"] - uv["F7"], atol=1e-10)
    average = only(AubmcRaw(root=tmp_path, montage="car19"))
    assert average.ch_names == STANDARD_19
    np.testing.assert_allclose(average.pieces[0].eeg_CT.sum(axis=0), 0, atol=1e-9)


def test_files_are_found_from_the_release_or_from_the_folder_of_files(tmp_path):
    raw(tmp_path / "release", {11: {1: [(9, 0, 10, 20)]}})
    edfs = (tmp_path / "release" / "Raw_EDF_Files").rename(tmp_path / "release" / "raw_edf_FILES")
    (edfs / "p11_Record1.edf").rename(edfs / "P11_record1.EDF")
    (edfs / "._p11_Record1.edf").write_bytes(b"")  # what a Mac leaves behind
    for root in (tmp_path / "release", edfs):
        recording = only(AubmcRaw(root=root))
        assert recording.events == (Event(10, 30, "seiz"),) and recording.ref.subject == "p11"
        assert [p.name for p in recording.ref.files] == ["P11_record1.EDF", "Seizure_times.py"]
    (tmp_path / "release" / "Preprocessing_Scripts" / "Seizure_times.py").rename(edfs / "seizure_times.py")
    assert only(AubmcRaw(root=edfs)).events == (Event(10, 30, "seiz"),)


def test_without_its_one_table_nothing_is_read(tmp_path):
    corpus = raw(tmp_path, {11: {1: []}})
    table = tmp_path / "Preprocessing_Scripts" / "Seizure_times.py"
    (tmp_path / "Seizure_times.py").write_bytes(table.read_bytes())
    assert refused(corpus.recordings)[0] == "two_tables"
    (tmp_path / "Seizure_times.py").unlink()
    table.unlink()
    assert refused(corpus.recordings)[0] == "missing_table"


def test_a_file_that_the_table_does_not_name_is_skipped_and_one_it_names_in_vain_is_listed(tmp_path):
    corpus = raw(tmp_path, {11: {1: []}, 12: {3: [(1, 2, 3, 4)]}})
    for name in ("p11_Record2", "p12_Record1", "calibration"):
        write_edf(tmp_path, name, raw_edf(12))
    calibration, known, *others = corpus.recordings()
    assert corpus.missing == ("p12_Record3.edf",) and codes(corpus.warnings) == ["listed_file_missing"]
    assert corpus.read(known).events == ()
    for ref in (calibration, *others):
        reason, message = refused(lambda ref=ref: corpus.read(ref), SkipRecording)
        assert reason == "unknown_seizures" and ref.path.name in message


def test_a_clock_far_from_the_recording_means_that_the_two_do_not_belong_together(tmp_path):
    corpus = raw(tmp_path, {11: {1: [(10, 0, 0, 20)]}})
    assert refused(lambda: only(corpus), SkipRecording)[0] == "annotation_outside"


@pytest.mark.parametrize("clock, second", [("09.14.30", 33270), ("23:59:59", 86399), ("00.00.00", 0)])
def test_the_start_is_read_from_the_header(tmp_path, clock, second):
    assert start_clock(write_edf(tmp_path, "p10_Record1", raw_edf(2, clock=clock))) == second


@pytest.mark.parametrize("clock", ["24.00.00", "12.60.00", "12.00.60", "xx.yy.zz", "", "9.00.00"])
def test_a_recording_without_a_start_is_skipped_where_it_has_seizures(tmp_path, clock):
    corpus = raw(tmp_path / "a", {11: {1: [(9, 0, 10, 20)]}}, clock=clock)
    assert refused(lambda: only(corpus), SkipRecording)[0] == "bad_start_time"
    assert only(raw(tmp_path / "b", {11: {1: []}}, clock=clock)).events == ()


def test_a_start_at_midnight_is_believed_and_said(tmp_path):
    recording = only(raw(tmp_path, {11: {1: [(0, 0, 10, 20)]}}, clock="00.00.00"))
    assert recording.events == (Event(10, 30, "seiz"),) and codes(recording.warnings) == ["midnight_start"]


# --------------------------------------------------------------------------------------------- time table


def table_of(tmp_path, text):
    path = tmp_path / "Seizure_times.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path)


@pytest.mark.parametrize(
    "text",
    [
        "t = {10: {1: [(9, 14, 30, 22)], 2: []}, 11: {1: [(0, 3, 5, 41), (0, 9, 0, 10)]}}",
        "seizures_10 = {1: [(9, 14, 30, 22)], 2: []}\nseizures_11 = {1: [(0, 3, 5, 41), (0, 9, 0, 10)]}",
        "p10 = {1: ((9, 14, 30, 22),), 2: ()}\np11 = {1: [[0, 3, 5, 41], [0, 9, 0, 10]]}",
        "a = {10: {1: [(9, 14, 30, 22)], 2: []}}\nb = {11: {1: [(0, 3, 5, 41), (0, 9, 0, 10)]}}",
        b"\xef\xbb\xbf# a comment\r\n'''What this is.'''\r\nt = {10: {1: [(9, 14, 30.0, 22)], 2: []},\r\n"
        b"     11: {1: [(0, 3, 5, 41),  # note\r\n (0, 9, 0, 10)]}}\r\n",
    ],
)
def test_a_table_is_read_in_either_form(tmp_path, text):
    # 9 h 14 min 30 s is second 33270 of the day, 0 h 3 min 5 s second 185, 0 h 9 min second 540.
    expected = {(10, 1): [(33270, 22)], (10, 2): [], (11, 1): [(185, 41), (540, 10)]}
    assert table_of(tmp_path, text) == expected


@pytest.mark.parametrize(
    "text, reason",
    [
        ("import os\nt = {10: {1: []}}", "unsafe_table"),
        ("t = {10: {1: []}}\nopen('FLAG', 'w')", "unsafe_table"),
        ("t = {10: {1: [open('FLAG', 'w')]}}", "unsafe_table"),
        ("t = dict()", "unsafe_table"),
        ("t = {10: {1: [(1, 2, 3, 60 * 4)]}}", "unsafe_table"),
        ("t = {10: {1: []}, **{}}", "unsafe_table"),
        ("a_10 = {1: []}\nt = {10: a_10}", "unsafe_table"),
        ("t = {10: {1: []}}\nt[10][1].append((1, 2, 3, 4))", "unsafe_table"),
        ("t = {10: {}}\nt[11] = {1: []}", "unsafe_table"),
        ("t = {10: {1: []}}\nfor k in t: del t[k]", "unsafe_table"),
        ("t = u = {10: {1: []}}", "unsafe_table"),
        ("t = {[]: {1: []}}", "unsafe_table"),
        ("t = {10: {1: [(1, 2, 3", "bad_row"),
        (b"t = {10: {1: []}}\0", "bad_row"),
        (b"\xff\xfe\xff", "bad_row"),
        ("-" * 9000 + "1", "bad_row"),
        ("t = " + "{1:" * 300 + "1" + "}" * 300, "bad_row"),
        ("t = [(1, 2, 3, 4)]", "bad_row"),
        ("t = {1: [(1, 2, 3, 4)]}", "bad_row"),
        ("t = {10: {1: []}, 11: [(1, 2, 3, 4)]}", "bad_row"),
        ("t = {'10': {1: []}}", "bad_row"),
        ("t = {10: {True: []}}", "bad_row"),
        ("t = {10: {1: 5}}", "bad_row"),
        ("t = {10: {1: [(1, 2, 3)]}}", "bad_row"),
        ("t = {10: {1: [1, 2, 3, 4]}}", "bad_row"),
        ("t = {10: {1: ['1234']}}", "bad_row"),
        ("t = {10: {1: [(1, 2, '3', 4)]}}", "bad_number"),
        ("t = {10: {1: [(1, 2, 3, 1e999)]}}", "bad_number"),
        ("t = {10: {1: [(24, 0, 0, 4)]}}", "bad_number"),
        ("t = {10: {1: [(1, 60, 0, 4)]}}", "bad_number"),
        ("t = {10: {1: [(1, 0, -1, 4)]}}", "bad_number"),
        ("t = {10: {1: [(1, 0, 1, -4)]}}", "bad_interval"),
        ("t = {10: {1: [(1, 0, 1, 4)], 1: []}}", "duplicate_file"),
        ("t = {10: {1: []}, 10: {2: []}}", "duplicate_file"),
        ("seizures_10 = {1: []}\np10 = {1: []}", "duplicate_file"),
        ("", "no_rows"),
        ("# nothing\n", "no_rows"),
        ("t = {}", "no_rows"),
        ("t = {10: {}}", "no_rows"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused_and_never_run(tmp_path, monkeypatch, text, reason):
    monkeypatch.chdir(tmp_path)
    found, message = refused(lambda: table_of(tmp_path, text))
    assert found == reason and "Seizure_times.py, line" in message
    assert not (tmp_path / "FLAG").exists()
