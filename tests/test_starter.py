"""The model that comes with the package: small, whole, honest about itself, and used without a word."""

from pathlib import Path

import numpy as np
import pytest
import warm
from deploy_tools import brain, write_edf
from test_any_montage import LAYOUTS

from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.commands import cli
from distilclip_eeg.config.on_files import DetectSettings
from distilclip_eeg.config.starter import FOLDER, located
from distilclip_eeg.corpora.edf.montage import BIPOLAR_18, CHBMIT_18, canonical
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.engines import open_network

RNG = np.random.default_rng(0)
STARTER = load_folder("starter")


def detector(engine="torch", precision="auto", **how):
    return Detector(STARTER.recipe, open_network(STARTER, engine, precision), **how)


def banana(path, uv, **how):
    return write_edf(path, uv, 256, labels=CHBMIT_18, **how)


def eeg(seconds=60):
    """A double banana of electrodes with slow, related potentials of usual size."""
    electrodes = sorted({e for name in BIPOLAR_18 for e in name.split("-")})
    size_E1 = np.random.default_rng(2).uniform(1, 3, (len(electrodes), 1))
    walks = dict(zip(electrodes, brain(seconds, 256, len(electrodes), seed=1) * size_E1, strict=True))
    return np.array([walks[a] - walks[b] for a, b in (canonical(n).split("-") for n in CHBMIT_18)])


def test_it_is_below_two_megabytes_and_says_on_whom_it_rests():
    files = [p for p in FOLDER.iterdir() if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 2_000_000
    assert {"model.safetensors", "model.onnx", "model.int8.onnx"} <= {p.name for p in files}
    card = (FOLDER / "card.md").read_text()
    said = ("not a medical device", "ODC-By 1.0", "doi:10.13026/C2K01R", "chb01, chb02", "False alarms a day")
    for word in said:
        assert word in card, word
    assert len(STARTER.recipe.persons) == 15 and "chb21" not in STARTER.recipe.persons  # who is chb01
    assert STARTER.recipe.like["loops"][1] < 0.1


def test_its_name_stands_for_it_unless_a_folder_has_it(tmp_path, monkeypatch):
    assert located("starter") == FOLDER and DetectSettings(input="x").weights == "starter"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    assert located("starter") == Path("starter")


def test_its_three_forms_answer_alike(tmp_path):
    path = banana(tmp_path / "a.edf", eeg())
    whole = detector().file(path).trace.probability_N
    np.testing.assert_allclose(detector("onnx", "fp32").file(path).trace.probability_N, whole, atol=1e-5)
    np.testing.assert_allclose(detector("onnx", "int8").file(path).trace.probability_N, whole, atol=0.05)


@pytest.mark.parametrize("change", ["noise", "mains", "tenfold", "shuffled"])
def test_a_file_that_is_no_such_eeg_is_told_and_never_half_under_alarm_in_silence(tmp_path, change):
    uv, time = eeg(), np.arange(60 * 256) / 256
    uv = {
        "noise": 30 * RNG.standard_normal(uv.shape),
        "mains": np.tile(5 * np.sin(2 * np.pi * 50 * time), (18, 1)),
        "tenfold": np.clip(20 * uv, -1990, 1990),
        "shuffled": uv[RNG.permutation(18)],
    }[change]
    found = detector().file(banana(tmp_path / "a.edf", uv))
    (said,) = [w for w in found.warnings if w.startswith("unlike: ")]
    words = {"mains": "50 or 60 Hz", "tenfold": "amplitude"}
    assert words.get(change, "do not add up") in said


def test_a_file_named_after_a_person_of_training_is_told(tmp_path):
    named = detector().file(banana(tmp_path / "chb08_02.edf", eeg()))
    assert any(w.startswith("seen_person: the name holds chb08,") for w in named.warnings)
    other = detector().file(banana(tmp_path / "chb080_2.edf", eeg()))
    assert not any(w.startswith("seen_person") for w in other.warnings)


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS)
def test_one_word_is_enough_for_six_layouts(tmp_path, write, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    path = write(tmp_path / "in")
    cli.run("detect", [f"input={path}"])
    out = capsys.readouterr().out
    (table,) = (tmp_path / "events").glob("*_events.tsv")
    assert table.read_text().startswith("onset\t") and "_review.html in a browser" in out


@pytest.mark.slow
def test_training_begins_with_it(tmp_path):
    words = ["dataset=synthetic", "experiment=detector", "init_from=starter", "fold=0", "trainer.max_steps=2"]
    words += ["dataset.corpus.n_subjects=6", "split.n_folds=3", "device=cpu", "n_jobs=1"]
    words += ["+dataset.corpus.recordings_per_subject=1", "+dataset.corpus.recording_s=60"]
    done = warm.run(["train.py", *words], tmp_path)
    assert done.returncode == 0 and "filterbank" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.shared
def test_real_seconds_of_a_person_it_knows_are_found(tmp_path):
    """It learned them: this shows that the road is right, nothing else."""
    from tools import SHARED

    found = detector().file(Path(SHARED) / "data/chbmit/chb01/chb01_03.edf")
    assert found.events and not [w for w in found.warnings if w.startswith("unlike")]
