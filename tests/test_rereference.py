"""From a file's signals to a montage's channels: subtraction, average, zeros, splines."""

import mne
import numpy as np
import pytest

from distilclip_eeg.corpora.edf.montage import (
    AUBMC_19,
    BIPOLAR_18,
    CHBMIT_23,
    MONTAGES,
    STANDARD_19,
    montage_of,
)
from distilclip_eeg.corpora.edf.plan import plan_channels
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.schema import ConfigError, SkipRecording

NATIVES = {"tusz": STANDARD_19, "chbmit": CHBMIT_23, "aubmc": AUBMC_19}


def write(path, labels, values, seconds=12):
    """A file in which every signal is its value in microvolts, plus a shared slow wave: none is flat."""
    wave = 20 * np.sin(2 * np.pi * np.arange(seconds * 128) / 256)
    path.write_bytes(
        edf_bytes([signal_of(label, value + wave, 128) for label, value in zip(labels, values, strict=True)])
    )
    return path


def referential(path, names=STANDARD_19, suffix="-REF", value=lambda k: 3.0 * k):
    return write(path, [f"EEG {n}{suffix}" for n in names], [value(k) for k in range(len(names))])


def mean_uv(eeg):
    return eeg.pieces[0].eeg_CT.mean(axis=1) * 1e6


def test_a_double_banana_is_the_difference_of_its_electrodes(tmp_path):
    eeg = read_eeg(referential(tmp_path / "a.edf"), montage_of("bipolar18", STANDARD_19))
    place = {name: 3.0 * k for k, name in enumerate(STANDARD_19)}
    by_hand = [place[a] - place[b] for a, b in (name.split("-") for name in BIPOLAR_18)]
    assert mean_uv(eeg) == pytest.approx(by_hand, abs=0.1) and eeg.filled == ()


def test_the_double_banana_equals_mnes_bipolar_reference(tmp_path):
    rng = np.random.default_rng(0)
    signals = [signal_of(f"EEG {n}-REF", rng.normal(0, 50, 2560), 256) for n in STANDARD_19]
    (tmp_path / "a.edf").write_bytes(edf_bytes(signals))
    eeg = read_eeg(tmp_path / "a.edf", montage_of("bipolar18", STANDARD_19))
    raw = mne.io.read_raw_edf(tmp_path / "a.edf", preload=True, verbose="error")
    raw.rename_channels(lambda name: name.removeprefix("EEG ").removesuffix("-REF"))
    anode, cathode = zip(*(name.split("-") for name in BIPOLAR_18), strict=True)
    theirs = mne.set_bipolar_reference(raw, list(anode), list(cathode), list(BIPOLAR_18), verbose="error")
    assert np.abs(eeg.pieces[0].eeg_CT - theirs.get_data(list(BIPOLAR_18))).max() < 1e-10


def test_the_common_average_is_mnes(tmp_path):
    rng = np.random.default_rng(0)
    signals = [signal_of(f"EEG {n}-LE", rng.normal(0, 50, 2560), 256) for n in reversed(STANDARD_19)]
    (tmp_path / "a.edf").write_bytes(edf_bytes(signals))
    eeg = read_eeg(tmp_path / "a.edf", montage_of("car19", STANDARD_19))
    raw = mne.io.read_raw_edf(tmp_path / "a.edf", preload=True, verbose="error")
    raw.set_eeg_reference("average", verbose="error")
    theirs = raw.get_data([f"EEG {n}-LE" for n in STANDARD_19])
    assert np.abs(eeg.pieces[0].eeg_CT - theirs).max() < 1e-10


def test_a_derivation_in_the_file_is_taken_as_it_stands(tmp_path):
    eeg = read_eeg(
        write(tmp_path / "a.edf", CHBMIT_23[:22], np.arange(22.0)), montage_of("bipolar18", CHBMIT_23)
    )
    assert mean_uv(eeg) == pytest.approx(np.arange(18.0), abs=0.1)


def test_missing_electrodes_are_zero_and_outside_the_average_or_skipped(tmp_path):
    there = [n for n in STANDARD_19 if n not in ("FZ", "PZ")]
    path = referential(tmp_path / "a.edf", there, value=lambda k: 10.0)
    with pytest.raises(SkipRecording, match="2 of 19 montage channels are missing: FZ, PZ"):
        read_eeg(path, montage_of("native", STANDARD_19))
    native = read_eeg(path, montage_of("native", STANDARD_19, missing="zero"))
    assert native.filled == ("FZ", "PZ") and native.warnings[-1].startswith("filled_channels:")
    rows = {n: mean for n, mean in zip(STANDARD_19, mean_uv(native), strict=True)}
    assert rows["FZ"] == rows["PZ"] == 0 and rows["CZ"] == pytest.approx(10, abs=0.1)
    average = read_eeg(path, montage_of("car19", STANDARD_19, missing="zero"))
    assert np.abs(average.pieces[0].eeg_CT).max() < 1e-10  # 17 equal electrodes; zeros would have pulled it
    banana = read_eeg(path, montage_of("bipolar18", STANDARD_19, missing="zero"))
    assert banana.filled == ("FZ-CZ", "CZ-PZ")


@pytest.mark.parametrize("name", ["native", "car19", "bipolar18"])
def test_interpolated_electrodes_are_near_the_truth_of_a_smooth_field_and_the_others_untouched(
    tmp_path, name
):
    info = mne.create_info(list(STANDARD_19), 128, "eeg")
    info.set_montage("colin27_1020", match_case=False)
    place = np.array([ch["loc"][:3] for ch in info["chs"]])
    field = dict(zip(STANDARD_19, 1000 * place @ [1.0, -0.5, 2.0], strict=True))  # up to some 200 uV
    whole = write(tmp_path / "whole.edf", STANDARD_19, field.values())
    there = [n for n in STANDARD_19 if n not in ("FZ", "PZ")]
    part = write(tmp_path / "part.edf", there, [field[n] for n in there])
    truth = read_eeg(whole, montage_of(name, STANDARD_19))
    guess = read_eeg(part, montage_of(name, STANDARD_19, missing="interpolate"))
    assert set(guess.filled) == ({"FZ-CZ", "CZ-PZ"} if name == "bipolar18" else {"FZ", "PZ"})
    assert mean_uv(guess) == pytest.approx(mean_uv(truth), abs=15)
    if name == "native":
        kept = [k for k, n in enumerate(STANDARD_19) if n in there]
        assert np.abs(guess.pieces[0].eeg_CT[kept] - truth.pieces[0].eeg_CT[kept]).max() < 1e-9


def test_more_than_half_missing_is_never_filled(tmp_path):
    path = referential(tmp_path / "a.edf", STANDARD_19[:9])
    for policy in ("zero", "interpolate"):
        with pytest.raises(SkipRecording, match="10 of 19 montage channels are missing"):
            read_eeg(path, montage_of("native", STANDARD_19, missing=policy))


def test_electrodes_with_different_references_are_not_subtracted(tmp_path):
    labels = [f"EEG {n}-{'REF' if k else 'LE'}" for k, n in enumerate(STANDARD_19)]
    path = write(tmp_path / "a.edf", labels, range(19))
    for name in ("bipolar18", "car19"):
        with pytest.raises(SkipRecording) as caught:
            read_eeg(path, montage_of(name, STANDARD_19))
        assert caught.value.reason == "mixed_references"
    assert any("mixed_references" in w for w in read_eeg(path, STANDARD_19).warnings)


def test_gaps_stay_gaps_in_every_montage(tmp_path):
    rng = np.random.default_rng(0)
    signals = [signal_of(n, rng.normal(0, 50, 20 * 128), 128) for n in STANDARD_19]
    kept = [*range(8), *range(15, 20)]
    (tmp_path / "a.edf").write_bytes(edf_bytes(signals, kept=kept, onsets_s=kept))
    for name in MONTAGES:
        eeg = read_eeg(tmp_path / "a.edf", montage_of(name, STANDARD_19))
        assert [(p.start_s, p.eeg_CT.shape[1]) for p in eeg.pieces] == [(0.0, 1024), (15.0, 640)]


@pytest.mark.parametrize("corpus", NATIVES)
def test_bipolar18_is_the_same_list_for_every_corpus(corpus):
    assert montage_of("bipolar18", NATIVES[corpus]).ch_names == BIPOLAR_18 and len(set(BIPOLAR_18)) == 18


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: montage_of("car19", CHBMIT_23), "needs electrodes against one reference"),
        (lambda: montage_of("native", CHBMIT_23, missing="interpolate"), "needs electrodes"),
        (lambda: montage_of("banana", STANDARD_19), "signals.montage='banana' is not one of"),
        (lambda: montage_of("native", STANDARD_19, missing="guess"), "dataset.missing_channels='guess'"),
    ],
)
def test_a_montage_that_cannot_be_is_a_config_error(build, words):
    with pytest.raises(ConfigError, match=words):
        build()


def test_a_plan_decodes_each_electrode_once():
    plan = plan_channels(STANDARD_19, montage_of("bipolar18", STANDARD_19), "a.edf")
    assert len(plan.picks) == len(set(plan.picks)) == 19 and not plan.plain
