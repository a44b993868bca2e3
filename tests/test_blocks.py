"""Block by block against the whole piece at once, and a file in blocks against the reader of training."""

import os
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import pytest
from deploy_tools import CHANNELS, brain, with_gap, write_edf
from scipy import signal
from tools import codes

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.edf.montage import CHBMIT_18, STANDARD_19, Montage, montage_of
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.deploy import blocks
from distilclip_eeg.deploy.blocks import Blocks, EdfSource, RawSource
from distilclip_eeg.deploy.filters import Causal, Resampler
from distilclip_eeg.schema import DataError, Recording, RecordingRef, SkipRecording
from distilclip_eeg.signals.preprocess import causal, preprocess, zero_phase, zero_phase_blocks

SHARED = os.environ.get("DISTILCLIP_EEG_SHARED")
PAPER = SignalConfig()
CAUSAL = SignalConfig(phase="causal")


def eeg(seconds, sfreq, n_chans=2, offset_uv=300.0, seed=1):
    """Brownian noise with an offset and a drift: much slow, some fast, as EEG has."""
    rng = np.random.default_rng(seed)
    x = signal.lfilter([1], [1, -0.97], rng.standard_normal((n_chans, round(seconds * sfreq))) * 8)
    drift = np.linspace(0, 200, x.shape[1])
    return (x + drift + offset_uv * np.arange(1, n_chans + 1)[:, None]).astype(np.float32)


def in_blocks(x, sfreq, config, block_s):
    mean_C = x.mean(axis=1, dtype=float)
    blocks = zero_phase_blocks(lambda a, b: x[:, a:b], x.shape[1], mean_C, sfreq, config, block_s)
    return list(blocks)


@pytest.mark.parametrize("sfreq", [200.0, 250.0, 256.0, 400.0, 500.0, 512.0])
@pytest.mark.parametrize("seconds", [100, 163.5])
def test_filtering_in_blocks_gives_what_the_whole_piece_gives(sfreq, seconds):
    x = eeg(seconds, sfreq)
    whole, _ = zero_phase(x, sfreq, PAPER)
    blocks = in_blocks(x, sfreq, PAPER, block_s=20)
    assert len(blocks) > 2
    got = np.concatenate(blocks, axis=1)
    assert got.shape == whole.shape
    np.testing.assert_allclose(got, whole, atol=2e-3)  # microvolts; the signal's SD is about 30


def test_a_piece_of_one_block_is_filtered_by_the_very_function_of_training():
    x = eeg(30, 256.0)
    (got,) = in_blocks(x, 256.0, PAPER, block_s=20)
    assert np.array_equal(got, zero_phase(x, 256.0, PAPER)[0])


def test_without_a_filter_blocks_only_lose_the_mean():
    x = eeg(60, 256.0)
    plain = SignalConfig(l_freq=None, h_freq=None)
    got = np.concatenate(in_blocks(x, 256.0, plain, block_s=7), axis=1)
    np.testing.assert_allclose(got, x - x.mean(axis=1, keepdims=True), atol=2e-3)


@pytest.mark.parametrize("rates", [(200, 256), (250, 256), (500, 256), (256, 200), (512, 256), (3, 7)])
def test_the_resampler_gives_scipy_s_numbers_however_the_signal_is_cut(rates):
    old, new = rates
    x, cuts = np.random.default_rng(0).standard_normal((2, 1511)), [0, 1, 2, 3, 700, 701, 1300, 1511]
    resampler = Resampler(Fraction(new, old))
    parts = [resampler.push(x[:, a:b], last=b == 1511) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    expected = signal.resample_poly(x, new, old, axis=1)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, rtol=0, atol=1e-12)
    assert resampler.kept.shape[1] < 1511  # and it does not keep everything


@pytest.mark.parametrize("sfreq", [200.0, 256.0, 500.0])
@pytest.mark.parametrize("chunk", [1, 33, 256, 5000])
def test_the_causal_filter_gives_the_same_numbers_chunk_by_chunk(sfreq, chunk):
    x = eeg(3, sfreq)
    config = SignalConfig(phase="causal", notch_hz=60.0)
    path, n = Causal(sfreq, config), x.shape[1]
    got = [path.push(x[:, k : k + chunk], last=k + chunk >= n) for k in range(0, n, chunk)]
    np.testing.assert_array_equal(np.concatenate(got, axis=1), causal(x, sfreq, config)[0])


def test_an_ending_without_samples_gives_what_was_waiting():
    x = eeg(5, 200.0)
    path = Causal(200.0, CAUSAL)
    got = [path.push(x), path.push(x[:, :0], last=True)]
    assert got[1].shape[1] > 0
    np.testing.assert_array_equal(np.concatenate(got, axis=1), causal(x, 200.0, CAUSAL)[0])
    assert path.lookahead_s == pytest.approx(10 / 200)  # ten samples of the slower rate


# ------------------------------------------------------------------------------------------- files in blocks


def montage(names=CHANNELS, **how):
    return Montage("native", names, **how)


def trained_on(path, names, config, **how):
    """What training makes of a file: all at once."""
    read = read_eeg(path, montage(names, **how))
    ref = RecordingRef("a", "b", path)
    return preprocess(Recording(ref, read.sfreq, names, read.pieces, ()), config), read


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of ten seconds, so that short recordings have several."""
    monkeypatch.setattr(blocks, "BLOCK_S", 10.0)
    monkeypatch.setattr(zero_phase_blocks, "__defaults__", (10.0,))


@pytest.mark.parametrize("phase", ["zero", "causal"])
@pytest.mark.parametrize("sfreq", [200, 256, 500])
@pytest.mark.parametrize("record_s", [1, 2.5])
def test_a_file_in_blocks_is_what_training_makes_of_it(tmp_path, small_blocks, phase, sfreq, record_s):
    uv = brain(130, sfreq, seizures=[(50, 60)]) + 100
    path = write_edf(tmp_path / "a.edf", uv, sfreq, record_s=record_s)
    config = SignalConfig(phase=phase, clip_uv=150.0)
    (whole,), read = trained_on(path, CHANNELS, config)
    found = Blocks(EdfSource(path), montage(), config)
    parts = list(found)
    assert len(parts) > 2 and {part.piece for part in parts} == {0}
    got = np.concatenate([part.uv_CT for part in parts], axis=1)
    np.testing.assert_allclose(got, whole.uv_CT, atol=2e-3)
    assert found.clipped == pytest.approx(whole.clipped, abs=2) and whole.clipped > 100
    assert found.warnings == read.warnings
    mean_C, sd_C = found.statistics()
    np.testing.assert_allclose(mean_C, whole.uv_CT.mean(axis=1, dtype=float), atol=1e-4)
    np.testing.assert_allclose(sd_C, whole.uv_CT.std(axis=1, dtype=float), rtol=1e-5)


@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_no_filter_looks_across_a_gap(tmp_path, small_blocks, phase):
    uv = brain(150, 256)
    path = write_edf(tmp_path / "a.edf", uv, 256, **with_gap(uv, 256, (50, 70)))
    config = SignalConfig(phase=phase)
    pieces, read = trained_on(path, CHANNELS, config)
    found = Blocks(EdfSource(path), montage(), config)
    parts = list(found)
    assert [p.start_s for p in pieces] == [0, 70] == sorted({part.start_s for part in parts})
    for number, piece in enumerate(pieces):
        got = np.concatenate([part.uv_CT for part in parts if part.piece == number], axis=1)
        np.testing.assert_allclose(got, piece.uv_CT, atol=2e-3)
    assert found.warnings == read.warnings and any("discontinuous" in w for w in read.warnings)
    both = np.concatenate([piece.uv_CT for piece in pieces], axis=1)
    np.testing.assert_allclose(found.statistics()[1], both.std(axis=1, dtype=float), rtol=1e-5)


def test_a_file_of_24_bits_is_read_as_in_training(tmp_path, small_blocks):
    path = write_edf(tmp_path / "a.bdf", brain(60, 256), 256, bdf=True)
    (whole,), _ = trained_on(path, CHANNELS, PAPER)
    got = np.concatenate([part.uv_CT for part in Blocks(EdfSource(path), montage(), PAPER)], axis=1)
    np.testing.assert_allclose(got, whole.uv_CT, atol=2e-3)


def test_channels_are_found_by_any_of_their_names_and_derived_where_the_model_wants_derivations(tmp_path):
    uv = brain(40, 256, 4)
    path = write_edf(tmp_path / "a.edf", uv, 256, ("EEG T7-REF", "ECG", "EEG F7-REF", "EEG P7-REF"))
    names, plain = ("F7-T7", "T7-P7"), SignalConfig(l_freq=None, h_freq=None, clip_uv=None)
    found = Blocks(EdfSource(path), montage(names, derive=True), plain)
    (block,) = found
    expected = np.stack([uv[2] - uv[0], uv[0] - uv[3]])
    np.testing.assert_allclose(block.uv_CT, expected - expected.mean(axis=1, keepdims=True), atol=0.1)


@pytest.mark.parametrize("missing", ["zero", "interpolate"])
def test_filled_channels_are_those_of_training(tmp_path, small_blocks, missing):
    uv = brain(45, 256, 18)
    path = write_edf(tmp_path / "a.edf", uv, 256, STANDARD_19[:18])
    (whole,), read = trained_on(path, STANDARD_19, PAPER, missing=missing)
    found = Blocks(EdfSource(path), montage(STANDARD_19, missing=missing), PAPER)
    got = np.concatenate([part.uv_CT for part in found], axis=1)
    np.testing.assert_allclose(got, whole.uv_CT, atol=2e-3)
    assert found.filled == read.filled == ("PZ",) and found.warnings == read.warnings


def test_odd_signals_are_told_in_the_words_of_training(tmp_path, small_blocks):
    uv = brain(60, 256)
    uv[1] = 2500.0  # beyond the range: at the rail throughout
    uv[0, : 20 * 256] = 2500.0
    uv[:, 30 * 256 : 33 * 256] = 7.0
    uv[1, 30 * 256 : 33 * 256] = 2500.0
    path = write_edf(tmp_path / "a.edf", uv, 256)
    found = Blocks(EdfSource(path), montage(), PAPER).warnings
    assert found == read_eeg(path, montage()).warnings
    assert [w.partition(":")[0] for w in found] == ["flat_channel", "flat_window", "saturated_channel"]
    assert "3 s in which no channel changes" in found[1] and found[2].endswith(": F3")


def refused(path, config=PAPER, names=CHANNELS):
    with pytest.raises(DataError) as caught:
        Blocks(EdfSource(path), montage(names), config)
    message = str(caught.value)
    assert str(path) in message and "expected" in message and "\n" not in message
    return caught.value.reason


def test_a_file_that_lacks_the_upper_end_of_the_model_s_band_is_refused(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(20, 128), 128)
    assert refused(path) == "low_rate"
    assert list(Blocks(EdfSource(path), montage(), SignalConfig(h_freq=64.0)))  # it holds just that


@pytest.mark.parametrize("change", ["missing_channels", "implausible_amplitude", "all_flat", "too_short"])
def test_what_training_refuses_is_refused_for_the_same_reason(tmp_path, change):
    uv, names = brain(20, 256), CHANNELS
    path = tmp_path / "a.edf"
    if change == "missing_channels":
        names = (*CHANNELS, "CZ")
    elif change == "implausible_amplitude":
        signals = [signal_of(c, row, 256, unit="V") for c, row in zip(CHANNELS, uv, strict=True)]
        path.write_bytes(edf_bytes(signals))
    elif change == "all_flat":
        uv[:] = 5.0
    else:
        uv = uv[:, :128]
    if not path.exists():
        write_edf(path, uv, 256, record_s=0.5)
    with pytest.raises(DataError) as caught:
        read_eeg(path, montage(names))
    assert refused(path, names=names) == change == caught.value.reason


@pytest.mark.parametrize("rate, slower", [(256, 128), (250, 200), (256, 16)])
def test_slower_signals_come_out_block_by_block_as_training_brings_them_to_one_rate(tmp_path, rate, slower):
    uv, slow = brain(40, rate), brain(40, slower, seed=1)[1] + 300.0 + np.arange(40 * slower) / slower
    signals = [signal_of("F3", uv[0], rate), signal_of("C3", slow, slower), signal_of("T3", uv[2], rate)]
    path = tmp_path / "a.edf"
    path.write_bytes(edf_bytes(signals))
    whole, source = read_eeg(path, montage()), EdfSource(path)
    source.choose((0, 1, 2))
    for start, stop in ((0, 40 * rate), (0, 700), (701, 702), (3333, 9000), (39 * rate + 1, 40 * rate)):
        part = whole.pieces[0].eeg_CT[:, start:stop]
        np.testing.assert_allclose(source.read(0, start, stop), part, rtol=0, atol=1e-12)
    assert source.warnings == whole.warnings and codes(whole.warnings) == ["mixed_eeg_rates"]


def test_an_mne_object_gives_what_its_file_gives(tmp_path, small_blocks):
    uv = brain(60, 256)
    path = write_edf(tmp_path / "a.edf", uv, 256, ("ECG", "C3", "T7"))
    names = ("T3", "C3")  # in another order and spelling than the file's
    raw = mne.io.read_raw_edf(path, verbose="error")
    for config in (PAPER, CAUSAL):
        both = [Blocks(source, montage(names), config) for source in (EdfSource(path), RawSource(raw))]
        a, b = (np.concatenate([part.uv_CT for part in found], axis=1) for found in both)
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("dated", [True, False])
def test_what_mne_marks_as_not_recorded_is_a_gap(dated):
    info = mne.create_info(list(CHANNELS), 256.0, "eeg")
    raw = mne.io.RawArray(brain(60, 256) * 1e-6, info, verbose="error")
    if dated:
        raw.set_meas_date(datetime(2000, 1, 1, tzinfo=UTC))
    raw.set_annotations(mne.Annotations([20.0, 40.0], [10.0, 2.0], ["BAD_ACQ_SKIP", "seizure"]))
    raw.crop(5.0)
    assert RawSource(raw).pieces == ((0.0, 15 * 256), (25.0, 30 * 256))


@pytest.mark.parametrize("part_s", [(30.0, 30.0), (10.0, 20.0, 30.0)])
def test_recordings_that_mne_has_joined_are_not_filtered_across_the_joint(part_s):
    info = mne.create_info(list(CHANNELS), 256.0, "eeg")
    parts = [
        mne.io.RawArray(brain(s, 256, seed=k) * 1e-6, info, verbose="error") for k, s in enumerate(part_s)
    ]
    alone = [list(Blocks(RawSource(part), montage(), PAPER)) for part in parts]
    together = list(Blocks(RawSource(mne.concatenate_raws(parts, verbose="error")), montage(), PAPER))
    assert [block.start_s for block in together] == [0.0, *np.cumsum(part_s)[:-1]]
    for block, [other] in zip(together, alone, strict=True):
        np.testing.assert_array_equal(block.uv_CT, other.uv_CT)


def test_a_joint_without_length_at_the_very_ends_changes_nothing():
    raw = mne.io.RawArray(
        brain(20, 256) * 1e-6, mne.create_info(list(CHANNELS), 256.0, "eeg"), verbose="error"
    )
    raw.set_annotations(mne.Annotations([0.0, 20.0], [0.0, 0.0], ["EDGE boundary", "BAD boundary"]))
    assert RawSource(raw).pieces == ((0.0, 20 * 256),)


def test_channels_that_mne_calls_bad_are_missing_channels():
    raw = mne.io.RawArray(
        brain(20, 256) * 1e-6, mne.create_info(list(CHANNELS), 256.0, "eeg"), verbose="error"
    )
    raw.info["bads"] = ["C3"]
    with pytest.raises(SkipRecording, match=r"missing: C3; .* Its info\['bads'\] .*: C3\.") as caught:
        Blocks(RawSource(raw), montage(), PAPER)
    assert caught.value.reason == "missing_channels"
    zero = Blocks(RawSource(raw), montage_of("native", CHANNELS, missing="zero"), PAPER)
    assert zero.filled == ("C3",) and codes(zero.warnings) == ["bad_channels", "filled_channels"]
    assert not any(block.uv_CT[1].any() for block in zero)
    assert raw.info["bads"] == ["C3"]  # left as it is


def test_a_bad_channel_outside_of_the_montage_is_told_and_costs_nothing():
    names = [*CHANNELS, "EOG"]
    raw = mne.io.RawArray(brain(20, 256, 4) * 1e-6, mne.create_info(names, 256.0, "eeg"), verbose="error")
    raw.info["bads"] = ["EOG"]
    assert Blocks(RawSource(raw), montage(), PAPER).warnings == (
        "bad_channels: in info['bads'], taken as missing: EOG",
    )


def test_samples_that_are_no_number_are_refused():
    info = mne.create_info(list(CHANNELS), 256.0, "eeg")
    volts = brain(60, 256) * 1e-6
    volts[1, 40 * 256] = np.nan
    with pytest.raises(DataError, match="no number") as caught:
        Blocks(RawSource(mne.io.RawArray(volts, info, verbose="error")), montage(), PAPER)
    assert caught.value.reason == "not_finite"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set")
@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_real_recordings_in_blocks_are_what_training_makes_of_them(small_blocks, phase):
    seen = 0
    for path in sorted((Path(SHARED) / "data" / "chbmit").glob("*/*.edf"))[::4]:
        config, seen = SignalConfig(phase=phase), seen + 1
        (whole, *others), read = trained_on(path, CHBMIT_18, config)
        found = Blocks(EdfSource(path), montage(CHBMIT_18), config)
        got = np.concatenate([part.uv_CT for part in found], axis=1)
        expected = np.concatenate([piece.uv_CT for piece in (whole, *others)], axis=1)
        np.testing.assert_allclose(got, expected, atol=5e-3)
        assert found.warnings == read.warnings
    assert seen > 1
