"""Deletion curves and correlations with numbers worked by hand, and maps that tell the truth or lie."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from distilclip_eeg.explain.faithfulness import area, deletion, descending, spearman, summary


class Sum(nn.Module):
    """Two classes; the second's logit is the weighted sum of the channels' means."""

    def __init__(self, *weights):
        super().__init__()
        self.weight = torch.tensor(weights)

    def forward(self, eeg_BCT):
        logit = (eeg_BCT.mean(-1) * self.weight).sum(-1)
        return torch.stack([torch.zeros_like(logit), logit], dim=1)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.array(x)))


ONES = torch.ones(1, 3, 4)
SECOND = torch.tensor([1])


def test_channels_go_in_the_order_given_and_the_probability_follows():
    curve = deletion(Sum(3.0, 1.0, -2.0), ONES, SECOND, torch.tensor([[0, 2, 1]]))
    assert curve.tolist() == [pytest.approx(sigmoid([2, -1, 1, 0]).tolist())]
    other_way = deletion(Sum(3.0, 1.0, -2.0), ONES, SECOND, torch.tensor([[2, 1, 0]]))
    assert other_way.tolist() == [pytest.approx(sigmoid([2, 4, 3, 0]).tolist())]
    assert ONES.min() == 1  # the windows given are not what is emptied


def test_each_window_has_its_own_order_and_class():
    eeg, target = torch.ones(2, 3, 4), torch.tensor([1, 0])
    curve = deletion(Sum(3.0, 1.0, -2.0), eeg, target, torch.tensor([[0, 2, 1], [2, 1, 0]]))
    assert curve[0] == pytest.approx(sigmoid([2, -1, 1, 0]))
    assert curve[1] == pytest.approx(1 - sigmoid([2, 4, 3, 0]))


def test_the_order_of_a_map_is_its_largest_first_and_the_montage_s_among_equals():
    assert descending(np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 5.0]])).tolist() == [[1, 2, 0], [2, 0, 1]]


def test_the_area_is_by_trapezia_over_the_share_removed():
    assert area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert area(np.array([1.0, 0.0, 0.0])) == pytest.approx(0.25)


def test_spearman_is_scipy_s_with_ties_and_undefined_for_a_constant_map():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, (20, 9)).astype(float), rng.standard_normal((20, 9))
    expected = [stats.spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    assert spearman(one, other) == pytest.approx(expected)
    assert np.isnan(spearman(np.ones((1, 4)), np.arange(4.0)[None])).all()


def told(weights, maps):
    """The summary of ``maps`` of one network over random windows, and the random order's."""
    rng = np.random.default_rng(0)
    eeg = torch.from_numpy(rng.uniform(0.5, 1.5, (50, len(weights), 4))).float()
    net, target = Sum(*weights), torch.ones(50, dtype=torch.long)
    orders = {m: torch.from_numpy(descending(map_BC)) for m, map_BC in maps.items()}
    curves = {m: deletion(net, eeg, target, order) for m, order in orders.items()}
    shuffled = rng.permuted(np.tile(np.arange(len(weights)), (50, 1)), axis=1)
    return summary(maps, curves, deletion(net, eeg, target, torch.from_numpy(shuffled)))


def test_a_true_map_beats_chance_and_its_opposite_loses():
    weights = (4.0, 3.0, 1.0, 0.5, 0.0, -0.5)
    true = np.tile(weights, (50, 1))
    found = told(weights, {"true": true, "false": -true, "occlusion": true})
    assert found["true"]["deletion_auc"] < found["true"]["deletion_auc_random"] - 0.05
    assert found["false"]["deletion_auc"] > found["false"]["deletion_auc_random"] + 0.05
    assert found["true"]["deletion_auc_random"] == found["false"]["deletion_auc_random"]
    assert found["true"]["spearman_occlusion_mean"] == pytest.approx(1)
    assert found["false"]["spearman_occlusion_mean"] == pytest.approx(-1)


def test_the_summary_counts_windows_and_those_with_a_correlation():
    flat_in_ten = np.tile((4.0, 3.0, 1.0), (50, 1))
    flat_in_ten[:10] = 7.0
    found = told((4.0, 3.0, 1.0), {"some": flat_in_ten, "occlusion": np.tile((4.0, 3.0, 1.0), (50, 1))})
    assert found["some"]["windows"] == 50 and found["some"]["spearman_n"] == 40
    assert found["some"]["spearman_occlusion_mean"] == pytest.approx(1)
    curve = found["some"]["curve"]
    assert curve["share"] == [0.0, 0.3333, 0.6667, 1.0]
    assert len(curve["probability"]) == len(curve["random"]) == 4
    assert curve["probability"][0] == pytest.approx(curve["random"][0])
    assert curve["probability"][-1] == curve["random"][-1] == pytest.approx(0.5)


def test_without_any_correlation_there_is_no_mean():
    found = told((1.0, 2.0), {"occlusion": np.zeros((50, 2))})
    assert found["occlusion"]["spearman_occlusion_mean"] is None and found["occlusion"]["spearman_n"] == 0
