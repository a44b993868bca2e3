"""The index of a search: nearness by hand, moments out of windows, and a file that is what it says."""

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.deploy.index import FILE, Index, moments
from distilclip_eeg.schema import DataError

WINDOWS = pd.DataFrame({"recording": ["a"] * 6 + ["b"] * 3, "start_s": [*range(6), 0.0, 1.0, 10.0]})


def index(features=None, **about) -> Index:
    features = np.eye(9, dtype=np.float32) if features is None else np.asarray(features, np.float32)
    return Index(WINDOWS, features, **{"length_s": 1.0, "hop_s": 1.0, "model": "m1", **about})


def test_similarity_is_the_cosine_whatever_the_query_s_length():
    found = index().similarity(np.array([3.0 * np.eye(9)[2], np.ones(9)]))
    np.testing.assert_allclose(found[0], np.eye(9)[2])
    np.testing.assert_allclose(found[1], 1 / 3)


def test_a_moment_grows_over_neighbours_that_are_nearly_as_good():
    score = np.array([0.1, 0.9, 0.86, 0.1, 0.1, 0.7, 0.95, 0.1, 0.6])
    found = moments(index(), score, n=4)
    rows = found[["rank", "recording", "onset_s", "offset_s", "similarity", "windows"]].to_numpy().tolist()
    assert rows == [
        [1, "b", 0.0, 1.0, 0.95, 1],
        [2, "a", 1.0, 3.0, 0.9, 2],
        [3, "a", 5.0, 6.0, 0.7, 1],
        [4, "b", 10.0, 11.0, 0.6, 1],
    ]
    assert found["best_s"].tolist() == [0.0, 1.0, 5.0, 10.0]
    last = moments(index(), np.array([0.86, 0.9, 0.95, 0, 0, 0, 0, 0, 0]), n=1)
    assert last[["onset_s", "offset_s", "best_s"]].to_numpy().tolist() == [[1.0, 3.0, 2.0]]
    wider = moments(index(), score, n=1, margin=0.25)
    assert wider[["recording", "onset_s", "offset_s"]].to_numpy().tolist() == [["b", 0.0, 1.0]]


def test_recordings_and_gaps_end_a_moment_and_windows_belong_to_one():
    found = moments(index(), np.ones(9), n=50)
    assert found[["recording", "onset_s", "offset_s"]].to_numpy().tolist() == [
        ["a", 0.0, 6.0],
        ["b", 0.0, 2.0],
        ["b", 10.0, 11.0],
    ]
    assert found["windows"].sum() == 9
    # The lesser neighbour of a taken moment stands alone, next to it.
    falling = np.array([0.9, 0.8, 0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    assert moments(index(), falling, n=3)["onset_s"].tolist() == [0.0, 1.0, 2.0]


def test_fewer_moments_do_not_depend_on_how_many_were_asked_for():
    score = np.random.default_rng(0).random(9)
    few, many = moments(index(), score, n=2), moments(index(), score, n=9)
    pd.testing.assert_frame_equal(few, many.head(2))


def test_an_empty_index_has_no_moments():
    empty = Index(WINDOWS[:0], np.zeros((0, 9)), 1.0, 1.0, "m1")
    assert len(moments(empty, np.zeros(0), n=5)) == 0


def test_more_like_this_takes_the_window_around_a_time():
    np.testing.assert_array_equal(index().at("b", 10.4), np.eye(9)[8])
    np.testing.assert_array_equal(index().at("a", 3.5), np.eye(9)[3])
    for recording, time_s in (("b", 5.0), ("c", 0.0)):
        with pytest.raises(DataError, match="no window there"):
            index().at(recording, time_s)


def test_a_saved_index_comes_back_and_a_damaged_or_foreign_one_is_refused(tmp_path):
    path = tmp_path / FILE
    index(files={"a": "x", "b": "y"}).save(path)
    back = Index.load(path)
    pd.testing.assert_frame_equal(back.windows, WINDOWS)
    assert back.files == {"a": "x", "b": "y"} and back.model == "m1"
    assert back.only(["b"]).windows["start_s"].tolist() == [0.0, 1.0, 10.0]
    assert back.only(["b"]).files == {"b": "y"}
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="Delete it"):
        Index.load(path)
    np.savez(path, about=np.array([{"a": 1}], dtype=object))  # a pickle
    with pytest.raises(DataError, match="Delete it"):
        Index.load(path)


def test_parts_of_two_models_are_never_joined():
    assert len(index().joined(index()).windows) == 18
    for other in ({"model": "m2"}, {"hop_s": 0.5}):
        with pytest.raises(DataError, match="another output folder"):
            index().joined(index(**other))
