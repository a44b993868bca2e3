"""The exported folder: what goes in comes out, and anything else is refused."""

import json
import re

import numpy as np
import pytest
import torch
from scipy.special import softmax

from distilclip_eeg.artefact.folder import digest, entry, load_folder, write_folder
from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.networks import DistilCLIPEEG, save_state
from distilclip_eeg.schema import ConfigError, DataError

RECIPE = Recipe(
    ch_names=("F7-T7", "T7-P7", "P7-O1"),
    classes=("bckg", "seiz"),
    n_times=128,
    signals=SignalConfig(sfreq=128.0, h_freq=40.0),
)
SIZES = {"n_chans": 3, "n_times": 128, "sfreq": 128.0, "n_outputs": 2}
NET = {"_target_": "distilclip_eeg.models.baselines.eegnet.EEGNet"}


def write(path, nets, **changes):
    """A folder with these networks."""
    files = {f"model{i}.safetensors": save_state(net) for i, net in enumerate(nets)}
    about = {
        "recipe": RECIPE.as_json(),
        "model": {"name": "eegnet", "kind": "baseline", "net": NET, **SIZES},
        "weights": [entry(*item) for item in files.items()],
        "text": None,
        "made": {},
        "onnx": [],
    }
    return write_folder(path, about | changes, files, "# a card\n")


@pytest.fixture(scope="module")
def nets():
    torch.manual_seed(0)
    return [Component.of(NET).build(**SIZES).eval() for _ in range(3)]


@pytest.fixture
def eeg_BCT():
    return np.random.default_rng(0).normal(size=(5, 3, 128)).astype(np.float32)


def damage(path, name, change):
    """Change a file's bytes."""
    body = bytearray((path / name).read_bytes())
    change(body)
    (path / name).write_bytes(body)


def rewrite(path, change):
    """Change ``config.json`` as someone would who also mends its digest."""
    about = json.loads((path / "config.json").read_text())
    change(about)
    about["sha256"] = digest(about)
    (path / "config.json").write_text(json.dumps(about))


def test_a_written_folder_answers_as_the_network_did(tmp_path, nets, eeg_BCT):
    folder = write(tmp_path / "a", nets[:1])
    assert folder.recipe == RECIPE
    with torch.no_grad():
        expected = nets[0](torch.from_numpy(eeg_BCT)).numpy()
    np.testing.assert_array_equal(DistilCLIPEEG.from_folder(folder).logits(eeg_BCT), expected)
    np.testing.assert_allclose(open_network(folder, "torch").logits(eeg_BCT), expected, atol=1e-6)


def test_an_ensemble_answers_the_mean_of_its_members_probabilities(tmp_path, nets, eeg_BCT):
    found = softmax(open_network(write(tmp_path / "a", nets)).logits(eeg_BCT), axis=1)
    with torch.no_grad():
        members = [softmax(net(torch.from_numpy(eeg_BCT)).numpy().astype(float), axis=1) for net in nets]
    np.testing.assert_allclose(found, np.mean(members, axis=0), atol=1e-6)


def test_saving_again_gives_the_same_model_and_says_when_its_weights_were_changed(tmp_path, nets, eeg_BCT):
    write(tmp_path / "a", nets)
    model = DistilCLIPEEG.from_pretrained(tmp_path / "a")
    model.save_pretrained(tmp_path / "b")
    again = DistilCLIPEEG.from_pretrained(tmp_path / "b")
    np.testing.assert_array_equal(again.logits(eeg_BCT), model.logits(eeg_BCT))
    assert (tmp_path / "b" / "card.md").read_text() == "# a card\n"
    with torch.no_grad():
        next(again.parameters()).add_(1)
    again.save_pretrained(tmp_path / "b")
    assert "no score on this page" in (tmp_path / "b" / "card.md").read_text()
    assert (DistilCLIPEEG.from_pretrained(tmp_path / "b").logits(eeg_BCT) != model.logits(eeg_BCT)).any()


def test_every_flipped_bit_is_noticed(tmp_path, nets):
    write(tmp_path / "a", nets[:1])
    rng = np.random.default_rng(0)
    for name in ("model0.safetensors", "config.json"):
        whole = (tmp_path / "a" / name).read_bytes()
        for at in rng.integers(8 * len(whole), size=25):
            flipped = bytearray(whole)
            flipped[at // 8] ^= 1 << at % 8
            (tmp_path / "a" / name).write_bytes(flipped)
            with pytest.raises(DataError, match=re.escape(str(tmp_path / "a"))):
                open_network(load_folder(tmp_path / "a"), "torch")
        (tmp_path / "a" / name).write_bytes(whole)
    open_network(load_folder(tmp_path / "a"), "torch")


def test_a_pickle_in_place_of_weights_is_never_read_even_where_the_digest_is_forged(tmp_path, nets):
    write(tmp_path / "a", nets[:1])
    torch.save(nets[0].state_dict(), tmp_path / "a" / "model0.safetensors")
    with pytest.raises(DataError, match="sha256 differs"):
        open_network(load_folder(tmp_path / "a"), "torch")
    body = (tmp_path / "a" / "model0.safetensors").read_bytes()
    rewrite(tmp_path / "a", lambda about: about["weights"].__setitem__(0, entry("model0.safetensors", body)))
    with pytest.raises(DataError, match="not safetensors"):
        open_network(load_folder(tmp_path / "a"), "torch")


def test_weights_of_another_shape_are_refused_by_the_name_of_the_tensor(tmp_path, nets):
    write(tmp_path / "a", nets[:1])
    rewrite(tmp_path / "a", lambda about: about["model"]["net"].update(filters=5))
    with pytest.raises(
        DataError, match=r"model0.safetensors: classifier.weight is \(2, 128\), the model wants \(2, 80\)"
    ):
        open_network(load_folder(tmp_path / "a"), "torch")


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda about: about.update(colour=1), "unknown_key"),
        (lambda about: about["model"].update(colour=1), "unknown_key"),
        (lambda about: about["weights"][0].update(url="https://example.org"), "unknown_key"),
        (lambda about: about["recipe"].update(colour=1), "bad_recipe"),
        (lambda about: about["recipe"]["signals"].update(phase="odd"), "bad_recipe"),
        (lambda about: about.pop("made"), "missing_key"),
        (lambda about: about["model"].pop("net"), "missing_key"),
        (lambda about: about.update(format=2), "format"),
        (lambda about: about.update(weights=[]), "bad_folder"),
        (lambda about: about.update(weights={}), "bad_folder"),
        (lambda about: about.update(onnx=None), "bad_folder"),
        (lambda about: about.update(text=[]), "bad_folder"),
        (lambda about: about["recipe"]["ch_names"].append("Cz"), "wrong_shape"),
        (lambda about: about["model"].update(n_outputs=3), "wrong_shape"),
        (lambda about: about["weights"][0].update(file="../model0.safetensors"), "unsafe_path"),
        (lambda about: about["weights"][0].update(file="/etc/model.safetensors"), "unsafe_path"),
        (lambda about: about["weights"][0].update(file=["model0.safetensors"]), "unsafe_path"),
        (lambda about: about["weights"][0].update(file="model.bin"), "wrong_kind"),
        (lambda about: about["model"]["net"].update(_target_="os.system"), "unknown_target"),
        (
            lambda about: about["model"]["net"].update(_target_="distilclip_eeg.files.writing.write_json"),
            "unknown_target",
        ),
        (lambda about: about["model"]["net"].update(x={"_target_": NET["_target_"]}), "unknown_target"),
        (lambda about: about["model"].update(net=None), "unknown_target"),
    ],
)
def test_whatever_this_version_did_not_write_is_refused(tmp_path, nets, change, reason):
    write(tmp_path / "a", nets[:1])
    rewrite(tmp_path / "a", change)
    with pytest.raises(DataError) as caught:
        load_folder(tmp_path / "a")
    assert caught.value.reason == reason
    assert "\n" not in str(caught.value) and str(tmp_path / "a") in str(caught.value)


@pytest.mark.parametrize("body", ["", "[]", "null", "{", "[" * 100_000, '{"format": 1}', "\x00"])
def test_a_config_that_is_none_is_refused(tmp_path, body):
    (tmp_path / "config.json").write_text(body)
    with pytest.raises(DataError):
        load_folder(tmp_path)


def test_a_folder_that_holds_something_else_is_neither_read_nor_replaced(tmp_path, nets):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="scripts/export.py"):
        load_folder(tmp_path)
    with pytest.raises(ConfigError, match="something else is there"):
        write(tmp_path, nets[:1])
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_write_that_fails_leaves_the_older_export_whole(tmp_path, nets, eeg_BCT):
    before = open_network(write(tmp_path / "a", nets[:1])).logits(eeg_BCT)
    with pytest.raises(DataError):
        write(tmp_path / "a", nets[1:2], recipe={})
    np.testing.assert_array_equal(open_network(load_folder(tmp_path / "a")).logits(eeg_BCT), before)
    write(tmp_path / "a", nets[1:2])
    assert (open_network(load_folder(tmp_path / "a")).logits(eeg_BCT) != before).any()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_what_the_folder_lacks_is_told(tmp_path, nets):
    folder = write(tmp_path / "a", nets[:1])
    with pytest.raises(DataError, match="no ONNX file"):
        open_network(folder, "onnx")
    with pytest.raises(ConfigError, match="engine=onnx"):
        open_network(folder, "torch", "int8")
    with pytest.raises(ConfigError, match="no text side"):
        DistilCLIPEEG.from_folder(folder).encode_text(["rhythmic theta"])
    with pytest.raises(ConfigError, match="neither|no folder"):
        DistilCLIPEEG.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "a" / "model0.safetensors").unlink()
    with pytest.raises(DataError, match="no such file"):
        open_network(folder, "torch")
