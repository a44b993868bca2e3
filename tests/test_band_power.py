"""Power in bands, and the stem that gives it to a Conformer: the same for any order of channels."""

import copy

import numpy as np
import pytest
import torch

from distilclip_eeg.explain import maps
from distilclip_eeg.models.band_power import BandPower, BandPowerStem, over_channels, varied, wavelets
from distilclip_eeg.models.conformer import Conformer, take_layers
from distilclip_eeg.models.frozen import frozen
from distilclip_eeg.models.literal import LiteralConformer
from distilclip_eeg.schema import ConfigError


def power(n_times, sfreq=256.0):
    return BandPower(n_times=n_times, sfreq=sfreq, filters=24, kernel_s=0.5)


def conformer(n_times=256, n_chans=4, depth=2, **how):
    torch.manual_seed(0)
    sizes = {"n_chans": n_chans, "n_times": n_times, "sfreq": 256.0, "n_outputs": 3}
    stem = {"stem": "band_power", "filters": 24, "kernel_s": 0.5}
    net = Conformer(**sizes, **stem, dim=24, depth=depth, heads=4, n_prompts=6, embed=16, **how)
    net.stem.norm.running_mean.normal_()
    net.stem.norm.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.mark.parametrize("hertz", [3.0, 8.0, 20.0])
def test_a_wave_is_loudest_in_the_filter_of_its_frequency(hertz):
    wave_T = np.sqrt(2) * np.sin(2 * np.pi * hertz * np.arange(1024) / 256)
    power_SF = power(1024)(torch.from_numpy(wave_T).float().expand(1, 4, -1))[0][0, 0, :, :24]
    middles = np.logspace(np.log10(1.5), np.log10(32), 24)
    loudest = middles[power_SF.mean(0).argmax()]
    assert abs(np.log2(loudest / hertz)) < 0.5


def test_a_steady_wave_has_the_same_power_in_every_burst_whatever_its_phase():
    at_T = np.arange(1024) / 256
    waves_PT = np.stack([np.sin(2 * np.pi * 6.3 * at_T + phase) for phase in (0.0, 1.0, 2.0, 3.0)])
    power_PSF = power(1024)(torch.from_numpy(waves_PT).float()[None])[0][0, :, 1:-1, :24]
    loudest = power_PSF.mean((0, 1)).argmax()
    assert power_PSF[..., loudest].std() < 0.01


def test_filters_have_unit_power_gain_so_white_noise_has_its_own_variance_in_each():
    taps = wavelets(24, 64, 128.0)
    assert torch.allclose(taps.square().sum((1, 2)), torch.ones(48), atol=1e-5)
    noise = torch.randn(1, 4, 128 * 200, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.conv1d(noise[:, :1], taps).square().mean((0, 2))
    assert torch.allclose(x, torch.ones(48), atol=0.3)


def test_training_varies_power_and_draws_channels_from_the_windows_own():
    torch.manual_seed(0)
    power = torch.arange(4.0)[None, :, None, None].expand(400, 4, 2, 6) * 100
    shifted = varied(power)
    channel = (shifted.mean((2, 3)) / 100).round()
    kept = (channel == torch.arange(4.0)).all(1)
    assert 0.4 < kept.float().mean() < 0.65 and set(channel.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}
    spread = (shifted - 100 * channel[..., None, None]).std()
    assert abs(spread - np.sqrt(0.15**2 + 0.15**2 + 0.1**2)) < 0.02


def test_over_channels_is_mean_then_maximum_then_spread():
    two_BCSH = torch.tensor([1.0, 5.0]).reshape(1, 2, 1, 1)  # mean 3, highest 5, spread sqrt(4 + 0.0001)
    expected = torch.tensor([[[3.0, 5.0, 4.0001**0.5]]])
    torch.testing.assert_close(over_channels(two_BCSH), expected)


# ------------------------------------------------------------------------------ the stem in a Conformer


@pytest.mark.parametrize("seconds", [1, 3])
def test_a_second_is_a_token(seconds):
    net, eeg = conformer(n_times=256 * seconds), torch.randn(2, 4, 256 * seconds)
    assert net.n_tokens == seconds and net.stem(eeg).shape == (2, seconds, 24)
    assert net(eeg).shape == (2, 3) and net.encode(eeg).shape == (2, 16)


def test_the_order_of_channels_and_the_sign_of_the_signal_mean_nothing():
    net, eeg = conformer(), torch.randn(5, 4, 256)
    torch.testing.assert_close(net(eeg), net(eeg[:, [2, 0, 3, 1]]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(eeg), net(-eeg), atol=1e-5, rtol=1e-5)


def test_channels_change_no_size_so_weights_serve_another_montage():
    net, other = conformer(n_chans=4), conformer(n_chans=19)
    other.load_state_dict(net.state_dict())
    eeg = torch.randn(2, 4, 256)
    again = eeg[:, torch.arange(19) % 4][:, :16]  # each four times: the same mean, maximum and spread
    torch.testing.assert_close(net(eeg), other(again), atol=1e-5, rtol=1e-5)


def test_only_training_varies_what_it_sees():
    net, eeg = conformer(dropout=0.0), torch.randn(5, 4, 256)
    assert torch.equal(net(eeg), net(eeg))
    net.train()
    net.stem.norm.eval()
    assert not torch.allclose(net(eeg), net(eeg), atol=1e-3)


def test_frozen_and_literal_forms_answer_the_same():
    net, eeg = conformer(n_times=768), torch.randn(5, 4, 768)
    with torch.no_grad():
        torch.testing.assert_close(frozen(net)(eeg), net(eeg), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(LiteralConformer(net)(eeg), net(eeg), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", maps.METHODS)
def test_every_method_draws_a_map_and_leaves_the_network_as_it_was(method):
    net, eeg = conformer(), torch.randn(3, 4, 256)
    before = copy.deepcopy(net.state_dict())
    found = maps.channel_map(net, eeg, torch.tensor([0, 1, 2]), method)
    assert found.shape == (3, 4) and found.isfinite().all() and found.abs().max() > 0
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_student_starts_from_its_teachers_layers_and_stem():
    teacher, student = conformer(depth=4), conformer(depth=2)
    with torch.no_grad():
        teacher.stem.project.weight.add_(1)
    take_layers(student, teacher)
    assert torch.equal(student.stem.project.weight, teacher.stem.project.weight)
    assert torch.equal(student.blocks[1].qkv.weight, teacher.blocks[2].qkv.weight)


def test_a_teacher_with_another_stem_gives_no_layers():
    own = Conformer(n_chans=4, n_times=256, sfreq=256.0, n_outputs=3, dim=24, depth=4, heads=4, embed=16)
    with pytest.raises(ConfigError, match=r"the student's stem\.norm\.weight is \(48,\)"):
        take_layers(conformer(), own)


def test_what_no_stem_can_be_made_of_is_refused():
    with pytest.raises(ConfigError, match="too short for power in bands"):
        BandPowerStem(n_chans=2, n_times=20, sfreq=256.0, dim=8, filters=4, kernel_s=0.5, dropout=0.0)
    with pytest.raises(ConfigError, match=r"model\.net\.stem='wavelet' is not one of"):
        Conformer(n_chans=4, n_times=256, sfreq=256.0, n_outputs=3, dim=24, depth=1, heads=4, stem="wavelet")
