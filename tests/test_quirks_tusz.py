"""Every numbered quirk of TUSZ, written as the release has it and read back."""

import numpy as np
import pytest
from tools import codes

from distilclip_eeg.config.data import SignalConfig, WindowConfig
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.corpora.invented.layouts.tusz import EXTRAS, Recipe, signals_of, write_recording
from distilclip_eeg.corpora.tusz import Tusz
from distilclip_eeg.schema import DataError, Event, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare, store_digest
from distilclip_eeg.signals.windows import cut, without

FNSZ = (Event(5, 9, "fnsz"),)


def only(root, **settings):
    corpus = Tusz(root=root, **settings)
    (ref,) = corpus.recordings()
    return corpus.read(ref)


def windows_of(root, folder, **settings):
    """The window index of what lies below ``root``."""
    store = prepare(Tusz(root=root, **settings), SignalConfig(), folder, n_jobs=1)
    pieces = without(store.pieces, store.excluded, store.sfreq)
    return cut(pieces, store.events, store.classes, store.sfreq, WindowConfig(seizure_overlap=0.75))


def noise(seconds, sfreq, seed=0):
    rng = np.random.default_rng(seed)
    names = (*STANDARD_19, "A1", "A2")
    return {name: rng.normal(0.0, 30.0, seconds * sfreq) for name in names}


def as_uv(recording):
    """Microvolts of a recording of one piece, by channel."""
    return dict(zip(recording.ch_names, recording.pieces[0].eeg_CT * 1e6, strict=True))


def test_tusz_quirk_01_a_background_row_of_a_second_does_not_end_the_recording(tmp_path):
    row = [("TERM", 0.0059, 1.0373, "bckg")]
    write_recording(tmp_path, Recipe(seconds=601, extras=()), csv_bi=row)
    recording = only(tmp_path, labels="binary")
    assert (recording.duration_s, recording.events, recording.warnings) == (601, (), ())
    assert only(tmp_path).events == ()  # and by the .csv
    windows = windows_of(tmp_path, tmp_path / "store", labels="binary")
    assert len(windows) == 601 and set(windows["label"]) == {0}


def test_tusz_quirk_02_background_is_what_no_seizure_row_covers(tmp_path):
    row = [("TERM", 5.0, 9.0, "seiz")]
    write_recording(tmp_path, Recipe(seconds=20), csv=[("T5-O1", 5.0, 9.0, "fnsz")], csv_bi=row)
    for mode, label in (("types", "fnsz"), ("binary", "seiz")):
        assert only(tmp_path, labels=mode).events == (Event(5, 9, label),)
        windows = windows_of(tmp_path, tmp_path / mode, labels=mode)
        assert (windows["label"] == 0).sum() == 5 + 11  # seconds 0 to 5 and 9 to 20
        assert (windows["label"] > 0).sum() == 4 * 4  # each second in steps of a quarter


def test_tusz_quirk_03_linked_ears_give_the_same_19_and_are_said(tmp_path):
    uv = noise(20, 256)
    write_recording(tmp_path / "ref", Recipe(montage="01_tcp_ar"), uv=uv)
    write_recording(tmp_path / "le", Recipe(montage="02_tcp_le", extras=EXTRAS[2]), uv=uv)
    ref, le = only(tmp_path / "ref"), only(tmp_path / "le")
    header = read_header(next(tmp_path.glob("le/**/*.edf")))
    assert "EEG FP1-LE" in header.labels and not any("-REF" in label for label in header.labels)
    assert np.array_equal(ref.pieces[0].eeg_CT, le.pieces[0].eeg_CT)
    assert (codes(ref.warnings), codes(le.warnings)) == ([], ["linked_ear_reference"])
    assert le.metadata["tcp_montage"] == "02_tcp_le"


MIDLINE = dict(montage="03_tcp_ar_a", seconds=20, extras=("EEG EKG1-REF",), midline=False)


def test_tusz_quirk_04_a_file_without_fz_and_pz_is_skipped_by_default(tmp_path):
    write_recording(tmp_path, Recipe(**MIDLINE))
    header = read_header(next(tmp_path.glob("**/*.edf")))
    assert len(header.labels) == 18  # 17 electrodes and EKG, as in the release
    with pytest.raises(SkipRecording, match="2 of 19 montage channels are missing: FZ, PZ") as caught:
        only(tmp_path)
    assert caught.value.reason == "missing_channels"


@pytest.mark.parametrize("policy", ["zero", "interpolate"])
def test_tusz_quirk_04_fz_and_pz_may_be_filled_and_nothing_else_moves(tmp_path, policy):
    rng = np.random.default_rng(0)
    uv = potentials(rng, person(0, 0), 20, [(5, 15)], 256, kind=0)
    write_recording(tmp_path / "all", Recipe(seconds=20), uv=uv)
    write_recording(tmp_path / "lacking", Recipe(**MIDLINE), uv=uv)
    whole, filled = only(tmp_path / "all"), only(tmp_path / "lacking", missing_channels=policy)
    a, b = as_uv(whole), as_uv(filled)
    assert (filled.filled, codes(filled.warnings)) == (("FZ", "PZ"), ["filled_channels"])
    assert filled.ch_names == STANDARD_19
    for name in STANDARD_19:
        if name not in ("FZ", "PZ"):
            assert np.array_equal(a[name], b[name]), name
        elif policy == "zero":
            assert not b[name].any()
        else:
            assert np.corrcoef(a[name], b[name])[0, 1] > 0.8


def test_tusz_quirk_05_earlobes_are_not_needed(tmp_path):
    path = write_recording(tmp_path, Recipe(montage="03_tcp_ar_a", seizures=FNSZ))
    labels = read_header(path).labels
    assert (
        not {"EEG A1-REF", "EEG A2-REF"} & set(labels) and "A1-T3" not in path.with_suffix(".csv").read_text()
    )
    recording = only(tmp_path)
    assert (recording.events, recording.filled, recording.warnings) == (FNSZ, (), ())


@pytest.mark.parametrize("sfreq", [250, 256, 400, 512, 1000])
def test_tusz_quirk_06_the_rate_is_that_of_the_electrodes(tmp_path, sfreq):
    path = write_recording(tmp_path, Recipe(sfreq=sfreq, extras=EXTRAS[0]))
    assert sorted(set(read_header(path).sfreqs)) == [1, sfreq]  # IBI, BURSTS, SUPPR
    recording = only(tmp_path)
    assert (recording.sfreq, recording.duration_s, recording.warnings) == (sfreq, 20, ())
    store = prepare(Tusz(root=tmp_path), SignalConfig(), tmp_path / "store", n_jobs=1)
    assert store.pieces["n_samples"].tolist() == [20 * 256]


def test_tusz_quirk_06_electrodes_of_two_rates_are_said(tmp_path):
    path = write_recording(tmp_path, Recipe())
    slow, fast = (signals_of(Recipe(sfreq=rate, extras=())) for rate in (250, 500))
    path.write_bytes(edf_bytes([*fast[:10], *slow[10:]]))
    recording = only(tmp_path)
    assert (recording.sfreq, codes(recording.warnings)) == (500, ["mixed_eeg_rates"])


@pytest.mark.parametrize("extras", EXTRAS, ids=["ekg", "numbered", "dc", "none"])
@pytest.mark.parametrize("backwards", [False, True])
def test_tusz_quirk_07_what_else_is_called_eeg_never_takes_an_electrodes_place(tmp_path, extras, backwards):
    uv = noise(20, 256)
    path = write_recording(tmp_path, Recipe(extras=extras, backwards=backwards), uv=uv)
    assert ("EEG 26-REF" in read_header(path).labels) == (extras == EXTRAS[1])
    recording = only(tmp_path)
    assert recording.ch_names == STANDARD_19 and recording.warnings == ()
    step = 2 * 4999.85 / 65534
    for name, row in as_uv(recording).items():
        assert np.abs(row - uv[name]).max() < 0.51 * step, name


@pytest.mark.parametrize("seconds, expected", [(5, 1), (7, 1), (20, 0)])
def test_tusz_quirk_08_short_recordings_are_used_and_said(tmp_path, seconds, expected):
    write_recording(tmp_path, Recipe(seconds=seconds))
    assert codes(only(tmp_path).warnings) == ["short_for_filter"] * expected
    assert len(windows_of(tmp_path, tmp_path / "store")) == seconds


def test_tusz_quirk_08_an_hour_is_read_as_one_piece(tmp_path):
    write_recording(
        tmp_path, Recipe(seconds=3600, sfreq=250, extras=(), seizures=(Event(3590, 3600, "tcsz"),))
    )
    recording = only(tmp_path)
    assert (recording.duration_s, len(recording.pieces), len(recording.warnings)) == (3600, 1, 0)
    assert recording.events == (Event(3590, 3600, "tcsz"),)


def test_tusz_quirk_08_less_than_a_window_is_skipped(tmp_path):
    path = write_recording(tmp_path, Recipe(seconds=1))
    path.write_bytes(edf_bytes(signals_of(Recipe(seconds=1, sfreq=128, extras=())), record_s=0.5, claim=1))
    path.write_bytes(path.read_bytes()[: -21 * 64 * 2])
    write_recording(tmp_path, Recipe(patient="aaaaaabb"))
    store = prepare(Tusz(root=tmp_path), SignalConfig(), tmp_path / "store", n_jobs=1)
    assert store.recordings["skipped"].tolist() == ["too_short", ""]
    assert "skipped 1 (too_short): " in data_report(store)


def test_tusz_quirk_09_rows_past_the_end_are_cut_and_rows_on_one_channel_joined(tmp_path):
    rows = [("FP1-F7", 2, 8, "fnsz"), ("FP1-F7", 6, 11, "fnsz"), ("F7-T3", 15, 21.5, "fnsz")]
    both = [("TERM", 2, 11, "seiz"), ("TERM", 15, 21.5, "seiz")]
    write_recording(tmp_path, Recipe(seconds=20), csv=rows, csv_bi=both)
    recording = only(tmp_path)
    assert recording.events == (Event(2, 11, "fnsz"), Event(15, 20, "fnsz"))
    assert codes(recording.warnings) == ["overlapping_events", "annotation_outside"]


def test_tusz_quirk_09_overlapping_rows_of_two_types_both_count_on_a_channel_of_the_montage(tmp_path):
    rows = [("FP1-F7", 2, 8, "fnsz"), ("FP1-F7", 6, 11, "cpsz")]  # 6 against 5 channel-seconds
    write_recording(tmp_path, Recipe(seconds=20), csv=rows, csv_bi=[("TERM", 2, 11, "seiz")])
    recording = only(tmp_path)
    assert recording.events == (Event(2, 11, "fnsz"),)
    assert codes(recording.warnings) == ["overlapping_events", "mixed_types"]


def test_tusz_quirk_10_a_recording_under_two_montages_is_read_once_from_03(tmp_path):
    uv = {montage: noise(20, 256, seed) for seed, montage in enumerate(("01_tcp_ar", "03_tcp_ar_a"))}
    for session in ("s003_2012", "s010_2013"):
        for montage, signals in uv.items():
            recipe = Recipe(patient="aaaaaqvx", part="eval", session=session, montage=montage)
            write_recording(tmp_path, recipe, uv=signals)
    corpus = Tusz(root=tmp_path)
    refs = corpus.recordings()
    assert [ref.recording for ref in refs] == ["aaaaaqvx_s003_t000", "aaaaaqvx_s010_t000"]
    assert {ref.path.parent.name for ref in refs} == {"03_tcp_ar_a"}
    assert corpus.warnings == (
        "duplicate_recording: 2 recordings stand under two montages, the later is read: aaaaaqvx_s003_t000",
    )
    row = as_uv(corpus.read(refs[0]))["FP1"]
    assert np.abs(row - uv["03_tcp_ar_a"]["FP1"]).max() < 0.1


@pytest.mark.parametrize("suffix", [".csv", ".csv_bi"])
def test_tusz_quirk_11_an_edited_annotation_gives_another_store(tmp_path, suffix):
    path = write_recording(tmp_path, Recipe(seizures=FNSZ)).with_suffix(suffix)
    digest = store_digest(corpus := Tusz(root=tmp_path), corpus.recordings(), SignalConfig())
    path.write_text(path.read_text().replace("9.0000", "9.0100"))
    assert store_digest(corpus, corpus.recordings(), SignalConfig()) != digest


def test_tusz_quirk_12_the_clock_tells_recordings_apart_no_more(tmp_path):
    uv = noise(20, 256)
    write_recording(tmp_path, Recipe(token=0, seizures=FNSZ), uv=uv)
    write_recording(tmp_path, Recipe(token=2), uv=uv)  # t001 is lacking
    corpus = Tusz(root=tmp_path)
    first, second = map(corpus.read, corpus.recordings())
    assert {p.read_bytes()[168:184] for p in tmp_path.glob("**/*.edf")} == {b"01.01.0900.00.00"}
    assert (first.ref.recording, second.ref.recording) == ("aaaaaaaa_s001_t000", "aaaaaaaa_s001_t002")
    assert (first.events, second.events, first.warnings) == (FNSZ, (), ())


@pytest.mark.parametrize(
    "date, clock, expected",
    [("01:01:09", "00:00:00", 0), ("01.01:09", "12.30.00", 0), ("00.00.00", "0:0", 1), ("", "", 1)],
)
def test_tusz_quirk_13_a_malformed_date_costs_nothing(tmp_path, date, clock, expected):
    write_recording(tmp_path, Recipe(date=date, clock=clock, seizures=FNSZ))
    recording = only(tmp_path)
    assert (recording.duration_s, recording.events) == (20, FNSZ)
    assert codes(recording.warnings) == ["bad_start_time"] * expected


def test_tusz_quirk_14_a_patient_in_two_parts_is_refused(tmp_path):
    write_recording(tmp_path, Recipe(part="train", token=0))
    write_recording(tmp_path, Recipe(part="dev", session="s002_2010"))
    with pytest.raises(DataError, match="patient aaaaaaaa is also in .*train") as caught:
        Tusz(root=tmp_path).recordings()
    assert caught.value.reason == "subject_in_two_parts"


def test_tusz_quirk_15_any_number_of_files_is_a_release_and_the_published_ones_are_told_apart(tmp_path):
    for token in range(3):
        write_recording(tmp_path, Recipe(token=token, seconds=1))
    corpus = Tusz(root=tmp_path)
    assert len(corpus.recordings()) == 3 and corpus.warnings == ()
    assert corpus.published["recordings"] == 4664 + 1832 + 865
    assert corpus.published["subjects"] == 579 + 53 + 43
    assert corpus.published["recordings_with_seizures"] == 872 + 324 + 195
    assert corpus.published["seizures"] == 2421 + 1081 + 469
    assert corpus.published["seizure_s"] == pytest.approx(175_125 + 71_871.8 + 27_246.7)
    assert corpus.published["hours"] == pytest.approx((3_277_229 + 1_567_972 + 459_713) / 3600)
    assert all(n in corpus.notes[0] for n in ("7361", "7364", "7377"))
