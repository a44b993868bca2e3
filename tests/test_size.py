"""A corpus of any size: what is counted in windows is exact, done once, and by vectors."""

import hashlib
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from distilclip_eeg.config.data import small_seed
from distilclip_eeg.runs import Run
from distilclip_eeg.scoring import answers
from distilclip_eeg.scoring.metrics import areas
from distilclip_eeg.signals.splits import folds_hash
from distilclip_eeg.signals.splitters import k_folds
from distilclip_eeg.studies import size


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder and the table of a small one, and how often its predictions were read for the tables."""
    folder, reads = tmp_path_factory.mktemp("size"), []
    read = answers.read_npz

    def counted(path, *names):
        reads.append(path.parent.name)
        return read(path, *names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "read_npz", counted)
        table = size.pipeline(folder, 50, batches=3)
    return folder, table, reads


def test_the_signal_has_its_size_and_takes_no_disk(made):
    state = (made[0] / "signal.i16").stat()
    assert state.st_size > 50e6 and state.st_blocks * 512 < 1e6


def test_every_window_is_tested_once_and_every_prediction_read_once(made):
    folder, table, reads = made
    run = Run(folder / "synthetic" / "size")
    tested = [run.predictions(k)["window_id"][run.predictions(k)["part"] == "test"] for k in range(5)]
    assert np.sort(np.concatenate(tested)).tolist() == list(range(table["windows"].iloc[0]))
    assert sorted(reads) == [f"fold{k}" for k in range(5)]


def test_a_changed_file_is_read_again(made):
    run = Run(made[0] / "synthetic" / "size")
    path = run.fold(0) / "predictions.npz"
    before, body = answers.read_answers(run, 0), path.read_bytes()
    assert answers.read_answers(run, 0) is before
    path.write_bytes(body[:-1])
    with pytest.raises(answers.DataError, match=r"predictions\.npz"):
        answers.read_answers(run, 0)
    path.write_bytes(body)
    assert answers.read_answers(run, 0) is not before


def test_the_page_tells_how_the_cost_of_a_window_grows():
    rows = [("index", 100, 9.0, 1.0, 10.0), ("gather", 100, 9.0, 2.0, 10.0)]
    rows += [("index", 400, 9.0, 8.0, 20.0), ("gather", 400, 9.0, 3.0, 9.0)]
    page = size.page(pd.DataFrame(rows, columns=["part", "windows", "seconds", "cpu_s", "peak_mib"]))
    assert [line.split()[-1] for line in page.splitlines()[1:]] == ["2.00", "1.50"]


@pytest.mark.parametrize("kind", ["spread", "tied", "constant", "double"])
def test_areas_are_scikit_learns_to_the_last_bit(kind):
    rng = np.random.default_rng(0)
    for n in rng.integers(2, 300, 25):
        truth, scores = rng.random(n) < rng.random(), rng.random(n)
        scores = {"spread": scores.astype("f4"), "tied": scores.round(1), "constant": 0 * scores}.get(
            kind, scores
        )
        if truth.any() and not truth.all():
            assert areas(truth, scores) == (
                roc_auc_score(truth, scores),
                average_precision_score(truth, scores),
            )
    assert np.isnan(areas(np.ones(3, bool), scores[:3])).all()
    assert np.isnan(areas(np.array([True, False]), np.array([np.nan, 1.0]))).all()


def test_grouped_folds_are_scikit_learns():
    rng = np.random.default_rng(0)
    for seed in range(15):
        n, groups = int(rng.integers(2, 7)), int(rng.integers(7, 60))
        units = rng.integers(0, groups, 1500) * 3 - 50
        y = np.where(rng.random(1500) < 0.2, rng.integers(1, 4, 1500), 0)
        theirs = StratifiedGroupKFold(n, shuffle=True, random_state=small_seed(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = list(theirs.split(y, y, units))
        for (train, test), (their_train, their_test) in zip(k_folds(y, units, n, seed), wanted, strict=True):
            assert np.array_equal(train, their_train) and np.array_equal(test, their_test)


def test_the_hash_of_folds_is_that_of_their_text():
    rows = [(0, 0.0, 0, "train", "val"), (0, 1.25, 1, "test", "train"), (12, 1e5 / 3, 0, "unused", "test")]
    folds = pd.DataFrame(rows, columns=["recording", "start_s", "label", "fold0", "fold1"])
    text = "0@0.000000=0\n0@1.250000=1\n12@33333.333333=0" + "fold0" + "ren" + "fold1" + "are"
    assert folds_hash(folds) == hashlib.sha256(text.encode()).hexdigest()
    many = folds.iloc[np.tile(range(3), 30_000)]  # more than are written out at a time
    text = (
        "\n".join([text.partition("fold0")[0]] * 30_000) + "fold0" + "ren" * 30_000 + "fold1" + "are" * 30_000
    )
    assert folds_hash(many) == hashlib.sha256(text.encode()).hexdigest()
