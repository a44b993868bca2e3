"""describe.py: totals from headers and annotations, and why they differ from the published ones."""

import subprocess

import numpy as np
import pytest

from distilclip_eeg.commands import cli
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.chbmit import ChbMit
from distilclip_eeg.corpora.survey import describe, explain, survey, totals
from distilclip_eeg.corpora.synthetic import Settings, write_tree
from distilclip_eeg.files.locks import machine
from distilclip_eeg.signals.store import prepare


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three invented people, four recordings each: gaps, dummies, one file without one channel."""
    root = tmp_path_factory.mktemp("tree")
    settings = Settings(n_subjects=3, recordings_per_subject=4, recording_s=60, difficulty=0.5, seed=0)
    write_tree(root, settings)
    path = root / "chb01" / "chb01_01.edf"
    path.write_bytes(path.read_bytes().replace(b"FT9-FT10", b"XX9-FT10"))
    return root


def test_the_totals_are_those_of_a_full_reading(tree, tmp_path):
    corpus = ChbMit(root=tree, missing_channels="zero")
    found = totals(survey(corpus, n_jobs=2))
    store = prepare(corpus, SignalConfig(), tmp_path, n_jobs=2)
    used = store.recordings
    assert found["recordings"] == len(used) == 12 and found["subjects"] == 3
    assert found["seizures"] == used["n_seizures"].sum() > 0
    assert found["hours"] * 3600 == pytest.approx(used["duration_s"].sum())
    assert found["seizure_s"] == pytest.approx(np.diff(store.events[["onset_s", "offset_s"]]).sum())


def test_no_signal_is_read(tree, monkeypatch):
    monkeypatch.setattr(ChbMit, "read", lambda *_: pytest.fail("a signal was read"))
    assert len(survey(ChbMit(root=tree), n_jobs=1)) == 12


def test_a_recording_that_cannot_be_used_is_named_with_its_reason(tree):
    corpus = ChbMit(root=tree)
    table = survey(corpus, n_jobs=1).set_index("recording")
    assert table["problem"].to_dict() == {
        name: "missing_channels" if name == "chb01_01" else "" for name in table.index
    }
    page = describe(corpus, table.reset_index())
    assert "cannot be used: 1 (missing_channels), the first:" in page and "chb01_01.edf" in page
    assert "1 recordings lack FT9-FT10" in page
    assert "sampling rate: 256 Hz (12)" in page and "signals in a file: 23 (10), 28 (2)" in page


@pytest.mark.parametrize(
    "name, here, said, recordings, words",
    [
        ("recordings", 686, 686, 686, "as published"),
        ("recordings", 56, 686, 56, "630 recordings of the release are not on disk"),
        ("seizures", 63, 198, 56, "135 fewer: they belong to the 630 recordings not on disk"),
        (
            "seizures",
            200,
            198,
            690,
            "4 recordings are here that the release lacks: it is another release, or none",
        ),
        ("seizures", 197, 198, 686, "differs by -1 with all recordings on disk; see 'cannot be used' below"),
        ("hours", 982.87, 982.9, 686, "as published"),  # rounded
    ],
)
def test_every_difference_has_a_reason(name, here, said, recordings, words):
    corpus = ChbMit(root="nowhere")
    all_here, published = {"recordings": recordings}, {"recordings": 686}
    assert explain(name, here, said, all_here, published, corpus) == words


def test_describe_and_prepare_are_commands(tree, tmp_path, capsys):
    cli.act("describe", ["dataset=chbmit", f"dataset.root={tree}", "n_jobs=1"])
    assert "recordings with seizures" in capsys.readouterr().out
    words = ["dataset=chbmit", f"dataset.root={tree}", f"store.root={tmp_path}", "n_jobs=2"]
    cli.act("prepare", words)
    first = capsys.readouterr().out
    assert "11 of 12 recordings used" in first and "skipped 1 (missing_channels)" in first
    (table,) = tmp_path.glob("*/recordings.csv")
    assert table.read_text().count("\n") == 13
    child = subprocess.Popen(["true"])
    child.wait()  # so that nobody has its number
    left = table.with_name(f".recordings.csv.tmp.{machine()}-{child.pid}")
    left.touch()
    cli.act("prepare", [*words, "backend=loky"])  # there already: the same report
    assert capsys.readouterr().out == first and not left.exists()
