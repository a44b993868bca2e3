"""A dataset.root that is a few levels too high or too deep: the message names the folder that was meant."""

import pytest

from distilclip_eeg.config.commands import PrepareSettings
from distilclip_eeg.config.compose import load
from distilclip_eeg.corpora.edf_corpus import LEVELS, root_hint
from distilclip_eeg.schema import DataError

INSIDE = {
    "tusz": "edf/train/aaaaaaaa/s001_2009/01_tcp_ar/aaaaaaaa_s001_t000.edf",
    "chbmit": "chb01/chb01_01.edf",
    "zenodo": "eeg1.edf",
    "bids": "sub-01/eeg/sub-01_task-x_eeg.edf",
    "aubmc": "Npy_files/x_train.npy",
    "aubmc_raw": "Raw_EDF_Files/p10_Record1.edf",
}
"""A file of each release, below its root."""


def said_of(dataset, root):
    corpus = load(PrepareSettings, [f"dataset={dataset}", f"dataset.root={root}"]).dataset.corpus.build()
    with pytest.raises(DataError) as caught:
        corpus.recordings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def put(root, dataset):
    path = root / INSIDE[dataset]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return path.parent


@pytest.mark.parametrize("dataset", [name for name in INSIDE if name != "tusz"])  # TUSZ is found at any depth
def test_a_root_too_high_is_answered_with_the_folder_below(tmp_path, dataset):
    release = tmp_path / "files" / dataset / "1.0.0"
    inside = put(release, dataset)
    meant = inside if dataset.startswith("aubmc") else release  # its folders of arrays and of EDFs will do
    (tmp_path / "a").mkdir()
    assert said_of(dataset, tmp_path).endswith(f"Set dataset.root={meant}")


@pytest.mark.parametrize("dataset", ["tusz", "chbmit", "bids"])
def test_a_root_too_deep_is_answered_with_the_folder_above(tmp_path, dataset):
    put(tmp_path / "release", dataset)
    deep = tmp_path / "release" / INSIDE[dataset].partition("/")[0] / "more"
    deep.mkdir()
    (deep / "notes.txt").write_text("x")
    release = tmp_path / "release"
    assert said_of(dataset, deep).endswith(f"Set dataset.root={release}")


def test_what_is_not_near_is_not_named(tmp_path):
    far = tmp_path.joinpath(*"abcdefgh"[: LEVELS + 1])
    far.mkdir(parents=True)
    assert root_hint(tmp_path, lambda folder: folder == far.parent) == f"Set dataset.root={far.parent}"
    assert root_hint(tmp_path, lambda folder: folder == far) == "Set dataset.root=... to it."


def test_a_folder_that_may_not_be_looked_into_is_passed_over(tmp_path):
    (tmp_path / "b").mkdir()

    def fits(folder):
        if folder in tmp_path.parents:
            raise PermissionError("not yours")
        return folder.name == "b"

    assert root_hint(tmp_path, fits) == f"Set dataset.root={tmp_path / 'b'}"
