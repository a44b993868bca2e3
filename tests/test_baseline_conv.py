"""Baselines built on convolutions: filters, images, cells and layers against values worked out elsewhere."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distilclip_eeg.models.baselines.cnn_rnn import CnnRnn, ConvLSTM
from distilclip_eeg.models.baselines.eeg_conformer import EEGConformer, Layer
from distilclip_eeg.models.baselines.eegnet import EEGNet
from distilclip_eeg.models.baselines.gasf_cnn import GasfCnn, gasf
from distilclip_eeg.models.baselines.multisincnet import MultiSincNet
from distilclip_eeg.models.baselines.sinc import MIN_HZ, UNIT_HZ, SincFilters, convolve
from distilclip_eeg.models.baselines.sincnet_conv1d import SincNetConv1d
from distilclip_eeg.schema import ConfigError

SIZES = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 8}
FASTER = {"n_times": 500, "sfreq": 500.0}


def made(cls, **changes):
    torch.manual_seed(0)
    return cls(**SIZES | changes).eval()


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    "cls, n_times", [(CnnRnn, 191), (SincNetConv1d, 90), (MultiSincNet, 74), (EEGNet, 31), (EEGConformer, 98)]
)
def test_a_window_that_is_too_short_is_refused_and_the_next_longer_one_is_not(cls, n_times):
    with pytest.raises(ConfigError, match=f"{n_times} samples.*windows.length_s"):
        made(cls, n_times=n_times)
    assert made(cls, n_times=n_times + 1)(torch.randn(2, 19, n_times + 1)).shape == (2, 8)


# Sinc filters


@pytest.mark.parametrize("sfreq", [256.0, 500.0])
def test_a_long_sinc_filter_passes_its_band_and_nothing_else(sfreq):
    filters = SincFilters(4, kernel_s=2.0, sfreq=sfreq, low_hz=10.0, high_hz=50.0)
    hz = np.fft.rfftfreq(8 * len(filters.time_K), 1 / sfreq)
    gain = np.abs(np.fft.rfft(filters().detach().numpy(), 8 * len(filters.time_K)))
    for (low, high), row in zip([(10, 20), (20, 30), (30, 40), (40, 50)], gain, strict=True):
        row = row * 2 * (high - low) / sfreq  # the middle tap is 1, not the gain
        assert row[(hz > low + 2) & (hz < high - 2)] == pytest.approx(1, abs=0.01)
        assert row[(hz < low - 2) | (hz > high + 2)].max() < 0.01
        np.testing.assert_allclose(np.interp([low, high], hz, row), 0.5, atol=0.02)


def test_a_sinc_kernel_is_the_windowed_difference_of_two_low_passes():
    filters = SincFilters(1, kernel_s=0.25, sfreq=256.0, low_hz=8.0, high_hz=13.0)
    t = np.arange(-32, 33) / 256
    ideal = [5.0 if s == 0 else (math.sin(26 * math.pi * s) - math.sin(16 * math.pi * s)) / (2 * math.pi * s)
             for s in t]  # fmt: skip
    np.testing.assert_allclose(filters()[0].detach(), np.array(ideal) / 5 * np.hamming(65), atol=1e-5)
    assert filters()[0, 32] == 1


def test_cutoffs_stay_in_order_below_half_the_sampling_rate_wherever_the_parameters_go():
    filters = SincFilters(6, kernel_s=0.25, sfreq=256.0)
    with torch.no_grad():
        filters.low[:] = torch.tensor([0.0, -0.4, 0.4, 2.5, -9.0, 100.0])
        filters.band[:] = torch.tensor([0.0, -0.2, 9.0, 2.0, 0.0, -100.0])
    low, high = filters.cutoffs()
    assert low[0] == MIN_HZ and low[1] == low[2] == MIN_HZ + 0.4 * UNIT_HZ
    assert (high - low >= 1).all() and (high <= 128).all()
    assert filters().isfinite().all()
    filters().square().sum().backward()
    assert filters.low.grad.isfinite().all() and filters.band.grad.isfinite().all()


def test_both_cutoffs_of_every_filter_learn():
    filters = SincFilters(32, kernel_s=0.25, sfreq=256.0, banks=2)
    assert len(filters()) == 64 and torch.equal(*filters().chunk(2))
    (filters() * torch.randn(64, 65)).sum().backward()
    assert (filters.low.grad != 0).all() and (filters.band.grad != 0).all()


@pytest.mark.parametrize("padding", [0, 16])
def test_convolution_by_fft_equals_the_direct_one(padding):
    torch.manual_seed(0)
    kernel = SincFilters(5, kernel_s=0.125, sfreq=256.0)().detach()
    x = torch.randn(3, 5, 100)
    direct = F.conv1d(x, kernel[:, None], padding=padding, groups=5)
    torch.testing.assert_close(convolve(x, kernel, padding), direct, atol=1e-5, rtol=1e-5)


# SincNet and Conv1D


def test_the_network_of_a_channel_sees_that_channel_alone():
    net = made(SincNetConv1d)
    eeg = torch.randn(2, 19, 256)
    before = net.channel_features(eeg)
    eeg[:, 3] += torch.randn(256)
    changed = (net.channel_features(eeg) - before).abs().amax(dim=(0, 2))
    assert before.shape == (2, 19, 64)
    assert changed[3] > 1e-3 and changed.sum() - changed[3] == 0


def test_networks_of_two_channels_differ_unless_they_are_shared():
    eeg = torch.randn(1, 1, 256).expand(1, 19, 256)
    own, shared = (made(SincNetConv1d, shared=s).channel_features(eeg)[0] for s in (False, True))
    assert (own[0] - own[1]).abs().max() > 1e-3
    torch.testing.assert_close(shared[0], shared[1])


def test_a_shared_network_does_not_mind_the_order_of_channels_and_is_a_nineteenth():
    net = made(SincNetConv1d, shared=True)
    eeg = torch.randn(2, 19, 256)
    torch.testing.assert_close(net(eeg), net(eeg.flip(1)), atol=1e-6, rtol=1e-5)
    own, head = count(made(SincNetConv1d)), 64 * 32 + 32 + 32 + 64 * 64 + 64 + 64 * 8 + 8
    assert own - head == 19 * (count(net) - head)


# MultiSincNet


@pytest.mark.parametrize("changes", [{}, FASTER])
def test_spatial_filters_first_equals_sinc_filters_first(changes):
    net = made(MultiSincNet, **changes)
    eeg = torch.randn(2, 19, changes.get("n_times", 256))
    slow = []
    for i, sinc in enumerate(net.sincs):
        kernel = sinc()[:, None, None]  # (F, 1, 1, K)
        bands = F.conv2d(eeg[:, None], kernel, padding=(0, kernel.shape[-1] // 2))  # (B, F, C, T)
        space = net.space.weight[32 * i : 32 * i + 32, None]  # (2 F, 1, C, 1)
        slow.append(F.conv2d(bands, space, groups=16)[:, :, 0])
    torch.testing.assert_close(net.branches(eeg), torch.cat(slow, dim=1), atol=1e-4, rtol=1e-4)


def test_three_resolutions_and_thirteen_windows_at_either_rate():
    for changes, taps in (({}, [33, 65, 129]), (FASTER, [63, 125, 251])):
        net = made(MultiSincNet, **changes)
        assert [s().shape[-1] for s in net.sincs] == taps
        assert net.classifier.in_features == 96 * 13
    assert made(MultiSincNet, kernels_s=[0.25])(torch.randn(1, 19, 256)).shape == (1, 8)


# GASF


def test_the_field_of_four_points_by_hand():
    # scaled: -1, 0, 0, 1, so the angles are 180, 90, 90 and 0 degrees
    image = gasf(torch.tensor([[2.0, 5.0, 5.0, 8.0]]), 4)[0]
    by_hand = [[1, 0, 0, -1], [0, -1, -1, 0], [0, -1, -1, 0], [-1, 0, 0, 1]]
    torch.testing.assert_close(image, torch.tensor(by_hand).float(), atol=1e-5, rtol=0)


def test_the_field_is_the_cosine_of_summed_angles_of_mean_values():
    signal = torch.randn(2, 3, 256)
    x = signal.double().unflatten(-1, (64, 4)).mean(-1).numpy()
    low, high = x.min(-1, keepdims=True), x.max(-1, keepdims=True)
    angle = np.arccos(np.clip((2 * x - low - high) / (high - low), -1, 1))
    want = np.cos(angle[..., :, None] + angle[..., None, :])
    # A cosine that is off by float32's last digit is a sine that is off by as much over the sine.
    off = 1e-6 / np.sin(angle).clip(1e-3)
    assert (np.abs(gasf(signal, 64).numpy() - want) <= off[..., :, None] + off[..., None, :]).all()


def test_the_field_of_nothing_is_minus_one_everywhere_and_has_a_gradient():
    signal = torch.zeros(2, 64, requires_grad=True)
    image = gasf(torch.stack([signal[0], signal[1] + 7]), 16)
    assert (image == -1).all()
    gasf(torch.linspace(0, 1, 64) + signal, 16).sum().backward()
    assert signal.grad.isfinite().all()


def test_the_image_has_the_same_size_at_any_rate():
    assert count(made(GasfCnn)) == count(made(GasfCnn, **FASTER))


# CNN and RNN


def test_the_spectrogram_is_32_bins_by_9_frames_at_either_rate():
    for changes in ({}, FASTER):
        net = made(CnnRnn, **changes)
        t = torch.arange(net.frame * 4) / changes.get("sfreq", 256.0)
        eeg = torch.sin(2 * math.pi * 20 * t).expand(2, 19, -1)
        image = net.spectrogram(eeg)
        assert image.shape == (2, 19, 32, 9)
        assert (image[:, :, :, 2:-2].argmax(2) == 4).all()  # 4, 8, 12, 16 and then 20 Hz


def test_a_frame_of_the_spectrogram_is_the_fourier_transform_of_its_samples():
    net = made(CnnRnn)
    eeg = torch.randn(1, 19, 256)
    frame = eeg[0, 7, 3 * 32 : 3 * 32 + 64].numpy() * np.hanning(65)[:64]  # centred on sample 128
    expected = np.log10(np.abs(np.fft.rfft(frame))[1:] + 0.01)
    np.testing.assert_allclose(net.spectrogram(eeg)[0, 7, :, 4], expected, atol=1e-4)


def test_a_step_of_the_convolutional_lstm_by_hand():
    cell = ConvLSTM(1, 1, 3)
    with torch.no_grad():
        cell.from_input.weight[:] = torch.tensor([[[0.0, 1, 0]], [[0, 0, 0]], [[1, 0, 0]], [[0, 0, 1]]])
        cell.from_input.bias[:] = torch.tensor([0.0, 0.5, 0, 0])
        cell.from_state.weight[:] = torch.tensor([[[0.0, 0, 0]], [[0, 1, 0]], [[0, 0, 0]], [[0, 0, 0]]])
    states = cell(torch.tensor([[[[1.0, 2, 3]], [[4, 5, 6]]]]))  # two steps, one channel, three bins

    def gate(x):
        return 1 / (1 + math.exp(-x))

    c1 = gate(2) * math.tanh(1)
    h1 = gate(3) * math.tanh(c1)
    c2 = gate(0.5 + h1) * c1 + gate(5) * math.tanh(4)
    h2 = gate(6) * math.tanh(c2)
    assert states.shape == (1, 2, 1, 1)
    torch.testing.assert_close(states.flatten(), torch.tensor([h1, h2]))


def test_of_one_bin_the_convolutional_lstm_is_an_lstm():
    torch.manual_seed(0)
    cell, lstm = ConvLSTM(5, 7, 1), nn.LSTM(5, 7, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0[:], lstm.weight_hh_l0[:] = (
            cell.from_input.weight[..., 0],
            cell.from_state.weight[..., 0],
        )
        lstm.bias_ih_l0[:], lstm.bias_hh_l0[:] = cell.from_input.bias, 0
    x = torch.randn(3, 9, 5)
    torch.testing.assert_close(cell(x[..., None])[..., 0], lstm(x)[0])
    assert (cell.from_input.bias[7:14] == 1).all()


def test_the_branches_meet_in_an_outer_product_over_twelve_positions():
    net = made(CnnRnn)
    seen = []
    net.classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    eeg = torch.randn(2, 19, 256)
    net(eeg)
    x = net.spectrogram(eeg)
    cnn = net.cnn(x).flatten(2)
    rnn = net.rnn2(net.rnn1(net.rnn_norm(x).permute(0, 3, 1, 2)).relu())[:, -1].relu()
    rnn = F.max_pool1d(rnn, 2)
    assert cnn.shape == rnn.shape == (2, 64, 12)
    outer = sum(cnn[:, :, None, p] * rnn[:, None, :, p] for p in range(12)) / 12
    torch.testing.assert_close(seen[0], outer.flatten(1))


def test_a_last_batch_of_one_window_trains_and_leaves_the_statistics_of_vectors_alone():
    net = made(CnnRnn).train()
    before = net.classifier[0].running_mean.clone()
    net(torch.randn(1, 19, 256)).sum().backward()
    assert torch.equal(net.classifier[0].running_mean, before)
    net(torch.randn(2, 19, 256))
    assert not torch.equal(net.classifier[0].running_mean, before)


# EEGNet


@pytest.mark.parametrize("changes", [{}, FASTER, {"n_chans": 23}])
def test_the_layers_of_eegnet_have_the_published_shapes(changes):
    net = made(EEGNet, **changes)
    shapes = {}
    for name, layer in net.named_children():
        layer.register_forward_hook(lambda _, args, out, name=name: shapes.update({name: (*out.shape[1:],)}))
    chans, times = changes.get("n_chans", 19), changes.get("n_times", 256)
    net(torch.randn(2, chans, times))
    steps = times // (8 if changes == FASTER else 4)
    assert shapes["time"] == (8, chans, times) and shapes["space_norm"] == (16, times)
    assert shapes["depthwise"] == shapes["pointwise"] == (16, steps)
    assert shapes["dropout"] == (16, 8) and net.classifier.in_features == 128


def test_eegnet_adds_up_by_hand():
    layers = 8 * 64 + 2 * 8 + 16 * 19 + 2 * 16 + 16 * 16 + 16 * 16 + 2 * 16 + (16 * 8 * 8 + 8)
    assert count(made(EEGNet)) == layers == 2_440


def test_the_max_norms_of_eegnet_hold_whatever_the_weights_are():
    net, eeg = made(EEGNet), torch.randn(3, 19, 256)
    with torch.no_grad():
        net.space.weight.mul_(100)
        net.classifier.weight.mul_(100)
        before = net(eeg)
        net.space.weight.mul_(10)
        net.classifier.weight.mul_(10)
    torch.testing.assert_close(net(eeg), before)
    net.classifier.weight.data.mul_(1e-6)  # below the bound nothing happens
    small = net(eeg) - net.classifier.bias
    net.classifier.weight.data.div_(2)
    torch.testing.assert_close(net(eeg) - net.classifier.bias, small / 2, atol=1e-7, rtol=1e-2)


def test_eegnet_keeps_each_sample_in_its_place():
    net = made(EEGNet)
    with torch.no_grad():
        net.time.weight.zero_()
        net.time.weight[..., 31] = 1  # of 64 taps 31 lie before and 32 behind
    x = torch.randn(1, 19, 256)
    seen = []
    net.time.register_forward_hook(lambda _, args, out: seen.append(out))
    net(x)
    torch.testing.assert_close(seen[0][:, 0], x)


# EEG Conformer


def test_the_conformer_adds_up_by_hand_at_either_rate():
    stem = (40 * 25 + 40) + (40 * 40 * 19 + 40) + 2 * 40 + (40 * 40 + 40)
    layer = 4 * 40 + 4 * (40 * 40 + 40) + (40 * 160 + 160) + (160 * 40 + 40)
    head = (11 * 40 * 256 + 256) + (256 * 32 + 32) + (32 * 8 + 8)
    assert count(made(EEGConformer)) == stem + 6 * layer + head == 272_904
    assert count(made(EEGConformer, **FASTER)) == 272_904 + 40 * 24  # 49 taps instead of 25


def test_scores_are_divided_by_the_root_of_the_whole_width():
    torch.manual_seed(0)
    layer, x = Layer(dim=12, heads=3, dropout=0.5).eval(), torch.randn(2, 5, 12)
    q, k, v = layer.qkv(x).chunk(3, dim=-1)
    heads = [
        (q[..., i : i + 4] @ k[..., i : i + 4].mT / 12**0.5).softmax(-1) @ v[..., i : i + 4]
        for i in (0, 4, 8)
    ]
    torch.testing.assert_close(layer.attend(x), layer.out(torch.cat(heads, dim=-1)))


def test_heads_that_cannot_share_the_width_are_refused():
    with pytest.raises(ConfigError, match="model.net.dim=42 .*model.net.heads=10"):
        made(EEGConformer, dim=42)
