"""What is fetched from the hub and put there, and that nothing is unasked. A folder plays the hub."""

import shutil
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import filter_repo_objects

from distilclip_eeg import Detector, DistilCLIPEEG, push_to_hub
from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.config.starter import FOLDER
from distilclip_eeg.deploy import hub
from distilclip_eeg.schema import ConfigError, DataError


class Hub:
    """Repositories are folders, a revision is a folder of its own; calls are kept."""

    def __init__(self, root: Path):
        self.root, self.calls = root, []

    def snapshot_download(self, repo_id, *, revision=None, allow_patterns):
        self.calls.append(("snapshot_download", repo_id, revision))
        place = self.root / repo_id / (revision or "main")
        if not place.is_dir():
            raise FileNotFoundError(repo_id)
        there = [p.name for p in place.iterdir()]
        cache = self.root / "cache" / repo_id
        cache.mkdir(parents=True)
        for name in filter_repo_objects(there, allow_patterns=allow_patterns):
            shutil.copy(place / name, cache / name)
        return str(cache)

    def api(self, token=None):
        def create_repo(repo_id, *, private, exist_ok):
            self.calls.append(("create_repo", repo_id, private, exist_ok, token))
            (self.root / repo_id).mkdir(parents=True, exist_ok=True)

        def upload_folder(*, repo_id, folder_path, revision, commit_message, delete_patterns):
            place = self.root / repo_id / (revision or "main")
            place.mkdir(exist_ok=True)
            for name in filter_repo_objects(
                [p.name for p in place.iterdir()], allow_patterns=delete_patterns
            ):
                (place / name).unlink()
            shutil.copytree(folder_path, place, dirs_exist_ok=True)
            return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

        return SimpleNamespace(create_repo=create_repo, upload_folder=upload_folder)


@pytest.fixture
def fake(tmp_path, monkeypatch) -> Hub:
    there = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", there.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", there.api)
    return there


EEG = np.random.default_rng(0).standard_normal((3, 18, 4352)).astype(np.float32)


def test_what_is_pushed_comes_back_byte_for_byte_and_answers_alike(fake):
    address = push_to_hub("starter", "owner/name", private=True, token="t")
    assert address == "https://hub/owner/name/commit/1"
    assert fake.calls == [("create_repo", "owner/name", True, True, "t")]
    there = fake.root / "owner" / "name" / "main"
    assert {p.name for p in there.iterdir()} == {"README.md"} | {p.name for p in FOLDER.iterdir()}
    for path in FOLDER.iterdir():
        assert (there / path.name).read_bytes() == path.read_bytes()
    page = (there / "README.md").read_text()
    assert page.startswith("---\nlibrary_name: distilclip-eeg\n") and page.endswith(
        (FOLDER / "card.md").read_text()
    )
    fetched = Detector.from_pretrained("owner/name")
    assert fake.calls[-1] == ("snapshot_download", "owner/name", None)
    here = Detector.from_pretrained("starter")
    np.testing.assert_array_equal(fetched.network.logits(EEG), here.network.logits(EEG))
    assert fetched.recipe == here.recipe


def test_a_model_is_pushed_as_it_is_now_and_older_files_go(fake):
    push_to_hub("starter", "owner/name", revision="v2")
    model = DistilCLIPEEG.from_pretrained("starter")
    model.push_to_hub("owner/name", revision="v2", message="again")
    names = {p.name for p in (fake.root / "owner/name/v2").iterdir()}
    assert names == {"README.md", "config.json", "card.md", "model.safetensors"}  # no ONNX of older weights
    again = DistilCLIPEEG.from_pretrained("owner/name", revision="v2")
    np.testing.assert_array_equal(again.logits(EEG), model.logits(EEG))


def test_only_files_of_ours_are_fetched(fake):
    push_to_hub("starter", "owner/name")
    for name in ("evil.py", "pytorch_model.bin", "tokenizer_config.json"):
        (fake.root / "owner/name/main" / name).write_text("no")
    folder = hub.opened("owner/name")
    assert {p.name for p in folder.path.iterdir()} == {p.name for p in FOLDER.iterdir()}
    assert not any(fnmatch("x.py", pattern) for pattern in hub.PATTERNS)


def test_nothing_is_fetched_for_a_folder_or_for_what_is_no_id(fake, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "model")
    Detector.from_pretrained(tmp_path / "model")
    Detector.from_pretrained("starter")
    for name in ("model", "./model", "runs/x/model", str(tmp_path / "nowhere"), "../up/one"):
        with pytest.raises(ConfigError, match=r"no folder, nor fetched from the hub \(no id of the hub\)"):
            Detector.from_pretrained(name)
    assert fake.calls == []


def test_a_repository_that_is_not_there_is_one_line(fake):
    with pytest.raises(ConfigError, match=r"owner/none: no folder, nor fetched from the hub \(FileNotFound"):
        DistilCLIPEEG.from_pretrained("owner/none")


def test_a_changed_file_of_the_hub_is_refused(fake):
    push_to_hub("starter", "owner/name")
    path = fake.root / "owner/name/main/model.safetensors"
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    with pytest.raises(DataError, match="not the file that its config.json describes"):
        DistilCLIPEEG.from_pretrained("owner/name")


def test_a_damaged_folder_is_not_pushed(fake, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "model")
    with open(tmp_path / "model" / "model.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match="model.onnx: not the file"):
        push_to_hub(tmp_path / "model", "owner/name")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="no exported model"):
        push_to_hub(tmp_path / "other", "owner/name")
    assert fake.calls == []


def test_what_lies_beside_an_export_stays_here(fake, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "model")
    (tmp_path / "model" / "notes.txt").write_text("of a patient")
    push_to_hub(tmp_path / "model", "owner/name")
    assert not (fake.root / "owner/name/main/notes.txt").exists()
    assert load_folder(fake.root / "owner/name/main").about == load_folder("starter").about


def test_what_the_hub_says_is_one_line(fake, monkeypatch):
    def refuse(*_, **__):
        raise RepositoryNotFoundError("401 Client Error.\n\nRepository Not Found", response=None)

    monkeypatch.setattr(huggingface_hub, "HfApi", lambda token: SimpleNamespace(create_repo=refuse))
    with pytest.raises(ConfigError, match="owner/name: the hub did not take it") as said:
        push_to_hub("starter", "owner/name")
    assert "\n" not in str(said.value) and "hf auth login" in str(said.value)
