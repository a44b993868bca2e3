"""The filterbank network: power by band and second, the same for any order of channels."""

import pytest
import torch

from distilclip_eeg.models.band_power import FLOOR
from distilclip_eeg.models.baselines.filterbank import FilterBank
from distilclip_eeg.schema import ConfigError


def made(n_times=256, sfreq=256.0, n_chans=4, **how):
    torch.manual_seed(0)
    return FilterBank(n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=2, **how).eval()


@pytest.mark.parametrize("n_times, sfreq, frames, bursts", [
    (256, 256.0, 1, 8), (9 * 256, 256.0, 9, 8), (64, 256.0, 1, 2), (500, 500.0, 1, 7), (300, 100.0, 3, 8),
])  # fmt: skip
def test_a_second_is_a_frame_of_eight_bursts(n_times, sfreq, frames, bursts):
    net = made(n_times, sfreq)
    assert (net.power.frames, net.power.bursts) == (frames, bursts)
    assert net(torch.randn(3, 4, n_times)).shape == (3, 2) and net.encode(
        torch.randn(1, 4, n_times)
    ).shape == (1, 64)


def test_silence_is_the_floor_and_gives_an_answer():
    net = made()
    assert not net.power(torch.zeros(2, 4, 256))[1].any()
    assert torch.isfinite(net(torch.zeros(2, 4, 256))).all()
    one_flat = torch.cat([torch.zeros(2, 1, 256), torch.randn(2, 3, 256)], 1)
    power, there_BS = net.power(one_flat)
    assert torch.allclose(power[:, 0], torch.tensor(FLOOR).log()) and there_BS.all()


def test_what_lies_beyond_an_end_means_nothing():
    """Zeros are not there: the answer is that of a network whose weights of those frames are none."""
    net, eeg = made(n_times=9 * 256), torch.randn(3, 4, 9 * 256)
    eeg[..., : 3 * 256] = 0
    power, there_BS = net.power(eeg)
    assert there_BS.tolist() == [[False] * 3 + [True] * 6] * 3
    assert torch.allclose(power[:, :, 0], power[:, :, 3:].mean(2), atol=1e-5)
    with torch.no_grad():
        before = net(eeg)
        net.members[0].weight_S[:3] = 50.0
        assert torch.allclose(net(eeg), before, atol=1e-6)
        assert not torch.allclose(net(torch.randn(3, 4, 9 * 256)), before)


def test_members_answer_with_the_mean_of_their_logits():
    net, eeg = made(n_times=768, members=3), torch.randn(5, 4, 768)
    with torch.no_grad():
        got = net(eeg)
        power, there = net.power(eeg)
        power = net.norm(power.flatten(0, 2)).reshape(power.shape)
        alone = []
        for k, member in enumerate(net.members):
            weight = 3 * net.classifier.weight[:, k * 64 : (k + 1) * 64]
            alone.append(member(power, there) @ weight.T + net.classifier.bias)
        assert torch.allclose(got, torch.stack(alone).mean(0), atol=1e-5)


def test_in_training_a_window_is_shown_to_one_member():
    net = made(n_times=768, members=3).train()
    features = net.encode(torch.randn(7, 4, 768)).reshape(7, 3, 64)
    shown = (features.abs().amax(2) > 0).int()
    assert shown.sum(1).tolist() == [1] * 7 and shown.argmax(1).tolist() == [0, 0, 0, 1, 1, 2, 2]


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
    with pytest.raises(ConfigError, match="too short for power in bands"):
        made(n_times=20)
