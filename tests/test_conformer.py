"""The EEG encoder: sizes, exact rewrites, gradients."""

import copy
import functools

import pytest
import torch
from safetensors.torch import save
from torch import nn
from torch.nn import functional as F

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.conformer import Block, Conformer, Stem
from distilclip_eeg.models.literal import LiteralBlock, LiteralConformer, LiteralStem
from distilclip_eeg.schema import ConfigError

NETWORKS = sorted(
    p.stem for p in (CONFIG_DIR / "model").glob("*.yaml") if "conformer" in p.read_text(encoding="utf-8")
)


@functools.cache
def config(name):
    return load(TrainSettings, [f"model={name}"])


def preset(name, **sizes):
    """The network of a preset; sizes as the data would give them."""
    sizes = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 8} | sizes
    return config(name).model.net.build(**sizes)


def count(net):
    return sum(p.numel() for p in net.parameters())


def small(**changes):
    torch.manual_seed(0)
    settings = dict(
        n_chans=5, n_times=256, sfreq=256.0, n_outputs=3, dim=24, depth=3, heads=4, n_prompts=6, embed=16
    )
    return Conformer(**settings | changes)


@pytest.mark.parametrize(
    "name, sizes, expected",
    [
        ("teacher", {}, 30_797_102),
        ("student", {}, 17_877_782),
        ("teacher", {"n_chans": 23}, 30_803_502),
        ("student", {"n_chans": 23}, 17_884_182),
        ("teacher", {"sfreq": 500.0, "n_times": 500}, 30_798_062),
        ("student", {"sfreq": 500.0, "n_times": 500}, 17_878_742),
    ],
)
def test_the_presets_have_the_sizes_of_the_article(name, sizes, expected):
    assert count(preset(name, **sizes)) == expected


def test_the_student_is_58_percent_of_the_teacher_in_parameters_and_in_bytes():
    teacher, student = preset("teacher"), preset("student")
    assert count(student) / count(teacher) == pytest.approx(0.5805, abs=5e-5)
    sizes = [len(save({k: v.contiguous() for k, v in n.state_dict().items()})) for n in (student, teacher)]
    assert 100 * sizes[0] / sizes[1] == pytest.approx(58.1, abs=0.3)
    assert len(student.blocks) == 4 and len(teacher.blocks) == 8


def test_the_parameters_add_up_by_hand():
    # 5 channels, 40 filters, kernel 25, width 24, 3 blocks, 6 prompts a layer, 11 tokens
    stem = (40 * 25 + 40) + (40 * 40 * 5 + 40) + 2 * 40 + (40 * 24 + 24)
    block = 2 * 2 * 24 + (24 * 72 + 72) + (24 * 24 + 24) + (24 * 96 + 96) + (96 * 24 + 24)
    head = (11 * 24 * 16 + 16) + (16 * 16 + 16)
    net = small()
    assert net.n_tokens == 11
    assert count(net) == stem + 3 * block + 3 * 6 * 24 + head + (16 * 3 + 3)


@pytest.mark.parametrize("sfreq, n_times", [(256.0, 256), (500.0, 500), (200.0, 200), (250.0, 250)])
def test_a_second_is_eleven_tokens_at_any_rate(sfreq, n_times):
    stem = Stem(n_chans=3, n_times=n_times, sfreq=sfreq, dim=8)
    assert stem.n_tokens == stem(torch.randn(2, 3, n_times)).shape[1] == 11


def test_a_longer_kernel_makes_fewer_tokens():
    assert small(kernel_s=0.25).stem.kernel == 64 and small(kernel_s=0.25).n_tokens == 8


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype, close", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_merged_stem_equals_time_then_space_in_value_and_gradient(training, dtype, close):
    torch.manual_seed(0)
    stem = Stem(n_chans=19, n_times=256, sfreq=256.0, dim=32, dropout=0.0).to(dtype).train(training)
    stem.norm.running_mean.normal_()
    stem.norm.running_var.uniform_(0.5, 2)
    other = copy.deepcopy(stem)
    a = torch.randn(4, 19, 256, dtype=dtype, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    weight = torch.randn(4, 11, 32, dtype=dtype)
    fast, slow = stem(a), LiteralStem(other)(b)
    torch.testing.assert_close(fast, slow, atol=close, rtol=close)
    (fast * weight).sum().backward()
    (slow * weight).sum().backward()
    pairs = [(p.grad, q.grad) for p, q in zip(stem.parameters(), other.parameters(), strict=True)]
    largest = max(
        theirs.abs().max().item() for _, theirs in pairs
    )  # a bias before the norm has none in training
    for mine, theirs in [*pairs, (a.grad, b.grad)]:
        torch.testing.assert_close(mine, theirs, atol=close * largest, rtol=10 * close)
    torch.testing.assert_close(stem.norm.running_mean, other.norm.running_mean, atol=close, rtol=close)


@pytest.mark.parametrize("n_prompts", [1, 6, 40])
def test_prompts_as_keys_and_values_equal_the_literal_loop_in_value_and_gradient(n_prompts):
    net = small(n_prompts=n_prompts, dropout=0.0).double()
    with torch.no_grad():
        net.prompts.values.mul_(30)  # far from zero, so that they matter
        for norm in (m for m in net.modules() if isinstance(m, nn.LayerNorm)):
            norm.weight.normal_(1, 0.3)
            norm.bias.normal_(0, 0.3)
    other = copy.deepcopy(net)
    eeg = torch.randn(3, 5, 256, dtype=torch.float64)
    weight = torch.randn(3, 16, dtype=torch.float64)
    fast, slow = net.encode(eeg), LiteralConformer(other).encode(eeg)
    torch.testing.assert_close(fast, slow, atol=1e-6, rtol=1e-6)  # the softmax is float32
    (fast * weight).sum().backward()
    (slow * weight).sum().backward()
    for (name, p), q in zip(net.named_parameters(), other.parameters(), strict=True):
        if not name.startswith("classifier"):
            torch.testing.assert_close(
                p.grad, q.grad, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )
    assert (net.prompts.values.grad.abs().amax(dim=-1) > 0).all()  # every prompt of every layer matters


def test_without_prompts_a_block_is_a_plain_one():
    net = small(n_prompts=0, dropout=0.0)
    assert net.prompts is None
    x = torch.randn(2, 11, 24)
    torch.testing.assert_close(net.blocks[0](x), LiteralBlock(net.blocks[0])(x), atol=1e-5, rtol=1e-5)


def test_each_layer_has_prompts_of_its_own():
    net = small(dropout=0.0).eval()
    eeg = torch.randn(2, 5, 256)
    before = net.encode(eeg)
    for layer in range(3):
        changed = copy.deepcopy(net)
        with torch.no_grad():
            changed.prompts.values[layer] += 3 * torch.randn(
                6, 24
            )  # a constant would vanish in the layer norm
        assert (changed.encode(eeg) - before).abs().max() > 1e-3
    assert not torch.equal(net.prompts.values[0], net.prompts.values[1])


def test_the_order_of_prompts_does_not_matter():
    net = small(dropout=0.0).eval()
    eeg = torch.randn(2, 5, 256)
    turned = copy.deepcopy(net)
    turned.prompts.values.data = turned.prompts.values.data.flip(1)
    torch.testing.assert_close(net.encode(eeg), turned.encode(eeg), atol=1e-5, rtol=1e-5)


def test_a_window_does_not_depend_on_its_batch_when_evaluated():
    net = small().eval()
    eeg = torch.randn(7, 5, 256)
    together = net(eeg)
    alone = torch.cat([net(eeg[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net(eeg.flip(0)).flip(0), together, atol=1e-5, rtol=1e-5)


def test_every_token_is_used():
    net = small(dropout=0.0).eval()
    eeg = torch.randn(1, 5, 256, requires_grad=True)
    net(eeg).sum().backward()
    reach = net.stem.kernel - 1 + net.stem.window + 10 * net.stem.stride  # samples that any token sees
    assert (eeg.grad.abs().amax(dim=(0, 1))[:reach] > 0).all()
    assert 256 - reach < net.stem.stride


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_every_preset_gets_a_finite_gradient(name):
    torch.manual_seed(0)
    net = preset(name, n_chans=23, n_outputs=2)
    logits = net(torch.randn(2, 23, 256))
    assert logits.shape == (2, 2)
    F.cross_entropy(logits, torch.tensor([0, 1])).backward()
    lacking = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not lacking
    dead = [
        n for n, p in net.named_parameters() if n.startswith(("prompts", "classifier")) and not p.grad.any()
    ]
    assert not dead


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "n_chans, n_times, sfreq, classes",
    [
        *((19, 256, 256.0, (2, 4, 8)), (23, 256, 256.0, (2,))),
        *((19, 500, 500.0, (4,)), (21, 500, 500.0, (8,))),
    ],
)
def test_any_montage_rate_and_number_of_classes_gives_logits(name, n_chans, n_times, sfreq, classes):
    with torch.device("meta"):  # shapes without the work
        for n_outputs in classes:
            net = preset(name, n_chans=n_chans, n_times=n_times, sfreq=sfreq, n_outputs=n_outputs)
            assert net(torch.empty(2, n_chans, n_times)).shape == (2, n_outputs)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_of_one_constant_window_trains_every_preset(name):
    net = preset(name, n_chans=21, n_times=500, sfreq=500.0)
    loss = F.cross_entropy(net(torch.full((1, 21, 500), 3.0)), torch.tensor([0]))
    loss.backward()
    assert loss.isfinite() and all(p.grad.isfinite().all() for p in net.parameters())
    assert all(b.isfinite().all() for b in net.buffers())


@pytest.mark.parametrize("name", ["teacher_tiny", "student_tiny"])
def test_sixteen_windows_are_learned_by_heart(name):
    torch.manual_seed(0)
    sizes = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 8}
    net = config(name).model.net.with_arguments(dropout=0.0).build(**sizes)
    eeg, label = torch.randn(16, 19, 256), torch.arange(16) % 8
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(60):
        loss = F.cross_entropy(net(eeg), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert (net.eval()(eeg).argmax(1) == label).all()


@pytest.mark.parametrize("training", [True, False])
def test_constant_and_silent_channels_give_finite_logits_and_gradients(training):
    net = small().train(training)
    eeg = torch.zeros(4, 5, 256)
    eeg[1] = 5.0
    eeg[2, 0] = 1e3
    loss = F.cross_entropy(net(eeg), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in net.parameters())


def test_features_and_logits_have_the_promised_shapes():
    net = small(embed=20)
    eeg = torch.randn(2, 5, 256)
    assert net.dim == 20
    assert net.encode(eeg).shape == (2, 20)
    net.eval()
    torch.testing.assert_close(net(eeg), net.classifier(net.encode(eeg)))


def test_dropout_acts_in_training_alone():
    net = small(dropout=0.5)
    eeg = torch.randn(2, 5, 256)
    assert not torch.equal(net(eeg), net(eeg))
    net.eval()
    assert torch.equal(net(eeg), net(eeg))


def test_bfloat16_autocast_stays_close():
    net = small(dropout=0.0).eval()
    eeg = torch.randn(4, 5, 256)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(eeg).float()
    torch.testing.assert_close(rough, net(eeg), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("n_times", [1, 24, 25, 98])
def test_a_window_too_short_for_the_stem_is_refused(n_times):
    with pytest.raises(ConfigError, match=f"window of {n_times} samples.*windows.length_s"):
        small(n_times=n_times)


def test_the_shortest_window_gives_one_token():
    net = small(n_times=99)
    assert net.n_tokens == 1
    assert net(torch.randn(2, 5, 99)).shape == (2, 3)


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ConfigError, match="model.net.dim=25 .*model.net.heads=4"):
        small(dim=25)
    with pytest.raises(ConfigError, match="model.net.dim"):  # the reason reaches the user through build()
        Component("distilclip_eeg.models.conformer.Conformer", {"dim": 25, "depth": 1, "heads": 4}).build(
            n_chans=5, n_times=256, sfreq=256.0, n_outputs=2
        )


def test_a_block_splits_heads_as_written_out():
    torch.manual_seed(1)
    block = Block(dim=12, heads=3, ffn_mult=2, dropout=0.0)
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(block(x), LiteralBlock(block)(x), atol=1e-5, rtol=1e-5)
