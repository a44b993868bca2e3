"""Whatever a file records, the derivations of a montage come out of it: against mne, numpy and by hand."""

import json

import mne
import numpy as np
import pytest
from deploy_tools import LIVE, Loudness, brain, recipe, write_edf
from tools import codes

from distilclip_eeg.config.commands import CheckSettings, PrepareSettings
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.on_files import DetectSettings
from distilclip_eeg.corpora import filecheck
from distilclip_eeg.corpora.edf.montage import (
    BIPOLAR_18,
    CHBMIT_18,
    CHBMIT_23,
    STANDARD_19,
    Montage,
    canonical,
    montage_of,
)
from distilclip_eeg.corpora.edf.plan import plan_channels
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.edf.rename import Rename
from distilclip_eeg.corpora.edf.rereference import arrange
from distilclip_eeg.corpora.folder import Folder
from distilclip_eeg.corpora.invented.layouts import bids, chbmit
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.deploy.blocks import Blocks, EdfSource, RawSource
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.screen import find
from distilclip_eeg.schema import ConfigError, Piece, SkipRecording

MODERN = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
TEN_TEN = (
    "Fp1 Fp2 AF7 AF8 F7 F3 Fz F4 F8 FT9 FC5 FC1 FC2 FC6 FT10 T7 C3 Cz C4 T8 CP5 CP1 CP2 CP6 P7 P3 Pz P4 P8 "
    "O1 O2 Oz"
).split()


def volts(labels, montage, values_ST):
    """The montage's channels out of signals that are given as an array."""
    plan = plan_channels(labels, montage, "x.edf")
    picked = np.asarray(values_ST, np.float32)[list(plan.picks)]
    return plan, arrange([Piece(0.0, picked)], 256.0, plan, montage)[0].eeg_CT


def derived(*names):
    return Montage("native", names, derive=True)


# ------------------------------------------------------------------------------------------ one rule, by hand


@pytest.mark.parametrize(
    "labels, values, wanted, expected",
    [
        (["F7-T7", "T7-P7"], [3, 5], "T7-P7", 5),  # the signal itself
        (["F7-T7", "T7-P7"], [3, 5], "P7-T7", -5),  # the other way round
        (["EEG T7-REF", "EEG FT9-REF"], [3, 5], "T7-FT9", 3 - 5),  # electrodes against one reference
        (["Fp1-A1A2", "F7-A1A2"], [3, 5], "FP1-F7", 3 - 5),
        (["FP1-F3", "F3-C3"], [3, 5], "FP1-C3", 3 + 5),  # a chain
        (["F3-FP1", "F3-C3"], [3, 5], "FP1-C3", -3 + 5),  # its first turned round
        (["F3-FP1", "C3-F3"], [3, 5], "FP1-C3", -3 - 5),
        (["T7-P7", "FT9-P7"], [3, 5], "T7-FT9", 3 - 5),
        (["Fz-Cz", "Pz-Cz"], [3, 5], "CZ-PZ", -5),  # all against Cz
        (["Fz-Cz", "Pz-Cz"], [3, 5], "FZ-CZ", 3),
        (["Fz-Cz", "Pz-Cz"], [3, 5], "FZ-PZ", 3 - 5),
        (["C3-A2", "C4-A1", "A1-A2"], [3, 5, 7], "C3-C4", 3 - 7 - 5),  # over both ears
        (["FP1-F7", "F7-T7", "T7-P7", "P7-O1"], [1, 2, 4, 8], "FP1-O1", 15),
        (["FP1-F7", "F7-T7", "FP1-REF", "T7-REF"], [1, 2, 4, 8], "FP1-T7", 4 - 8),  # electrodes first
        (["FP1-F7", "F7-X", "X-T7", "FP1-C3", "C3-T7"], [1, 2, 4, 8, 16], "FP1-T7", 8 + 16),  # the shorter
        (["FP1-F7", "F7-T7", "FP1-C3", "C3-T7"], [1, 2, 4, 8], "FP1-T7", 1 + 2),  # the first in the file
        (["FP1-G19", "F7-G19"], [3, 5], "FP1-F7", 3 - 5),  # a reference that nobody listed
    ],
)
def test_a_derivation_follows_from_others_with_the_signs_of_a_path(labels, values, wanted, expected):
    _, (row,) = volts(labels, derived(wanted), np.array(values)[:, None])
    assert row.tolist() == [expected]


def test_what_is_not_derived_is_found_by_name_alone():
    with pytest.raises(SkipRecording):
        plan_channels(["T7-P7"], Montage("native", ("P7-T7",)), "x.edf")


def test_a_signal_of_its_own_goes_before_every_derivation_and_is_copied():
    values = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    _, (row,) = volts(["FP1-REF", "F7-REF", "FP1-F7"], derived("FP1-F7"), values)
    assert row.tobytes() == values[2].tobytes()


def test_a_difference_of_two_signals_is_that_of_float32_to_the_last_bit():
    values = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    _, rows = volts(["FP1-REF", "F7-REF"], derived("FP1-F7", "F7-FP1"), values)
    assert rows[0].tobytes() == (values[0] - values[1]).tobytes()
    assert rows[1].tobytes() == (values[1] - values[0]).tobytes()


def test_references_that_differ_or_are_local_do_not_cancel():
    for labels in (["FP1-A1", "F7-A2"], ["FP1-REF", "F7"], ["FP1-LE", "F7-AR"]):
        with pytest.raises(SkipRecording) as caught:
            plan_channels(labels, derived("FP1-F7"), "x.edf")
        assert caught.value.reason == "mixed_references"
    with pytest.raises(SkipRecording) as caught:  # each against its own neighbours
        plan_channels(["FP1-SD", "F7-SD"], derived("FP1-F7"), "x.edf")
    assert caught.value.reason == "missing_channels"


def test_p7_t7_and_the_lower_temporal_chain_follow_where_the_file_has_the_electrodes():
    labels = [name for name in TEN_TEN]
    values = 2.0 ** np.arange(len(labels))
    at = {canonical(name): value for name, value in zip(labels, values, strict=True)}
    plan, rows = volts(labels, montage_of("native", CHBMIT_23, derive=True), values[:, None])
    pairs = [canonical(name).split("-") for name in CHBMIT_23]
    assert rows[:, 0].tolist() == [at[a] - at[b] for a, b in pairs] and not plan.filled
    plan, rows = volts(
        CHBMIT_18, montage_of("native", CHBMIT_23, derive=True, missing="zero"), np.ones((18, 1))
    )
    assert plan.filled == ("T7-FT9", "FT9-FT10", "FT10-T8") and rows[:, 0].tolist() == [1] * 18 + [
        -1,
        0,
        0,
        0,
        1,
    ]


def test_what_follows_is_not_drawn_by_splines():
    labels = [*(n for n in STANDARD_19 if n not in ("O1", "FZ")), "P3-O1"]
    values = np.random.default_rng(0).normal(size=(18, 40)) * 1e-5
    plan, rows = volts(labels, montage_of("bipolar18", STANDARD_19, missing="interpolate"), values)
    at = dict(zip(labels, values.astype(np.float32).astype(float), strict=True))
    assert plan.filled == ("FZ-CZ",)
    row = dict(zip(BIPOLAR_18, rows, strict=True))
    np.testing.assert_array_equal(row["P3-O1"], at["P3-O1"].astype(np.float32))
    np.testing.assert_allclose(row["T5-O1"], at["T5"] - at["P3"] + at["P3-O1"], rtol=0, atol=1e-11)
    assert row["FZ-CZ"].std() > 1e-6


@pytest.mark.parametrize("seed", range(20))
def test_whatever_can_be_had_is_the_difference_of_the_electrodes(seed):
    """Random signals over random electrodes: what is planned is right, what is refused cannot be had."""
    rng = np.random.default_rng(seed)
    names = [str(name) for name in rng.choice([n.upper() for n in TEN_TEN], 9, replace=False)]
    references = ("REF", "LE", "A1", "")
    potential = {canonical(name): rng.normal(size=20) for name in (*names, "A1")}
    apart = {"A1": potential["A1"], **{ref: rng.normal(size=20) for ref in ("REF", "LE", "")}}
    labels, values = [], []
    for _ in range(rng.integers(3, 14)):
        first, second = (str(n) for n in rng.choice(names, 2, replace=False))
        reference = str(rng.choice(references))
        if rng.random() < 0.6:
            label, value = f"{first}-{second}", potential[canonical(first)] - potential[canonical(second)]
        else:
            label = f"EEG {first}-{reference}".rstrip("-")
            value = potential[canonical(first)] - apart[reference]
        if canonical(label) not in map(canonical, labels):
            labels.append(label)
            values.append(value)
    columns = [*potential, "REF", "LE", ""]
    matrix = np.array([[*p] for p in (potential[c] if c in potential else apart[c] for c in columns)])
    mixing = np.array([np.linalg.lstsq(matrix.T, value, rcond=None)[0].round(6) for value in values])
    for first in names:
        for second in names:
            if first == second:
                continue
            wanted = np.array([(c == canonical(first)) - (c == canonical(second)) for c in columns], float)
            weights = np.linalg.lstsq(mixing.T, wanted, rcond=None)[0]
            possible = np.allclose(mixing.T @ weights, wanted, atol=1e-4)
            try:
                _, (row,) = volts(labels, derived(f"{first}-{second}"), values)
            except SkipRecording:
                assert not possible, (labels, first, second)
                continue
            assert possible
            np.testing.assert_allclose(
                row,
                potential[canonical(first)] - potential[canonical(second)],
                atol=1e-5,
                err_msg=str(labels),
            )


# ------------------------------------------------------------------------------------------------ six layouts


def potentials(sfreq, seconds=12):
    """Microvolts at the electrodes of 10-10, canonical names; no two alike."""
    uv = brain(seconds, sfreq, len(TEN_TEN), seizures=[(4, 8)], seed=3)
    return {canonical(name): row for name, row in zip(TEN_TEN, uv, strict=True)}


def ward(folder):
    uv = potentials(200)
    return write_edf(
        folder / "a.edf", [uv[n] for n in STANDARD_19], 200, [f"EEG {n}-Ref" for n in STANDARD_19]
    )


def ten_ten(folder):
    uv = potentials(500)
    labels = [f"{name}." for name in TEN_TEN]
    return write_edf(folder / "a.edf", [uv[canonical(name)] for name in labels], 500, labels)


def banana(folder):
    uv = potentials(256)
    pairs = [canonical(name).split("-") for name in CHBMIT_18]
    labels = [f"EEG {name.title()}" for name in reversed(CHBMIT_18)]
    return write_edf(folder / "a.edf", [uv[a] - uv[b] for a, b in reversed(pairs)], 256, labels)


def biosemi(folder, offset_uv=0.0):
    """Against CMS: 24 bits, a status channel; without a high-pass electrodes stand millivolts off."""
    how = {"physical_range": (-262144.0, 262143.0), "digital_range": (-(2**23), 2**23 - 1)}
    uv = potentials(512)
    signals = [signal_of(n, uv[canonical(n)] + offset_uv + k, 512, **how) for k, n in enumerate(TEN_TEN)]
    status = signal_of("Status", np.zeros(12 * 512), 512, unit="Boolean", **how)
    (folder / "a.bdf").write_bytes(edf_bytes([*signals, status], bdf=True))
    return folder / "a.bdf"


def szcore(folder):
    uv = potentials(256)
    data = bids.recording_bytes(12, labels=[f"{MODERN.get(n, n)}-Avg" for n in STANDARD_19], uv=uv)
    bids.put(folder, "sub-01_ses-01_task-szMonitoring_run-00", data, b"", ".edf")
    (item,) = find(folder)
    return item.path


def boston(folder):
    (folder / "a.edf").write_bytes(chbmit.recording_bytes(seconds=12, uv=potentials(256)))
    return folder / "a.edf"


LAYOUTS = {
    "19 referential electrodes": ward,
    "32 electrodes of 10-10": ten_ten,
    "double banana": banana,
    "BDF": biosemi,
    "BIDS": szcore,
    "CHB-MIT": boston,
}


def by_mne(path):
    """The 18 derivations as mne makes them of the file, volts, means taken off, and the rate."""
    read = mne.io.read_raw_bdf if path.suffix == ".bdf" else mne.io.read_raw_edf
    raw = read(path, preload=True, verbose="error")
    kept = {name: canonical(name) for name in raw.ch_names if name not in ("Status", "T8-P8-1")}
    raw.pick(list(kept)).rename_channels(kept)
    pairs = [name.split("-") for name in BIPOLAR_18]
    if not {*BIPOLAR_18} <= {*raw.ch_names}:
        anode, cathode = zip(*pairs, strict=True)
        raw = mne.set_bipolar_reference(raw, list(anode), list(cathode), list(BIPOLAR_18), verbose="error")
    data = raw.get_data(list(BIPOLAR_18))
    return data - data.mean(axis=1, keepdims=True), raw.info["sfreq"]


def by_detector(path, sfreq):
    """The same by a detector whose model filters nothing and keeps the rate."""
    how = {"montage": "bipolar18", "l_freq": None, "h_freq": None, "clip_uv": None, "sfreq": sfreq}
    detector = Detector(recipe(ch_names=BIPOLAR_18, n_times=round(sfreq), **how), Loudness())
    blocks, _ = detector.open(EdfSource(path, detector.rename))
    assert not blocks.filled
    return np.concatenate([block.uv_CT for block in blocks], axis=1) * 1e-6


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_six_layouts_give_the_double_banana_that_mne_makes_of_them(tmp_path, write):
    path = write(tmp_path)
    theirs, sfreq = by_mne(path)
    ours = by_detector(path, sfreq)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-6 * np.abs(theirs).max()


def test_an_offset_of_electrodes_costs_the_rounding_of_float32_which_is_below_a_step_of_the_file(tmp_path):
    path = biosemi(tmp_path, offset_uv=20_000)
    error = np.abs(by_detector(path, 512.0) - by_mne(path)[0]).max()
    assert 1e-10 < error < 3 * 0.0205 * 2.0**-24 < 31.25e-9 / 2  # volts: three roundings; half a step


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_a_model_of_the_double_banana_runs_on_six_layouts_without_a_setting(tmp_path, write):
    path = write(tmp_path)
    found = Detector(recipe(ch_names=BIPOLAR_18, montage="bipolar18"), Loudness()).file(path)
    assert len(found.trace.probability_N) == 12 and not found.filled
    assert not {*codes(found.warnings)} & {"filled_channels", "mixed_references"}
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    same = Detector(recipe(ch_names=BIPOLAR_18, montage="bipolar18"), Loudness()).raw(raw)
    np.testing.assert_allclose(same.trace.probability_N, found.trace.probability_N, atol=1e-4)


def test_chunks_against_cz_give_the_alarms_of_the_double_banana():
    uv = potentials(256, 30)
    electrodes = [n for n in STANDARD_19 if n != "CZ"]
    model = recipe(ch_names=BIPOLAR_18, montage="bipolar18", phase="causal", normalize="running")
    ends = []
    for labels, rows in (
        ([f"{name}-Cz" for name in electrodes], [uv[n] - uv["CZ"] for n in electrodes]),
        (None, [uv[a] - uv[b] for a, b in (name.split("-") for name in BIPOLAR_18)]),
    ):
        detector = Detector(model, Loudness())
        detector.start(256.0, None if labels is None else tuple(labels))
        detector.push(np.array(rows) * 1e-6)
        ends.append(detector.finish()[0].trace.probability_N)
    np.testing.assert_allclose(*ends, atol=1e-4)


# --------------------------------------------------------------------------------------- names of the user's


@pytest.mark.parametrize(
    "write, first, temporal",
    [
        (ward, "FP1-F7", "T3-T5"),
        (ten_ten, "Fp1-F7", "T7-P7"),
        (banana, "Fp1-F7", "T7-P7"),
        (boston, "FP1-F7", "T7-P7"),
    ],
)
def test_figures_have_the_names_of_the_file(tmp_path, write, first, temporal):
    shown = (
        Detector(recipe(ch_names=BIPOLAR_18, montage="bipolar18"), Loudness()).file(write(tmp_path)).excerpt
    )
    assert len(shown.ch_names) == 18 and (shown.ch_names[0], shown.ch_names[2]) == (first, temporal)


def test_a_channel_that_is_one_signal_has_its_label_and_a_filled_one_the_file_s_electrodes():
    labels = ["EEG T7-Ref", "Fp1.", "c3-REF"]
    plan = plan_channels(labels, Montage("native", ("T3", "FP1", "C3")), "x.edf")
    assert plan.names == ("T7-Ref", "Fp1.", "c3-REF")
    plan = plan_channels(
        ["Fp1-F7", "T7-P7"], Montage("native", ("F7-T3", "T3-T5", "FP1-F7"), missing="zero"), "x"
    )
    assert plan.names == ("F7-T7", "T7-P7", "Fp1-F7") and plan.filled == ("F7-T3",)
    assert plan.told("zero") == ["filled_channels: not in the file, all zero: F7-T7"]


# ------------------------------------------------------------------------------------- names by a setting


NUMBERED = {f"EEG {k}": name for k, name in enumerate(("F3", "C3", "T7"), start=1)}


@pytest.fixture
def numbered(tmp_path):
    return write_edf(tmp_path / "a.edf", brain(20, 256, 4), 256, (*NUMBERED, "EEG 4"))


def test_labels_that_nobody_knows_are_named_by_a_setting(tmp_path, numbered):
    usual = write_edf(tmp_path / "b.edf", brain(20, 256, 4), 256, ("F3", "C3", "T7", "EKG"))
    plain, named = Detector(recipe(), Loudness()), Detector(recipe(), Loudness(), rename=NUMBERED)
    with pytest.raises(SkipRecording, match=r"by rename=\{LABEL: F3\}") as caught:
        plain.file(numbered)
    assert caught.value.reason == "missing_channels" and "EEG 1, EEG 2, EEG 3, EEG 4" in str(caught.value)
    expected = plain.file(usual).trace.probability_N
    np.testing.assert_array_equal(named.file(numbered).trace.probability_N, expected)
    raw = mne.io.read_raw_edf(numbered, preload=True, verbose="error")
    np.testing.assert_allclose(named.raw(raw).trace.probability_N, expected, atol=1e-5)
    assert named.file(numbered).excerpt.ch_names == ("F3", "C3", "T7")
    np.testing.assert_array_equal(named.file(usual).trace.probability_N, expected)  # F3 by its own name
    live = Detector(LIVE, Loudness(), rename=NUMBERED)
    live.start(256.0, ("EEG 3", "EEG 2", "EEG 1"))
    live.push(brain(5, 256) * 1e-6)
    raw.info["bads"] = ["EEG 2"]
    with pytest.raises(SkipRecording, match="1 of 3 montage channels are missing: C3"):
        Blocks(RawSource(raw, named.rename), named.montage, named.recipe.signals)


@pytest.mark.parametrize(
    "words, reason, said",
    [
        ({"EEG 9": "F3"}, "unknown_label", "no signal is called EEG 9, which rename reads as F3"),
        ({"EEG 1": "F3", "EEG 2": "F3"}, "duplicate_channel", "by rename, EEG 1 and EEG 2 are both F3"),
        ({"EEG 1": "T3", "EEG 2": "EEG T7-Ref"}, "duplicate_channel", "EEG 1 and EEG 2 are both T3"),
    ],
)
def test_a_name_that_matches_nothing_or_two_of_one_electrode_are_one_line(numbered, words, reason, said):
    with pytest.raises(SkipRecording) as caught:
        Detector(recipe(), Loudness(), rename=words).file(numbered)
    message = str(caught.value)
    assert caught.value.reason == reason and said in message and "\n" not in message
    assert message.startswith(str(numbered)) and "expected" in message


@pytest.mark.parametrize("words", [{"": "F3"}, {"EEG 1": ""}, {"EEG 1": "F3", "eeg  1": "C3"}])
def test_a_map_that_says_nothing_or_says_it_twice_is_refused_at_once(words):
    with pytest.raises(ConfigError, match=r"rename=.*: expected each label once"):
        Detector(recipe(), Loudness(), rename=words)


def test_of_several_labels_for_an_electrode_each_file_needs_one_and_a_signal_can_be_left_out():
    words = Rename("rename", {"EEG 1": "Fp1", "fp1 NEW": "Fp1", "F7": "-"})
    assert words.labels(["EEG 1", "F7"], "x") == ("Fp1", "-")
    assert words.labels(["Fp1  new", "f7"], "x") == ("Fp1", "-")
    with pytest.raises(SkipRecording, match=r"both FP1; expected one signal for it\. Name the other one -"):
        words.labels(["EEG 1", "Fp1", "F7"], "x")


def test_derivations_can_be_named_too():
    labels = Rename("rename", {"A": "Fp1-F7", "B": "F7-T7"}).labels(["A", "B"], "x")
    _, (row,) = volts(labels, derived("FP1-T3"), [[3.0], [5.0]])
    assert row.tolist() == [8.0]


def test_the_setting_is_read_with_or_without_quotes():
    files = ["weights=w", "input=i", "output=o"]
    for word in ('rename={"EEG 1":Fp1}', "rename={EEG 1: Fp1}", "rename={'EEG 1' : \"Fp1\"}"):
        assert load(DetectSettings, [*files, word]).rename == {"EEG 1": "Fp1"}
    odd = load(DetectSettings, [*files, 'rename={"EEG A2-(A1+A2)/2":A2,"x:y, z":F7-T7}'])
    assert odd.rename == {"EEG A2-(A1+A2)/2": "A2", "x:y, z": "F7-T7"}
    assert load(CheckSettings, ["path=p", "rename={1: Fp1}"]).rename == {"1": "Fp1"}
    with pytest.raises(ConfigError, match="rename='x'.* is str, expected a mapping"):
        load(DetectSettings, [*files, "rename=x"])
    with pytest.raises(ConfigError, match="dataset.rename: dataset=chbmit has no such setting"):
        load(PrepareSettings, ["dataset=chbmit", "dataset.rename={1: Fp1}"])


def test_training_on_one_s_own_files_and_checking_them_know_the_setting(tmp_path, numbered):
    (tmp_path / "labels.csv").write_text("recording,onset,duration,label\na.edf,2,5,seiz\n")
    corpus = Folder(root=tmp_path, channels=["F3", "C3", "T3"])
    with pytest.raises(SkipRecording, match=r"by dataset\.rename=\{LABEL: F3\}, or") as caught:
        corpus.read(*corpus.recordings())
    assert caught.value.reason == "missing_channels"
    named = Folder(root=tmp_path, channels=["F3", "C3", "T3"], rename=NUMBERED)
    (piece,) = named.read(*named.recordings()).pieces
    np.testing.assert_array_equal(
        piece.eeg_CT, read_eeg(numbered, ("EEG 1", "EEG 2", "EEG 3")).pieces[0].eeg_CT
    )
    assert named.options["rename"] == NUMBERED and "rename" not in corpus.options
    settings = load(
        PrepareSettings, ["dataset=folder", f"dataset.root={tmp_path}", 'dataset.rename={"EEG 1":F3}']
    )
    assert settings.dataset.corpus.build("corpus").rename.words == {"EEG 1": "F3"}


def test_check_reads_what_labels_are_named_and_the_montage_that_is_asked_for(tmp_path):
    labels = [f"E{k}" for k in range(19)]
    path = write_edf(tmp_path / "a.edf", brain(20, 256, 19), 256, labels)
    (line,) = filecheck.check(path)
    assert line["reasons"] == ["missing_channels"] and "rename={LABEL: " in json.dumps(line["messages"])
    (line,) = filecheck.check(path, rename=dict(zip(labels, STANDARD_19, strict=True)))
    assert line["outcome"] == "tolerate"
    against_cz = [f"{name}-Cz" for name in STANDARD_19 if name != "CZ"]
    path = write_edf(tmp_path / "b.edf", brain(20, 256, 18), 256, against_cz)
    (line,) = filecheck.check(path)
    assert line["outcome"] == "skip" and "signals.montage=bipolar18, which the file can give" in str(line)
    (line,) = filecheck.check(path, signals=SignalConfig(montage="bipolar18"))
    assert line["outcome"] == "tolerate"


# ------------------------------------------------------------------------------------------------ messages


@pytest.mark.parametrize(
    "labels, montage, said",
    [
        (
            CHBMIT_18,
            montage_of("native", CHBMIT_23, derive=True, settings=("rename", "channels")),
            "x.edf: 3 of 23 montage channels are missing: T7-FT9, FT9-FT10, FT10-T8; expected each as a "
            "signal, or what it follows from: FT9 and FT10 against an electrode of the file; the file has "
            f"{', '.join(CHBMIT_18)}. Say which label is which by rename={{LABEL: FT9}}, set channels=zero "
            "or interpolate, or leave the file out.",
        ),
        (
            ["EEG Fp1-LE", "EEG F7-LE", "EEG T7-LE"],
            derived("FP1-F7", "F7-T3", "T3-T5"),
            "x.edf: 1 of 3 montage channels are missing: T7-P7; expected each as a signal, or what it "
            "follows from: P7 against LE or another electrode of the file; the file has EEG Fp1-LE, EEG "
            "F7-LE, EEG T7-LE. Set dataset.missing_channels=zero or interpolate, or leave the file out.",
        ),
        (
            ["FP1-F7", "T3-T5"],
            derived("FP1-F7", "F7-T3"),
            "x.edf: 1 of 2 montage channels are missing: F7-T3; expected each as a signal, or what it "
            "follows from: a derivation that connects F7 with T3; the file has FP1-F7, T3-T5. Set "
            "dataset.missing_channels=zero or interpolate, or leave the file out.",
        ),
        (
            ["ECG"],
            Montage("native", ("F3", "C3")),
            "x.edf: 2 of 2 montage channels are missing: F3, C3; expected each as a signal; the file has "
            "ECG. Leave the file out.",
        ),
    ],
)
def test_a_message_says_what_is_missing_what_would_do_and_which_setting_helps(labels, montage, said):
    with pytest.raises(SkipRecording) as caught:
        plan_channels(labels, montage, "x.edf")
    assert str(caught.value) == said
