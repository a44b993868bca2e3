import inspect
import re

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.corpora.aubmc import AubmcWindows
from distilclip_eeg.corpora.events_tsv import SZCORE
from distilclip_eeg.corpora.tusz_files import TYPES
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.text import measures
from distilclip_eeg.text.descriptors import DENY_LIST, Describer, denied
from distilclip_eeg.text.measures import measure
from distilclip_eeg.text.tokenizer import build_wordpiece, tokenize

SFREQ = 256
TEN_TWENTY = tuple("FP1 FP2 F7 F3 FZ F4 F8 T3 C3 CZ C4 T4 T5 P3 PZ P4 T6 O1 O2".split())
TIME = np.arange(SFREQ) / SFREQ
CLASSES = ("bckg", "seiz", *TYPES, *AubmcWindows.classes, *SZCORE)
"""Of every corpus."""


def sine(hz, uv=50.0, n_ch=19, time=TIME):
    """One window with the same sine, ``uv`` its peak, on every channel at phases of their own."""
    phase = np.linspace(0, np.pi, n_ch)[:, None]
    return (uv * np.sin(2 * np.pi * hz * time + phase))[None].astype(np.float32)


def noise(n=64, n_ch=19, n_times=SFREQ, uv=20.0, seed=0):
    return np.random.default_rng(seed).normal(0, uv, (n, n_ch, n_times)).astype(np.float32)


def one(eeg, names=TEN_TWENTY, sfreq=SFREQ):
    return measure(eeg, sfreq, names).iloc[0]


@pytest.fixture(scope="module")
def fitted():
    """A describer fitted to noise of many sizes."""
    uv = np.geomspace(2, 200, 64)[:, None, None]
    return Describer("coarse").fit(measure(noise() / 20 * uv, SFREQ, TEN_TWENTY))


@pytest.mark.parametrize("sfreq", [200, 256, 500])
@pytest.mark.parametrize(
    "hz, band",
    [(1, "delta"), (3, "delta"), (5, "theta"), (7, "theta"), (10, "alpha"), (18, "beta"), (40, "beta")],
)
def test_a_sine_is_named_by_its_band_and_frequency(hz, band, sfreq):
    row = one(sine(hz, time=np.arange(sfreq) / sfreq), sfreq=sfreq)
    assert row["band"] == band
    assert row["frequency_hz"] == pytest.approx(hz, abs=0.5)


def test_a_5_hz_sine_of_50_uv_reads_as_rhythmic_theta(fitted):
    rows = measure(sine(5), SFREQ, TEN_TWENTY)
    assert fitted.describe(rows) == ["Rhythmic theta activity of moderate amplitude."]
    full = Describer("full").fit(measure(noise(), SFREQ, TEN_TWENTY)).describe(rows)[0]
    assert full.startswith("Rhythmic theta activity at about 5 Hz, of very high amplitude")
    assert "no sharp transients" in full and "steady in amplitude" in full


def test_the_amplitude_is_the_root_mean_square_in_microvolts():
    # A sine of peak 50 has RMS 50 / sqrt(2).
    assert one(sine(5))["amplitude_uv"] == pytest.approx(50 / np.sqrt(2), rel=1e-4)


@pytest.mark.parametrize("uv, word", [(5, "low"), (40, "moderate"), (300, "high")])
def test_scaling_the_signal_changes_the_amplitude_word_only(fitted, uv, word):
    a, b = one(sine(10)), one(sine(10, uv=uv))
    assert fitted.describe(measure(sine(10, uv=uv), SFREQ, TEN_TWENTY))[0].endswith(f"{word} amplitude.")
    assert b["amplitude_uv"] == pytest.approx(a["amplitude_uv"] * uv / 50, rel=1e-4)
    for column in ("frequency_hz", "rhythmicity", "synchrony", "laterality", "evolution", "artifact"):
        assert b[column] == pytest.approx(a[column], abs=1e-3), column


def test_an_offset_changes_nothing():
    eeg = noise(8)
    pd.testing.assert_frame_equal(
        measure(eeg, SFREQ, TEN_TWENTY), measure(eeg + 1000, SFREQ, TEN_TWENTY), rtol=1e-2, atol=1e-3
    )


def test_the_order_of_the_channels_does_not_matter():
    eeg = noise(8)
    order = np.random.default_rng(1).permutation(19)
    a = measure(eeg, SFREQ, TEN_TWENTY)
    b = measure(eeg[:, order], SFREQ, [TEN_TWENTY[i] for i in order])
    pd.testing.assert_frame_equal(a, b, rtol=1e-4, atol=1e-5)


def test_each_window_is_described_by_itself():
    eeg = noise(600)  # more than two chunks
    together = measure(eeg, SFREQ, TEN_TWENTY)
    for i in (0, 255, 256, 599):
        pd.testing.assert_frame_equal(
            together.iloc[[i]].reset_index(drop=True), measure(eeg[[i]], SFREQ, TEN_TWENTY), rtol=1e-4
        )


def test_a_sine_is_rhythmic_noise_and_drift_are_not():
    drift = np.linspace(-100, 100, SFREQ)[None, None] * np.ones((1, 19, 1))
    assert one(sine(5))["rhythmicity"] > 0.95
    assert one(noise())["rhythmicity"] < 0.3
    assert one(drift)["rhythmicity"] < 0.1


@pytest.mark.parametrize("hz", [3, 4, 6, 10, 20])
def test_rhythm_is_seen_from_3_to_20_hz(hz):
    assert one(sine(hz))["rhythmicity"] > 0.9


@pytest.mark.parametrize("hz", [1.0, 1.5, 2.0])
def test_a_rhythm_slower_than_a_second_can_show_is_seen_in_four(hz):
    rng = np.random.default_rng(0)
    long = sine(hz, time=np.arange(4 * SFREQ) / SFREQ) + rng.normal(0, 3, (1, 19, 4 * SFREQ))
    assert one(long)["rhythmicity"] > 0.9
    assert one(long)["frequency_hz"] == pytest.approx(hz, abs=0.13)  # a second resolves 0.5 Hz
    assert one(long[..., :SFREQ])["rhythmicity"] < 0.6


def test_sharp_transients_are_counted_per_channel_and_second():
    eeg = noise(1, uv=1.0)
    for i in (50, 120, 200):
        eeg[:, :, i] += 80
    assert one(eeg)["sharpness"] == pytest.approx(3, abs=0.7)
    assert one(sine(5))["sharpness"] == 0


@pytest.mark.parametrize(
    "gain_left, gain_right, expected",
    [(2, 1, -0.6), (1, 1, 0.0), (1, 3, 0.8)],  # (R - L) / (R + L) of the squares
)
def test_laterality_compares_homologous_channels(gain_left, gain_right, expected):
    gain = [1 if ch.endswith("Z") else gain_left if int(ch[-1]) % 2 else gain_right for ch in TEN_TWENTY]
    assert one(sine(6) * np.array(gain)[:, None])["laterality"] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    "channel, expected",
    [
        ("FP1", "left frontal"),
        ("T3", "left temporal"),
        ("T6", "right temporal"),
        ("CZ", "midline central"),
        ("P4", "right parietal"),
        ("O2", "right occipital"),
    ],
)
def test_the_maximum_names_side_and_region(channel, expected):
    eeg = noise(1)
    eeg[:, TEN_TWENTY.index(channel)] *= 10
    assert one(eeg)["maximum"] == expected


@pytest.mark.parametrize(
    "name, electrodes, mirror, place",
    [
        ("FP1-F7", ("F7", "FP1"), ("F8", "FP2"), "left frontal"),
        ("T7-P7", ("P7", "T7"), ("P8", "T8"), "left temporal"),
        ("P8-O2", ("O2", "P8"), ("O1", "P7"), "right occipital"),
        ("T8-P8-1", ("P8", "T8"), ("P7", "T7"), "right temporal"),
        ("FT9-FT10", ("FT10", "FT9"), ("FT10", "FT9"), ""),
        ("EEG FP2-REF", ("FP2",), ("FP1",), "right frontal"),
        ("EEG C3-LE", ("C3",), ("C4",), "left central"),
        ("T4-A2", ("T4",), ("T3",), "right temporal"),
        ("Cz", ("CZ",), ("CZ",), "midline central"),
    ],
)
def test_channel_names_are_read_as_electrodes_or_pairs(name, electrodes, mirror, place):
    assert measures._place(name) == (electrodes, mirror, place)


def test_opposite_pairs_match_however_they_are_written():
    eeg = np.concatenate([sine(5, 50, 1), sine(5, 100, 1)], axis=1)
    assert one(eeg, ["T7-FT9", "FT10-T8"])["laterality"] == pytest.approx(0.6, abs=0.01)


def test_a_channel_across_both_sides_is_never_the_maximum():
    eeg = np.concatenate([sine(5, 50, 1), sine(5, 500, 1)], axis=1)
    assert one(eeg, ["F7-T7", "FT9-FT10"])["maximum"] == "left temporal"


def test_unknown_channel_names_leave_place_and_side_unsaid():
    rows = measure(noise(4), SFREQ, [f"CH{i}" for i in range(19)])
    assert rows["laterality"].isna().all() and (rows["maximum"] == "").all()
    sentence = Describer("full").fit(rows).describe(rows)[0]
    assert not re.search("left|right|symmetric|region", sentence)


def test_synchrony_is_the_mean_absolute_correlation():
    same = np.repeat(noise(1, n_ch=1), 19, axis=1)
    assert one(same)["synchrony"] == pytest.approx(1, abs=1e-4)
    eeg = noise(1, n_ch=4)
    r = np.abs(np.corrcoef(eeg[0]))
    expected = (r.sum() - 4) / 12
    assert one(eeg, ["C3", "C4", "O1", "O2"])["synchrony"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("gain, expected", [(2.0, 2.0), (1.0, 0.0), (0.5, -2.0)])
def test_evolution_is_the_log2_power_of_the_second_half_over_the_first(gain, expected):
    eeg = sine(8)
    eeg[..., SFREQ // 2 :] *= gain
    assert one(eeg)["evolution"] == pytest.approx(expected, abs=0.1)


def test_fast_power_and_flat_channels_are_told():
    eeg = sine(55)
    eeg[:, :3] = 0
    row = one(eeg)
    assert row["artifact"] > 0.9 and row["flat"] == pytest.approx(3 / 19)
    sentence = (
        Describer("full")
        .fit(measure(noise(), SFREQ, TEN_TWENTY))
        .describe(measure(eeg, SFREQ, TEN_TWENTY))[0]
    )
    assert sentence.endswith("Muscle or mains artifact. Some channels flat.")


def test_flat_channels_do_not_change_the_band():
    eeg = sine(5)
    eeg[:, 8:] = 0
    assert one(eeg)["band"] == "theta"


def test_a_flat_channel_is_not_listened_to():
    # Sixteen dead channels hum at 17.5 Hz, in antiphase 200 ms later, far below half a microvolt.
    eeg = sine(17.5, uv=0.01)
    eeg[:, :3] = sine(5)[:, :3]
    row = one(eeg)
    assert row["frequency_hz"] == 5 and row["band"] == "theta"
    assert row["rhythmicity"] == pytest.approx(one(sine(5))["rhythmicity"], abs=0.01)


def test_the_slope_of_every_eeg_does_not_make_it_delta():
    spectrum = np.fft.rfft(noise(400))
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(129), 1)))
    share = measure(pink, SFREQ, TEN_TWENTY)["band"].value_counts(normalize=True)
    assert share.get("delta", 0) < 0.5 and len(share) >= 3


def test_the_frequency_is_the_strongest_per_octave():
    # 3 Hz with 90 % of the amplitude has 0.81 * 2 times the power per octave of 1.5 Hz.
    slow, fast = (sine(hz, uv, time=np.arange(512) / SFREQ) for hz, uv in ((1.5, 50), (3, 45)))
    assert one(slow + fast)["frequency_hz"] == 3


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_window_without_any_signal_is_still_described(fitted, value):
    rows = measure(np.full((2, 19, SFREQ), value), SFREQ, TEN_TWENTY)
    assert rows["flat"].eq(1).all() and np.isfinite(rows.select_dtypes("number")).all(axis=None)
    assert fitted.describe(rows) == ["Irregular delta activity of low amplitude."] * 2


def test_missing_samples_are_an_error_not_a_sentence():
    eeg = noise(3)
    eeg[1, 2, 3] = np.nan
    with pytest.raises(DataError, match="NaN"):
        measure(eeg, SFREQ, TEN_TWENTY)


def test_channels_and_names_must_agree():
    with pytest.raises(ValueError, match=r"expected \(B, 2, T\)"):
        measure(noise(1), SFREQ, ["C3", "C4"])


def test_no_windows_give_no_rows(fitted):
    rows = measure(noise(0), SFREQ, TEN_TWENTY)
    assert len(rows) == 0 and fitted.describe(rows) == []


def test_a_label_cannot_be_passed():
    assert list(inspect.signature(measure).parameters) == ["eeg_uv_BCT", "sfreq", "ch_names"]
    assert list(inspect.signature(Describer.describe).parameters) == ["self", "measures"]
    assert list(inspect.signature(Describer.fit).parameters) == ["self", "measures"]


def test_labels_beside_the_measurements_change_nothing(fitted):
    rows = measure(noise(16), SFREQ, TEN_TWENTY)
    for label in ("bckg", "FNSZ"):
        assert fitted.describe(rows.assign(label=label)) == fitted.describe(rows)


@pytest.mark.parametrize("source", ["descriptors", "handcrafted"])
def test_there_are_24_coarse_sentences_and_no_others(source):
    describer = Describer("coarse", source).fit(measure(noise(256), SFREQ, TEN_TWENTY))
    bank = describer.vocabulary_sentences()
    assert len(bank) == len(set(bank)) == 24
    loud = measure(noise(256, uv=50), SFREQ, TEN_TWENTY)
    assert set(describer.describe(loud)) <= set(bank)


def test_handcrafted_text_tells_the_same_in_fuller_sentences():
    rows = measure(sine(5), SFREQ, TEN_TWENTY)
    fit = measure(noise(), SFREQ, TEN_TWENTY)
    coarse = Describer("coarse", "handcrafted").fit(fit).describe(rows)
    assert coarse == ["Scalp EEG segment. The activity is rhythmic theta. Its amplitude is high."]
    full = Describer("full", "handcrafted").fit(fit).describe(rows)[0]
    assert full.startswith(
        "Scalp EEG segment. The activity is rhythmic theta near 5 Hz. Its amplitude is very"
    )
    # Word for word the same levels as the line of a report.
    line = Describer("full").fit(fit).describe(rows)[0]
    words = {
        "rhythmic",
        "theta",
        "5",
        "very",
        "high",
        "left",
        "right",
        "symmetric",
        "no",
        "some",
        "many",
        "steady",
    }
    tell = lambda text: words & set(re.findall(r"[\w-]+", text.lower()))  # noqa: E731
    assert tell(line) == tell(full)


@pytest.mark.parametrize("hz, coarse, full", [(20, "beta", "beta"), (40, "beta", "gamma")])
def test_full_detail_tells_gamma_from_beta(hz, coarse, full):
    rows = measure(sine(hz), SFREQ, TEN_TWENTY)
    assert f" {coarse} activity" in Describer("coarse").fit(rows).describe(rows)[0]
    assert f" {full} activity at about {hz} Hz" in Describer("full").fit(rows).describe(rows)[0]


def test_the_full_vocabulary_covers_every_word_that_is_ever_said():
    rng = np.random.default_rng(0)
    eeg = np.cumsum(noise(400), axis=-1) * rng.choice([0, 1, 4], (400, 19, 1)) + noise(400, seed=1)
    eeg *= np.linspace(rng.uniform(0.1, 3, (400, 1)), 1, SFREQ, axis=-1)
    rows = measure(eeg, SFREQ, TEN_TWENTY)
    describer = Describer("full").fit(rows)
    words = set(re.findall(r"[\w-]+", " ".join(describer.vocabulary_sentences())))
    said = set(re.findall(r"[\w-]+", " ".join(describer.describe(rows))))
    assert said <= words


@pytest.mark.parametrize("source", ["descriptors", "handcrafted"])
@pytest.mark.parametrize("detail", ["coarse", "full"])
def test_no_sentence_holds_a_word_of_the_label(source, detail):
    for sentence in Describer(detail, source).vocabulary_sentences():
        assert denied(sentence, CLASSES) == [], sentence


@pytest.mark.parametrize(
    "text", ["Ictal theta", "3 Hz spike-and-wave", "an ABSZ window", "abnormal", "epileptiform", "bckg"]
)
def test_the_deny_list_finds_label_words(text):
    assert denied(text)
    assert denied(text.upper())
    assert {"seizure", "ictal", "epilep", "sz", "bckg", "normal"} <= set(DENY_LIST)


def test_the_deny_list_finds_names_of_the_corpus_s_classes_as_words():
    sentence = "Rhythmic theta activity of high amplitude."
    assert denied(sentence, ["bckg", "theta_activity"]) == ["theta activity"]
    assert denied(sentence, ["bckg", "rhythm", "eta"]) == []


def test_every_term_of_the_deny_list_is_found_where_it_is_planted():
    for term in DENY_LIST:
        assert denied(f"Rhythmic theta {term} of high amplitude.") != []


@pytest.mark.parametrize("source", ["descriptors", "handcrafted"])
def test_every_full_sentence_fits_in_64_tokens(source):
    sentences = Describer("full", source).vocabulary_sentences()
    batch = tokenize(build_wordpiece(sentences), sentences, max_len=512)
    assert batch["input_ids"].shape[1] <= 64


def test_edges_are_quantiles_of_the_rows_given():
    rows = measure(noise(99), SFREQ, TEN_TWENTY)
    rows["amplitude_uv"] = np.arange(1.0, 100.0)
    describer = Describer("coarse").fit(rows)
    # 1..99: the thirds lie at 1 + 98/3 and 1 + 196/3.
    assert describer.edges["amplitude_uv"] == pytest.approx([1 + 98 / 3, 1 + 196 / 3])
    words = [s.split()[-2] for s in describer.describe(rows)]
    assert [words.count(w) for w in ("low", "moderate", "high")] == [33, 33, 33]


def test_a_value_on_an_edge_gets_the_lower_word():
    rows = measure(np.repeat(sine(5), 4, axis=0), SFREQ, TEN_TWENTY)
    assert set(Describer("coarse").fit(rows).describe(rows)) == {"Irregular theta activity of low amplitude."}


def test_rows_that_were_not_fitted_do_not_move_the_edges(fitted):
    rows = measure(noise(8), SFREQ, TEN_TWENTY)
    loud = measure(noise(8, uv=500), SFREQ, TEN_TWENTY)
    assert fitted.describe(pd.concat([rows, loud]))[:8] == fitted.describe(rows)


@pytest.mark.parametrize("source", ["descriptors", "handcrafted"])
@pytest.mark.parametrize("detail", ["coarse", "full"])
def test_a_saved_describer_says_the_same(detail, source):
    rows = measure(noise(), SFREQ, TEN_TWENTY)
    describer = Describer(detail, source).fit(rows)
    again = Describer.from_json(describer.to_json())
    assert again.describe(rows) == describer.describe(rows) and again.to_json() == describer.to_json()


def test_describing_before_fitting_is_an_error():
    with pytest.raises(ConfigError, match="before fit"):
        Describer().describe(measure(noise(1), SFREQ, TEN_TWENTY))
    with pytest.raises(ConfigError, match="text.detail='fine'"):
        Describer("fine")
    with pytest.raises(ConfigError, match="text.source='poem'"):
        Describer("coarse", "poem")
