"""Learned prompts: the four kinds, in the EEG encoder and in BERT, against loops written out."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.prompts import make_prompts
from distilclip_eeg.schema import ConfigError

KINDS = [("deep", None), ("deep", 2), ("deep", 1), ("shallow", None), ("prefix", None)]
P = 4


def conformer(**settings):
    torch.manual_seed(0)
    sizes = {"n_chans": 5, "n_times": 256, "sfreq": 256.0, "n_outputs": 3}
    net = Conformer(**sizes, dim=24, depth=3, heads=4, n_prompts=P, embed=16, dropout=0.0, **settings)
    if net.prompts is not None:
        nn.init.normal_(net.prompts.values)  # far from zero, so that they matter
    return net.double().eval()


def bert(n_prompts=P, **settings):
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.3,
    )
    encoder = BertLP(BertModel(config), n_prompts=n_prompts, **settings)
    if encoder.prompts is not None:
        nn.init.normal_(encoder.prompts.values)
    return encoder.eval()


def texts():
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 13, 3, 0, 0]])
    return ids, (ids != 0).long()


def attention(q, k, v, heads, mask=None):
    """Multi-head attention written out, head by head."""
    out = []
    for q_h, k_h, v_h in zip(*(part.chunk(heads, dim=-1) for part in (q, k, v)), strict=True):
        scores = q_h @ k_h.mT / math.sqrt(q_h.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], -math.inf)
        out.append(scores.softmax(-1) @ v_h)
    return torch.cat(out, dim=-1)


def literal_eeg(net, eeg):
    """The Conformer with prompts as tokens of the sequence in every layer that meets them."""
    x, values, p = net.stem(eeg), net.prompts.values, net.prompts
    n, carried = x.shape[1], None
    for i, block in enumerate(net.blocks):
        own = values[i].expand(len(x), *values[i].shape) if i < p.layers else None
        tokens = x if p.prefix else torch.cat([own if own is not None else carried, x], dim=1)
        q, k, v = block.qkv(block.norm1(tokens)).chunk(3, dim=-1)
        if p.prefix:
            k, v = torch.cat([own[:, 0], k], dim=1), torch.cat([own[:, 1], v], dim=1)
        tokens = tokens + block.out(attention(q, k, v, block.heads))
        tokens = tokens + block.ffn(block.norm2(tokens))
        carried, x = tokens[:, :-n], tokens[:, -n:]
    return net.head(x)


@pytest.mark.parametrize("kind, layers", KINDS)
def test_the_eeg_encoder_equals_the_loop_written_out_in_value_and_gradient(kind, layers):
    net = conformer(prompts=kind, prompt_layers=layers)
    other, eeg = copy.deepcopy(net), torch.randn(3, 5, 256, dtype=torch.float64)
    fast, slow = net.encode(eeg), literal_eeg(other, eeg)
    torch.testing.assert_close(fast, slow, atol=1e-6, rtol=1e-6)  # the softmax is float32
    weight = torch.randn_like(fast)
    (fast * weight).sum().backward()
    (slow * weight).sum().backward()
    for (name, mine), theirs in zip(net.named_parameters(), other.parameters(), strict=True):
        if not name.startswith("classifier"):
            torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    assert (net.prompts.values.grad.abs().amax(-1) > 0).all()


def literal_text(encoder, ids, mask):
    """BERT's layers one by one, from their own linear maps, with prompts put in by hand."""
    model, values, p = encoder.bert, encoder.prompts.values, encoder.prompts
    x, carried = model.embeddings(input_ids=ids), None
    n = x.shape[1]
    visible = torch.cat([mask.new_ones(len(ids), P), mask], dim=1).bool()
    for i, layer in enumerate(model.encoder.layer):
        own = values[i].expand(len(x), *values[i].shape) if i < p.layers else None
        tokens = x if p.prefix else torch.cat([own if own is not None else carried, x], dim=1)
        self_attention = layer.attention.self
        maps = self_attention.query, self_attention.key, self_attention.value
        q, k, v = (F.linear(tokens, m.weight, m.bias) for m in maps)  # past the hooks under test
        if p.prefix:
            k, v = torch.cat([own[:, 0], k], dim=1), torch.cat([own[:, 1], v], dim=1)
        seen = attention(q, k, v, self_attention.num_attention_heads, visible)
        tokens = layer.attention.output(seen, tokens)
        tokens = layer.output(layer.intermediate(tokens), tokens)
        carried, x = tokens[:, :-n], tokens[:, -n:]
    return x[:, 0]


@pytest.mark.parametrize("kind, layers", KINDS)
def test_bert_equals_the_loop_written_out_in_value_and_gradient(kind, layers):
    encoder = bert(prompts=kind, prompt_layers=layers)
    other = copy.deepcopy(encoder)
    fast, slow = encoder(*texts()), literal_text(other, *texts())
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)
    weight = torch.randn_like(fast)
    (fast * weight).sum().backward()
    (slow * weight).sum().backward()
    mine, theirs = encoder.prompts.values.grad, other.prompts.values.grad
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)
    assert (mine.abs().amax(-1) > 0).all()


def test_kinds_and_layers_that_mean_the_same_are_the_same():
    eeg = torch.randn(2, 5, 256, dtype=torch.float64)
    shallow, deep_in_one = conformer(prompts="shallow"), conformer(prompts="deep", prompt_layers=1)
    torch.testing.assert_close(shallow.encode(eeg), deep_in_one.encode(eeg))
    everywhere = conformer(prompts="deep", prompt_layers=3)
    torch.testing.assert_close(conformer(prompts="deep").encode(eeg), everywhere.encode(eeg))


def test_without_prompts_there_are_none():
    assert conformer(prompts="none").prompts is None and bert(prompts="none").prompts is None
    plain = bert(n_prompts=0)
    ids, mask = texts()
    expected = plain.bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    assert (bert(prompts="none")(ids, mask) - expected).abs().max() < 1e-6


@pytest.mark.parametrize(
    "kind, numbers", [("deep", 3 * P), ("shallow", P), ("prefix", 2 * 3 * P), ("none", 0)]
)
def test_each_kind_costs_what_it_says(kind, numbers):
    bare = sum(p.numel() for p in conformer(prompts="none").parameters())
    assert sum(p.numel() for p in conformer(prompts=kind).parameters()) - bare == numbers * 24


def test_a_prefix_of_half_as_many_costs_what_deep_prompts_cost():
    # The article's sizes fit 200 deep prompts or a prefix of 100.
    settings = {"depth": 8, "dim": 510, "layers": None, "init": "normal", "dropout": 0.0}
    deep, prefix = make_prompts("deep", 200, **settings), make_prompts("prefix", 100, **settings)
    assert deep.values.numel() == prefix.values.numel() == 8 * 200 * 510


def test_prompts_start_as_asked():
    torch.manual_seed(0)
    settings = {"depth": 2, "dim": 300, "layers": None, "dropout": 0.0}
    normal = make_prompts("deep", 100, init="normal", **settings).values
    assert normal.std().item() == pytest.approx(0.02, rel=0.03) and normal.abs().max() > 0.06
    limit = math.sqrt(6 / (100 + 300))
    xavier = make_prompts("deep", 100, init="xavier", **settings).values
    assert limit * 0.99 < xavier.abs().max() <= limit
    assert xavier.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.03)


def test_dropout_on_prompts_acts_in_training_alone():
    net, eeg = conformer(prompt_dropout=0.5), torch.randn(2, 5, 256, dtype=torch.float64)
    assert torch.equal(net.encode(eeg), net.encode(eeg))
    net.prompts.train()
    assert not torch.equal(net.encode(eeg), net.encode(eeg))


@pytest.mark.parametrize(
    "settings, says",
    [
        ({"prompts": "deeper"}, "prompts='deeper' is not one of 'deep', 'shallow', 'prefix', 'none'"),
        ({"prompt_init": "zeros"}, "prompt_init='zeros' is not one of"),
        ({"prompt_layers": 4}, "prompt_layers=4 must be from 1 to the encoder's 3 layers"),
        ({"prompt_layers": 0}, "prompt_layers=0 must be from 1"),
        ({"prompts": "shallow", "prompt_layers": 2}, "shallow prompts stand before one layer"),
        ({"prompts": "prefix", "prompt_layers": 2}, "a prefix is one of every layer"),
    ],
)
def test_prompts_that_make_no_sense_are_refused(settings, says):
    for make in (conformer, bert):
        with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
            make(**settings)


@pytest.mark.parametrize("side", ["model.net", "text_encoder"])
def test_every_setting_of_the_prompts_can_be_given_on_the_command_line(side):
    words = [f"{side}.prompts=shallow", f"{side}.n_prompts=3", f"{side}.prompt_init=xavier"]
    config = load(TrainSettings, [*words, f"{side}.prompt_dropout=0.1", f"{side}.prompt_layers=1"])
    sizes = {"n_chans": 23, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}
    if side == "model.net":
        prompts = config.model.net.build(**sizes).prompts
    else:
        prompts = config.text_encoder.build(sentences=["A text."]).encoder.prompts
    assert prompts.values.shape[:2] == (1, 3) and prompts.dropout.p == 0.1


@pytest.mark.parametrize("word", ["model.net.promptz=deep", "text_encoder.promptz=deep"])
def test_a_mistyped_setting_of_an_encoder_is_refused(word):
    with pytest.raises(ConfigError, match="promptz"):
        load(TrainSettings, [word]).text_encoder.build(sentences=["A text."])
