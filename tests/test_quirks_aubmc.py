"""The known quirks of AUBMC, each written in its native layout and read back."""

import numpy as np
import pytest
from tools import codes

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.aubmc import AubmcWindows
from distilclip_eeg.corpora.aubmc_raw import AubmcRaw
from distilclip_eeg.corpora.edf.montage import AUBMC_19
from distilclip_eeg.corpora.invented.layouts.aubmc import (
    noise_windows,
    raw_edf,
    write_arrays,
    write_edf,
    write_table,
)
from distilclip_eeg.schema import Event, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare


def only(corpus):
    (ref,) = corpus.recordings()
    return corpus.read(ref)


def raw(root, name, rows, *, seconds=60, table=True, montage="native", missing="skip", **edf):
    """One file of the raw release and its entry in the time table; the corpus."""
    patient, record = name[1:].split("_Record")
    write_edf(root, name, raw_edf(seconds, **edf))
    if table:
        write_table(root, {int(patient): {int(record): rows}})
    return AubmcRaw(root=root, montage=montage, missing_channels=missing)


@pytest.mark.parametrize("column_labels", [False, True])
def test_aubmc_quirk_01_labels_stand_in_a_row_or_in_a_column(tmp_path, column_labels):
    write_arrays(tmp_path, "train", noise_windows(4), np.array([0, 3, 1, 2]), column_labels)
    assert np.load(tmp_path / "Npy_files" / "y_train.npy").ndim == 1 + column_labels
    assert only(AubmcWindows(root=tmp_path)).events == (
        Event(1, 2, "video_detected"),
        Event(2, 3, "complex_partial"),
        Event(3, 4, "electrographic"),
    )


@pytest.mark.parametrize(
    "counts, warned",
    [
        ((3895, 3079, 705, 111), False),
        ((3895, 3034, 705, 111), False),  # as published, 45 short of the total
        ((3895, 3050, 705, 111), True),
        ((3894, 3079, 705, 111), True),
        ((3895, 3079, 705, 0), True),
    ],
)
def test_aubmc_quirk_02_one_class_is_published_with_two_counts(tmp_path, counts, warned):
    y = np.repeat(np.arange(4), counts)
    (tmp_path / "Npy_files").mkdir()
    for part, labels in (("train", y[779:]), ("test", y[:779])):
        np.save(tmp_path / "Npy_files" / f"y_{part}.npy", labels)
        path = tmp_path / "Npy_files" / f"x_{part}.npy"  # a file of the full size, without its content
        np.lib.format.open_memmap(path, "w+", np.float32, (len(labels), 19, 500)).flush()
    corpus = AubmcWindows(root=tmp_path)
    refs = corpus.recordings()
    assert len(refs) == 2 + -(-(sum(counts) - 779) // 500)
    assert ("count_differs" in codes(corpus.warnings)) == warned


def test_aubmc_quirk_03_a_seizure_past_midnight_stands_in_the_record_of_the_evening(tmp_path):
    # 23:59:30 to 00:00:10 are 40 s.
    recording = only(raw(tmp_path, "p13_Record2", [(0, 0, 10, 12)], clock="23.59.30"))
    assert recording.events == (Event(40, 52, "seiz"),) and recording.warnings == ()


def test_aubmc_quirk_04_a_seizure_of_1358_seconds_is_kept_whole(tmp_path):
    # 10:00:00 to 10:00:20 are 20 s; 20 + 1358 = 1378.
    recording = only(
        raw(tmp_path, "p11_Record4", [(10, 0, 20, 1358)], seconds=1400, clock="10.00.00", midline=False)
    )
    assert recording.events == (Event(20, 1378, "seiz"),) and recording.warnings == ()


def test_aubmc_quirk_05_a_seizure_listed_twice_counts_once(tmp_path):
    rows = [(9, 0, 40, 10), (9, 0, 5, 12), (9, 0, 40, 10)]
    store = prepare(raw(tmp_path, "p12_Record3", rows), SignalConfig(sfreq=500.0), tmp_path / "s", n_jobs=1)
    assert store.events[["onset_s", "offset_s"]].to_numpy().tolist() == [[5, 17], [40, 50]]
    assert "1 recordings with duplicate_event, the first: p12_Record3" in data_report(store)


def test_aubmc_quirk_06_p10_lacks_cz_and_pz(tmp_path):
    rows = [(9, 0, 5, 12)]
    native = only(raw(tmp_path, "p10_Record1", rows, midline=False))
    assert native.ch_names == AUBMC_19 and native.filled == ()
    for montage, missing in (("car19", "Cz, Pz"), ("bipolar18", "Fz-Cz, Cz-Pz")):
        with pytest.raises(SkipRecording, match=f"missing: {missing};") as caught:
            only(AubmcRaw(root=tmp_path, montage=montage))
        assert caught.value.reason == "missing_channels"
    zeroed = only(AubmcRaw(root=tmp_path, montage="car19", missing_channels="zero"))
    assert zeroed.filled == ("CZ", "PZ") and not zeroed.pieces[0].eeg_CT[17:].any()
    made_up = only(AubmcRaw(root=tmp_path, montage="car19", missing_channels="interpolate"))
    assert made_up.filled == ("CZ", "PZ") and made_up.pieces[0].eeg_CT[17:].std() > 1e-6
    with_midline = only(raw(tmp_path / "b", "p11_Record1", rows, montage="car19"))
    assert with_midline.filled == ()


def test_aubmc_quirk_07_manual_and_the_heart_are_no_channels(tmp_path):
    # The last two signals of the file; Manual is level, the ECG jumps by 200 uV every second.
    recording = only(raw(tmp_path, "p14_Record1", [(9, 0, 5, 12)], uv=None))
    assert recording.ch_names == AUBMC_19 and len(recording.pieces[0].eeg_CT) == 19
    assert recording.warnings == ()  # no flat_channel: Manual was not taken
    assert np.abs(recording.pieces[0].eeg_CT).max() < 180e-6  # six SD of the noise; no heart beat


def test_aubmc_quirk_08_patients_count_from_10(tmp_path):
    for name in ("p10_Record1", "p15_Record4", "p15_Record2"):
        corpus = raw(tmp_path, name, [], table=False, seconds=2)
    write_table(tmp_path, {10: {1: []}, 15: {2: [], 4: []}})
    refs = corpus.recordings()
    assert [(r.recording, r.subject) for r in refs] == [
        ("p10_Record1", "p10"),
        ("p15_Record2", "p15"),
        ("p15_Record4", "p15"),
    ]
    assert corpus.missing == ()


def test_aubmc_quirk_09_the_time_table_gives_no_type_so_recordings_have_two_classes(tmp_path):
    recording = only(raw(tmp_path, "p12_Record1", [(9, 0, 5, 12), (9, 0, 30, 10)]))
    assert AubmcRaw.classes == ("bckg", "seiz") and len(AubmcWindows.classes) == 4
    assert {event.label for event in recording.events} == {"seiz"}
