"""Graph and attention baselines: graphs, transforms and exact rewrites against values worked out here."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from distilclip_eeg.models.baselines.attention import ChannelAttention, ShallowConv3d, SpatialAttention
from distilclip_eeg.models.baselines.cbam3d import CBAM3D
from distilclip_eeg.models.baselines.gcn_bigru import GCNBiGRU
from distilclip_eeg.models.baselines.ggn import GGN
from distilclip_eeg.models.baselines.graphs import (
    BANDS_HZ,
    band_signals,
    correlation,
    mean_over_neighbours,
    strongest,
    with_self_loops,
)
from distilclip_eeg.models.baselines.lightseizurenet import LightSeizureNet, Separable
from distilclip_eeg.models.baselines.meta_gnn import GraphConv, MetaGNN
from distilclip_eeg.models.baselines.pcc_cnn import PCCCNN


def small(kind, **changes):
    torch.manual_seed(0)
    return kind(**dict(n_chans=5, n_times=256, sfreq=256.0, n_outputs=3) | changes)


def tone(hz, n=256, sfreq=256.0, phase=0.4):
    return torch.sin(2 * torch.pi * hz * torch.arange(n) / sfreq + phase)


# --- graphs


def test_the_correlations_are_numpys():
    torch.manual_seed(0)
    eeg = torch.randn(3, 6, 100) + torch.randn(3, 1, 100) + 4
    expected = np.stack([np.corrcoef(window) for window in eeg.numpy()])
    np.testing.assert_allclose(correlation(eeg).numpy(), expected, atol=1e-6)


def test_scale_and_offset_of_a_channel_do_not_change_its_correlations():
    torch.manual_seed(0)
    eeg = torch.randn(2, 4, 64)
    other = eeg * torch.tensor([1.0, 7.0, 0.1, 2.0])[:, None] + 3
    torch.testing.assert_close(correlation(other), correlation(eeg), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.1, -3.0, 50.0])
def test_a_flat_channel_correlates_with_nothing_and_has_a_finite_gradient(level):
    torch.manual_seed(0)
    eeg = torch.randn(2, 4, 256)
    eeg[:, 1] = level
    eeg[1] = level
    r = correlation(eeg.requires_grad_())
    assert r[0, 1].abs().max() < 1e-3 and r[1].abs().max() < 1e-3
    torch.testing.assert_close(r[0].diagonal()[[0, 2, 3]], torch.ones(3))
    r.square().sum().backward()
    assert eeg.grad.isfinite().all()


def test_half_precision_around_it_does_not_reach_the_correlations():
    torch.manual_seed(0)
    eeg = torch.randn(2, 4, 256)
    with torch.autocast("cpu", torch.bfloat16):
        r = correlation(eeg)
    assert r.dtype == torch.float32
    torch.testing.assert_close(r, correlation(eeg), atol=0, rtol=0)


def test_the_strongest_edges_by_hand():
    weight = torch.tensor([[1.0, 0.9, 0.2, 0.5], [0.9, 1, 0.1, 0.3], [0.2, 0.1, 1, 0.8], [0.5, 0.3, 0.8, 1]])
    expected = torch.tensor([[0, 0.9, 0, 0.5], [0.9, 0, 0, 0.3], [0.2, 0, 0, 0.8], [0.5, 0, 0.8, 0]])
    torch.testing.assert_close(strongest(weight, 2), expected)
    torch.testing.assert_close(strongest(weight, 9), weight - torch.eye(4))  # no more than there are


def test_rows_become_means_and_a_node_without_neighbours_receives_nothing():
    graph = mean_over_neighbours(torch.tensor([[0.0, 1.0, 3.0], [0, 0, 0], [2, 2, 0]]))
    torch.testing.assert_close(graph, torch.tensor([[0, 0.25, 0.75], [0, 0, 0], [0.5, 0.5, 0]]))


def test_self_loops_replace_the_diagonal():
    torch.testing.assert_close(with_self_loops(torch.full((2, 2), 0.3)), torch.tensor([[1, 0.3], [0.3, 1]]))


@pytest.mark.parametrize("hz, band", [(2, 0), (6, 1), (10, 2), (20, 3), (40, 4)])
@pytest.mark.parametrize("sfreq, n", [(256.0, 256), (500.0, 500), (256.0, 512)])
def test_a_tone_is_whole_in_its_band_and_absent_from_the_others(hz, band, sfreq, n):
    signal = tone(hz, n, sfreq)
    cut = band_signals(signal[None, None], sfreq)[0, :, 0]
    expected = torch.zeros(len(BANDS_HZ), n)
    expected[band] = signal
    torch.testing.assert_close(cut, expected, atol=1e-4, rtol=0)


def test_a_tone_on_a_border_belongs_to_the_upper_band_at_any_rate():
    for sfreq, n in ((256.0, 256), (500.0, 500)):
        power = band_signals(tone(8, n, sfreq)[None, None], sfreq)[0, :, 0].square().mean(-1)
        assert power.argmax() == 2 and power[1] < 1e-6


# --- networks on graphs


def test_a_graph_convolution_is_its_two_matrices_in_numpy():
    torch.manual_seed(0)
    layer, x, graph = GraphConv(4, 3), torch.randn(5, 4), torch.rand(5, 5)
    w, b = layer.neighbours.weight.detach().numpy(), layer.neighbours.bias.detach().numpy()
    expected = graph.numpy() @ x.numpy() @ w.T + b + x.numpy() @ layer.own.weight.detach().numpy().T
    np.testing.assert_allclose(
        layer(x, graph).detach().numpy(), np.maximum(expected, 0), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("sfreq, n", [(256.0, 256), (500.0, 500), (256.0, 512)])
def test_meta_gnn_finds_a_tone_in_the_bin_of_its_frequency(sfreq, n):
    net = small(MetaGNN, n_chans=2, n_times=n, sfreq=sfreq)
    spectra = net.features(torch.stack([tone(1, n, sfreq), tone(31, n, sfreq)])[None])[0]
    assert spectra.shape == (2, 48)
    assert spectra.argmax(-1).tolist() == [0, 30]


def test_meta_gnn_does_not_depend_on_the_order_of_electrodes():
    net = small(MetaGNN).eval()
    eeg = torch.randn(3, 5, 256)
    torch.testing.assert_close(net(eeg[:, [3, 1, 4, 0, 2]]), net(eeg), atol=1e-5, rtol=1e-5)


def test_gcn_bigru_first_graph_layer_by_dense_numpy():
    net = small(GCNBiGRU, dropout=0.0).eval()
    eeg = torch.randn(1, 5, 256)
    seen = []
    net.graph[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(eeg)
    weight = np.abs(np.corrcoef(eeg[0].numpy()))
    graph = weight / weight.sum(1, keepdims=True)
    w, b = (p.detach().numpy() for p in net.graph[0].parameters())
    for i in (0, 3, 7):  # slices of an eighth of a second
        hidden = np.maximum(graph @ eeg[0, :, 32 * i : 32 * (i + 1)].numpy() @ w.T + b, 0)
        np.testing.assert_allclose(seen[0][0, i, 0].detach().numpy(), graph @ hidden, atol=1e-5)


def test_gcn_bigru_on_bands_sees_every_band_on_its_own_graph():
    net = small(GCNBiGRU, bands=True).eval()
    assert net.rnn.input_size == 16 * 5 * len(BANDS_HZ)
    eeg = torch.randn(2, 5, 256)
    assert net(eeg).shape == (2, 3)
    for hz in (2, 6, 10, 20, 40):
        assert (net(eeg + tone(hz)) - net(eeg)).abs().max() > 1e-5
    torch.testing.assert_close(net(eeg + 0.5 * tone(90)), net(eeg), atol=1e-4, rtol=1e-3)  # in no band


def test_ggn_draws_edges_in_training_alone():
    net = small(GGN, dropout=0.0)
    nodes = torch.randn(2, 5, 256)
    assert not torch.equal(net.edges(nodes), net.edges(nodes))
    net.eval()
    assert torch.equal(net.edges(nodes), net.edges(nodes))
    score = net.query(nodes) @ net.key(nodes).mT / 8
    torch.testing.assert_close(net.edges(nodes), torch.sigmoid(score / 0.5))


def test_ggn_draws_an_edge_as_often_as_its_probability():
    net = small(GGN, tau=0.01)  # nearly hard
    nodes = 2 * torch.randn(1, 5, 256)
    probability = torch.sigmoid(net.query(nodes) @ net.key(nodes).mT / 8)[0]
    assert probability.std() > 0.05
    drawn = net.edges(nodes.expand(4000, -1, -1)).mean(0)
    torch.testing.assert_close(drawn, probability, atol=0.035, rtol=0)


def test_every_window_has_a_graph_of_its_own_in_ggn():
    net = small(GGN).eval()
    nodes = torch.randn(3, 5, 256)
    edges = net.edges(nodes)
    assert edges.shape == (3, 5, 5) and not torch.allclose(edges[0], edges[1])
    torch.testing.assert_close(net.edges(nodes[1:2])[0], edges[1])


def test_ggn_features_are_the_log_power_of_hann_frames_in_numpy():
    net = small(GGN, n_chans=1).eval()
    eeg = torch.randn(1, 1, 256)
    frames = np.stack([eeg[0, 0, 20 * i : 20 * i + 64].numpy() for i in range(10)])
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    power = np.abs(np.fft.rfft(frames * taper)[:, :24]) ** 2 / (taper**2).sum()
    np.testing.assert_allclose(net.features(eeg)[0, 0].numpy(), np.log10(power + 1e-3), atol=1e-4)


def test_ggn_features_are_centred_and_the_same_in_evaluation():
    # With their mean left in, the CNN's running statistics fell behind and evaluation failed.
    net = small(GGN, dropout=0.0)
    eeg = 0.2 * torch.randn(64, 5, 256)
    for _ in range(60):
        x = net.features(eeg)
    assert x.mean((0, 1, 2)).abs().max() < 1e-3
    net.eval()
    torch.testing.assert_close(net.features(eeg), x, atol=0.02, rtol=0.02)


# --- attention and exact rewrites


@pytest.mark.parametrize("maps, out, kernel", [(1, 6, 3), (2, 1, 7)])
@pytest.mark.parametrize("depth", [1, 2, 5, 9])
def test_the_unrolled_3d_convolution_is_the_3d_convolution(maps, out, kernel, depth):
    torch.manual_seed(0)
    conv = ShallowConv3d(maps, out, kernel, padding=kernel // 2).double()
    a = torch.randn(2, maps, depth, 6, 8, dtype=torch.float64, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    weight = torch.randn(2, out, depth, 6, 8, dtype=torch.float64)
    fast = conv(a)
    (fast * weight).sum().backward()
    grads = [p.grad.clone() for p in conv.parameters()]
    conv.zero_grad()
    slow = nn.Conv3d.forward(conv, b)
    (slow * weight).sum().backward()
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(a.grad, b.grad)
    torch.testing.assert_close(grads, [p.grad for p in conv.parameters()])


def test_the_merged_separable_convolution_is_depthwise_then_pointwise():
    torch.manual_seed(0)
    block = Separable(4, 6, kernel=9, dilation=4, pool=2).eval()
    x = torch.randn(2, 4, 3, 40)
    slow = F.conv2d(x, block.depthwise.weight, padding=(0, 16), dilation=(1, 4), groups=4)
    slow = F.max_pool2d(F.relu(block.norm(block.pointwise(slow))), (1, 2))
    torch.testing.assert_close(block(x), slow, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("axes", [(7,), (4, 3), (2, 3, 4)])
def test_channel_attention_gates_by_mean_and_maximum(axes):
    torch.manual_seed(0)
    block, x = ChannelAttention(8, reduction=4), torch.randn(2, 8, *axes)
    flat = x.flatten(2)
    gate = torch.sigmoid(block.mlp(flat.mean(-1)) + block.mlp(flat.max(-1).values))
    torch.testing.assert_close(block(x).flatten(2), flat * gate[..., None])


@pytest.mark.parametrize("axes", [(6, 8), (5, 6, 8)])
def test_spatial_attention_gives_all_maps_the_same_gate(axes):
    torch.manual_seed(0)
    x = torch.randn(2, 4, *axes)
    gate = SpatialAttention(axes=len(axes))(x) / x
    torch.testing.assert_close(gate, gate[:, :1].expand_as(gate), atol=1e-5, rtol=1e-4)
    assert gate.min() > 0 and gate.max() < 1 and gate.std() > 1e-3


# --- PCC-CNN, 3D-CBAMNet, LightSeizureNet


def test_pcc_cnn_adds_the_projected_row_of_correlations_to_every_step_of_a_channel():
    net = small(PCCCNN).eval()
    eeg = torch.randn(1, 5, 256)
    seen = []
    net.cnn.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net(eeg)
    row = torch.tensor(np.corrcoef(eeg[0].numpy()), dtype=torch.float32)
    code = row @ net.position.weight.T + net.position.bias  # (C, D)
    bare = net.norm(net.embed(eeg[:, None]))
    torch.testing.assert_close(seen[0] - bare, code.T[None, :, :, None].expand_as(bare), atol=1e-5, rtol=1e-4)
    assert bare.shape == (1, 64, 5, 61)


def test_the_volume_of_cbam3d_holds_log_power_by_band_electrode_and_slot():
    net = small(CBAM3D, n_chans=2)
    eeg = torch.stack([2 * tone(40), torch.zeros(256)])[None]
    volume = net.volume(eeg)
    assert volume.shape == (1, 1, 5, 2, 32)
    power = 10 ** volume[0, 0]
    torch.testing.assert_close(power[4, 0].mean(), torch.tensor(2.001), atol=1e-3, rtol=0)  # amplitude 2
    torch.testing.assert_close(power[:4, 0], torch.full((4, 32), 1e-3), atol=1e-4, rtol=0)
    torch.testing.assert_close(power[:, 1], torch.full((5, 32), 1e-3), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sfreq, n, slots", [(256.0, 256, 32), (500.0, 500, 32), (256.0, 512, 64)])
def test_the_slots_of_cbam3d_are_32_a_second(sfreq, n, slots):
    assert small(CBAM3D, n_times=n, sfreq=sfreq).volume(torch.randn(1, 5, n)).shape[-1] == slots


def test_lightseizurenet_keeps_electrodes_apart():
    net = small(LightSeizureNet).eval()
    eeg = torch.randn(1, 5, 256)
    changed = eeg.clone()
    changed[:, 2] += 1
    moved = (net.maps(changed) - net.maps(eeg)).abs().amax((0, 1, 3))
    assert net.maps(eeg).shape == (1, 60, 5, 32)
    assert moved[2] > 0 and moved[[0, 1, 3, 4]].max() < 1e-6


def test_the_logits_of_lightseizurenet_are_means_of_its_class_activation_maps():
    net = small(LightSeizureNet).eval()
    eeg = torch.randn(2, 5, 256)
    activation = torch.einsum("kf,bfct->bkct", net.classifier.weight, net.maps(eeg))
    torch.testing.assert_close(net(eeg), activation.mean((2, 3)) + net.classifier.bias, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("sfreq, taps", [(256.0, 9), (500.0, 17), (128.0, 5)])
def test_the_kernel_of_lightseizurenet_lasts_as_long_at_any_rate(sfreq, taps):
    assert small(LightSeizureNet, sfreq=sfreq).layers[0].depthwise.kernel_size == (1, taps)
