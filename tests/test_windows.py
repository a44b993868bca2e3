"""Windows: where they start, what they are called, and what they never do."""

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.config.data import WindowConfig
from distilclip_eeg.config.rules import freeze
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.windows import around, balanced, cut, cut_piece, overlaps, without

CLASSES = ("bckg", "seiz")
HALF = WindowConfig(seizure_overlap=0.5)


def pieces_table(*rows):
    return pd.DataFrame(rows, columns=["recording", "start_s", "first", "n_samples"])


def events_table(*rows):
    table = pd.DataFrame(rows, columns=["recording", "onset_s", "offset_s", "label"])
    return table.astype({"recording": int, "onset_s": float, "offset_s": float, "label": str})


def slow_walk(n, length, hop, seizure_hop, events):
    """One window at a time: look, note, step (the walk of spec/floor.py)."""
    starts, at = [], 0
    while at + length <= n:
        starts.append(at)
        touches = any(at < offset and at + length > onset for onset, offset in events)
        at += seizure_hop if touches else hop
    return starts


def random_events(rng, n, grid):
    """Sorted, not overlapping, some outside the piece or across its ends."""
    edges = np.sort(rng.uniform(-0.3 * n, 1.3 * n, 2 * rng.integers(0, 6)))
    if grid:
        edges = np.unique(np.round(edges))
        edges = edges[: len(edges) // 2 * 2]
    return edges.reshape(-1, 2)


@pytest.mark.parametrize("seed", range(200))
def test_the_walk_equals_one_window_at_a_time(seed):
    rng = np.random.default_rng(seed)
    length = int(rng.integers(1, 40))
    hop = int(rng.integers(1, length + 1))
    seizure_hop = int(rng.integers(1, length + 1))
    n = int(rng.integers(0, 800))
    events = random_events(rng, n, grid=seed % 2)
    found = cut_piece(n, length, hop, seizure_hop, events)
    assert found.tolist() == slow_walk(n, length, hop, seizure_hop, events)


@pytest.mark.parametrize("seed", range(20))
def test_the_index_of_several_recordings_equals_a_loop(seed):
    rng = np.random.default_rng([7, seed])
    sfreq = float(rng.choice([100, 256]))
    config = WindowConfig(
        length_s=float(rng.choice([0.5, 1, 2])),
        background_overlap=float(rng.choice([0, 0.5])),
        seizure_overlap=float(rng.choice([0, 0.5, 0.75])),
    )
    length = round(config.length_s * sfreq)
    hop, seizure_hop = (round(length * (1 - o)) for o in (config.background_overlap, config.seizure_overlap))
    classes = ("bckg", "a", "b")
    pieces, events, at = [], [], 0
    for number in range(3):
        t = 0.0
        for _ in range(rng.integers(1, 4)):
            n = int(rng.integers(1, round(30 * sfreq)))
            pieces.append((number, t, at, n))
            at += n
            t += n / sfreq + rng.uniform(0.1, 20)
        for onset, offset in random_events(rng, t, grid=False):
            if onset >= 0:
                events.append((number, onset, offset, str(rng.choice(["a", "b"]))))
    table = cut(pieces_table(*pieces), events_table(*events), classes, sfreq, config)
    expected = []
    for number, start_s, first, n in pieces:
        here = [(i, *e[1:]) for i, e in enumerate(events) if e[0] == number]
        in_samples = [((b - start_s) * sfreq, (e - start_s) * sfreq) for _, b, e, _ in here]
        for s in slow_walk(n, length, hop, seizure_hop, in_samples):
            shared = [min(s + length, e) - max(s, b) for b, e in in_samples]
            best = int(np.argmax(shared)) if shared and max(shared) > 0 else None
            event = -1 if best is None else here[best][0]
            label = 0 if best is None else classes.index(here[best][3])
            expected.append((number, start_s + s / sfreq, first + s, label, event))
    assert table["window_id"].tolist() == list(range(len(expected)))
    got = table[["recording", "start_s", "first", "label", "event"]].itertuples(index=False, name=None)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine == pytest.approx(theirs)


@pytest.mark.parametrize(
    "start_s, expected",
    [
        (1.5, 0),  # [1.5, 2.5) ends on the onset: no shared sample
        (1.75, 1),  # shares a quarter second
        (2.5, 1),
        (3.75, 1),
        (4.0, 0),  # starts on the offset
    ],
)
def test_a_window_is_ictal_when_it_shares_any_sample_with_a_seizure(start_s, expected):
    piece = pieces_table((0, start_s, 0, 256))  # a piece that holds exactly this window
    table = cut(piece, events_table((0, 2.5, 4.0, "seiz")), CLASSES, 256.0, HALF)
    assert table["label"].tolist() == [expected]
    assert table["event"].tolist() == [0 if expected else -1]


def test_background_stands_side_by_side_and_seizures_overlap_by_half():
    # Ten seconds, a seizure from 3.25 to 5: windows at 0 1 2 (ends at 3, clear), 3 touches, then half steps
    # while they touch (3.5, 4, 4.5), 5 is clear again.
    table = cut(pieces_table((0, 0.0, 0, 2560)), events_table((0, 3.25, 5.0, "seiz")), CLASSES, 256.0, HALF)
    assert table["start_s"].tolist() == [0, 1, 2, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9]
    assert table["label"].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert table["event"].tolist() == [-1, -1, -1, 0, 0, 0, 0, -1, -1, -1, -1, -1]
    assert table["first"].tolist() == (table["start_s"] * 256).tolist()


def test_three_quarters_of_overlap_share_192_of_256_samples():
    config = WindowConfig(seizure_overlap=0.75)
    table = cut(pieces_table((0, 0.0, 0, 2560)), events_table((0, 0.0, 10.0, "seiz")), CLASSES, 256.0, config)
    assert np.diff(table["first"]).tolist() == [64] * (len(table) - 1)
    assert len(table) == (2560 - 256) // 64 + 1
    assert (table["label"] == 1).all()


def test_background_may_overlap_too():
    config = WindowConfig(background_overlap=0.5, seizure_overlap=0.75)
    table = cut(pieces_table((0, 0.0, 0, 1024)), events_table(), CLASSES, 256.0, config)
    assert table["first"].tolist() == [0, 128, 256, 384, 512, 640, 768]


def test_no_window_spans_a_gap_or_leaves_its_piece():
    # Two recordings; the first has a gap from 2.5 to 60 s. A seizure covers all of it.
    pieces = pieces_table((0, 0.0, 0, 640), (0, 60.0, 640, 300), (1, 0.0, 940, 255), (1, 90.0, 1195, 256))
    table = cut(pieces, events_table((0, 0.0, 61.0, "seiz")), CLASSES, 256.0, HALF)
    owner = np.repeat([0, 1, 2, 3], pieces["n_samples"])
    for first in table["first"]:
        assert len(set(owner[first : first + 256])) == 1
    assert table["first"].tolist() == [0, 128, 256, 384, 640, 1195]
    assert table["start_s"].tolist() == [0, 0.5, 1, 1.5, 60, 90]
    assert table["label"].tolist() == [1, 1, 1, 1, 1, 0]


def test_a_seizure_that_lies_in_a_gap_touches_nothing():
    pieces = pieces_table((0, 0.0, 0, 512), (0, 60.0, 512, 512))
    table = cut(pieces, events_table((0, 10.0, 50.0, "seiz")), CLASSES, 256.0, HALF)
    assert table["label"].tolist() == [0, 0, 0, 0]
    assert (table["event"] == -1).all()


def test_the_seizure_that_a_window_shares_most_with_names_it():
    # b ends at 0.4 and c begins at 0.5: the window [0, 1) shares .4 s with b and .5 s with c.
    events = events_table((0, 0.0, 0.4, "b"), (0, 0.5, 3.0, "c"))
    table = cut(pieces_table((0, 0.0, 0, 256)), events, ("bckg", "c", "b"), 256.0, HALF)
    assert table["label"].tolist() == [1]
    assert table["event"].tolist() == [1]


def test_of_two_seizures_that_share_equally_the_earlier_one_names_the_window():
    events = events_table((0, 0.0, 0.5, "b"), (0, 0.5, 1.0, "c"))
    table = cut(pieces_table((0, 0.0, 0, 256)), events, ("bckg", "c", "b"), 256.0, HALF)
    assert table["label"].tolist() == [2]
    assert table["event"].tolist() == [0]


def test_events_are_counted_over_the_whole_corpus():
    pieces = pieces_table((0, 0.0, 0, 512), (1, 0.0, 512, 512))
    events = events_table((1, 0.0, 0.5, "seiz"), (0, 1.0, 2.0, "seiz"))  # not grouped by recording
    table = cut(pieces, events, CLASSES, 256.0, WindowConfig(seizure_overlap=0.0))
    assert table["event"].tolist() == [-1, 1, 0, -1]


def test_without_any_event_all_is_background():
    table = cut(pieces_table((0, 0.0, 0, 1000)), events_table(), CLASSES, 256.0, HALF)
    assert table["label"].tolist() == [0, 0, 0]
    assert table["event"].tolist() == [-1, -1, -1]
    assert table["label"].dtype.kind == table["first"].dtype.kind == table["event"].dtype.kind == "i"


def test_a_recording_without_events_beside_one_with_them_is_background():
    pieces = pieces_table((0, 0.0, 0, 512), (1, 0.0, 512, 512))
    table = cut(pieces, events_table((1, 0.0, 9.0, "seiz")), CLASSES, 256.0, WindowConfig(seizure_overlap=0))
    assert table["label"].tolist() == [0, 0, 1, 1]


def test_a_piece_shorter_than_a_window_gives_none():
    table = cut(pieces_table((0, 0.0, 0, 255)), events_table(), CLASSES, 256.0, HALF)
    assert len(table) == 0
    assert list(table.columns) == ["window_id", "recording", "start_s", "first", "label", "event"]


# ------------------------------------------------------------------------ the stretch around a window


@pytest.mark.parametrize(
    "first, start",
    [
        (50, 35),  # 15 samples on either side of its 10
        (3, 0),  # the piece begins at 0: moved inward, not cut
        (95, 65),  # it ends at 105
        (105, 105),  # the first window of the next piece
    ],
)
def test_a_window_stands_in_the_middle_of_what_is_seen_of_it_unless_the_piece_ends(first, start):
    pieces = pieces_table((0, 0.0, 0, 105), (0, 200.0, 105, 300))
    begin, length = around(np.array([first]), 10, 40, pieces)
    assert (begin.tolist(), length.tolist()) == ([start], [40])


def test_a_piece_shorter_than_the_context_is_seen_whole():
    pieces = pieces_table((0, 0.0, 0, 100), (0, 9.0, 100, 25), (1, 0.0, 125, 100))
    begin, length = around(np.array([100, 112]), 10, 40, pieces)
    assert begin.tolist() == [100, 100] and length.tolist() == [25, 25]


@pytest.mark.parametrize("seed", range(20))
def test_no_context_leaves_its_piece_and_each_holds_its_window(seed):
    rng = np.random.default_rng(seed)
    n, length = rng.integers(10, 200, 30), 10
    first = np.concatenate([[0], np.cumsum(n)[:-1]])
    pieces = pieces_table(*((k // 3, 0.0, a, b) for k, (a, b) in enumerate(zip(first, n, strict=True))))
    windows = np.concatenate([np.arange(a, a + b - length + 1, 7) for a, b in zip(first, n, strict=True)])
    owner = np.repeat(np.arange(30), [len(range(0, b - length + 1, 7)) for b in n])
    context = int(rng.integers(length, 120))
    begin, seen = around(windows, length, context, pieces.sample(frac=1, random_state=seed))
    assert (seen == np.minimum(context, n[owner])).all()
    assert (begin >= first[owner]).all() and (begin + seen <= (first + n)[owner]).all()
    assert (begin <= windows).all() and (begin + seen >= windows + length).all()


def test_a_context_of_one_window_is_the_window_and_a_shorter_one_is_none():
    pieces = pieces_table((0, 0.0, 0, 100))
    assert around(np.arange(91), 10, 10, pieces)[0].tolist() == list(range(91))
    with pytest.raises(ValueError, match="shorter than a window"):
        around(np.arange(3), 10, 9, pieces)


def test_a_boundary_that_floats_cannot_hold_is_no_overlap():
    # 0.1 + 0.2 is 0.30000000000000004 in floats; the window [0.3, 1.3) starts on that offset.
    events = events_table((0, 0.1, 0.1 + 0.2, "seiz"))
    table = cut(pieces_table((0, 0.3, 0, 256)), events, CLASSES, 256.0, HALF)
    assert table["label"].tolist() == [0]


def test_the_other_rate_changes_samples_not_seconds():
    layout = events_table((0, 3.25, 5.0, "seiz"))
    slow = cut(pieces_table((0, 0.0, 0, 1280)), layout, CLASSES, 128.0, HALF)
    fast = cut(pieces_table((0, 0.0, 0, 5000)), layout, CLASSES, 500.0, HALF)
    assert slow["start_s"].tolist() == fast["start_s"].tolist()
    assert slow["label"].tolist() == fast["label"].tolist()


def test_shared_samples_by_hand():
    shared = overlaps(np.array([0, 5, 20]), 10, np.array([[3.0, 8.0], [12.0, 14.5]]))
    assert shared.tolist() == [[5, 0], [3, 2.5], [0, 0]]


def test_balancing_keeps_all_seizures_and_as_many_background_windows():
    label = np.array([0] * 100 + [1] * 7 + [2] * 3)
    kept = balanced(label, np.random.default_rng(0))
    assert np.bincount(label[kept]).tolist() == [10, 7, 3]
    assert (np.diff(kept) > 0).all()
    again = balanced(label, np.random.default_rng(0))
    other = balanced(label, np.random.default_rng(1))
    assert kept.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(
    "label", [[0, 0, 0], [1, 1], [0, 1, 1], [0, 1]]
)  # no seizure, no background, fewer background than seizures, as many
def test_balancing_leaves_alone_what_it_cannot_balance(label):
    kept = balanced(np.array(label), np.random.default_rng(0))
    assert kept.tolist() == list(range(len(label)))


@pytest.mark.parametrize(
    "values, key",
    [
        ({"seizure_overlap": 1.0}, "windows.seizure_overlap"),
        ({"seizure_overlap": -0.1}, "windows.seizure_overlap"),
        ({"background_overlap": 1.5}, "windows.background_overlap"),
        ({"length_s": 0.0}, "windows.length_s"),
        ({"length_s": -1.0}, "windows.length_s"),
        ({"length_s": "1"}, "windows.length_s"),
        ({"balance_train": 1}, "windows.balance_train"),
        ({"overlap": 0.5}, "windows.overlap"),
    ],
)
def test_a_bad_setting_is_refused_by_name(values, key):
    with pytest.raises(ConfigError, match=key):
        freeze(WindowConfig, values, "windows.")


# --------------------------------------------------------------------------------- time that is neither


def test_pieces_are_cut_at_excluded_time_and_keep_their_place_in_the_store():
    pieces = pieces_table((0, 0.0, 0, 1000), (0, 20.0, 1000, 500), (1, 0.0, 1500, 300))
    # At 100 Hz: 2.004 to 3.001 s touches samples 200 to 300; the others stick out at the ends of pieces.
    excluded = events_table((0, 2.004, 3.001, "mysz"), (0, 9.0, 21.0, "gap"), (0, 24.5, 99.0, "tail"))
    left = without(pieces, excluded, 100.0)
    assert left.to_numpy().tolist() == [
        [0, 0.0, 0, 200],
        [0, 3.01, 301, 599],
        [0, 21.0, 1100, 350],
        [1, 0.0, 1500, 300],
    ]


def test_a_piece_that_is_excluded_throughout_leaves_nothing():
    assert len(without(pieces_table((0, 5.0, 0, 100)), events_table((0, 0.0, 99.0, "x")), 100.0)) == 0


def test_no_window_holds_excluded_time_whatever_the_draw():
    rng = np.random.default_rng(3)
    for _ in range(200):
        n = int(rng.integers(100, 3000))
        start_s = float(rng.integers(0, 50))
        spans = start_s + random_events(rng, n, grid=False) / 100
        excluded = events_table(*((0, a, b, "x") for a, b in spans))
        events = events_table(*((0, a, b, "seiz") for a, b in start_s + random_events(rng, n, False) / 100))
        table = cut(without(pieces_table((0, start_s, 7, n)), excluded, 100.0), events, CLASSES, 100.0, HALF)
        starts = table["start_s"].to_numpy()
        for onset, offset in spans:
            touching = (starts < offset - 1e-9) & (starts + 1.0 > onset + 1e-9)
            assert not touching.any()
        assert (table["first"] - 7 == np.round((starts - start_s) * 100)).all()
        assert ((table["first"] >= 7) & (table["first"] + 100 <= 7 + n)).all()
