"""Networks frozen for inference: the same answers, with what never changes computed once."""

import copy

import pytest
import torch
from torch import nn

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.deploy.networks import Ensemble
from distilclip_eeg.models.clip import PromptClassifier
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.contract import Headed
from distilclip_eeg.models.cost import flops
from distilclip_eeg.models.frozen import FrozenConformer, frozen

SIZES = {"n_chans": 6, "n_times": 256, "sfreq": 256.0, "n_outputs": 3}
PROMPTS = {
    "deep": {},
    "deep in the first layer": {"prompt_layers": 1},
    "shallow": {"prompts": "shallow"},
    "prefix": {"prompts": "prefix"},
    "none": {"prompts": "none"},
    "of number 0": {"n_prompts": 0},
}


def lived(net):
    """A network whose every constant differs from its first value, in eval mode."""
    torch.manual_seed(0)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
                module.weight.normal_(1, 0.3)
                module.bias.normal_(0, 0.3)
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
            if getattr(module, "prompts", None) is not None:
                module.prompts.values.normal_()
    return net.eval()


def made(model="teacher_tiny", **settings):
    torch.manual_seed(0)
    component = load(TrainSettings, [f"model={model}"]).model.net
    return lived(component.with_arguments(**settings).build(**SIZES))


def small(depth=3, n_prompts=7, **settings):
    torch.manual_seed(0)
    return lived(Conformer(**SIZES, dim=24, depth=depth, heads=4, n_prompts=n_prompts, embed=16, **settings))


def eeg(n=5):
    return torch.randn(n, 6, 256, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def furthest(one, other, windows):
    return float((one(windows) - other(windows)).abs().max())


@pytest.mark.parametrize("settings", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("model", ["teacher_tiny", "student_tiny"])
def test_a_frozen_network_answers_as_the_plain_one_in_any_batch(model, settings):
    if model == "student_tiny" and "prompt_layers" in settings:
        settings = {}  # it has one layer
    net = made(model, **settings)
    other = frozen(net)
    assert isinstance(other, FrozenConformer)
    for n in (1, 5):
        assert furthest(net, other, eeg(n)) < 1e-6
        assert furthest(net.encode, other.encode, eeg(n)) < 1e-6


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_prompts_carried_on_from_any_layer_join_where_they_did(layers):
    net = small(prompt_layers=layers)
    assert furthest(net, frozen(net), eeg()) < 1e-6


def test_every_part_of_the_stem_and_of_the_prompts_is_in_the_constants():
    net = small()
    before = frozen(net)
    for name in ("stem.time.bias", "stem.space.bias", "stem.norm.running_var", "prompts.values"):
        changed = copy.deepcopy(net)
        with torch.no_grad():
            value = changed.state_dict()[name]
            value.add_(value.flip(-1))  # a factor alone would vanish in the layer norm
        assert furthest(frozen(changed), before, eeg()) > 1e-4, name
        assert furthest(frozen(changed), changed, eeg()) < 1e-6, name


def test_the_network_itself_stays_as_it_was_and_can_be_trained_on():
    net = small().train()
    state, other = copy.deepcopy(net.state_dict()), frozen(net)
    assert net.training and not other.training
    assert all(p.requires_grad for p in net.parameters())
    assert not any(p.requires_grad for p in other.parameters())
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_what_is_saved_a_batch_is_the_product_of_the_stem_and_the_projection_of_the_prompts():
    net, window = small(), eeg(1)
    # The stem: 40 x 40 filters, 6 channels, 25 taps, two for a product and a sum; its bias, channels summed
    # before. Three layers: keys and values of 7 prompts at width 24.
    stem = 2 * 40 * 40 * 6 * 25 + 2 * 40 * 40
    prompts = 3 * 2 * 7 * 24 * (2 * 24)
    assert flops(net, window)[""] - flops(frozen(net), window)[""] == stem + prompts


def test_a_conformer_is_found_in_whatever_holds_it():
    nets = {
        "ensemble": Ensemble([small(), small(depth=2)]),
        "by class prompts": PromptClassifier(small(), "ensemble").eval(),
        "an encoder with a head": Headed(small(), 3).eval(),
    }
    nets["by class prompts"].class_features_KE.normal_()
    for name, net in nets.items():
        other = frozen(net)
        assert furthest(net, other, eeg()) < 1e-6, name
        kinds = [type(module) for module in other.modules()]
        assert FrozenConformer in kinds and Conformer not in kinds, name


def test_another_network_is_left_as_it_is():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6 * 256, 3))
    other = frozen(net)
    assert furthest(net, other, eeg()) == 0 and other is not net
