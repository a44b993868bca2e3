"""Recurrent baselines, the transformer behind the article's EEGNet row, and networks of other packages."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.baselines.cnn_rnns import CNNRNNs
from distilclip_eeg.models.baselines.external import SWITCH, External
from distilclip_eeg.models.baselines.recurrent import Recurrent
from distilclip_eeg.models.baselines.resbilstm import ResBiLSTM
from distilclip_eeg.models.baselines.rnn import RNN
from distilclip_eeg.models.baselines.stacked_lstm import FLOOR, StackedLSTM, slice_features
from distilclip_eeg.models.baselines.two_layer_lstm import TwoLayerLSTM
from distilclip_eeg.models.baselines.zhu_transformer import ZhuTransformer, positions
from distilclip_eeg.schema import ConfigError

SIZES = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 8}


def count(net):
    return sum(p.numel() for p in net.parameters())


def arrays(module):
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elman(x_NF, w, layer):
    """States (N, D) of one layer, written out."""
    state, states = np.zeros(w[f"bias_hh_l{layer}"].shape), []
    for x in x_NF:
        state = np.tanh(
            w[f"weight_ih_l{layer}"] @ x
            + w[f"bias_ih_l{layer}"]
            + w[f"weight_hh_l{layer}"] @ state
            + w[f"bias_hh_l{layer}"]
        )
        states.append(state)
    return np.array(states)


def lstm(x_NF, w, end):
    """States (N, D) of one layer; ``end`` of its parameters' names."""
    dim = len(w["bias_hh" + end]) // 4
    state, cell, states = np.zeros(dim), np.zeros(dim), []
    for x in x_NF:
        gates = (
            w["weight_ih" + end] @ x + w["bias_ih" + end] + w["weight_hh" + end] @ state + w["bias_hh" + end]
        )
        enter, keep, new, leave = np.split(gates, 4)
        cell = sigmoid(keep) * cell + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(cell)
        states.append(state)
    return np.array(states)


def head(mean, w):
    return w["out.weight"] @ np.maximum(w["hidden.weight"] @ mean + w["hidden.bias"], 0) + w["out.bias"]


def test_the_rnn_is_two_elman_layers_their_mean_and_two_linear_layers():
    torch.manual_seed(0)
    net = RNN(n_chans=2, n_times=5, sfreq=5.0, n_outputs=3, width=4, hidden=3).double().eval()
    eeg = torch.randn(1, 2, 5, dtype=torch.float64)
    cells = arrays(net.net.cells)
    states = elman(elman(eeg[0].numpy().T, cells, 0), cells, 1)
    np.testing.assert_allclose(net(eeg)[0].detach(), head(states.mean(0), arrays(net.net)), atol=1e-12)


def test_the_two_layer_lstm_is_two_lstm_layers_their_mean_and_two_linear_layers():
    torch.manual_seed(0)
    net = TwoLayerLSTM(n_chans=2, n_times=5, sfreq=5.0, n_outputs=3, width=4, hidden=3).double().eval()
    eeg = torch.randn(1, 2, 5, dtype=torch.float64)
    cells = arrays(net.net.cells)
    states = lstm(lstm(eeg[0].numpy().T, cells, "_l0"), cells, "_l1")
    np.testing.assert_allclose(net(eeg)[0].detach(), head(states.mean(0), arrays(net.net)), atol=1e-12)


def test_the_gradient_reaches_the_first_sample_of_a_window():
    torch.manual_seed(0)
    for net in (RNN(**SIZES), TwoLayerLSTM(**SIZES), StackedLSTM(**SIZES)):
        eeg = torch.randn(1, 19, 256, requires_grad=True)
        net.eval()(eeg)[0, 0].backward()
        per_sample = eeg.grad[0].norm(dim=0)
        assert per_sample[:8].mean() > 0.2 * per_sample[120:136].mean()


@pytest.mark.parametrize("cell, gates", [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_the_parameters_of_recurrent_layers_add_up_by_hand(cell, gates):
    net = Recurrent(cell=cell, n_features=7, n_outputs=3, width=5, depth=2, hidden=4, dropout=0.0)
    cells = gates * (7 * 5 + 5 * 5 + 10) + gates * (5 * 5 + 5 * 5 + 10)
    assert count(net) == cells + (5 * 4 + 4) + (4 * 3 + 3)
    convs = CNNRNNs(**SIZES, cell=cell, filters=[4], width=5)
    assert count(convs) == (19 * 5 * 4 + 4) + 8 + gates * (4 * 5 + 5 * 5 + 10) + (5 * 8 + 8)


@pytest.mark.parametrize("sfreq, n_times, kernel, steps", [(256.0, 256, 5, 32), (500.0, 500, 11, 63)])
def test_cnn_rnns_reads_an_eighth_of_the_samples(sfreq, n_times, kernel, steps):
    net = CNNRNNs(n_chans=19, n_times=n_times, sfreq=sfreq, n_outputs=8)
    assert net.stem[0].kernel_size == (kernel,)
    assert net.stem(torch.randn(2, 19, n_times)).shape == (2, 128, steps)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_cnn_rnns_takes_the_last_state_of_any_cell(cell):
    net = CNNRNNs(**SIZES, cell=cell).eval()
    eeg = torch.randn(2, 19, 256)
    _, state = net.cells(net.stem(eeg).transpose(1, 2))
    last = (state[0] if cell == "lstm" else state)[0]
    torch.testing.assert_close(net(eeg), net.out(last))


def test_settings_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="model.net.cell='gated' is not one of 'rnn', 'gru', 'lstm'"):
        CNNRNNs(**SIZES, cell="gated")
    with pytest.raises(ConfigError, match="model.net.features='wavelet' is not one of"):
        StackedLSTM(**SIZES, features="wavelet")
    with pytest.raises(ConfigError, match="model.net.points=30 is not a multiple of model.net.heads=4"):
        ZhuTransformer(**SIZES, points=30)


def test_resbilstm_has_the_layers_of_the_authors_code():
    net = ResBiLSTM(**SIZES | {"n_chans": 1})
    convs = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in net.blocks.modules()
        if isinstance(m, nn.Conv1d)
    ]
    assert convs == [
        *[(1, 64, 5, 2), (64, 64, 5, 1), (1, 64, 1, 2)],
        *[(64, 64, 5, 1), (64, 64, 5, 1)],
        *[(64, 128, 5, 2), (128, 128, 5, 1), (64, 128, 1, 2)],
    ]
    assert net.blocks(torch.randn(2, 1, 256)).shape == (2, 128, 64)


def test_resbilstm_joins_the_state_where_each_direction_ends():
    torch.manual_seed(0)
    net = ResBiLSTM(**SIZES, width=3).double().eval()
    eeg = torch.randn(1, 19, 256, dtype=torch.float64)
    x_NF = net.blocks(eeg)[0].T.detach().numpy()
    cells = arrays(net.cells)
    ends = np.concatenate([lstm(x_NF, cells, "_l0")[-1], lstm(x_NF[::-1], cells, "_l0_reverse")[-1]])
    np.testing.assert_allclose(net(eeg)[0].detach(), head(ends, arrays(net)), atol=1e-12)


@pytest.mark.parametrize("sfreq, n_times", [(256.0, 256), (500.0, 500)])
def test_hand_made_features_of_a_sine_are_known(sfreq, n_times):
    time = torch.arange(n_times) / sfreq
    sine = 2 * torch.sin(2 * math.pi * 16 * time)  # whole periods in every 1/8 s; alone in 13-30 Hz
    flat = torch.full((n_times,), 3.0)
    found = slice_features(torch.stack([sine, flat])[None], sfreq)[0]
    assert found.shape == (8, 2 * 8)
    mean, sd, length, *bands = found.unflatten(1, (8, 2)).unbind(1)  # (N, C) each
    torch.testing.assert_close(mean[:, 1], torch.full((8,), 3.0))
    log_floor = torch.full((8,), math.log(FLOOR))
    torch.testing.assert_close(length[:, 1], log_floor)
    torch.testing.assert_close(sd[:, 1], log_floor)
    for i, band in enumerate(bands):
        expected = torch.full((8,), math.log(2 + FLOOR)) if i == 3 else log_floor
        # 62.5 samples are no whole number of them at 500 Hz
        torch.testing.assert_close(band[:, 0], expected, atol=1e-3 if sfreq == 256 else 0.05, rtol=0)
        torch.testing.assert_close(band[:, 1], log_floor, atol=1e-3, rtol=0)
    if sfreq == 256:
        torch.testing.assert_close(mean[:, 0], torch.zeros(8), atol=1e-5, rtol=0)
        torch.testing.assert_close(sd[:, 0], torch.full((8,), math.log(2**0.5)), atol=1e-3, rtol=0)
        step = sine.diff(prepend=torch.zeros(1)).abs().reshape(8, 32).mean(1)
        torch.testing.assert_close(length[:, 0], (step + FLOOR).log(), atol=1e-4, rtol=0)


def test_hand_made_features_of_flat_channels_have_gradients_and_no_half_precision():
    eeg = torch.zeros(2, 3, 256, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = slice_features(eeg, 256.0)
    assert found.dtype == torch.float32 and found.isfinite().all()
    found.sum().backward()
    assert eeg.grad.isfinite().all()


def test_hand_made_features_are_learned_from():
    torch.manual_seed(0)
    net = StackedLSTM(**SIZES, features="handcrafted", dropout=0.0)
    assert count(net) == 349_256 + 4 * 128 * 7 * 19  # eight numbers a channel instead of one
    eeg, label = torch.randn(16, 19, 256), torch.arange(16) % 8
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(120):
        loss = nn.functional.cross_entropy(net(eeg), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (net(eeg).argmax(1) == label).all()


PUBLISHED = {"n_chans": 22, "n_times": 1000, "sfreq": 250.0, "n_outputs": 2, "filters": 64, "maps": 4}


def test_zhu_transformer_has_the_shapes_of_the_papers_table():
    net = ZhuTransformer(**PUBLISHED, depth=1).eval()
    shapes = {}
    for name in ("time", "space", "mix", "encoder", "out"):
        getattr(net, name).register_forward_hook(lambda m, i, o, name=name: shapes.update({name: o.shape}))
    net(torch.randn(3, 22, 1000))
    assert shapes == {
        "time": (3, 64, 22, 1000),
        "space": (3, 256, 1, 1000),
        "mix": (3, 256, 200),
        "encoder": (3, 257, 40),
        "out": (3, 2),
    }
    assert [net.time.kernel_size[1], net.each.kernel_size[0], net.pool] == [64, 16, 5]
    assert [net.encoder.layers[0].self_attn.num_heads, net.encoder.layers[0].linear1.out_features] == [
        4,
        2048,
    ]


def test_zhu_transformer_pools_by_five_and_five_at_the_papers_length():
    net = ZhuTransformer(**PUBLISHED, depth=1).eval()
    pooled = {}
    net.mix_norm.register_forward_hook(lambda m, i, o: pooled.update(before=o))
    after = net.features(torch.randn(1, 22, 1000))
    expected = nn.functional.avg_pool1d(nn.functional.elu(pooled["before"]), 5)
    torch.testing.assert_close(after, expected)


def test_the_parameters_of_zhu_transformer_add_up_by_hand():
    n = 64 * 4
    convs = 64 * 64 + 2 * 64 + n * 22 + 2 * n + n * 16 + n * n + 2 * n
    layer = 4 * (40 * 40 + 40) + (40 * 2048 + 2048) + (2048 * 40 + 40) + 4 * 40
    assert count(ZhuTransformer(**PUBLISHED)) == convs + 40 + 6 * layer + (40 * 2 + 2)


@pytest.mark.parametrize(
    "sfreq, kernels", [(250.0, (64, 5, 16)), (256.0, (66, 5, 16)), (500.0, (128, 10, 16))]
)
def test_the_lengths_of_zhu_transformer_are_seconds(sfreq, kernels):
    net = ZhuTransformer(**SIZES | {"sfreq": sfreq})
    assert (net.time.kernel_size[1], net.pool, net.each.kernel_size[0]) == kernels


def test_positions_are_the_sines_and_cosines_of_the_transformer():
    found = positions(5, 6)
    for place in range(5):
        for i in range(3):
            angle = place / 10_000 ** (2 * i / 6)
            assert found[place, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert found[place, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_zhu_transformer_classifies_by_the_learned_token():
    net = ZhuTransformer(**SIZES).eval()
    eeg = torch.randn(2, 19, 256)
    before = net(eeg)
    with torch.no_grad():
        net.token.add_(1.0)
    assert (net(eeg) - before).abs().max() > 1e-3


PACKAGE = '''
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self, n_chans, n_times, sfreq, n_outputs, power=1):
        super().__init__()
        assert isinstance(sfreq, float)
        self.power = power
        self.norm = nn.BatchNorm1d(n_chans)
        self.out = nn.Linear(n_chans, n_outputs)
    def forward(self, x):
        return self.out(self.norm(x).abs().mean(-1) ** self.power)

class Other(nn.Module):
    """Other names, no rate, a tuple, and a constructor that computes with values."""
    def __init__(self, channels, samples, num_classes, widths):
        super().__init__()
        assert isinstance(widths, list)
        rates = [r.item() for r in torch.linspace(0, 0.1, 2)]
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(channels * samples, widths[0]), nn.Dropout(rates[1]),
                                 nn.Linear(widths[0], num_classes))
    def forward(self, x):
        return self.net(x), x

class PerSample(nn.Module):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__()
        self.out = nn.Conv1d(n_chans, n_outputs, 1)
    def forward(self, x):
        return self.out(x)

class Picky(nn.Module):
    def __init__(self, n_chans, n_times, sfreq, n_outputs):
        super().__init__()
        if n_chans != 20:
            raise ValueError("20 channels,\\nplease")

def function(**sizes):
    return Plain(**sizes)
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of networks that the user has allowed."""
    (tmp_path / "tinynets").mkdir()
    (tmp_path / "tinynets" / "__init__.py").write_text("")
    (tmp_path / "tinynets" / "nets.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(SWITCH, "braindecode, tinynets")
    yield "tinynets.nets"
    for name in [n for n in sys.modules if n.partition(".")[0] == "tinynets"]:
        del sys.modules[name]


def external(*overrides):
    return load(TrainSettings, ["model=external", *overrides]).model.net.build(**SIZES)


def test_a_network_of_another_package_is_built_from_the_config(package):
    net = external(f"model.net.target={package}.Plain", "+model.net.arguments.power=2")
    assert net.training and net.net.power == 2
    assert net(torch.randn(3, 19, 256)).shape == (3, 8)
    assert set(net.state_dict()) >= {"net.out.weight", "net.norm.running_var"}


def test_the_trial_leaves_no_trace_in_the_network(package):
    net = external(f"model.net.target={package}.Plain")
    assert net.net.norm.num_batches_tracked == 0 and (net.net.norm.running_mean == 0).all()
    assert all(p.grad is None for p in net.parameters())


OTHER = [
    *("model.net.names.n_chans=channels", "model.net.names.n_times=samples", "model.net.names.sfreq=null"),
    *("model.net.names.n_outputs=num_classes", "+model.net.arguments.widths=[5]"),
]


def test_sizes_go_by_the_names_the_network_gives_them_and_a_tuple_by_its_first_item(package):
    net = external(f"model.net.target={package}.Other", *OTHER)
    assert net(torch.randn(3, 19, 256)).shape == (3, 8)


def test_a_config_with_a_foreign_network_can_be_checked_like_the_others(package):
    with torch.device("meta"):
        external(f"model.net.target={package}.Other", *OTHER)


@pytest.mark.parametrize(
    "target, message",
    [
        ("PerSample", r"two windows of 19 x 256 give \(2, 8, 256\), expected \(2, 8\)"),
        ("Picky", "ValueError: 20 channels, please"),
        ("Other", "TypeError: .*unexpected keyword argument"),
        ("function", "is no torch.nn.Module"),
        ("Missing", "is no torch.nn.Module"),
        ("nn", "is no torch.nn.Module"),
    ],
)
def test_what_does_not_fit_is_one_line(package, target, message):
    with pytest.raises(ConfigError, match=message) as caught:
        external(f"model.net.target={package}.{target}")
    assert "\n" not in str(caught.value) and f"{package}.{target}" in str(caught.value)


def test_a_module_that_is_not_there_is_one_line(package):
    with pytest.raises(ConfigError, match="No module named 'tinynets.none'"):
        external("model.net.target=tinynets.none.Net")


@pytest.mark.parametrize("allowed", [None, "", "braindecode", "tinynet", "tinynets.nets"])
def test_no_foreign_code_runs_without_leave(package, monkeypatch, allowed):
    monkeypatch.delenv(SWITCH)
    if allowed is not None:
        monkeypatch.setenv(SWITCH, allowed)
    with pytest.raises(ConfigError, match=f"set {SWITCH}=.*tinynets") as caught:
        external(f"model.net.target={package}.Plain")
    assert "\n" not in str(caught.value) and caught.value.reason == "external_not_allowed"
    assert "tinynets" not in sys.modules


def test_leave_for_one_package_is_none_for_what_a_config_hides_in_its_arguments(package):
    values = load(TrainSettings, ["model=external", f"model.net.target={package}.Plain"]).model.net.plain()
    values["arguments"]["power"] = {"_target_": "os.getcwd"}
    with pytest.raises(
        ConfigError, match="a _target_ inside another part's arguments is not built"
    ) as caught:
        Component.of(values, "model.net")
    assert caught.value.reason == "unknown_target"


def test_a_size_that_does_not_exist_is_refused(package):
    with pytest.raises(ConfigError, match="model.net.names='n_classes' is not one of"):
        External(**SIZES, target=f"{package}.Plain", names={"n_classes": "num_classes"})


def test_the_adapter_asks_for_its_target():
    with pytest.raises(ConfigError, match="model.net.target"):
        load(TrainSettings, ["model=external"])
