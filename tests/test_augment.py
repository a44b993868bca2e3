"""Augmentation: what it does to a window, and that it depends on seed, epoch and window alone."""

import numpy as np
import pytest
import torch

from distilclip_eeg.training import augment
from distilclip_eeg.training.augment import DROP, NOISE, standard

SFREQ = 100.0


def varied(eeg, rows, seed=3, epoch=2):
    return standard(eeg, rows, seed=seed, epoch=epoch, sfreq=SFREQ)


@pytest.fixture
def eeg():
    return torch.randn(4, 5, 100, generator=torch.Generator().manual_seed(0))


def test_a_window_is_varied_alike_in_whatever_batch_it_is(eeg):
    together = varied(eeg, [10, 11, 12, 13])
    assert torch.equal(varied(eeg[[2, 0]], [12, 10]), together[[2, 0]])
    torch.manual_seed(5)  # torch's own state plays no role
    assert torch.equal(varied(eeg, [10, 11, 12, 13]), together)


@pytest.mark.parametrize("changed", [{"seed": 4}, {"epoch": 3}])
def test_another_seed_or_epoch_varies_otherwise(eeg, changed):
    assert not torch.allclose(varied(eeg, range(4)), varied(eeg, range(4), **changed))


def test_equal_windows_at_two_rows_vary_apart(eeg):
    same = eeg[:1].expand(2, -1, -1)
    first, second = varied(same, [0, 1])
    assert not torch.allclose(first, second)


def test_without_noise_a_window_is_its_own_shifted_and_scaled_by_channel(eeg, monkeypatch):
    monkeypatch.setattr(augment, "NOISE", 0.0)
    for before, after in zip(eeg, varied(eeg, range(4)), strict=True):
        shifts = [
            k
            for k in range(-10, 11)  # 0.1 s at 100 Hz
            if all(
                not row.any() or torch.allclose(row / row.norm(), own.roll(k) / own.norm(), atol=1e-5)
                for own, row in zip(before, after, strict=True)
            )
        ]
        assert len(shifts) == 1


def test_a_tenth_of_the_channels_is_dropped_and_what_is_left_of_silence_is_noise():
    many = torch.ones(400, 5, 20)
    out = varied(many, range(400))
    dropped = out.mean(-1).abs() < 4 * NOISE / np.sqrt(20)
    assert dropped.float().mean().item() == pytest.approx(DROP, abs=0.03)
    silent = varied(torch.zeros(50, 5, 200), range(50))
    assert silent.std().item() == pytest.approx(NOISE, rel=0.02) and abs(silent.mean().item()) < 0.01
