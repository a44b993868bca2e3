"""Channel maps: by hand on networks that fit in the head, against captum, and for every baseline."""

import copy

import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation
from torch import nn

from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.explain import maps
from distilclip_eeg.explain.maps import channel_map, integrated_gradients, methods_for
from distilclip_eeg.models.clip import PromptClassifier
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.schema import ConfigError

KEEP_ELECTRODES = {"eegnet", "eeg_conformer", "zhu_transformer", "lightseizurenet", "pcc_cnn"}
BASELINES = sorted(
    path.stem
    for path in (CONFIG_DIR / "model").glob("*.yaml")
    if "models.baselines" in path.read_text(encoding="utf-8") and path.stem != "external"
)
SIZES = {"n_chans": 5, "n_times": 256, "sfreq": 256.0, "n_outputs": 3}


class Toy(nn.Module):
    """Two filters that multiply by 1 and 2, then weights (K, F, C, T): all linear."""

    electrode_layer = "time"

    def __init__(self, weight_KFCT):
        super().__init__()
        self.time = nn.Conv2d(1, 2, (1, 1), bias=False)
        self.time.weight.data = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
        self.weight = nn.Parameter(torch.tensor(weight_KFCT))

    def forward(self, eeg_BCT):
        return torch.einsum("bfct,kfct->bk", self.time(eeg_BCT[:, None]), self.weight)


# Class 0 sees nothing. Class 1: filter 1 weighs electrode a by (1, 1) and b by (0, 3), filter 2 weighs
# a by (1, -2) and b by (0, -1).
TOY = Toy([[[[0.0, 0.0], [0.0, 0.0]]] * 2, [[[1.0, 1.0], [0.0, 3.0]], [[1.0, -2.0], [0.0, -1.0]]]])
WINDOW = torch.tensor([[[1.0, 4.0], [2.0, 5.0]]])
CLASS = torch.tensor([1])


def conformer(**settings):
    torch.manual_seed(0)
    sizes = dict(dim=16, depth=2, heads=2, n_prompts=3, embed=12, filters=6) | settings
    return Conformer(**SIZES, **sizes).eval()


def windows(n=3):
    return torch.randn(n, 5, 256, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------- by hand


def test_hires_sums_the_positive_part_over_time_of_what_the_filters_say_together():
    # a: t0 1*1 + 2*1 = 3, t1 4*1 + 8*(-2) = -12 -> 0. b: t0 0, t1 5*3 + 10*(-1) = 5.
    assert channel_map(TOY, WINDOW, CLASS, "hires").tolist() == [[3.0, 5.0]]


def test_gradcam_weighs_all_electrodes_alike():
    # Mean gradients: filter 1 (1 + 1 + 0 + 3) / 4, filter 2 (1 - 2 + 0 - 1) / 4; 1.25 x - 0.5 * 2 x = x / 4.
    assert channel_map(TOY, WINDOW, CLASS, "gradcam").tolist() == [[5 / 4, 7 / 4]]


def test_integrated_gradients_of_a_linear_network_are_input_times_weight():
    # a: 1 * (1 + 2), 4 * (1 - 4); b: 2 * 0, 5 * (3 - 2).
    found = integrated_gradients(TOY, WINDOW, CLASS)
    assert found.flatten().tolist() == pytest.approx([3, -12, 0, 5], abs=1e-5)
    assert channel_map(TOY, WINDOW, CLASS, "ig").flatten().tolist() == pytest.approx([15, 5], abs=1e-5)


def test_occlusion_is_signed():
    assert channel_map(TOY, WINDOW, CLASS, "occlusion").tolist() == [[-9.0, 5.0]]


@pytest.mark.parametrize("method", maps.METHODS)
def test_a_class_that_sees_nothing_has_a_map_of_zeros(method):
    assert channel_map(TOY, WINDOW, torch.tensor([0]), method).abs().max() == 0


# --------------------------------------------------------------------------------- against references


def test_integrated_gradients_add_up_to_what_the_window_changes():
    net, x, target = conformer(), 5 * windows(), torch.tensor([0, 2, 1])
    net.classifier.weight.data *= 100
    found = integrated_gradients(net, x, target).sum((1, 2))
    with torch.no_grad():
        change = (net(x) - net(0 * x)).gather(1, target[:, None])[:, 0]
    assert change.abs().max() > 1
    torch.testing.assert_close(found, change, rtol=1e-2, atol=1e-2)


def test_integrated_gradients_are_captum_s():
    net, x, target = conformer(), windows(), torch.tensor([0, 2, 1])
    theirs = IntegratedGradients(net).attribute(x, target=target, n_steps=maps.STEPS)
    torch.testing.assert_close(integrated_gradients(net, x, target), theirs.float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["conformer", "eegnet", "lightseizurenet"])
def test_hires_and_gradcam_are_captum_s(name):
    net = conformer() if name == "conformer" else baseline(name)
    x, target = windows(), torch.tensor([0, 2, 1])
    plain, layer = maps.by_electrode(net)
    plain.requires_grad_(True)
    product = LayerGradientXActivation(plain, layer).attribute(x, target=target)
    theirs = product.sum(1).relu().sum(-1)
    assert theirs.min() > 0
    torch.testing.assert_close(channel_map(net, x, target, "hires"), theirs, rtol=1e-4, atol=1e-6)
    cam = LayerGradCam(plain, layer).attribute(x, target=target, relu_attributions=True)
    torch.testing.assert_close(
        channel_map(net, x, target, "gradcam"), cam[:, 0].sum(-1), rtol=1e-4, atol=1e-6
    )


def test_occlusion_is_the_loop_over_windows_and_channels():
    net, x, target = conformer(), windows(), torch.tensor([0, 2, 1])
    with torch.no_grad():
        for b, k in enumerate(target):
            for c in range(5):
                silent = x[b : b + 1].clone()
                silent[0, c] = 0
                expected = net(x[b : b + 1])[0, k] - net(silent)[0, k]
                assert channel_map(net, x, target, "occlusion")[b, c] == pytest.approx(
                    expected.item(), abs=1e-5
                )


# ------------------------------------------------------------------------------ what a network keeps


def test_electrode_by_electrode_is_the_same_function_and_the_network_stays_as_it_was():
    net, x = conformer(), windows()
    before = copy.deepcopy(net.state_dict())
    plain, layer = maps.by_electrode(net)
    torch.testing.assert_close(plain(x), net(x), rtol=1e-4, atol=1e-5)
    assert layer is plain.get_submodule("stem.stem.time")
    for method in maps.METHODS:
        channel_map(net, x, torch.tensor([0, 1, 2]), method)
    assert not net.stem.time._forward_hooks and type(net.stem).__name__ == "Stem"
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("prompts", ["none", "shallow", "deep", "prefix"])
def test_every_kind_of_prompts_is_explained(prompts):
    found = channel_map(conformer(prompts=prompts), windows(), torch.tensor([0, 1, 2]), "hires")
    assert found.shape == (3, 5) and found.isfinite().all() and found.max() > 0


@pytest.mark.parametrize("method", maps.METHODS)
def test_an_electrode_that_the_network_does_not_hear_says_nothing(method):
    net = conformer()
    net.stem.space.weight.data[:, :, 3] = 0
    found = channel_map(net, windows(), torch.tensor([0, 1, 2]), method)
    others = [0, 1, 2, 4]
    if method == "gradcam":  # its weights are everybody's, which is why it is not the default
        assert found[:, 3].abs().max() > 0
    else:
        assert found[:, 3].abs().max() < 1e-5 < found[:, others].abs().max(1).values.min()


@pytest.mark.parametrize("method", maps.METHODS)
def test_windows_do_not_know_of_each_other(method):
    net, x, target = conformer(), windows(), torch.tensor([0, 2, 1])
    together = channel_map(net, x, target, method)
    alone = [channel_map(net, x[i : i + 1], target[i : i + 1], method) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_classifier_by_class_prompts_is_explained():
    net = PromptClassifier(conformer(), "ensemble").eval()
    net.set_classes(torch.randn(3, 12), torch.tensor(2.0))
    assert methods_for(net) == tuple(maps.METHODS)
    assert channel_map(net, windows(), torch.tensor([0, 1, 2]), "hires").max() > 0


def baseline(name):
    torch.manual_seed(0)
    return load(TrainSettings, [f"model={name}"]).model.net.build(**SIZES).eval()


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_explained_by_whatever_fits_it(name, monkeypatch):
    monkeypatch.setattr(integrated_gradients, "__defaults__", (2,))  # steps; the road is the same
    net, target = baseline(name), torch.tensor([1, 2])
    kept = ("hires", "gradcam") if name in KEEP_ELECTRODES else ()
    assert methods_for(net) == (*kept, "ig", "occlusion")
    for method in methods_for(net):
        found = channel_map(net, windows(2), target, method)
        assert found.shape == (2, 5) and found.isfinite().all() and found.abs().max() > 0
        torch.testing.assert_close(channel_map(net, windows(2), target, method), found)


def test_a_method_that_does_not_fit_is_refused_with_those_that_do():
    with pytest.raises(ConfigError, match="ResBiLSTM has none. Use method=ig or method=occlusion") as caught:
        channel_map(baseline("resbilstm"), windows(), torch.tensor([0, 1, 2]), "hires")
    assert caught.value.reason == "no_electrodes"
    with pytest.raises(ConfigError, match="method='lime' is not one of 'hires', 'gradcam', 'ig'"):
        channel_map(TOY, WINDOW, CLASS, "lime")
