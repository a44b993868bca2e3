"""Filtering and resampling: gains, exact timing, edges."""

import warnings

import mne
import numpy as np
import pytest
from scipy import fft, signal

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.rules import freeze
from distilclip_eeg.schema import ConfigError, Piece, Recording, RecordingRef
from distilclip_eeg.signals.preprocess import causal, fir, preprocess, ratio, zero_phase

PAPER = SignalConfig()


def recording(*pieces_uv, sfreq=256.0, starts=None):
    """A recording of pieces given in microvolts, (C, T) each."""
    starts = starts or [100.0 * i for i in range(len(pieces_uv))]
    pieces = tuple(Piece(s, (x * 1e-6).astype(np.float32)) for s, x in zip(starts, pieces_uv, strict=True))
    names = tuple(f"E{i}" for i in range(len(pieces_uv[0])))
    return Recording(RecordingRef("r", "s", None), sfreq, names, pieces, ())


def noise(n, channels=2, seed=0, scale=50.0):
    return (scale * np.random.default_rng(seed).standard_normal((channels, n))).astype(np.float32)


def tone(hz, sfreq, seconds, phase=0.4, scale=100.0):
    return scale * np.sin(2 * np.pi * hz * np.arange(round(seconds * sfreq)) / sfreq + phase)[None]


def reference(uv_CT, sfreq, config):
    """Float64, step by step: mirror the edges, convolve with the taps, resample on an exact grid."""
    change = ratio(sfreq, config.sfreq)
    taps = fir(sfreq, config.l_freq, config.h_freq, config.notch_hz)
    pad = round(200 * sfreq) // change.denominator * change.denominator
    rows = []
    for x in uv_CT.astype(np.float64):
        n = len(x)
        total = fft.next_fast_len(-(-(2 * pad + n) // change.denominator)) * change.denominator
        far = total - pad - n
        wide = np.pad(x - x.mean(), (pad, far), mode="reflect", reflect_type="odd")
        wide = signal.oaconvolve(wide, taps, mode="same")
        if change != 1:
            wide = signal.resample(wide, len(wide) * change.numerator // change.denominator)
        first = pad * change.numerator // change.denominator
        rows.append(wide[first : first - (-n * change.numerator // change.denominator)])
    return np.array(rows)


def relative_rms(got, expected):
    return np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2))


def gain_at(hz, config, sfreq=256.0, seconds=120, path=zero_phase):
    """Amplitude out over amplitude in, away from the edges."""
    out, _ = path(tone(hz, sfreq, seconds).astype(np.float32), sfreq, config)
    inner = out[0, out.shape[1] // 3 : 2 * out.shape[1] // 3]
    t = np.arange(len(inner)) / config.sfreq
    design = np.column_stack([np.sin(2 * np.pi * hz * t), np.cos(2 * np.pi * hz * t)])
    return np.hypot(*np.linalg.lstsq(design, inner, rcond=None)[0]) / 100


def test_the_filter_alone_equals_mne_edges_included():
    x = noise(256 * 120) + 30.0
    got, short = zero_phase(x, 256.0, PAPER)
    expected = mne.filter.filter_data(
        x.astype(np.float64), 256.0, 0.1, 70.0, phase="zero", fir_design="firwin", verbose="error"
    )
    half = len(fir(256.0, 0.1, 70.0, None)) // 2
    assert not short
    assert got.shape == x.shape and got.dtype == np.float32
    assert relative_rms(got[:, half:-half], expected[:, half:-half]) < 1e-5
    assert np.abs(got - expected).max() < 1e-2  # microvolts, at signals of 50


@pytest.mark.parametrize("sfreq", [250.0, 256.0, 400.0, 500.0, 512.0])
def test_filter_and_resampling_equal_a_float64_reference(sfreq):
    x = noise(round(sfreq * 61) + 7, seed=3)
    got, _ = zero_phase(x, sfreq, PAPER)
    expected = reference(x, sfreq, PAPER)
    assert got.shape == expected.shape
    assert relative_rms(got, expected) <= 1e-5


def test_a_fractional_rate_of_the_file_is_reached_exactly():
    config = SignalConfig(sfreq=200.0)
    x = noise(round(62.5 * 40) + 1, seed=4)
    got, _ = zero_phase(x, 62.5, config)
    assert got.shape[1] == 40 * 200 + 4  # 62.5 Hz : 200 Hz = 5 : 16, the last old sample lasts 3.2 new ones


@pytest.mark.parametrize("sfreq", [250, 400, 500, 512])
@pytest.mark.parametrize("l_freq", [0.1, 0.37])  # kernels whose half is, and is not, whole steps of the grid
def test_a_tone_keeps_its_phase_at_both_ends_of_ten_minutes(sfreq, l_freq):
    hz, seconds, phase = 30.0, 600, 0.4
    config = SignalConfig(l_freq=l_freq)
    out, _ = zero_phase(tone(hz, sfreq, seconds, phase).astype(np.float32), float(sfreq), config)
    n_in = sfreq * seconds
    assert out.shape == (1, n_in * 256 // sfreq) == (1, 256 * seconds)  # whole seconds stay whole seconds
    t = np.arange(out.shape[1]) / 256
    for begin in (2, 300, seconds - 22):
        part = slice(begin * 256, (begin + 20) * 256)
        trend = np.vander((t[part] - t[part].mean()) / 10, 4)
        waves = [np.sin(2 * np.pi * hz * t[part]), np.cos(2 * np.pi * hz * t[part])]
        solved = np.linalg.lstsq(np.column_stack([*waves, trend]), out[0, part], rcond=None)[0]
        shift = (np.arctan2(solved[1], solved[0]) - phase) / (2 * np.pi * hz)
        assert abs(shift) < 1e-6
        assert np.hypot(solved[0], solved[1]) == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize("hz, low, high", [(0.5, 0.98, 1.02), (10, 0.99, 1.01), (65, 0.98, 1.02)])
@pytest.mark.parametrize("sfreq", [256.0, 500.0])
def test_the_pass_band_is_kept(hz, low, high, sfreq):
    assert low < gain_at(hz, PAPER, sfreq) < high


@pytest.mark.parametrize("hz", [95, 110, 125])
def test_the_stop_band_is_removed(hz):
    assert gain_at(hz, PAPER, 500.0) < 3e-3


def test_what_the_new_rate_cannot_hold_does_not_come_back_as_an_alias():
    # 200 Hz at 500 Hz would appear at 56 Hz of the new rate, inside the pass band.
    out, _ = zero_phase(tone(200, 500.0, 60).astype(np.float32), 500.0, PAPER)
    inner = slice(256 * 20, 256 * 40)  # the ends hold the high-pass filter's slow answer to the mirror
    assert np.abs(out[:, inner]).max() < 0.5
    wide, _ = zero_phase(tone(200, 500.0, 60).astype(np.float32), 500.0, SignalConfig(h_freq=None))
    assert np.abs(wide[:, inner]).max() < 0.5


def test_the_notch_takes_the_mains_and_leaves_its_neighbours():
    config = SignalConfig(notch_hz=60.0)
    for hz in (59.6, 60.0, 60.4):  # one hertz wide
        assert gain_at(hz, config) < 0.02
    for hz in (58.8, 61.2):
        assert gain_at(hz, config) == pytest.approx(1, abs=0.02)
    assert gain_at(60, PAPER) == pytest.approx(1, abs=0.02)


def test_without_edges_nothing_is_filtered():
    x = noise(5000)
    got, short = zero_phase(x, 256.0, SignalConfig(l_freq=None, h_freq=None))
    np.testing.assert_allclose(got, x - x.mean(axis=1, keepdims=True), atol=1e-3)
    assert not short


@pytest.mark.parametrize("path", ["zero", "causal"])
def test_an_offset_of_millivolts_vanishes(path):
    x = noise(256 * 120, channels=1)
    config = SignalConfig(phase=path)
    plain = preprocess(recording(x), config)[0].uv_CT
    lifted = preprocess(recording(x + 3000.0), config)[0].uv_CT
    assert np.abs(lifted[:, 256 * 40 : 256 * 100].mean()) < 1
    assert np.abs(lifted - plain)[:, 256 * 40 :].max() < 0.5


def test_a_straight_drift_vanishes():
    x = np.linspace(-2000, 2000, 256 * 300, dtype=np.float32)[None]
    out, _ = zero_phase(x, 256.0, PAPER)
    assert np.abs(out).max() < 1.0


@pytest.mark.parametrize("config", [PAPER, SignalConfig(phase="causal"), SignalConfig(sfreq=200.0)])
def test_a_constant_channel_gives_zeros(config):
    x = noise(256 * 60, channels=3)
    x[1] = 170.0
    out = preprocess(recording(x), config)[0].uv_CT
    assert np.abs(out[1]).max() < 1e-2  # far below FLAT_UV
    assert np.abs(out[0]).max() > 10


@pytest.mark.parametrize("n", [1, 2, 3, 17, 256])
@pytest.mark.parametrize("sfreq", [256.0, 400.0])
def test_a_piece_shorter_than_the_kernel_is_flagged_and_finite(n, sfreq):
    got = preprocess(recording(noise(n), sfreq=sfreq), PAPER)[0]
    assert got.short_for_filter
    assert got.uv_CT.shape == (2, -(-n * 256 // round(sfreq)))
    assert np.isfinite(got.uv_CT).all()
    assert np.abs(got.uv_CT).max() <= 1000


def test_the_flag_stands_for_the_kernel_length_alone():
    taps = len(fir(256.0, 0.1, 70.0, None))
    assert zero_phase(noise(taps - 1), 256.0, PAPER)[1]
    assert not zero_phase(noise(taps), 256.0, PAPER)[1]
    assert taps == pytest.approx(33 * 256, rel=0.01)


@pytest.mark.parametrize("n", [1, 2, 3, 100])
@pytest.mark.parametrize("sfreq", [256.0, 400.0])
def test_the_causal_path_takes_short_pieces_too(n, sfreq):
    got = preprocess(recording(noise(n), sfreq=sfreq), SignalConfig(phase="causal"))[0]
    assert got.uv_CT.shape == (2, -(-n * 256 // round(sfreq)))
    assert np.isfinite(got.uv_CT).all()


@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_a_piece_does_not_depend_on_its_neighbours(phase):
    config = SignalConfig(phase=phase)
    a, b = noise(256 * 50, seed=1), noise(256 * 20, seed=2, scale=400)
    alone = preprocess(recording(a), config)
    both = preprocess(recording(b, a, b, starts=[0.0, 30.0, 90.0]), config)
    assert [p.start_s for p in both] == [0.0, 30.0, 90.0]
    assert np.array_equal(both[1].uv_CT, alone[0].uv_CT)
    assert np.array_equal(both[0].uv_CT, both[2].uv_CT)


def test_a_channel_does_not_depend_on_the_others():
    x = noise(256 * 40, channels=3)
    changed = x.copy()
    changed[1] *= 7
    a, b = (zero_phase(v, 256.0, PAPER)[0] for v in (x, changed))
    assert np.array_equal(a[[0, 2]], b[[0, 2]])


def test_the_causal_path_looks_only_back():
    config = SignalConfig(phase="causal", notch_hz=60.0)
    x = noise(256 * 30)
    changed = x.copy()
    changed[:, 4000:] = 500.0
    before, after = (causal(v, 256.0, config)[0] for v in (x, changed))
    assert np.array_equal(before[:, :4000], after[:, :4000])
    assert not np.array_equal(before[:, 4000:], after[:, 4000:])


def test_the_causal_path_looks_at_most_50_ms_ahead_where_the_rate_changes():
    config = SignalConfig(phase="causal")
    x = noise(400 * 30)
    changed = x.copy()
    changed[:, 400 * 20 :] = 500.0
    before, after = (causal(v, 400.0, config)[0] for v in (x, changed))
    safe = round(256 * (20 - 0.05))
    np.testing.assert_allclose(before[:, :safe], after[:, :safe], atol=1e-3)


def test_the_zero_phase_path_does_look_ahead():
    x = noise(256 * 60)
    changed = x.copy()
    changed[:, 256 * 40 :] = 500.0
    before, after = (zero_phase(v, 256.0, PAPER)[0] for v in (x, changed))
    assert np.abs(before - after)[:, 256 * 30 : 256 * 39].max() > 1


@pytest.mark.parametrize("hz, low, high", [(0.01, 0, 0.01), (10, 0.98, 1.02), (69.99, 0.6, 0.8)])
def test_the_causal_path_has_the_gains_of_a_butterworth_of_order_4(hz, low, high):
    if hz < 1:  # in steady state only: the response of the formula
        sos = signal.butter(4, 0.1, "highpass", fs=256, output="sos")
        x, _ = causal(tone(hz, 256.0, 400).astype(np.float32), 256.0, SignalConfig(phase="causal"))
        assert np.abs(x[0, 256 * 200 :]).max() / 100 == pytest.approx(
            np.abs(signal.sosfreqz(sos, [hz], fs=256)[1][0]), abs=5e-3
        )
    else:
        assert low < gain_at(hz, SignalConfig(phase="causal"), path=causal) < high


def test_samples_beyond_the_limit_are_set_to_it_and_counted():
    x = noise(256 * 60, channels=2, scale=1.0)
    x[1] += tone(10, 256.0, 60, scale=400)[0]
    config = SignalConfig(clip_uv=200.0)
    free = preprocess(recording(x), SignalConfig(clip_uv=1e9))[0]
    got = preprocess(recording(x), config)[0]
    beyond = np.abs(free.uv_CT) > 200
    assert free.clipped == 0
    assert got.clipped == beyond.sum() > 0
    assert not beyond[0].any()
    assert np.array_equal(got.uv_CT, np.clip(free.uv_CT, -200, 200))
    # 400 sin x stands above 200 for two thirds of the time.
    assert got.clipped == pytest.approx(256 * 60 * 2 / 3, rel=0.02)


def test_the_input_is_left_as_it_was():
    x = noise(256 * 40)
    for phase in ("zero", "causal"):
        rec = recording(x * 100)
        kept = rec.pieces[0].eeg_CT.copy()
        preprocess(rec, SignalConfig(phase=phase, clip_uv=10.0))
        assert np.array_equal(rec.pieces[0].eeg_CT, kept)


@pytest.mark.parametrize(
    "sfreq, out, up, down", [(400, 256, 16, 25), (500, 256, 64, 125), (512, 256, 1, 2), (250, 256, 128, 125)]
)
def test_the_ratio_of_rates_is_a_fraction_of_small_numbers(sfreq, out, up, down):
    found = ratio(float(sfreq), float(out))
    assert (found.numerator, found.denominator) == (up, down)


def test_a_rate_without_a_short_fraction_is_refused():
    with pytest.raises(ConfigError, match="signals.sfreq"):
        ratio(399.99987654, 256.0)


@pytest.mark.parametrize(
    "values, key",
    [
        ({"phase": "linear"}, "signals.phase"),
        ({"normalize": "window"}, "signals.normalize"),
        ({"l_freq": -1.0}, "signals.l_freq"),
        ({"l_freq": 70.0}, "signals.l_freq"),  # equal edges leave nothing
        ({"h_freq": 128.5}, "signals.h_freq"),  # above half the rate
        ({"sfreq": 100.0}, "signals.h_freq"),
        ({"sfreq": 0.0}, "signals.sfreq"),
        ({"sfreq": -256.0}, "signals.sfreq"),
        ({"clip_uv": 0.0}, "signals.clip_uv"),
        ({"clip_uv": -5.0}, "signals.clip_uv"),
        ({"notch_hz": -60.0}, "signals.notch_hz"),
        ({"notch_hz": 0.2}, "signals.notch_hz"),  # its band would reach below zero
        ({"notch_hz": 128.0}, "signals.notch_hz"),
        ({"h_freq": float("nan")}, "signals.h_freq"),
        ({"l_freq": "0.1"}, "signals.l_freq"),
        ({"sfreq": True}, "signals.sfreq"),
        ({"lfreq": 0.1}, "signals.lfreq"),
    ],
)
def test_a_bad_setting_is_refused_by_name(values, key):
    with pytest.raises(ConfigError, match=key):
        freeze(SignalConfig, values, "signals.")


@pytest.mark.parametrize("notch", [50.0, 60.0, 100.0])
@pytest.mark.parametrize("phase", ["zero", "causal"])
@pytest.mark.parametrize("sfreq", [128.0, 200.0, 256.0])
def test_a_notch_outside_the_recordings_band_is_no_obstacle(notch, phase, sfreq):
    config = SignalConfig(notch_hz=notch, phase=phase)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = preprocess(recording(noise(round(sfreq * 60)), sfreq=sfreq), config)[0]
    assert np.isfinite(got.uv_CT).all() and got.uv_CT.std() > 1
