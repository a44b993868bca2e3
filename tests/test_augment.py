"""Augmentation: what it does to a window, and that it depends on seed, epoch and window alone."""

import numpy as np
import pytest
import torch

from distilclip_eeg.config.data import View
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.training import augment
from distilclip_eeg.training.augment import DROP, NOISE, standard
from distilclip_eeg.training.crossval import augmentation

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


# ------------------------------------------------------------------------------------- one part at a time

PARTS = ("gain", "drop", "shift", "band_noise", "redraw")


def of_part(name, eeg, rows, seed=3, epoch=2):
    return getattr(augment, name)(eeg, rows, seed=seed, epoch=epoch, sfreq=SFREQ)


@pytest.mark.parametrize("name", PARTS)
def test_each_part_depends_on_seed_epoch_and_window_alone(name, eeg):
    together = of_part(name, eeg, [10, 11, 12, 13])
    torch.testing.assert_close(of_part(name, eeg[[2, 0]], [12, 10]), together[[2, 0]])
    other = torch.arange(40 * 5 * 100.0).reshape(40, 5, 100)
    rows = range(40)
    assert not torch.allclose(of_part(name, other, rows), of_part(name, other, rows, epoch=3))
    assert not torch.allclose(of_part(name, other, rows), of_part(name, other, rows, seed=4))


def test_gain_scales_drop_silences_and_shift_turns_and_none_does_more(eeg):
    rows = range(4)
    ratio = of_part("gain", eeg, rows) / eeg
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
    assert (ratio > 0).all() and ratio.std() > 0.05
    many = torch.ones(400, 5, 20)
    kept = of_part("drop", many, range(400))
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert 1 - kept.mean().item() == pytest.approx(DROP, abs=0.03)
    turned = of_part("shift", eeg, rows)
    for before, after in zip(eeg, turned, strict=True):
        assert sum(torch.equal(before.roll(k, -1), after) for k in range(-10, 11)) == 1


def test_band_noise_lies_in_one_band_between_one_and_forty_hertz():
    noise = of_part("band_noise", torch.zeros(200, 3, 400), range(200)).numpy()
    power = (np.abs(np.fft.rfft(noise)) ** 2).mean(1)
    hz = np.fft.rfftfreq(400, 1 / SFREQ)
    for row in power:
        (inside,) = np.nonzero(row > row.max() * 1e-6)
        assert 0.5 <= hz[inside[0]] and hz[inside[-1]] <= 50 and hz[inside[-1]] - hz[inside[0]] <= 20.5
    assert noise.std() == pytest.approx(augment.BAND_NOISE, rel=0.02)


def test_redrawn_channels_are_the_window_s_own_and_half_of_the_windows_are_left(eeg):
    many = torch.arange(400 * 23.0).reshape(400, 23, 1).expand(-1, -1, 4)
    out = of_part("redraw", many, range(400))
    for before, after in zip(many, out, strict=True):
        assert set(after[:, 0].tolist()) <= set(before[:, 0].tolist())
        assert torch.equal(after, after[:, :1].expand_as(after))  # a channel moves as a whole
    same = (out == many).all(-1).all(-1).float().mean().item()
    assert same == pytest.approx(1 - augment.REDRAWN, abs=0.08)
    kept = [
        len(set(row[:, 0].tolist())) / 23 for row, old in zip(out, many, strict=True) if (row != old).any()
    ]
    assert np.mean(kept) == pytest.approx(1 - (1 - 1 / 23) ** 23, abs=0.02)  # drawn with replacement


def test_several_parts_follow_one_another_and_an_unknown_one_is_refused(eeg):
    both = augmentation("gain+shift", SFREQ, View(100))(eeg, range(4), seed=3, epoch=2)
    torch.testing.assert_close(both, of_part("shift", of_part("gain", eeg, range(4)), range(4)))
    assert augmentation("none", SFREQ, View(100)) is None
    with pytest.raises(ConfigError, match="shifts"):
        augmentation("gain+shifts", SFREQ, View(100))
