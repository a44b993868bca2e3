"""One corpus's model on another: what is scored, what is refused, and what the table says of it."""

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.commands import cli
from distilclip_eeg.commands import which_run as chosen
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training.transfer import binary_logits


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny, tiny_root):
    """A teacher on the double banana of five invented people, two folds."""
    root = tmp_path_factory.mktemp("transfer")
    words = [*tiny, "signals.montage=bipolar18", "split.n_folds=2", f"run.root={root}", "text.source=none"]
    cli.act("train", words)
    return find_runs(root)[0]


def other(tiny_root, *more):
    """Overrides for another invented corpus: three other people."""
    return [
        *("dataset=synthetic", "dataset.corpus.n_subjects=3", "+dataset.corpus.recordings_per_subject=1"),
        *("+dataset.corpus.recording_s=40", "dataset.corpus.seed=7", f"dataset.root={tiny_root / 'other'}"),
        *(f"store.root={tiny_root / 'store'}", "device=cpu", "n_jobs=1", *more),
    ]


@pytest.fixture(scope="module")
def scored(trained, tiny_root, tmp_path_factory):
    root = tmp_path_factory.mktemp("scored")
    cli.act("evaluate", [f"run={trained.path}", f"root={root}", *other(tiny_root)])
    return find_runs(root)[0]


def test_every_window_of_the_other_corpus_is_scored_by_every_fold_s_model(trained, scored):
    assert scored.folds_done() == [0, 1]
    first, second = (scored.predictions(k) for k in (0, 1))
    assert set(first["part"]) == {"test"} and (first["label"] == second["label"]).all()
    assert len(set(first["subject"])) == 3
    assert np.abs(first["probability_NK"] - second["probability_NK"]).max() > 1e-4  # two models


def test_the_result_is_a_run_with_a_protocol_of_its_own(trained, scored):
    made = scored.settings
    assert made.split.name == "transfer" and made.model.name == "teacher_tiny from synthetic"
    assert "nothing was fitted on synthetic" in read_json(scored.path / "data.json")["leak_note"]
    table = pd.read_csv(scored.path.parents[1] / "evaluation" / "synthetic.csv")
    assert table["split"].tolist() == ["transfer", "transfer"]


def test_a_transferred_run_is_never_taken_for_a_teacher(scored):
    with pytest.raises(ConfigError, match="no finished teacher run"):
        chosen.find_teacher("latest", scored.path.parents[1])


def test_the_same_command_gives_the_same_numbers(trained, scored, tiny_root, tmp_path):
    cli.act("evaluate", [f"run={trained.path}", f"root={tmp_path}", *other(tiny_root)])
    again = find_runs(tmp_path)[0]
    for k in (0, 1):
        assert (again.predictions(k)["logits_NK"] == scored.predictions(k)["logits_NK"]).all()


def test_another_montage_is_refused_with_what_to_do(tmp_path, tiny, tiny_root, trained):
    run = Run(tmp_path / "run")
    (run.path / "fold0").mkdir(parents=True)
    for name in ("config.yaml", "metrics.json"):
        (run.path / name).write_bytes((trained.path / name).read_bytes())
    about = (trained.path / "fold0/model.json").read_text().replace('"FP1-F7"', '"FP1"')
    (run.path / "fold0/model.json").write_text(about)
    (run.path / "fold0/metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match="signals.montage=bipolar18 or car19"):
        cli.act("evaluate", [f"run={run.path}", f"root={tmp_path}", *other(tiny_root)])


@pytest.mark.parametrize("word", ["signals.sfreq=128", "windows.length_s=2"])
def test_a_model_is_tested_as_it_was_trained(trained, tiny_root, word, tmp_path):
    with pytest.raises(ConfigError, match="tested as it was trained"):
        cli.act("evaluate", [f"run={trained.path}", f"root={tmp_path}", *other(tiny_root, word)])


@pytest.mark.parametrize("verb", ["evaluate", "report"])
@pytest.mark.parametrize(
    "word, says",
    [
        ("dataset=nowhere", "dataset/nowhere: there is no such config. dataset has: aubmc, aubmc_raw, bids"),
        ("dataset.root=there", "dataset.root=there: of which dataset[?] Add dataset=NAME."),
    ],
)
def test_a_corpus_must_be_one_that_there_is(verb, word, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        cli.act(verb, [f"root={tmp_path}", word])


def test_one_model_must_be_named(tiny_root, tmp_path):
    with pytest.raises(ConfigError, match="say which model"):
        cli.act("evaluate", [f"root={tmp_path}", *other(tiny_root)])


def test_weights_that_are_not_those_described_are_refused(trained, tmp_path):
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((trained.fold(0) / name).read_bytes())
    load_network(tmp_path)
    raw = bytearray((tmp_path / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(raw)
    with pytest.raises(DataError) as caught:
        load_network(tmp_path)
    assert caught.value.reason == "weights_changed"


def test_any_seizure_class_counts_as_seizure():
    probability = np.array([[0.5, 0.2, 0.3], [0.1, 0.9, 0.0001]])
    two = binary_logits(np.log(probability))
    assert np.exp(two[:, 1]) == pytest.approx(probability[:, 1:].sum(1))
    assert (np.exp(two) / np.exp(two).sum(1, keepdims=True))[0] == pytest.approx([0.5, 0.5])
