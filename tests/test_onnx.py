"""ONNX files: the same answers as torch, without torch, and what int8 may cost."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from onnx import TensorProto, load_model_from_string
from scipy.special import softmax
from tools import one_run
from torch import nn

import distilclip_eeg
from distilclip_eeg.artefact.folder import FILE_KEYS, entry, write_folder
from distilclip_eeg.config.data import Places
from distilclip_eeg.deploy import onnx
from distilclip_eeg.deploy.engines import OnnxNetwork, open_network
from distilclip_eeg.deploy.export import export
from distilclip_eeg.deploy.networks import DistilCLIPEEG
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training import pipeline

SIZES = {"n_chans": 6, "n_times": 256, "sfreq": 256.0, "n_outputs": 3}
ON_GRAPHS = {"n_chans": 18, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A run of two folds, without text."""
    root = tmp_path_factory.mktemp("onnx")
    words = [*tiny, "split.n_folds=2", "text.source=none", f"run.root={root}", "trainer.epochs=1"]
    return pipeline.training(one_run(words), report=False).train()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    return export(trained, 0, tmp_path_factory.mktemp("out") / "fold0", Places(n_jobs=1))


@pytest.fixture
def eeg_BCT(folder):
    shape = (9, len(folder.recipe.ch_names), folder.recipe.n_times)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def answer(network, eeg_BCT):
    return softmax(network.logits(eeg_BCT), axis=1)


def test_fp32_answers_as_torch_does_for_any_batch(folder, eeg_BCT):
    want = answer(open_network(folder, "torch"), eeg_BCT)
    network = open_network(folder, "onnx", "fp32")
    for n in (1, 2, 9):
        np.testing.assert_allclose(answer(network, eeg_BCT[:n]), want[:n], atol=1e-6)
    many = np.tile(eeg_BCT, (30, 1, 1))
    np.testing.assert_allclose(answer(network, many), np.tile(want, (30, 1)), atol=1e-6)


def test_int8_stands_beside_fp32_near_it_but_not_equal(folder, eeg_BCT):
    fp32, int8 = (answer(open_network(folder, "onnx", p), eeg_BCT) for p in ("fp32", "int8"))
    assert 1e-7 < np.abs(fp32 - int8).max() < 0.05


def test_every_matrix_that_multiplies_windows_is_int8_but_those_of_the_prompts(folder):
    model = load_model_from_string((folder.path / "model.int8.onnx").read_bytes())
    kept = {tuple(value.dims) for value in model.graph.initializer if value.data_type == TensorProto.FLOAT}
    # 2 heads of width 4, 1 prompt: its keys and its values; and the stem, 4 filters of 25 taps on 23 channels
    assert {dims for dims in kept if len(dims) > 1} == {(2, 4, 1), (2, 1, 4), (4, 23, 25)}


def test_fp32_is_the_default_where_too_few_test_windows_decide(folder, eeg_BCT):
    table = read_json(folder.path / "export.json")
    assert (table["verdict"], table["windows_of"]) == ("undecided", "test")
    assert table["windows"] == folder.about["made"]["test"]["n"]
    default = open_network(folder, "onnx").logits(eeg_BCT)
    np.testing.assert_array_equal(default, open_network(folder, "onnx", "fp32").logits(eeg_BCT))


def test_the_table_holds_what_can_be_counted_another_way(folder):
    table = read_json(folder.path / "export.json")
    assert table["scores"]["torch"]["f1"] == pytest.approx(folder.about["made"]["test"]["f1"], abs=1e-6)
    assert table["scores"]["fp32"]["max_difference"] < 1e-5
    net = DistilCLIPEEG.from_folder(folder).net
    assert table["parameters"] == sum(p.numel() for p in net.parameters())
    for precision, name in (("fp32", "model.onnx"), ("int8", "model.int8.onnx")):
        assert table["bytes"][precision] == (folder.path / name).stat().st_size
    for row in table["speed"]["engines"].values():
        assert 0 < row["p50_ms"] <= row["p99_ms"] and row["windows_per_s"] > 0
    lines = onnx.page(table).splitlines()
    assert len(lines) == 6 and f"{table['parameters']:,} parameters" in lines[0]
    assert "undecided" in lines[-1] and "(test)" in lines[-1]


BLOCKED = """
import importlib.abc, json, sys
class NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "accelerate"):
            raise ImportError(name)
sys.meta_path.insert(0, NoTorch())
import numpy as np
from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.schema import ConfigError
folder = load_folder(sys.argv[1])
try:
    open_network(folder, "torch")
except ConfigError as error:
    assert "engine=onnx" in str(error), error
else:
    raise AssertionError("torch?")
rng = np.random.default_rng(0)
eeg = rng.normal(size=(9, len(folder.recipe.ch_names), folder.recipe.n_times)).astype(np.float32)
print(json.dumps(open_network(folder).logits(eeg).tolist()))
assert "torch" not in sys.modules
"""


def test_a_folder_answers_where_torch_is_not_installed(folder, eeg_BCT):
    done = subprocess.run([sys.executable, "-c", BLOCKED, str(folder.path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        json.loads(done.stdout), open_network(folder, "torch").logits(eeg_BCT), atol=1e-5
    )


class Windows:
    """Stands for ``loaders.WindowSource``: window i is the number i."""

    def batch(self, rows):
        return SimpleNamespace(eeg_BCT=torch.from_numpy(np.asarray(rows, np.float32)))


@pytest.mark.parametrize("wrong", [0, 8, 299])
def test_one_window_of_another_answer_is_found(wrong):
    def right(row_N):
        return np.stack([row_N, np.zeros_like(row_N)], axis=1) / 300

    def off(row_N):
        return right(row_N) + np.array([[1e-3, 0]]) * (row_N == wrong)[:, None]

    rows = np.arange(300)
    onnx.check_parity({"torch": right, "fp32": right}, Windows(), rows)
    onnx.check_parity({"torch": right, "fp32": right}, Windows(), rows[:3])
    with pytest.raises(DataError, match="by up to 0.0002"):  # the slope of the softmax is 1/4 at most
        onnx.check_parity({"torch": right, "fp32": off}, Windows(), rows)


def test_an_answer_that_depends_on_the_batch_is_found():
    def alone(row_N):
        return np.stack([row_N, np.zeros_like(row_N)], axis=1) / 300 + (len(row_N) == 1) * np.array([1, 0])

    with pytest.raises(DataError, match="differ from torch's"):
        onnx.check_parity(
            {"torch": lambda n: alone(np.r_[n, 0])[:-1], "fp32": alone}, Windows(), np.arange(9)
        )


def test_no_file_names_the_machine_it_was_made_on(folder):
    places = [str(Path(module.__file__).parent) for module in (distilclip_eeg, torch)]
    for path in folder.path.iterdir():
        body = path.read_bytes()
        assert not [p for p in places if p.encode() in body], path
        assert b"/site-packages/" not in body


@pytest.mark.slow
def test_a_file_that_answers_otherwise_is_refused_and_nothing_is_written(trained, monkeypatch, tmp_path):
    exported = onnx.exported

    def tampered(net, sizes):
        with torch.no_grad():
            net.classifier.bias[0] += 1e-3
        body = exported(net, sizes)
        with torch.no_grad():
            net.classifier.bias[0] -= 1e-3
        return body

    monkeypatch.setattr(onnx, "exported", tampered)
    with pytest.raises(DataError, match="expected less than 1e-05"):
        export(trained, 0, tmp_path / "out", Places(n_jobs=1))
    assert list(tmp_path.iterdir()) == []


def test_an_extra_that_is_not_installed_is_told_by_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"pip install 'distilclip-eeg\[export\]'"):
        onnx.check_installed()


@pytest.mark.parametrize("change, reason", [("garbage", "bad_onnx"), ("another", "wrong_shape")])
def test_an_onnx_file_that_is_none_or_of_another_model_is_refused(folder, tmp_path, change, reason):
    body = b"not a graph" if change == "garbage" else onnx.exported(Mean(4), SIZES | {"n_chans": 4})
    about = {**folder.about, "onnx": [entry("model.onnx", body) | {"precision": "fp32", "default": True}]}
    files = {"model.onnx": body, "model.safetensors": (folder.path / "model.safetensors").read_bytes()}
    with pytest.raises(DataError) as caught:
        open_network(write_folder(tmp_path / "out", about, files, ""), "onnx")
    assert caught.value.reason == reason
    assert set(about["onnx"][0]) == FILE_KEYS | {"precision", "default"}


class Mean(nn.Module):
    """Mean of each channel, to three classes."""

    def __init__(self, n_chans):
        super().__init__()
        self.classifier = nn.Linear(n_chans, 3)

    def forward(self, eeg_BCT):
        return self.classifier(eeg_BCT.mean(-1))


# ------------------------------------------------------------------------------------ the verdict, by hand


def table(before, after, windows):
    return {"windows": windows, "scores": {"fp32": {"f1": before}, "int8": {"f1": after}}}


@pytest.mark.parametrize(
    "before, after, windows, unseen, expected",
    [
        (0.800, 0.7985, 5000, True, "accepted"),  # 0.15 points
        (0.800, 0.7975, 5000, True, "refused"),  # 0.25 points
        (0.800, 0.900, 5000, True, "accepted"),
        (0.800, 0.800, 4999, True, "undecided"),
        (0.800, 0.100, 4999, True, "undecided"),
        (0.800, 0.800, 90_000, False, "undecided"),  # windows it was trained on decide nothing
        (None, 0.8, 5000, True, "undecided"),
    ],
)
def test_int8_becomes_the_default_only_on_enough_windows_and_a_small_loss(
    before, after, windows, unseen, expected
):
    assert onnx.verdict(table(before, after, windows), unseen) == expected


def test_windows_are_spread_evenly():
    assert onnx.spread(np.arange(100), 3).tolist() == [0, 49, 99]
    assert onnx.spread(np.arange(2), 5).tolist() == [0, 1]


# ------------------------------------------------------------------------------------ kinds of models


def compare(net, sizes):
    """Largest difference of a probability over batches of 1 and 5."""
    torch.manual_seed(1)
    eeg = torch.randn(5, sizes["n_chans"], sizes["n_times"])
    network = OnnxNetwork(onnx.exported(net, sizes), "file")
    with torch.no_grad():
        want = net(eeg).softmax(-1).numpy()
    one, all_of_them = (answer(network, eeg[:n].numpy()) for n in (1, 5))
    return max(np.abs(one - want[:1]).max(), np.abs(all_of_them - want).max())


def made(model, sizes, *words):
    torch.manual_seed(0)
    return one_run([f"model={model}", *words]).model.net.build(**sizes).eval()


KINDS = [
    *("student_tiny", "student_lean", "eegnet", "two_layer_lstm", "gcn_bigru", "meta_gnn", "eeg_conformer"),
    *("lightseizurenet", "sincnet_conv1d", "zhu_transformer"),
]


@pytest.mark.slow
@pytest.mark.parametrize("model", KINDS)
def test_every_kind_of_network_can_be_exported(model):
    # One block is as good as six, and torch's exporter takes an LSTM apart step by step.
    deep = model in ("student_lean", "eeg_conformer", "zhu_transformer")
    sizes = {**ON_GRAPHS, "n_times": 64} if model == "two_layer_lstm" else ON_GRAPHS
    assert compare(made(model, sizes, *["model.net.depth=1"] * deep), sizes) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("prompts", ["shallow", "prefix", "none"])
def test_every_kind_of_prompts_can_be_exported(prompts):
    net = made("teacher_tiny", SIZES, f"model.net.prompts={prompts}")
    assert compare(net, SIZES) < 1e-6


def test_what_has_no_operator_is_told_and_not_unrolled():
    with pytest.raises(DataError, match="torch.nn.RNN.*LSTM or GRU"):
        onnx.exported(made("rnn", SIZES), SIZES)


@pytest.mark.slow
def test_a_network_that_torch_cannot_export_is_told_in_one_line():
    with pytest.raises(DataError, match="cannot be exported") as caught:
        onnx.exported(made("cbam3d", ON_GRAPHS), ON_GRAPHS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
