"""Parameters and FLOPs by layer: the article's figures, the same by hand, and sums that add up."""

import pandas as pd
import pytest
import torch
from torch import nn
from transformers import BertConfig

from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.cost import COUNTS, Workload, eeg_cost, flops, model_cost, text_cost
from distilclip_eeg.models.literal import LiteralConformer
from distilclip_eeg.models.text_backends import weightless
from distilclip_eeg.schema import ConfigError

SIZES = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 8}


@pytest.fixture(scope="module")
def teacher():
    return model_cost("teacher", SIZES, Workload())


@pytest.fixture(scope="module")
def student():
    return model_cost("student", SIZES, Workload())


def small(**changes):
    """A Conformer of a few thousand weights, without memory."""
    settings = dict(n_chans=5, n_times=256, sfreq=256.0, n_outputs=3, dim=24, depth=3, heads=4, n_prompts=4)
    with torch.device("meta"):
        return Conformer(**settings | {"embed": 16} | changes)


def of(table, side, column):
    return table.loc[table["side"] == side, column].sum()


def test_the_article_s_bounds_on_flops_hold_with_text_in_the_teacher_alone(teacher, student):
    assert teacher["article"].sum() == pytest.approx(7.15e11, rel=0.01) and teacher["article"].sum() > 7e11
    assert student["article"].sum() == pytest.approx(1.81e11, rel=0.01) and student["article"].sum() < 2e11
    assert of(teacher, "eeg", "article") == pytest.approx(3.62e11, rel=0.01)
    assert of(teacher, "text", "article") == pytest.approx(3.53e11, rel=0.01)
    assert set(student["side"]) == {"eeg"}


def test_the_parameters_are_the_article_s(teacher, student):
    assert of(teacher, "eeg", "parameters") == 30_797_102 and student["parameters"].sum() == 17_877_782
    # BERT-base without its pooler, and 16 prompts of 768 in each of 12 layers
    assert of(teacher, "text", "parameters") == 108_891_648 + 12 * 16 * 768
    by_layer = teacher.set_index(["side", "layer"])["parameters"]
    assert by_layer["eeg", "stem"] == 52_470 and by_layer["eeg", "head"] == 4_899_840
    assert by_layer["eeg", "layer 8"] == 3_127_830 + 102_000  # the block, and 200 prompts of 510


@pytest.mark.parametrize("which", ["teacher", "student"])
def test_cumulative_columns_rise_to_the_total_layer_by_layer(which, request):
    table = request.getfixturevalue(which)
    depth = {"teacher": 8, "student": 4}[which]
    eeg = ["stem", *(f"layer {i + 1}" for i in range(depth)), "head", "classifier"]
    text = ["embeddings", *(f"layer {i + 1}" for i in range(12))] if which == "teacher" else []
    assert table["layer"].tolist() == eeg + text
    for column in COUNTS:
        running = table[f"{column}_cumulative"]
        assert running.is_monotonic_increasing and running.iloc[-1] == table[column].sum()
        assert (running.diff().iloc[1:] == table[column].iloc[1:]).all()


def test_one_literal_layer_is_what_is_counted_by_hand(teacher):
    n, d, ffn = 200 + 11, 510, 2040  # tokens with prompts, width, inner width of the feed-forward
    products = n * d * 3 * d + n * d * d + 2 * n * d * ffn + 2 * n * n * d
    assert teacher.set_index(["side", "layer"]).loc[("eeg", "layer 1"), "article"] == 32 * 2 * products


def test_one_executed_layer_is_what_is_counted_by_hand(teacher):
    n, p, d, ffn, b = 11, 200, 510, 2040, 32
    tokens = b * (n * d * 3 * d + n * d * d + 2 * n * d * ffn + 2 * n * (n + p) * d)
    prompts = p * d * 2 * d  # keys and values, once a batch
    assert teacher.set_index(["side", "layer"]).loc[("eeg", "layer 1"), "executed"] == 2 * (tokens + prompts)


def test_the_stem_is_what_is_counted_by_hand(teacher):
    c, k, f, t, n, d = 19, 25, 40, 256 - 24, 11, 510
    row = teacher.set_index(["side", "layer"]).loc[("eeg", "stem")]
    assert row["article"] == 32 * 2 * (c * t * f * k + t * f * f * c + n * f * d)
    assert row["executed"] == 2 * (32 * (t * f * c * k + n * f * d) + f * f * c * k + f * f)


def test_one_bert_layer_is_what_is_counted_by_hand(teacher):
    n, d = 64, 768
    products = 4 * n * d * d + 2 * n * d * 4 * d + 2 * n * n * d
    assert (teacher.loc[teacher["side"] == "text", "article"].iloc[1:] == 32 * 2 * products).all()


def test_executed_work_is_a_seventeenth_of_the_article_s_on_the_eeg_side(teacher, student):
    for table in (teacher, student):
        assert 16 < of(table, "eeg", "article") / of(table, "eeg", "executed") < 18
    assert of(teacher, "text", "article") == of(teacher, "text", "executed")


def test_the_components_add_up_to_what_the_counter_sees_in_all():
    net = small()
    table, eeg = eeg_cost(net, 256, 7), torch.empty(7, 5, 256, device="meta")
    assert table["parameters"].sum() == sum(p.numel() for p in net.parameters())
    assert table["executed"].sum() == flops(net, eeg)[""]
    assert table["article"].sum() == flops(LiteralConformer(net), eeg)[""]


def test_without_prompts_attention_is_counted_too():
    """The fused kernel that a CPU would take is unknown to the counter."""
    row = eeg_cost(small(depth=1, n_prompts=0), 256, 2).set_index("layer").loc["layer 1"]
    assert row["executed"] == row["article"] == 2 * 2 * (12 * 11 * 24 * 24 + 2 * 11 * 11 * 24)


@pytest.mark.parametrize("kind", [{"prompts": "shallow"}, {"prompt_layers": 2}], ids=str)
def test_prompts_that_are_carried_on_cost_what_tokens_cost(kind):
    net, n, d = small(**kind), 4 + 11, 24
    table = eeg_cost(net, 256, 2).set_index("layer")
    products = 12 * n * d * d + 2 * n * n * d
    assert table.loc["layer 3", "executed"] == table.loc["layer 3", "article"] == 2 * 2 * products
    assert table["executed"].sum() == flops(net, torch.empty(2, 5, 256, device="meta"))[""]
    assert table["parameters"].sum() == sum(p.numel() for p in net.parameters())


def test_text_costs_by_distinct_texts_and_tokens_prompts_among_them():
    sizes = BertConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96)
    costs = [text_cost(weightless(sizes, n_prompts=p), 32, Workload(8, 3, 20)) for p in (0, 4)]
    assert costs[0]["article"].tolist() == costs[1]["article"].tolist()  # a prompt is a token
    assert costs[1]["parameters"].sum() - costs[0]["parameters"].sum() == 2 * 4 * 24
    twice = text_cost(weightless(sizes, n_prompts=0), 32, Workload(8, 6, 20))
    assert (twice["article"] == 2 * costs[0]["article"]).all()
    projection = costs[0].iloc[-1]
    assert (projection["layer"], projection["parameters"]) == ("projection", 24 * 32 + 32)
    assert projection["article"] == 3 * 2 * 24 * 32
    assert text_cost(weightless(sizes, n_prompts=0), 24, Workload(8, 3, 20)).iloc[-1]["layer"] == "layer 2"


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(ConfigError, match="tokens=16 leaves no word beside 16 prompts"):
        model_cost("teacher", SIZES, Workload(tokens=16))
    with pytest.raises(ConfigError, match="prefix has no prompt tokens"):
        eeg_cost(small(prompts="prefix"), 256, 2)
    with pytest.raises(ConfigError, match="model=eegnet"):
        model_cost("eegnet", SIZES, Workload())


def test_the_counter_knows_a_linear_layer():
    assert flops(nn.Linear(3, 5), torch.zeros(2, 3))[""] == 2 * 2 * 3 * 5


@pytest.mark.slow
def test_the_script_says_what_its_figures_depend_on(as_script, tmp_path):
    done = as_script("scripts/parameters.py", "model=teacher", "csv=layers.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    for word in ("19 channels", "8 classes", "batch 32", "text included: 32 texts of 64 tokens"):
        assert word in first
    assert "all: 139,836,206 parameters, 7.14e11 FLOPs, executed 3.74e11" in done.stdout
    assert pd.read_csv(tmp_path / "layers.csv")["article"].sum() == pytest.approx(7.15e11, rel=0.01)
