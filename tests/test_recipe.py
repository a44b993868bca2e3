"""The recipe of a model: what a recording must become before the network sees it."""

import json

import numpy as np
import pytest

from distilclip_eeg.artefact.recipe import Recipe, ictal
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import DataError

RECIPE = Recipe(
    ch_names=("F7-T7", "T7-P7"),
    classes=("bckg", "seiz"),
    n_times=256,
    signals=SignalConfig(phase="causal", normalize="running"),
    detect=DetectConfig(threshold=0.7),
    ages="child",
)


def test_a_recipe_survives_json():
    assert Recipe.from_json(json.loads(json.dumps(RECIPE.as_json()))) == RECIPE
    assert RECIPE.length_s == 256 / RECIPE.signals.sfreq


@pytest.mark.parametrize("change", [{"colour": 1}, {"signals": {"l_frq": 1}}, {"detect": None}])
def test_a_recipe_with_an_unknown_or_wrong_key_is_refused(change):
    with pytest.raises(DataError, match="Export the model again"):
        Recipe.from_json(RECIPE.as_json() | change)


def test_a_recipe_without_channels_is_refused():
    values = RECIPE.as_json()
    del values["ch_names"]
    with pytest.raises(DataError, match="ch_names"):
        Recipe.from_json(values)


def test_the_ictal_probability_is_that_of_all_seizure_classes():
    logits_NK = np.log(np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 1e-30]]))
    np.testing.assert_allclose(ictal(logits_NK), [0.5, 0.1])
    assert ictal(np.array([[1000.0, -1000.0]])) == 0
