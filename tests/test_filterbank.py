"""The filterbank network: power by band and second, the same for any order of channels."""

import numpy as np
import pytest
import torch

from distilclip_eeg.models.baselines.filterbank import FLOOR, FilterBank, wavelets
from distilclip_eeg.schema import ConfigError


def made(n_times=256, sfreq=256.0, n_chans=4, **how):
    torch.manual_seed(0)
    return FilterBank(n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=2, **how).eval()


@pytest.mark.parametrize("n_times, sfreq, frames, bursts", [
    (256, 256.0, 1, 4), (9 * 256, 256.0, 9, 4), (64, 256.0, 1, 1), (500, 500.0, 1, 4), (300, 100.0, 3, 4),
])  # fmt: skip
def test_a_second_is_a_frame_of_four_bursts(n_times, sfreq, frames, bursts):
    net = made(n_times, sfreq)
    assert (net.frames, net.bursts) == (frames, bursts)
    assert net(torch.randn(3, 4, n_times)).shape == (3, 2) and net.encode(
        torch.randn(1, 4, n_times)
    ).shape == (1, 64)


@pytest.mark.parametrize("hertz", [3.0, 8.0, 20.0])
def test_a_wave_is_loudest_in_the_filter_of_its_frequency(hertz):
    net = made(n_times=1024)
    wave_T = np.sqrt(2) * np.sin(2 * np.pi * hertz * np.arange(1024) / 256)
    power_SF = net.power(torch.from_numpy(wave_T).float().expand(1, 4, -1))[0, 0, :, :24]
    middles = np.logspace(np.log10(1.5), np.log10(32), 24)
    loudest = middles[power_SF.mean(0).argmax()]
    assert abs(np.log2(loudest / hertz)) < 0.5


def test_filters_have_unit_power_gain_so_white_noise_has_its_own_variance_in_each():
    taps = wavelets(24, 64, 128.0)
    assert torch.allclose(taps.square().sum((1, 2)), torch.ones(24), atol=1e-5)
    noise = torch.randn(1, 4, 128 * 200, generator=torch.Generator().manual_seed(0))
    net = made(n_times=128 * 200, sfreq=128.0)
    x = torch.nn.functional.conv1d(noise[:, :1], taps).square().mean((0, 2))
    assert torch.allclose(x, torch.ones(24), atol=0.25)
    assert torch.isfinite(net(noise)).all()


def test_silence_is_the_floor_and_gives_an_answer():
    net = made()
    assert torch.allclose(net.power(torch.zeros(2, 4, 256)), torch.tensor(FLOOR).log())
    assert torch.isfinite(net(torch.zeros(2, 4, 256))).all()


def test_the_order_of_channels_and_the_sign_of_the_signal_mean_nothing():
    net, eeg = made(n_times=768), torch.randn(5, 4, 768)
    with torch.no_grad():
        assert torch.allclose(net(eeg), net(eeg[:, [2, 0, 3, 1]]), atol=1e-5)
        assert torch.allclose(net(eeg), net(-eeg), atol=1e-5)


def test_every_weight_learns():
    net = made(n_times=768).train()
    net(torch.randn(8, 4, 768)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_less_than_a_burst_is_refused():
    with pytest.raises(ConfigError, match="too short for filterbank"):
        made(n_times=20)
