"""What every baseline of configs/model must do, whatever it is made of."""

import functools
import inspect
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from distilclip_eeg.config import registry
from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.training.data import load_data
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.pipeline import plain_task
from distilclip_eeg.training.predicting import predict

TABLE_I = [
    *("cnn_rnn", "gasf_cnn", "sincnet_conv1d", "ggn", "lightseizurenet", "eegnet", "meta_gnn", "cbam3d"),
    *("rnn", "cnn_rnns", "resbilstm", "stacked_lstm", "pcc_cnn", "two_layer_lstm", "gcn_bigru"),
    "multisincnet",
]
"""The article's rows, in their order."""
BESIDE = ["eeg_conformer", "zhu_transformer", "filterbank", "external"]
"""Baselines that are no row of the article."""

PARAMETERS = {
    "cnn_rnn": (1_743_124, 1_743_048),
    "gasf_cnn": (1_147_816, 1_148_040),
    "sincnet_conv1d": (304_712, 306_537),
    "ggn": (1_734_939, 1_734_920),
    "lightseizurenet": (7_377, 7_670),
    "eegnet": (2_440, 2_440),
    "meta_gnn": (16_808, 16_808),
    "cbam3d": (84_017, 84_129),
    "rnn": (60_872, 60_872),
    "cnn_rnns": (92_680, 92_680),
    "resbilstm": (482_376, 482_376),
    "stacked_lstm": (349_256, 349_256),
    "pcc_cnn": (126_523, 126_779),
    "two_layer_lstm": (59_720, 59_720),
    "gcn_bigru": (226_936, 226_936),
    "multisincnet": (12_104, 12_104),
    "eeg_conformer": (272_904, 272_904),
    "zhu_transformer": (1_039_616, None),
    "filterbank": (12_040, None),
}
"""At 19 channels, 256 Hz and 8 classes: as built, and as the design of the baselines counted it."""


def baselines():
    """Names of the baseline configs, without the adapter, which has no network of its own."""
    found = []
    for path in sorted((CONFIG_DIR / "model").glob("*.yaml")):
        if yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["kind"] == "baseline":
            found.append(path.stem)
    return [name for name in found if name != "external"]


SIZES = [(19, 256, 256.0), (23, 256, 256.0), (19, 500, 500.0), (21, 500, 500.0)]
FASTER = {"ggn": 3e-3, "rnn": 3e-3, "two_layer_lstm": 3e-3, "lightseizurenet": 3e-3}
"""Rates that learn sixteen windows by heart in half the steps of the config's."""
SLOW_TO_OVERFIT = {"stacked_lstm", "ggn", "lightseizurenet", "rnn", "cnn_rnn", "zhu_transformer"}
every = pytest.mark.parametrize("name", baselines())


@functools.cache
def config(name):
    return load(TrainSettings, [f"model={name}"])


def network(name, n_chans=19, n_times=256, sfreq=256.0, n_outputs=8, **settings):
    """The network as training builds it; ``settings`` replace those of the config."""
    torch.manual_seed(0)
    net = config(name).model.net.with_arguments(**settings)
    return net.build(n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=n_outputs)


def without_dropout(name):
    """Settings that turn off every dropout of the network."""
    known = inspect.signature(registry.find(config(name).model.net.target)).parameters
    return {setting: 0.0 for setting in known if "dropout" in setting}


def windows(n=4, n_chans=19, n_times=256, seed=0):
    return torch.randn(n, n_chans, n_times, generator=torch.Generator().manual_seed(seed))


def used(net, steps=3):
    """The network after a few steps, so that nothing in it stands at its initial value; in evaluation."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in range(steps):
        loss = F.cross_entropy(net(windows(8, seed=step)), torch.arange(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def test_every_row_of_table_1_has_a_config_and_nothing_else_is_a_baseline():
    assert set(baselines()) | {"external"} == set(TABLE_I) | set(BESIDE)


@every
def test_the_config_trains_with_cross_entropy_alone_and_names_itself(name):
    assert config(name).model.name == name
    assert config(name).optim.text_lr is None


@every
def test_the_parameters_are_as_many_as_recorded(name):
    built, planned = PARAMETERS[name]
    assert sum(p.numel() for p in network(name).parameters()) == built
    assert planned is None or abs(built / planned - 1) <= 0.05
    said = inspect.getdoc(registry.find(config(name).model.net.target))
    assert f"{built:,} parameters" in " ".join(said.split())


@every
@pytest.mark.parametrize("size, classes", [*zip(SIZES, [(2, 4, 8), (2,), (4,), (8,)], strict=True)])
def test_any_montage_rate_and_number_of_classes_gives_logits(name, size, classes):
    n_chans, n_times, sfreq = size
    for n_outputs in classes:
        net = network(name, n_chans, n_times, sfreq, n_outputs).eval()
        with torch.no_grad():
            logits = net(windows(2, n_chans, n_times))
        assert logits.shape == (2, n_outputs) and logits.isfinite().all()


@every
def test_a_config_can_be_checked_without_memory(name):
    with torch.device("meta"):  # before any data are read
        assert all(p.is_meta for p in network(name).parameters())


@every
def test_a_batch_of_one_window_trains(name):
    # The last batch of an epoch may hold a single window.
    net = network(name)
    F.cross_entropy(net(windows(1)), torch.tensor([0])).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert all(b.isfinite().all() for b in net.buffers())
    assert net.eval()(windows(1)).shape == (1, 8)


@every
def test_every_parameter_has_a_gradient(name):
    net = network(name)
    largest = {}
    for seed in range(3):
        net.zero_grad()
        F.cross_entropy(net(windows(8, seed=seed)), torch.arange(8)).backward()
        for key, parameter in net.named_parameters():
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            largest[key] = max(largest.get(key, 0.0), parameter.grad.abs().max().item())
    assert not [key for key, value in largest.items() if value == 0]


CONSTANT = {
    "all zero": lambda x: x.zero_(),
    "all three": lambda x: x.fill_(3.0),
    "one window": lambda x: x[0].zero_(),
    "one channel": lambda x: x[:, 3].zero_(),
    "one channel not zero": lambda x: x[:, 3].fill_(-2.0),
    "all but one channel": lambda x: x[:, 1:].zero_(),
}


@every
@pytest.mark.parametrize("what", CONSTANT)
def test_flat_channels_and_windows_give_finite_logits_and_gradients(name, what):
    eeg = windows()
    CONSTANT[what](eeg)
    eeg.requires_grad_()
    for net in (network(name).train(), network(name).eval()):
        logits = net(eeg)
        F.cross_entropy(logits, torch.arange(4)).backward()
        assert logits.isfinite().all() and eeg.grad.isfinite().all()
        assert all(p.grad.isfinite().all() for p in net.parameters())
        assert all(b.isfinite().all() for b in net.buffers())


@every
def test_a_window_is_judged_alone_and_always_the_same(name):
    net, eeg = used(network(name)), windows(6, seed=9)
    with torch.no_grad():
        together = net(eeg)
        torch.testing.assert_close(net(eeg), together, atol=0, rtol=0)
        for i in range(6):
            torch.testing.assert_close(net(eeg[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(net(eeg.flip(0)).flip(0), together, atol=1e-5, rtol=1e-5)


@every
def test_the_input_is_left_as_it_was(name):
    eeg = windows()
    network(name)(eeg)
    assert torch.equal(eeg, windows())


@every
def test_a_saved_state_gives_the_same_network(name):
    net, other, eeg = used(network(name)), network(name).eval(), windows()
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other(eeg), net(eeg), atol=0, rtol=0)


@every
def test_half_precision_stays_finite(name):
    net = network(name)
    eeg = windows()
    eeg[:, 3] = 0
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(net(eeg).float(), torch.arange(4))
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in net.parameters())
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert net.eval()(eeg).isfinite().all()


@pytest.fixture(scope="module")
def named(tiny):
    """The tiny corpus twice: as it is, and with other channel names."""
    data = load_data(load(TrainSettings, tiny).data)
    names = [f"X{i}" for i in range(len(data.store.ch_names))]
    store = replace(data.store, manifest={**data.store.manifest, "ch_names": names})
    return data, replace(data, store=store)


@every
def test_channel_names_play_no_role(name, named):
    assert named[0].store.ch_names != named[1].store.ch_names
    logits, rows = [], np.arange(5)
    for data in named:
        torch.manual_seed(0)
        task = plain_task(config(name).learning, data.sizes(), data.windows["subject"])
        logits.append(predict(task, data.source(rows), rows, make_accelerator("fp32", "cpu")))
    np.testing.assert_array_equal(*logits)


@every
def test_building_and_running_says_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(name)(windows())


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW_TO_OVERFIT else n for n in baselines()],
)
def test_a_window_of_each_class_is_learned_by_heart(name):
    net = network(name, **without_dropout(name))
    eeg, label = windows(8), torch.arange(8)
    optimizer = torch.optim.Adam(net.parameters(), lr=FASTER.get(name, config(name).optim.lr))
    for step in range(300):
        loss = F.cross_entropy(net.train()(eeg), label)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if step % 5 == 4:
            with torch.no_grad():
                hits = (net.eval()(eeg).argmax(1) == label).sum()
            if hits == 8:
                return
    pytest.fail(f"{hits} of 8 after 300 steps, loss {loss.item():.3f}")
