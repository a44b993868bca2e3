"""The names at the top of the package: each does what the commands do, and says what it lacks."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import REPO, environment
from deploy_tools import brain, write_edf
from tools import one_run

import distilclip_eeg
from distilclip_eeg import Detector, DistilCLIPEEG, load_corpus
from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.corpora.edf.montage import CHBMIT_18
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training.data import load_data


def test_every_public_name_is_there_and_listed_and_on_the_page():
    assert {*distilclip_eeg.PUBLIC, "__version__"} == set(distilclip_eeg.__all__) <= set(dir(distilclip_eeg))
    page = (REPO / "docs" / "reference" / "api.md").read_text()
    for name in distilclip_eeg.PUBLIC:
        assert getattr(distilclip_eeg, name).__name__ == name
        assert f"distilclip_eeg.{name}" in page, name
    with pytest.raises(AttributeError, match="no attribute 'Detecter'"):
        _ = distilclip_eeg.Detecter


HIDDEN = """
import sys
heavy = 'torch', 'transformers', 'safetensors', 'huggingface_hub', 'accelerate'
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in heavy:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
import distilclip_eeg
for name in distilclip_eeg.PUBLIC:
    try:
        getattr(distilclip_eeg, name)
        print(name, 'is there')
    except ImportError as error:
        print(error)
detector = distilclip_eeg.Detector.from_pretrained()
print(type(detector.network).__name__)
try:
    distilclip_eeg.Detector.from_pretrained('owner/name')
except distilclip_eeg.schema.ConfigError as error:
    print(error)
"""


def test_without_torch_detection_works_and_the_rest_says_what_to_install(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *names, network, hub = done.stdout.splitlines()
    said = dict(zip(distilclip_eeg.PUBLIC, names, strict=True))
    there = {name for name, line in said.items() if line == f"{name} is there"}
    assert there == {"Detector", "component", "push_to_hub"}
    for name in set(said) - there:
        assert said[name].startswith(f"{name} needs ") and said[name].endswith("'distilclip-eeg[train]'"), (
            said
        )
    assert network == "OnnxNetwork" and hub.startswith("owner/name: the hub needs huggingface_hub")


# --------------------------------------------------------------------------------------------- detection


def test_the_starter_is_one_line_away_and_answers_as_its_parts_do(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(40, 256, 18), 256, labels=CHBMIT_18)
    folder = load_folder("starter")
    parts = Detector(folder.recipe, open_network(folder), 0.5).file(path)
    found = Detector.from_pretrained(hop_s=0.5).file(path)
    np.testing.assert_array_equal(found.trace.probability_N, parts.trace.probability_N)
    by_onnx = Detector.from_pretrained("starter", engine="onnx", precision="fp32", hop_s=0.5).file(path)
    np.testing.assert_allclose(by_onnx.trace.probability_N, parts.trace.probability_N, atol=1e-4)
    assert DistilCLIPEEG.from_pretrained("starter").recipe == folder.recipe
    with pytest.raises(ConfigError, match="hop_s"):
        Detector.from_pretrained(hop_s=0.0)


# ------------------------------------------------------------------------------------------------ corpora


@pytest.fixture(scope="module")
def corpus(tiny_data):
    settings = dict(word.lstrip("+").split("=", 1) for word in tiny_data)
    return load_corpus("synthetic", settings.pop("dataset.root"), settings)


def test_a_corpus_by_its_name_is_what_the_command_would_train_on(corpus, tiny_data):
    same = load_data(one_run(tiny_data).data)
    assert corpus.windows.equals(same.windows) and corpus.store.path == same.store.path
    assert corpus.leak_note == same.leak_note


def test_its_windows_come_as_arrays_in_the_order_of_their_table(corpus):
    X, y, groups = corpus.arrays()
    n = len(corpus.windows)
    assert X.shape == (n, len(corpus.store.ch_names), 256) and X.dtype == np.float32
    assert y.tolist() == [corpus.store.classes[k] for k in corpus.windows["label"]]
    assert groups.tolist() == corpus.windows["subject"].tolist() and len(set(groups)) == 5
    row = n - 3
    window = corpus.windows.iloc[row]
    stored = corpus.store.signal_TC[window["first"] : window["first"] + 256].T.astype(float)
    k = window["recording"]
    uv = stored * corpus.store.gain_RC[k][:, None]
    expected = (uv - corpus.store.mean_RC[k][:, None]) / corpus.store.sd_RC[k][:, None]
    np.testing.assert_allclose(X[row], expected, atol=1e-4)
    some = corpus.arrays(np.array([row, 0]))
    np.testing.assert_array_equal(some[0], X[[row, 0]])
    assert some[1].tolist() == [y[row], y[0]] and some[2].tolist() == [groups[row], groups[0]]


def test_a_wrong_name_or_setting_of_a_corpus_is_one_line():
    with pytest.raises(ConfigError, match="dataset/chbmitt: there is no such config"):
        load_corpus("chbmitt")
    with pytest.raises(ConfigError, match="windows.length: there is no such setting"):
        load_corpus(settings={"windows.length": 2})
    with pytest.raises(DataError, match="nowhere"):
        load_corpus("chbmit", "nowhere")


def test_a_folder_with_blanks_and_quotes_in_its_name_is_taken_as_it_is(corpus, tmp_path):
    place = tmp_path / "it's a, [folder]"
    shutil.copytree(corpus.store.path.parent, place / "store")
    settings = {"dataset.corpus.n_subjects": 5, "dataset.corpus.recordings_per_subject": 1}
    settings |= {"dataset.corpus.recording_s": 40, "store.root": place / "store", "split": "subject"}
    again = load_corpus("synthetic", place / "data", settings)
    assert again.store.path.is_relative_to(place) and again.windows.equals(corpus.windows)
