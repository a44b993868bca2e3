"""The EDF reader against hand-made files, two other readers, and deliberate damage."""

import random
from pathlib import Path

import mne
import numpy as np
import pytest
from tools import SHARED, bad_module, codes, needs_shared

from distilclip_eeg.corpora.edf.header import age_band, read_header
from distilclip_eeg.corpora.edf.montage import CHBMIT_23, STANDARD_19
from distilclip_eeg.corpora.edf.reader import read_eeg, read_pieces
from distilclip_eeg.schema import DataError, SkipRecording, UserError

PAIR = ("O1", "O2")


# ------------------------------------------------------------------ a writer that lets every field be wrong


def pad(value, width):
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1")
    return raw[:width].ljust(width, b" ")


def signal(label, data=None, *, spr=100, unit="uV", pmin="-200", pmax="200", dmin="-2000", dmax="2000"):
    """One digital step is 0.1 uV. ``data`` is (records, spr) int16, or a list of bytes for annotations."""
    values = dict(label=label, unit=unit, pmin=pmin, pmax=pmax, dmin=dmin, dmax=dmax, spr=spr)
    return {**values, "data": data}


def write(path, signals, *, n=12, duration="1", claim=None, reserved="", patient="X X X X", date="01.01.20",
          clock="00.00.00", version="0", count=None, length=None, cut=0, tail=b""):  # fmt: skip
    rng = np.random.default_rng(5)
    fixed = [(version, 8), (patient, 80), ("Startdate X X X X", 80), (date, 8), (clock, 8)]
    fixed += [(256 * (len(signals) + 1) if length is None else length, 8), (reserved, 44)]
    fixed += [(n if claim is None else claim, 8), (duration, 8)]
    fixed += [(len(signals) if count is None else count, 4)]
    out = b"".join(pad(value, width) for value, width in fixed)
    layout = [("label", 16), ("", 80), ("unit", 8), ("pmin", 8), ("pmax", 8), ("dmin", 8), ("dmax", 8)]
    for key, width in [*layout, ("", 80), ("spr", 8), ("", 32)]:
        out += b"".join(pad(s.get(key, ""), width) for s in signals)
    for s in signals:
        if s["data"] is None:
            s["data"] = rng.integers(-900, 900, (n, int(s["spr"]))).astype("<i2")
    for record in range(n):
        for s in signals:
            row = s["data"][record]
            out += row.ljust(2 * int(s["spr"]), b"\0") if isinstance(row, bytes) else row.tobytes()
    path.write_bytes(out[: len(out) - cut] + tail)
    return path


def tals(onsets, notes=None, width=40):
    """An annotation signal: the time of every record, then the notes of that record."""
    rows = [b"+%s\x14\x14\0" % f"{onset:.6g}".encode() for onset in onsets]
    for record, text in (notes or {}).items():
        rows[record] += text
    return signal("EDF Annotations", rows, spr=width, unit="", pmin="-1", pmax="1")


def pair(**kw):
    return [signal("O1", **kw), signal("O2", **kw)]


def refused(path, kind=DataError, montage=PAIR):
    with pytest.raises(kind) as caught:
        read_eeg(path, montage)
    message = str(caught.value)
    assert str(path) in message and "expected" in message and "\n" not in message
    return caught.value.reason


# -------------------------------------------------------------------------------------- values and units


def test_a_digital_value_becomes_volts_by_the_header_ranges(tmp_path):
    data = np.zeros((12, 100), "<i2")
    data[0, :3] = [0, 1, -2000]
    path = write(tmp_path / "a.edf", [signal("O1", data), signal("O2")])
    pieces, sfreq, *_ = read_pieces(path, read_header(path), [0])
    # 400 uV over 4000 steps: 0 -> 0 uV, 1 -> 0.1 uV, -2000 -> -200 uV.
    assert pieces[0].eeg_CT[0, :3] == pytest.approx([0, 1e-7, -2e-4], abs=1e-12)
    assert (pieces[0].eeg_CT.dtype, pieces[0].eeg_CT.shape, sfreq) == (np.float32, (1, 1200), 100.0)


def test_an_asymmetric_digital_range_keeps_its_offset(tmp_path):
    data = np.tile(np.array([-2048, 0, 2047, 5], "<i2"), (12, 25))
    path = write(tmp_path / "a.edf", [signal("O1", data, pmin="-800", pmax="800", dmin="-2048", dmax="2047")])
    eeg = read_pieces(path, read_header(path), [0])[0][0].eeg_CT[0, :4]
    # CHB-MIT's range: digital 0 is not 0 uV but 2048 * 1600 / 4095 - 800 = 0.195360 uV.
    assert eeg * 1e6 == pytest.approx([-800, 0.1953602, 800, 0.1953602 + 5 * 0.3907204], abs=1e-4)


@pytest.mark.parametrize(
    "unit, scale", [("uV", 1e-6), (b"\xb5V", 1e-6), ("µV".encode(), 1e-6), ("mV", 1e-3), ("V", 1)]
)
def test_the_unit_field_scales_to_volts(tmp_path, unit, scale):
    limit = f"{0.0002 / scale:g}"  # always 200 uV
    path = write(tmp_path / "a.edf", pair(unit=unit, pmin="-" + limit, pmax=limit))
    other = write(tmp_path / "b.edf", pair())
    got, wanted = (read_eeg(p, PAIR).pieces[0].eeg_CT for p in (path, other))
    assert np.abs(got - wanted).max() < 1e-10


def test_a_blank_unit_is_taken_as_microvolts_and_said(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(unit="")), PAIR)
    assert codes(eeg.warnings) == ["unknown_unit"]
    assert np.abs(eeg.pieces[0].eeg_CT).max() < 1e-4


def test_a_unit_that_is_no_voltage_is_refused(tmp_path):
    assert refused(write(tmp_path / "a.edf", pair(unit="degC")), SkipRecording) == "unknown_unit"


def test_values_agree_with_mne_and_edfio_to_a_tenth_of_a_nanovolt(tmp_path):
    edfio, mne = pytest.importorskip("edfio"), pytest.importorskip("mne")
    rng = np.random.default_rng(0)
    volts = rng.normal(0, 50, (3, 256 * 12))
    signals = [
        edfio.EdfSignal(row, 256, label=name, physical_dimension="uV")
        for row, name in zip(volts, ("C3", "O2", "O1"), strict=True)
    ]
    path = tmp_path / "a.edf"
    edfio.Edf(signals, data_record_duration=1).write(path)
    ours = read_eeg(path, PAIR).pieces[0].eeg_CT.astype(float)
    theirs = np.array([edfio.read_edf(path).signals[index].data for index in (2, 1)]) * 1e-6
    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    assert np.abs(ours - theirs).max() < 1e-10
    assert np.abs(ours - raw.get_data(picks=["O1", "O2"])).max() < 1e-10


def test_samples_at_either_rail_are_counted_and_others_are_not(tmp_path):
    data = np.zeros((12, 100), "<i2")
    data[:, ::2] = 70
    data[0, :5] = [-2000, 2000, 2000, -1999, 1999]
    path = write(tmp_path / "a.edf", [signal(name, data) for name in ("O1", "O2", "C3")])
    assert read_pieces(path, read_header(path), [0, 1])[2].tolist() == [3, 3]
    assert read_eeg(path, PAIR).clipped_samples == 6


def test_rows_come_in_the_order_of_the_picks(tmp_path):
    path = write(tmp_path / "a.edf", pair())
    header = read_header(path)
    forward, backward = (read_pieces(path, header, picks)[0][0].eeg_CT for picks in ([0, 1], [1, 0]))
    assert np.array_equal(forward, backward[::-1]) and not np.array_equal(forward, backward)


def test_eeg_keeps_its_rate_beside_a_faster_ecg_and_a_slower_oximeter(tmp_path):
    path = write(tmp_path / "a.edf", [signal("ECG", spr=400), *pair(), signal("SpO2", spr=1, unit="%")])
    eeg = read_eeg(path, PAIR)
    assert (eeg.sfreq, eeg.pieces[0].eeg_CT.shape, eeg.warnings) == (100.0, (2, 1200), ())
    assert eeg.header.sfreqs == (400, 100, 100, 1)


def test_a_slower_signal_is_brought_to_the_fastest_rate_and_said(tmp_path):
    waves = (1000 * np.sin(2 * np.pi * 3 * np.arange(12 * n) / n) for n in (100, 50))
    fast, slow = (np.round(wave).astype("<i2").reshape(12, -1) for wave in waves)
    path = write(tmp_path / "a.edf", [signal("O1", fast), signal("O2", slow, spr=50)])
    eeg = read_eeg(path, PAIR)
    assert (eeg.sfreq, codes(eeg.warnings)) == (100.0, ["mixed_eeg_rates"])
    first, second = eeg.pieces[0].eeg_CT * 1e6  # the same 3 Hz wave of 100 uV
    assert first.shape == (1200,) and np.abs(first - second)[50:-50].max() < 1.0


def test_the_rate_follows_the_record_duration(tmp_path):
    assert read_eeg(write(tmp_path / "a.edf", pair(), n=24, duration="0.5"), PAIR).sfreq == 200.0


def test_an_odd_rate_is_kept_and_said(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(spr=1999), n=2, duration="10"), PAIR)
    assert (eeg.sfreq, codes(eeg.warnings)) == (199.9, ["odd_sampling_rate"])


# ------------------------------------------------------------------------------------ records and their time


def test_a_hole_of_sixty_seconds_gives_two_pieces_at_their_true_times(tmp_path):
    onsets = [r if r < 10 else r + 60 for r in range(20)]
    note = tals(onsets, {15: b"+75\x152\x14seiz\x14\0"})
    path = write(tmp_path / "a.edf", [*pair(), note], n=20, reserved="EDF+D")
    eeg = read_eeg(path, PAIR)
    assert [(p.start_s, p.eeg_CT.shape[1]) for p in eeg.pieces] == [(0.0, 1000), (70.0, 1000)]
    assert codes(eeg.warnings) == ["discontinuous"] and "60 s in 1 gap" in eeg.warnings[0]
    (note,) = eeg.header.annotations
    assert (note.onset_s, note.offset_s, note.label) == (75.0, 77.0, "seiz")
    assert eeg.header.span_s == 80.0


def test_pieces_hold_exactly_the_samples_of_their_records(tmp_path):
    data = np.random.default_rng(1).integers(-900, 900, (12, 100)).astype("<i2")
    onsets = [0, 1, 5, 6, 7, 100, 101, 102, 103, 104, 105, 106]
    path = write(tmp_path / "a.edf", [signal("O1", data), tals(onsets)], reserved="EDF+D")
    pieces = read_pieces(path, read_header(path), [0])[0]
    assert [p.start_s for p in pieces] == [0.0, 5.0, 100.0]
    for piece, (first, last) in zip(pieces, [(0, 2), (2, 5), (5, 12)], strict=True):
        assert np.round(piece.eeg_CT[0] * 1e7).astype(int).tolist() == data[first:last].reshape(-1).tolist()


def test_a_file_marked_d_without_a_hole_is_one_piece(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", [*pair(), tals(range(12))], reserved="EDF+D"), PAIR)
    assert (len(eeg.pieces), eeg.warnings) == (1, ())


@pytest.mark.parametrize("jitter, pieces", [(0.001, 1), (0.01, 2)])
def test_rounded_onsets_make_no_gap_but_a_centisecond_does(tmp_path, jitter, pieces):
    onsets = [r if r < 6 else r + jitter for r in range(12)]
    eeg = read_eeg(write(tmp_path / "a.edf", [*pair(), tals(onsets)], reserved="EDF+D"), PAIR)
    assert len(eeg.pieces) == pieces


@pytest.mark.parametrize("shift", [-5, -0.5])
def test_records_that_run_backwards_or_overlap_are_refused(tmp_path, shift):
    onsets = [r if r < 6 else r + shift for r in range(12)]
    path = write(tmp_path / "a.edf", [*pair(), tals(onsets)], reserved="EDF+D")
    assert refused(path) == "records_overlap"


def test_onsets_that_contradict_a_continuous_file_are_said_and_not_believed(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", [*pair(), tals([0] * 12)], reserved="EDF+C"), PAIR)
    assert (len(eeg.pieces), codes(eeg.warnings)) == (1, ["bad_annotations"])


def test_a_discontinuous_file_without_onsets_is_refused(tmp_path):
    assert refused(write(tmp_path / "a.edf", pair(), reserved="EDF+D")) == "bad_annotations"
    note = tals(range(12))
    note["data"][4] = b"garbage"
    assert refused(write(tmp_path / "b.edf", [*pair(), note], reserved="EDF+D")) == "bad_annotations"


def test_the_first_record_is_time_zero_whatever_onset_it_has(tmp_path):
    note = tals([r + 0.25 for r in range(12)], {0: b"+5.25\x153\x14seiz\x14\0"})
    header = read_header(write(tmp_path / "a.edf", [*pair(), note], reserved="EDF+C"))
    assert (header.annotations[0].onset_s, header.annotations[0].offset_s) == (5.0, 8.0)
    assert header.onsets_s[0] == 0.0


def test_pieces_too_start_at_the_first_onset_and_an_empty_note_moves_no_record(tmp_path):
    note = tals([r + 3.5 if r < 6 else r + 63.5 for r in range(12)], {2: b"+5.9\x14\x14\0"})
    eeg = read_eeg(write(tmp_path / "a.edf", [*pair(), note], reserved="EDF+D"), PAIR)
    assert [(p.start_s, p.eeg_CT.shape[1]) for p in eeg.pieces] == [(0.0, 600), (66.0, 600)]
    assert eeg.header.onsets_s.tolist() == [0, 1, 2, 3, 4, 5, 66, 67, 68, 69, 70, 71]


def test_annotations_beyond_the_ends_are_clipped_or_dropped_and_counted(tmp_path):
    text = b"-5\x152\x14a\x14\0+10\x1530\x14b\x14\0+500\x1510\x14c\x14\0"
    header = read_header(write(tmp_path / "a.edf", [*pair(), tals(range(12), {0: text})], reserved="EDF+C"))
    assert [(e.onset_s, e.offset_s, e.label) for e in header.annotations] == [(10.0, 12.0, "b")]
    assert header.warnings == ("annotation_outside: 3 annotations clipped or dropped at the ends",)


def test_one_entry_may_carry_several_texts_in_utf8(tmp_path):
    note = tals(range(12), {3: "+3\x14Anfall früh\x14zweite\x14\0".encode()})
    header = read_header(write(tmp_path / "a.edf", [*pair(), note], reserved="EDF+C"))
    assert [e.label for e in header.annotations] == ["Anfall früh", "zweite"]
    assert "Anfall" not in repr(header)


# ---------------------------------------------------------------------------------- sizes that disagree


def test_a_truncated_file_gives_its_whole_records_and_the_seconds_lost(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(), cut=401), PAIR)  # a record is 400 bytes
    assert eeg.pieces[0].eeg_CT.shape == (2, 1000) and eeg.header.lost_s == 2.0
    assert eeg.warnings == ("truncated: 10 of 12 records are there, 2 s lost",)


def test_bytes_after_the_records_are_not_read(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(), tail=b"\0" * 256), PAIR)  # chb17b_69
    assert eeg.pieces[0].eeg_CT.shape == (2, 1200) and codes(eeg.warnings) == ["size_mismatch"]


def test_an_unclosed_file_is_counted_by_its_size(tmp_path):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(), claim=-1), PAIR)
    assert eeg.pieces[0].eeg_CT.shape == (2, 1200) and codes(eeg.warnings) == ["record_count_unknown"]


@pytest.mark.parametrize(
    "change, reason, kind",
    [
        (dict(version="\xffBIOSEMI"), "not_edf", DataError),
        (dict(count="x"), "bad_signal_count", DataError),
        (dict(count="9999"), "header_truncated", DataError),
        (dict(length="512"), "header_size_mismatch", DataError),
        (dict(claim="many"), "bad_record_count", DataError),
        (dict(claim="-2"), "bad_record_count", DataError),
        (dict(claim="0"), "no_data", SkipRecording),
        (dict(duration="0"), "bad_record_duration", DataError),
        (dict(duration="1,0"), "bad_record_duration", DataError),
        (dict(duration="inf"), "bad_record_duration", DataError),
        (dict(duration="1e-320"), "bad_sampling_rate", SkipRecording),
        (dict(cut=4799), "record_larger_than_file", DataError),
        (dict(cut=4800), "no_data", SkipRecording),
        (dict(cut=4801), "header_truncated", DataError),
    ],
)
def test_a_fixed_field_that_cannot_be_true_is_refused(tmp_path, change, reason, kind):
    assert refused(write(tmp_path / "a.edf", pair(), **change), kind) == reason


@pytest.mark.parametrize(
    "change, reason, kind",
    [
        (dict(pmin="0", pmax="0"), "bad_physical_range", SkipRecording),
        (dict(pmin="-1e308", pmax="1e308"), "bad_physical_range", SkipRecording),
        (dict(pmin="-200,0"), "bad_physical_range", DataError),
        (dict(pmax="nan"), "bad_physical_range", DataError),
        (dict(pmax=""), "bad_physical_range", DataError),
        (dict(dmin="5", dmax="5"), "bad_digital_range", SkipRecording),
        (dict(dmin="2000", dmax="-2000"), "bad_digital_range", SkipRecording),
        (dict(dmax="1_0"), "bad_digital_range", DataError),
        (dict(unit="V"), "implausible_amplitude", DataError),
    ],
)
def test_a_range_matters_only_where_its_signal_is_chosen(tmp_path, change, reason, kind):
    bad = write(tmp_path / "bad.edf", [signal("O1", **change), signal("O2")])
    assert refused(bad, kind) == reason
    assert read_eeg(bad, ("O2",)).warnings == ()


def test_downward_physical_limits_invert_the_signal_and_are_said(tmp_path):
    up, down = pair(), pair(pmin="200", pmax="-200")
    a = read_eeg(write(tmp_path / "a.edf", up), PAIR)
    b = read_eeg(write(tmp_path / "b.edf", down), PAIR)
    assert codes(b.warnings) == ["inverted_polarity"] * 2
    assert np.abs(a.pieces[0].eeg_CT + b.pieces[0].eeg_CT).max() < 1e-10


def test_an_empty_channel_matters_only_where_it_is_chosen(tmp_path):
    path = write(tmp_path / "a.edf", [signal("O1", spr=0), signal("O2")])
    assert refused(path, SkipRecording) == "empty_channel"
    assert read_eeg(path, ("O2",)).sfreq == 100.0


@pytest.mark.parametrize("name", ["gone.edf", "folder.edf"])
def test_a_path_that_is_no_file_is_refused(tmp_path, name):
    (tmp_path / "folder.edf").mkdir()
    expected = {"gone.edf": "missing_file", "folder.edf": "not_a_file"}[name]
    assert refused(tmp_path / name) == expected


# -------------------------------------------------------------------------------------- what samples show


def test_an_equal_copy_is_said_and_a_different_one_is_refused(tmp_path):
    data = np.random.default_rng(2).integers(-900, 900, (12, 100)).astype("<i2")
    same = write(tmp_path / "a.edf", [signal("O1", data), signal("O2"), signal("o1", data)])
    assert codes(read_eeg(same, PAIR).warnings) == ["duplicate_channel"]
    differ = write(tmp_path / "b.edf", [signal("O1", data), signal("O2"), signal("o1", data + 1)])
    assert refused(differ) == "duplicate_channel"


@pytest.mark.parametrize("step, expected", [(0, []), (1, ["duplicate_channel"])])
def test_two_copies_that_the_montage_takes_both_are_said_only_where_they_differ(tmp_path, step, expected):
    data = np.random.default_rng(2).integers(-900, 900, (12, 100)).astype("<i2")
    signals = [signal("T8-P8", data), signal("O1"), signal("T8-P8", data + step)]
    eeg = read_eeg(write(tmp_path / "a.edf", signals), ("T8-P8", "O1", "T8-P8-1"))
    assert codes(eeg.warnings) == expected
    assert all("signals 1 and 3 are both T8-P8 and differ" in warning for warning in eeg.warnings)
    assert np.array_equal(eeg.pieces[0].eeg_CT[0], eeg.pieces[0].eeg_CT[2]) == (step == 0)


def test_a_flat_channel_is_named_and_a_flat_recording_is_left_out(tmp_path):
    flat = np.full((12, 100), 3, "<i2")
    eeg = read_eeg(write(tmp_path / "a.edf", [signal("O1", flat), signal("O2")]), PAIR)
    assert eeg.warnings == ("flat_channel: constant throughout: O1",)
    path = write(tmp_path / "b.edf", [signal("O1", flat), signal("O2", flat)])
    assert refused(path, SkipRecording) == "all_flat"


def test_seconds_in_which_no_channel_moves_are_counted(tmp_path):
    rng = np.random.default_rng(3)
    a, b = (rng.integers(-900, 900, (12, 100)).astype("<i2") for _ in "ab")
    a[4:8] = b[5:8] = 0  # three seconds in common
    eeg = read_eeg(write(tmp_path / "a.edf", [signal("O1", a), signal("O2", b)]), PAIR)
    assert eeg.warnings == ("flat_window: 3 s in which no channel changes",)


def test_a_channel_at_the_rails_is_named(tmp_path):
    data = np.random.default_rng(4).integers(-900, 900, (12, 100)).astype("<i2")
    data[:2] = 2000  # a sixth of the samples
    eeg = read_eeg(write(tmp_path / "a.edf", [signal("O1", data), signal("O2")]), PAIR)
    assert codes(eeg.warnings) == ["saturated_channel"] and eeg.clipped_samples == 200


def test_short_recordings_are_said_or_left_out(tmp_path):
    assert codes(read_eeg(write(tmp_path / "a.edf", pair(), n=9), PAIR).warnings) == ["short_for_filter"]
    path = write(tmp_path / "b.edf", pair(), n=1, duration="0.9")
    assert refused(path, SkipRecording) == "too_short"


# --------------------------------------------------------------------------------- dates, names, privacy


@pytest.mark.parametrize(
    "date, clock, odd",
    [("00.00.00", "00.00.00", 0), ("06.11.76", "15.07.29", 0), ("01:02:03", "10:11:12", 0),
     ("99.99.99", "88.88.88", 1), ("", "", 1), ("01.01.20", "25.00.00", 1)],
)  # fmt: skip
def test_odd_dates_never_stop_a_file(tmp_path, date, clock, odd):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(), date=date, clock=clock), PAIR)
    assert codes(eeg.warnings) == ["bad_start_time"] * odd


def test_nul_padding_is_read_and_said(tmp_path):
    path = write(tmp_path / "a.edf", pair())
    raw = path.read_bytes()
    path.write_bytes(raw[:8] + raw[8:256].replace(b" ", b"\0") + raw[256:])
    assert codes(read_eeg(path, PAIR).warnings) == ["nonstandard_padding"]


@pytest.mark.parametrize(
    "patient, sex, band",
    [
        ("MCH-0234567 F 02-MAY-1951 Haagse_Harry", "F", ""),
        ("00000258 M 01-JAN-1981 00000258 Age:35", "M", "adult"),
        ("X X X X Age:0.0109", "", "neonate"),
        ("X F X M\xfcller Age:999", "F", ""),
        ("", "", ""),
    ],
)
def test_sex_and_age_band_are_all_that_leaves_the_patient_field(tmp_path, patient, sex, band):
    eeg = read_eeg(write(tmp_path / "a.edf", pair(), patient=patient), PAIR)
    assert (eeg.header.sex, eeg.header.age_band) == (sex, band)
    for private in ("Haagse", "1951", "1981", "0234567", "00000258", "ller"):
        assert private not in repr(eeg)


def test_an_error_never_tells_the_patient_field(tmp_path):
    path = write(tmp_path / "a.edf", pair(), patient="MRN0012345 F 02-MAY-1951 Haagse_Harry", duration="x")
    with pytest.raises(DataError) as caught:
        read_header(path)
    assert not any(word in str(caught.value) for word in ("MRN0012345", "Haagse", "1951"))


@pytest.mark.parametrize(
    "years, band",
    [(0, "neonate"), (0.1, "infant"), (2, "child"), (12, "adolescent"), (18, "adult"), (65, "older adult"),
     (-1, ""), (200, ""), (float("nan"), "")],
)  # fmt: skip
def test_ages_fall_into_bands_that_begin_at_their_lower_end(years, band):
    assert age_band(years) == band


# ------------------------------------------------------------------------------------------------- damage


def test_a_thousand_mutated_files_are_read_or_refused_in_our_own_words(tmp_path):
    rng = random.Random(7)
    path = tmp_path / "f.edf"
    notes = {2: b"+2.5\x151\x14x\x14\0"}
    files = []
    for reserved, onsets in (("EDF+C", range(12)), ("EDF+D", [0, 1, 2, *range(30, 39)])):
        files.append(write(path, [*pair(), tals(onsets, notes)], reserved=reserved).read_bytes())
    pool = b"-1|0|1e308|nan|\0|\xff|99999999|1,5|   |\x14|EDF+D|1e-300|\x15|+".split(b"|")
    outcomes = {"read": 0, "refused": 0}
    for _ in range(1000):
        raw = bytearray(rng.choice(files))
        for _ in range(rng.randint(1, 4)):
            place = rng.choice([rng.randrange(168, 256), rng.randrange(1024), rng.randrange(len(raw))])
            piece = rng.choice(pool) if rng.random() < 0.6 else bytes([rng.randrange(256)])
            raw[place : place + len(piece)] = piece
        path.write_bytes(raw[: rng.randrange(len(raw))] if rng.random() < 0.1 else raw)
        try:
            eeg = read_eeg(path, PAIR)
            assert all(np.isfinite(piece.eeg_CT).all() for piece in eeg.pieces)
            outcomes["read"] += 1
        except UserError as refusal:
            assert refusal.reason != "user_error" and "\n" not in str(refusal)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100  # the damage is neither total nor harmless


def bad_inputs():
    """The shared corpus of bad files, (bytes, manifest entry); nothing where it is absent."""
    module = bad_module()
    if module is None:
        return []
    module.build_edf()
    return [pytest.param(c["data"], c, id=c["name"]) for c in module.CASES]


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("data, case", bad_inputs())
def test_a_bad_input_is_met_as_the_manifest_says(tmp_path, data, case):
    name, expect, reason, meta = (case[key] for key in ("name", "expect", "reason", "meta"))
    path = tmp_path / f"{name}.edf"
    path.write_bytes(data)
    montage = CHBMIT_23 if name.startswith("chb") else STANDARD_19
    outcome, found, eeg = "", [], None
    try:
        eeg = read_eeg(path, montage)
        outcome, found = ("warn" if eeg.warnings else "tolerate"), codes(eeg.warnings)
    except SkipRecording as skipped:
        outcome, found = "skip", [skipped.reason]
    except DataError as error:
        outcome, found = "error", [error.reason]
    assert outcome == expect
    assert (not found) if expect == "tolerate" else (reason in found)
    if eeg and "duration" in meta:
        assert eeg.header.span_s == pytest.approx(meta["duration"])
    if eeg and "sfreq" in meta:
        assert eeg.sfreq == pytest.approx(meta["sfreq"])


DERIVED = {
    "comma_decimals": "bad_physical_range",
    "date_invalid": "bad_start_time",
    "flat_signal": "all_flat",
    "header_bytes_wrong": "header_size_mismatch",
    "header_only": "no_data",
    "latin1_patient": "",
    "nrecords_minus1": "record_count_unknown",
    "nrecords_too_large": "truncated",
    "physmin_eq_physmax": "bad_physical_range",
    "trailing_garbage": "size_mismatch",
    "truncated_mid_record": "truncated",
    "unit_blank": "unknown_unit",
    "zero_bytes": "empty_file",
}


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("damage", DERIVED)
def test_deliberate_damage_to_a_real_recording_is_named(damage):
    path = Path(SHARED) / "data" / "robustness" / "derived_broken" / f"chb01_04__{damage}.edf"
    try:
        found = codes(read_eeg(path, CHBMIT_23).warnings)
    except DataError as error:
        found = [error.reason]
    assert not DERIVED[damage] or DERIVED[damage] in found


@pytest.mark.shared
@needs_shared
def test_other_peoples_test_files_give_the_values_edfio_gives():
    edfio = pytest.importorskip("edfio")
    folder = Path(SHARED) / "data" / "robustness"
    paths = [p for p in sorted(folder.glob("*/*.edf")) if p.parent.name != "derived_broken"]
    compared = 0
    for path in paths:
        if path.name == "SC4001EC-Hypnogram.edf":
            with pytest.raises(SkipRecording) as caught:
                read_header(path)
            assert caught.value.reason == "no_signals"
            continue
        header = read_header(path)
        assert header.warnings == ()
        signals = [i for i, label in enumerate(header.labels) if label != "EDF Annotations"]
        for index, theirs in zip(signals, edfio.read_edf(path).signals, strict=True):
            if header.signals[index].unit == "DegC":
                continue
            (piece,), *_ = read_pieces(path, header, [index])
            scale = {"uV": 1e-6, "": 1e-6, "V": 1.0}[header.signals[index].unit]
            volts = theirs.data * scale
            assert np.abs(piece.eeg_CT[0] - volts).max() <= 1e-7 * np.abs(volts).max() + 1e-12
            compared += 1
    assert len(paths) > 10 and compared > 100


@pytest.mark.shared
@needs_shared
def test_gdf_files_are_refused_as_no_edf():
    paths = [*(Path(SHARED) / "data" / "robustness").glob("*/*.gdf")]
    assert paths
    for path in paths:
        assert refused(path) == "not_edf"


@pytest.mark.shared
@needs_shared
def test_bdf_files_give_the_values_mne_gives():
    compared = 0
    for path in sorted((Path(SHARED) / "data" / "robustness").glob("*/*.bdf")):
        if path.name == "SC4001EC-Hypnogram.bdf":  # annotations only
            assert refused(path, SkipRecording) == "no_signals"
            continue
        header = read_header(path)
        raw = mne.io.read_raw_bdf(path, infer_types=False, stim_channel=None, verbose="error")
        for index, signal_ in enumerate(header.signals):
            # mne keeps one rate, so it changes signals of another
            odd = signal_.samples_per_record != round(raw.info["sfreq"] * header.record_duration_s)
            if signal_.unit.lower() != "uv" or odd or signal_.label not in raw.ch_names:
                continue
            (piece, *_), *_ = read_pieces(path, header, [index])
            volts = raw.get_data(picks=[signal_.label])[0][: piece.eeg_CT.shape[1]]
            assert np.abs(piece.eeg_CT[0] - volts).max() <= 1e-7 * np.abs(volts).max() + 1e-12
            compared += 1
    assert compared > 20
