"""``doctor``: what is here, what is lacking and the line that mends it; nothing is fetched."""

import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from test_packaging import HIDDEN
from tools import served

from distilclip_eeg.models import hub
from distilclip_eeg.studies import doctor
from distilclip_eeg.studies.doctor import Finding


def cached_bert(root, *names):
    """BERT-base in a hub's cache, as the hub lays it out, with empty files of these names."""
    model = root / "models--google-bert--bert-base-uncased"
    folder = model / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("0" * 40)
    for name in names:
        (folder / name).write_text("{}")
    return root


@pytest.fixture
def no_bert(tmp_path, monkeypatch):
    """A hub's cache without any model, and nobody to ask for one."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@contextmanager
def server(status, asked, hang=None):
    """A hub on this machine that answers every question alike, or not while ``hang`` is not set."""

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(f"{self.command} {self.path}")
            if hang is not None:
                hang.wait(5)
            self.send_response(status)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_):
            pass

    with served(Answer) as address:
        yield address


def test_every_section_is_told_within_100_columns_and_training_is_possible(as_script, tmp_path, no_bert):
    done = as_script("scripts/doctor.py", f"run.root={tmp_path / 'runs'}", f"store.root={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for title in ("Libraries", "Device", "Machine", "Hub", "Corpora"):
        assert any(line.startswith(title) for line in lines)
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "ready: the framework can train here"
    (numpy,) = (line.split() for line in lines if line.startswith("ok  numpy"))
    assert numpy == ["ok", "numpy", version("numpy"), ">=2.0,<3"]
    assert "not asked: HF_HUB_OFFLINE is set" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_without_torch_it_says_so_with_the_line_that_mends_it(tmp_path):
    code = HIDDEN + "from distilclip_eeg.commands.cli import run; run('doctor', ['timeout_s=0.1'])"
    env = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(filter(None, sys.path)), "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "", done.stderr
    assert "NO  torch                      cannot be imported: No module named 'torch'" in done.stdout
    assert "-> pip install 'distilclip-eeg[train]'" in done.stdout
    assert done.stdout.splitlines()[-1] == "not ready: torch"


@pytest.mark.parametrize(
    "wanted, extra, mend, code",
    [
        ("numpy>=2", "", "", 0),
        ("numpy>=99,<100", "", "pip install 'numpy>=99,<100'", 2),
        ("numpy>=99", "sweep", "pip install 'numpy>=99'", 0),
        ("no-such-library>=1", "", "pip install 'distilclip-eeg'", 2),
        ("no-such-library>=1", "train", "pip install 'distilclip-eeg[train]'", 2),
        ("no-such-library>=1", "dask", "pip install 'distilclip-eeg[dask]'", 0),
    ],
)
def test_a_library_that_is_lacking_or_too_old_ends_with_2_where_training_needs_it(wanted, extra, mend, code):
    found = doctor.library(Requirement(wanted), extra)
    assert (found.mend, found.code) == (mend, code)
    assert found.found.endswith(extra) and (mend == "") == (found.mark == "ok")


def test_a_line_that_mends_several_stands_once_behind_the_last(capsys):
    rows = [Finding("a", "gone", "pip install x"), Finding("b", "gone", "pip install x"), Finding("c", "is")]
    text = doctor.page(doctor.table_of(rows), width=60)
    assert [line.split()[:2] for line in text.splitlines()] == [
        ["-", "a"], ["-", "b"], ["->", "pip"], ["ok", "c"],
    ]  # fmt: skip


def test_a_disk_that_is_full_ends_with_4_and_a_folder_that_cannot_be_made_with_2(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert doctor.disk("run.root", tmp_path).code == 0
    shut = doctor.disk("run.root", tmp_path / "file" / "runs")
    assert shut.code == 2 and shut.mend == "run.root=FOLDER"
    monkeypatch.setattr(doctor, "free_bytes", lambda folder: 10**9 - 1)
    full = doctor.disk("run.root", tmp_path)
    assert full.code == 4 and full.found == "1,000.0 MB free"


@pytest.mark.loopback
@pytest.mark.parametrize("status, said", [(200, True), (302, True), (404, False), (503, False)])
def test_the_hub_is_asked_once_and_nothing_is_fetched(status, said, monkeypatch):
    asked = []
    with server(status, asked) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert hub.answers() is said
    assert asked == ["HEAD /google-bert/bert-base-uncased/resolve/main/config.json"]


@pytest.mark.loopback
def test_a_hub_that_does_not_answer_is_given_up(monkeypatch):
    asked, hang = [], threading.Event()
    with server(200, asked, hang) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert hub.answers(timeout_s=0.2) is False
        hang.set()


@pytest.mark.parametrize("word, silent", [("1", True), ("on", True), ("0", False), ("", False)])
def test_hf_hub_offline_is_honoured(word, silent, monkeypatch, no_bert):
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", word)
    asked = []
    monkeypatch.setattr(hub, "answers", lambda **_: asked.append(1) or True)
    first, bert = doctor.encoders(1.0)
    assert (asked == []) is silent and ("not asked" in first.found) is silent
    assert bert.mend.startswith("text_encoder=minilm" if silent else "hf download google-bert/")
    assert bert.code == 0


@pytest.mark.parametrize(
    "names, here", [(("config.json", "model.safetensors"), True), (("config.json",), False), ((), False)]
)
def test_bert_base_is_found_in_the_cache_where_its_weights_are(names, here, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cached_bert(tmp_path, *names)))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, bert = doctor.encoders(1.0)
    assert (bert.mark == "ok") is here


def test_corpora_are_told_by_what_lies_in_their_folders(tmp_path, monkeypatch):
    (tmp_path / "chbmit" / "chb01").mkdir(parents=True)
    (tmp_path / "zenodo").mkdir()
    monkeypatch.setenv("DISTILCLIP_EEG_DATA", str(tmp_path))
    found = {one.what: one for one in doctor.corpora()}
    assert found["dataset=chbmit"] == Finding("dataset=chbmit", str(tmp_path / "chbmit"))
    assert found["dataset=zenodo"].found.endswith("zenodo: empty")
    assert found["dataset=zenodo"].mend == f"python scripts/download.py dataset=zenodo root={tmp_path}/zenodo"
    assert "how to apply" in found["dataset=tusz"].mend and "no such folder" in found["dataset=tusz"].found
    assert found["dataset=bids"].mend == "dataset=bids dataset.root=FOLDER"
    assert found["dataset=synthetic"].mark == "ok" and not any(one.code for one in found.values())
