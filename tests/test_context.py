"""Seconds beside a window that a network sees, too: alike in training, in a file and live."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from deploy_tools import CHANNELS, LIVE, Loudness, brain, recipe, with_gap, write_edf

from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig, View, WindowConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.windows import Windows
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals import audit
from distilclip_eeg.training.augment import hide_context
from distilclip_eeg.training.loaders import WindowSource

BOTH, PAST = View(8, 12, 12), View(8, 20, 0)


class Store:
    """Two stretches of one recording, 40 and 25 samples; sample t of channel c is 1 + 100 c + t."""

    sfreq, ch_names = 8.0, ("a", "b")
    signal_TC = (np.arange(65)[:, None] + [1, 101]).astype(np.int16)
    gain_RC, mean_RC, sd_RC = np.full((1, 2), 0.5, np.float32), np.zeros((1, 2)), np.ones((1, 2))
    filled_RC = np.zeros((1, 2), bool)
    pieces = pd.DataFrame({"recording": 0, "first": [0, 40], "n_samples": [40, 25]})


def index(*first):
    return pd.DataFrame({"first": first, "recording": 0, "label": 0})


def in_hand(first, view, begin, end):
    """The context cut sample by sample: half of the value inside the stretch, zero outside."""
    at = range(first - view.before, first + view.length + view.after)
    return np.array([[(t + c) / 2 if begin <= t < end else 0.0 for t in at] for c in (1, 101)])


@pytest.mark.parametrize("view", [View(8), BOTH, PAST, View(8, 100, 100)])
def test_a_window_is_seen_with_what_its_own_stretch_holds_around_it(view):
    source = WindowSource(Store(), index(0, 16, 32, 40, 57), view, "recording")
    expected = [in_hand(f, view, 0, 40) for f in (0, 16, 32)] + [in_hand(f, view, 40, 65) for f in (40, 57)]
    assert np.array_equal(source.batch(np.arange(5)).eeg_BCT.numpy(), expected)
    assert np.array_equal(source.microvolts(np.arange(5)), expected)


def test_beyond_an_end_it_is_zero_after_normalisation_not_before():
    store = Store()
    store.mean_RC, store.sd_RC = np.full((1, 2), 7.0), np.full((1, 2), 2.0)
    seen = WindowSource(store, index(0), BOTH, "recording").batch(np.array([0])).eeg_BCT[0].numpy()
    assert (seen[:, :12] == 0).all()
    assert np.allclose(seen[:, 12:], (in_hand(0, BOTH, 0, 40)[:, 12:] - 7) / 2)


@pytest.mark.parametrize("scale", [(np.array([1.0, 2.0]), np.array([2.0, 4.0])), None])
@pytest.mark.parametrize("view", [View(8), BOTH, PAST])
def test_chunks_of_any_length_give_the_windows_of_training(view, scale):
    rng = np.random.default_rng(0)
    pieces = [rng.standard_normal((2, n)).astype(np.float32) for n in (90, 7, 33)]
    joined = np.concatenate(pieces, axis=1).astype(float)
    expected, begin = [], 0
    for uv in pieces:
        for first in range(0, uv.shape[1] - view.length + 1, 4):
            at = np.arange(first - view.before, first + view.length + view.after)
            past = joined[:, max(0, begin + first + view.length - 480) : begin + first + view.length]
            mean, sd = scale or (past.mean(1), past.std(1))
            inside = (at >= 0) & (at < uv.shape[1])
            values = (uv[:, np.clip(at, 0, uv.shape[1] - 1)] - mean[:, None]) / sd[:, None]
            expected.append(np.where(inside, values, 0))
        begin += uv.shape[1]
    for sizes in ([1] * 90, [13, 50, 27], [90]):
        windows, found, starts = Windows(2, view, 4, 8.0, scale, most=5), [], []
        for number, uv in enumerate(pieces):
            windows.begin(100.0 * number)
            edges = np.cumsum([0, *sizes])
            made = [w for a, b in zip(edges[:-1], edges[1:], strict=True) for w in windows.push(uv[:, a:b])]
            for start_B, eeg_BCT in [*made, *windows.end()]:
                starts += start_B.tolist()
                found += list(eeg_BCT)
        assert np.allclose(found, expected, atol=1e-5)
        assert starts == [*np.arange(21) / 2, *(200 + np.arange(7) / 2)]


class Middle(Loudness):
    """Answers by the second that is scored, and proves that it saw the others."""

    def __init__(self, view, **how):
        super().__init__(**how)
        self.view = view

    def logits(self, eeg_BCT):
        assert eeg_BCT.shape[2] == self.view.total
        return super().logits(eeg_BCT[:, :, self.view.before : self.view.before + self.view.length])


def with_context(view, **how):
    return replace(recipe(n_times=view.total, **how), before=view.before, after=view.after)


@pytest.mark.parametrize("view", [View(256, 512, 512), View(256, 1024, 0)])
def test_a_file_with_a_gap_has_the_same_seconds_with_context_and_without(tmp_path, view):
    uv = brain(120, 256, seizures=[(50, 90)])
    path = write_edf(tmp_path / "a.edf", uv, 256, **with_gap(uv, 256, (70, 72)))
    plain = Detector(recipe(), Loudness()).file(path)
    seen = Detector(with_context(view), Middle(view)).file(path)
    assert seen.trace.start_s_N.tolist() == plain.trace.start_s_N.tolist()
    np.testing.assert_allclose(seen.trace.probability_N, plain.trace.probability_N, atol=1e-6)
    assert seen.trace.length_s == 1.0


@pytest.mark.parametrize("view", [View(256, 512, 512), View(256, 1024, 0)])
def test_live_detection_ends_with_the_events_of_the_file_and_is_late_by_what_it_waits_for(tmp_path, view):
    uv = brain(120, 256, seizures=[(50, 90)])
    path = write_edf(tmp_path / "a.edf", uv, 256)
    model = with_context(view, phase="causal", normalize="running")
    whole = Detector(model, Middle(view)).file(path)
    live = Detector(model, Middle(view))
    volts = whole_volts(path)
    for first in range(0, volts.shape[1], 1000):
        live.push(volts[:, first : first + 1000])
    found, _ = live.finish()
    np.testing.assert_allclose(found.trace.probability_N, whole.trace.probability_N, atol=1e-5)
    assert [(e.onset_s, e.offset_s) for e in found.events] == [(e.onset_s, e.offset_s) for e in whole.events]
    alone = Detector(LIVE, Loudness()).latency_s()
    assert live.latency_s() == pytest.approx(alone + view.after / 256)


def whole_volts(path):
    from distilclip_eeg.corpora.edf.montage import Montage
    from distilclip_eeg.corpora.edf.reader import read_eeg

    return read_eeg(path, Montage("native", CHANNELS)).pieces[0].eeg_CT


def test_context_is_counted_as_shared_signal():
    made = load(TrainSettings, ["windows.context_s=2"]).data
    assert View.of(made.windows, 256.0) == View(256, 512, 512)
    assert View.of(WindowConfig(context_s=2, context="past"), 256.0) == View(256, 512, 0)
    folds = pd.DataFrame(
        {"recording": [0, 0], "start_s": [0.0, 4.0], "event": -1, "subject": "a", "recording_name": "r",
         "label": 0, "fold0": ["train", "test"]}
    )  # fmt: skip
    assert audit.audit(folds, 1.0)["samples"] == 0  # four seconds apart
    assert audit.audit(folds, View.of(made.windows, 256.0).total / 256)["samples"] == 1  # each sees five


def test_training_hides_context_from_outside_inward_and_never_the_window():
    view, rows = View(4, 10, 6), list(range(400))
    eeg_BCT = torch.ones(400, 3, view.total)
    seen_BT = hide_context(eeg_BCT, rows, seed=1, epoch=0, view=view)[:, 0].numpy()
    assert (seen_BT[:, 10:14] == 1).all()
    assert (np.diff(seen_BT[:, :11], axis=1) >= 0).all() and (np.diff(seen_BT[:, 13:], axis=1) <= 0).all()
    before, after = seen_BT[:, :10].sum(1), seen_BT[:, 14:].sum(1)
    assert set(before) == set(range(11)) and set(after) == set(range(7))  # every amount occurs
    assert abs(before.mean() - 5) < 0.6 and abs(after.mean() - 3) < 0.4
    again = hide_context(eeg_BCT[7:9], rows[7:9], seed=1, epoch=0, view=view)
    assert np.array_equal(again[:, 0], seen_BT[7:9])
    assert not np.array_equal(hide_context(eeg_BCT, rows, seed=1, epoch=1, view=view)[:, 0], seen_BT)


def test_an_export_from_before_there_was_context_has_none():
    values = json.loads(json.dumps(recipe().as_json()))
    del values["before"], values["after"]
    assert Recipe.from_json(values) == recipe() and Recipe.from_json(values).view == View(256)


def test_context_that_no_memory_holds_is_refused():
    with pytest.raises(ConfigError, match=r"windows.context_s=600.*expected"):
        load(TrainSettings, ["windows.context_s=600", "signals.sfreq=2000", "signals.h_freq=70"])
    assert SignalConfig().sfreq == 256
