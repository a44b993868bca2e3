"""The store: what is kept, when it is built again, and that half of one is never taken for a whole."""

import dataclasses
import json
import mmap
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from distilclip_eeg.config.data import SignalConfig, View, WindowConfig
from distilclip_eeg.files import locks
from distilclip_eeg.files.digests import sign, write_atomic
from distilclip_eeg.files.locks import Owner
from distilclip_eeg.schema import (
    ConfigError,
    CorpusError,
    DataError,
    Event,
    MachineError,
    Piece,
    Recording,
    RecordingRef,
    SkipRecording,
)
from distilclip_eeg.signals import store as store_module
from distilclip_eeg.signals import verify as verifying
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.preprocess import preprocess
from distilclip_eeg.signals.store import fingerprint, open_store, prepare, store_digest
from distilclip_eeg.signals.verify import verify
from distilclip_eeg.signals.windows import cut
from distilclip_eeg.training import loaders
from distilclip_eeg.training.loaders import WindowSource, epoch_order

SFREQ = 64.0
CONFIG = SignalConfig(l_freq=None, h_freq=None, sfreq=SFREQ, clip_uv=400.0)
"""No filter, so that what is stored is what was given, less the mean."""
NAMES = ("A", "B", "C")
GOLDEN = [[14511, -18641, 2639], [-3303, 7898, -1610], [-119, -3052, -6352], [-2637, -6231, 7071]]
GOLDEN_SD = [50.40514, 48.24907, 48.461346]


class Fake:
    """Recordings from numpy; a file on disk stands for each, so that a change can be noticed."""

    name = "fake"
    classes = ("bckg", "seiz")
    ch_names = NAMES
    identified = True
    options = {}
    missing = ()
    warnings = ()

    def __init__(self, root: Path, n: int = 4, skip: dict[str, str] | None = None):
        self.root, self.skip, self.reads = root, skip or {}, []
        self.signals = {f"r{i}": self.make(i) for i in range(n)}
        self.events = {f"r{i}": ((2.0, 4.0),) if i % 2 else () for i in range(n)}
        self.starts = {f"r{i}": (0.0, 100.0) if i == 1 else (0.0,) for i in range(n)}
        root.mkdir(exist_ok=True)
        for name in self.signals:
            (root / f"{name}.edf").write_text(name)

    @staticmethod
    def make(i: int) -> list[np.ndarray]:
        rng = np.random.default_rng(i)
        lengths = (640, 333) if i == 1 else (500 + 64 * i,)
        return [((20 + 10 * i) * rng.standard_normal((3, n))).astype(np.float32) for n in lengths]

    def recordings(self):
        return [RecordingRef(name, f"s{name[1:]}", self.root / f"{name}.edf") for name in self.signals]

    def read(self, ref):
        self.reads.append(ref.recording)
        if ref.recording in self.skip:
            raise SkipRecording(f"{ref.recording} is odd", reason=self.skip[ref.recording])
        pieces = [
            Piece(start, (x * np.float32(1e-6)))
            for start, x in zip(self.starts[ref.recording], self.signals[ref.recording], strict=True)
        ]
        events = tuple(Event(a, b, "seiz") for a, b in self.events[ref.recording])
        return Recording(
            ref, SFREQ, NAMES, tuple(pieces), events, (), {"sex": "F"}, (), ("odd",), clipped_samples=5
        )


@pytest.fixture
def corpus(tmp_path):
    return Fake(tmp_path / "data")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


def folder_bytes(path):
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


def clean_uv(corpus, name, config=CONFIG):
    """Filtered microvolts of a whole recording, (C, T)."""
    ref = next(r for r in corpus.recordings() if r.recording == name)
    return np.concatenate([p.uv_CT for p in preprocess(corpus.read(ref), config)], axis=1)


def test_what_comes_back_is_within_half_a_step_of_what_went_in(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    assert store.signal_TC.dtype == np.dtype("<i2")
    for number, name in enumerate(corpus.signals):
        uv = clean_uv(corpus, name)
        mine = store.pieces[store.pieces["recording"] == number]
        rows = slice(mine["first"].iloc[0], mine["first"].iloc[0] + mine["n_samples"].sum())
        gain = store.gain_RC[number].astype(np.float64)
        back = store.signal_TC[rows].T * gain[:, None]
        assert back.shape == uv.shape
        assert (np.abs(back - uv) <= gain[:, None] * 0.501).all()
        np.testing.assert_allclose(gain, np.abs(uv).max(axis=1) / 32767, rtol=1e-6)
        assert np.abs(store.signal_TC[rows]).max(axis=0).tolist() == [32767] * 3
        np.testing.assert_allclose(store.mean_RC[number], uv.mean(axis=1), atol=1e-4)
        np.testing.assert_allclose(store.sd_RC[number], uv.std(axis=1), rtol=1e-5)


def test_pieces_events_and_recordings_are_all_there(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    assert store.pieces.values.tolist() == [
        [0, 0.0, 0, 500],
        [1, 0.0, 500, 640],
        [1, 100.0, 1140, 333],
        [2, 0.0, 1473, 628],
        [3, 0.0, 2101, 692],
    ]
    assert store.signal_TC.shape == (2793, 3)
    assert store.events.values.tolist() == [[1, 2.0, 4.0, "seiz"], [3, 2.0, 4.0, "seiz"]]
    table = store.recordings
    assert table["recording"].tolist() == ["r0", "r1", "r2", "r3"]
    assert table["subject"].tolist() == ["s0", "s1", "s2", "s3"]
    assert table["duration_s"].tolist() == [n / SFREQ for n in (500, 973, 628, 692)]
    assert table["rail_samples"].tolist() == [5] * 4
    assert json.loads(table["metadata"][0]) == {"sex": "F"}
    assert (store.sfreq, store.ch_names, store.classes) == (SFREQ, NAMES, ("bckg", "seiz"))
    assert "4 of 4 recordings used, 4 subjects, 2 seizures" in data_report(store)


def test_a_skipped_recording_is_counted_and_leaves_no_hole(tmp_path, root):
    corpus = Fake(tmp_path / "data", skip={"r1": "no_montage", "r0": "too_short"})
    store = prepare(corpus, CONFIG, root, n_jobs=2)
    assert store.recordings["skipped"].tolist() == ["too_short", "no_montage", "", ""]
    assert store.recordings["number"].fillna(-1).tolist() == [-1, -1, 0, 1]
    assert store.pieces["recording"].tolist() == [0, 1]
    assert store.events.values.tolist() == [[1, 2.0, 4.0, "seiz"]]  # r3 has become number 1
    assert len(store.gain_RC) == 2
    report = data_report(store)
    assert "2 of 4 recordings used" in report
    assert "skipped 1 (no_montage): r1 is odd" in report


def test_when_all_are_skipped_the_error_says_why(tmp_path, root):
    corpus = Fake(tmp_path / "data", n=3, skip={"r0": "no_montage", "r1": "no_montage", "r2": "too_short"})
    with pytest.raises(DataError, match="none of 3 .*2 no_montage, 1 too_short.*r0 is odd") as caught:
        prepare(corpus, CONFIG, root)
    assert caught.value.reason == "nothing_usable"
    assert list(root.iterdir()) == []


def test_the_second_call_reads_nothing(corpus, root):
    first = prepare(corpus, CONFIG, root, n_jobs=1)
    assert sorted(corpus.reads) == ["r0", "r1", "r2", "r3"]
    before = folder_bytes(first.path)
    corpus.reads.clear()
    second = prepare(corpus, CONFIG, root, n_jobs=1)
    assert corpus.reads == []
    assert second.path == first.path
    assert folder_bytes(second.path) == before


def test_the_number_of_jobs_changes_no_byte(corpus, tmp_path):
    one = prepare(corpus, CONFIG, tmp_path / "one", n_jobs=1)
    two = prepare(corpus, CONFIG, tmp_path / "two", n_jobs=2)
    assert one.path.name == two.path.name
    assert folder_bytes(one.path) == folder_bytes(two.path)


def test_the_bytes_on_disk_are_the_recorded_ones(corpus, root):
    """Where this fails and the change is meant: raise ``VERSION`` and record the numbers anew."""
    config = SignalConfig(l_freq=1.0, h_freq=30.0, sfreq=80.0)
    store = prepare(corpus, config, root, n_jobs=1)
    assert store_module.VERSION == 2
    assert store.signal_TC.shape == (3492, 3)
    found = np.asarray(store.signal_TC[[300, 1000, 2500, 3400]], dtype=int)
    assert np.abs(found - np.array(GOLDEN)).max() <= 1, found.tolist()
    np.testing.assert_allclose(store.sd_RC[3], GOLDEN_SD, rtol=1e-4)


OTHER = {
    "l_freq": 0.5,
    "h_freq": 20.0,
    "notch_hz": 25.0,
    "sfreq": 100.0,
    "phase": "causal",
    "clip_uv": 99.0,
    "normalize": "train",
    "montage": "bipolar18",
}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(SignalConfig)])
def test_the_key_changes_with_every_setting_that_is_stored(corpus, name):
    refs = corpus.recordings()
    before = store_digest(corpus, refs, CONFIG)
    after = store_digest(corpus, refs, dataclasses.replace(CONFIG, **{name: OTHER[name]}))
    assert (before != after) == (name != "normalize")


def test_the_key_changes_with_the_files_and_not_with_where_they_lie(corpus, tmp_path):
    keys = [store_digest(corpus, corpus.recordings(), CONFIG)]
    elsewhere = Fake(tmp_path / "elsewhere")
    assert store_digest(elsewhere, elsewhere.recordings(), CONFIG) == keys[0]

    def note():
        keys.append(store_digest(corpus, corpus.recordings(), CONFIG))

    (corpus.root / "r2.edf").write_text("R2")  # same size, other content
    note()
    (corpus.root / "r2.edf").write_text("r2 and more")
    note()
    corpus.classes = ("bckg", "other")
    note()
    corpus.ch_names = ("A", "C", "B")
    note()
    corpus.name = "fake2"
    note()
    corpus.signals = dict(list(corpus.signals.items())[:-1])
    note()
    assert len(set(keys)) == len(keys)


def test_the_key_changes_with_a_persons_name_and_with_the_annotations(corpus):
    refs = corpus.recordings()
    note = corpus.root / "r0.seizures"
    note.write_text("none")
    keys = [store_digest(corpus, refs, CONFIG)]
    refs[0] = dataclasses.replace(refs[0], subject="s1")
    keys.append(store_digest(corpus, refs, CONFIG))
    refs[0] = dataclasses.replace(refs[0], files=(note,))
    keys.append(store_digest(corpus, refs, CONFIG))
    note.write_text("one!")
    keys.append(store_digest(corpus, refs, CONFIG))
    assert len(set(keys)) == 4


@pytest.mark.parametrize("size", [0, 10, 65536, 70000, 131072, 131073, 500000])
def test_a_change_at_either_end_of_a_file_is_noticed(tmp_path, size):
    path = tmp_path / "x.edf"
    body = bytearray(np.random.default_rng(0).bytes(size))
    path.write_bytes(body)
    first = fingerprint(path)
    assert fingerprint(path) == first == ["x.edf", size, first[2]]
    path.write_bytes(body + b"x")
    assert fingerprint(path) != first
    for place in [0, size - 1] if size else []:
        changed = bytearray(body)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert fingerprint(path) != first


@pytest.mark.parametrize("error", [ValueError("boom"), CorpusError("bad")])
def test_a_build_that_stops_half_way_leaves_nothing(corpus, root, error):
    read = corpus.read

    def broken(ref):
        if ref.recording == "r2":
            raise error
        return read(ref)

    corpus.read = broken
    expected = type(error)
    with pytest.raises(expected):
        prepare(corpus, CONFIG, root, n_jobs=1)
    assert list(root.iterdir()) == []
    corpus.read = read
    assert len(prepare(corpus, CONFIG, root, n_jobs=1).recordings) == 4


def stopped_at(corpus, root, name, error):
    """A build that ends in front of one recording."""
    read = corpus.read

    def broken(ref):
        if ref.recording == name:
            raise error
        return read(ref)

    corpus.read = broken
    with pytest.raises(type(error)):
        prepare(corpus, CONFIG, root, n_jobs=1)
    corpus.read = read
    corpus.reads.clear()


def test_a_store_that_will_not_fit_is_told_after_its_first_recordings_and_goes_on_later(
    corpus, root, monkeypatch
):
    usage = shutil.disk_usage(root.parent)
    free = [10**9, 100, *[10**9] * 10]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free.pop(0)))
    with pytest.raises(MachineError, match="needs about 0.0 GB more and 0.0 GB are free") as told:
        prepare(corpus, CONFIG, root, n_jobs=1)
    assert told.value.reason == "disk_too_small"
    corpus.reads.clear()
    prepare(corpus, CONFIG, root, n_jobs=1)
    assert corpus.reads == ["r2", "r3"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_a_build_that_is_stopped_goes_on_where_it_was_and_ends_with_the_same_bytes(corpus, root, error):
    whole = folder_bytes(prepare(Fake(corpus.root), CONFIG, root.parent / "whole", n_jobs=1).path)
    stopped_at(corpus, root, "r2", error)
    assert [p.name[:14] for p in root.iterdir()] == [".building-fake"]
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    assert corpus.reads == ["r2", "r3"]
    assert folder_bytes(store.path) == whole
    assert list(root.iterdir()) == [store.path]


def left_half(corpus, root):
    stopped_at(corpus, root, "r3", KeyboardInterrupt())
    (half,) = root.glob(".building-*")
    return half


@pytest.mark.parametrize(
    "damage, read_again",
    [
        (lambda half: (half / "signal.i16").write_bytes((half / "signal.i16").read_bytes()[:-1]), ["r2"]),
        (lambda half: (half / "signal.i16").write_bytes(b"\1" + (half / "signal.i16").read_bytes()[1:]), 3),
        (lambda half: (half / "signal.i16").unlink(), 3),
        (lambda half: (half / "progress.jsonl").open("a").write('12 {"half a li'), []),
        (lambda half: (half / "progress.jsonl").write_text(""), 3),
        (lambda half: (half / "signal.i16").open("ab").write(b"more than was noted"), []),
    ],
)
def test_what_is_damaged_of_a_half_store_is_made_again(corpus, root, damage, read_again):
    whole = folder_bytes(prepare(Fake(corpus.root), CONFIG, root.parent / "whole", n_jobs=1).path)
    damage(left_half(corpus, root))
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    again = ["r0", "r1", "r2"] if read_again == 3 else read_again
    assert corpus.reads == [*again, "r3"]
    assert folder_bytes(store.path) == whole


def test_a_live_build_of_another_host_is_waited_for_and_never_deleted(corpus, root, monkeypatch, capsys):
    half = left_half(corpus, root)
    lock = half.with_name(f"{half.name}.lock")
    owner = dataclasses.replace(Owner.me(), host="elsewhere", machine="0" * 8, pid=7)
    lock.write_text(json.dumps(dataclasses.asdict(owner)))
    polls = []
    monkeypatch.setattr(locks, "QUIET_S", 0.0)

    def sleep(seconds):
        polls.append(seconds)
        assert (half / "progress.jsonl").exists()
        if len(polls) == 3:
            lock.unlink()  # it was stopped there

    monkeypatch.setattr(locks.time, "sleep", sleep)
    assert len(prepare(corpus, CONFIG, root, n_jobs=1).recordings) == 4
    said = capsys.readouterr().out
    assert len(polls) == 3 and "is held by elsewhere (process 7" in said and said.count("\n") == 1


def test_every_flipped_bit_of_a_store_is_told_and_a_whole_one_opens(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    path, rng = store.path, np.random.default_rng(0)
    del store
    for file in sorted(path.iterdir()):
        good = file.read_bytes()
        for bit in rng.integers(0, 8 * len(good), 12):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            file.write_bytes(bad)
            with pytest.raises(DataError, match="store_damaged|Delete the folder") as caught:
                open_store(path)
            assert caught.value.reason in ("store_damaged", "damaged_file") and "\n" not in str(caught.value)
            with pytest.raises(DataError):
                verify(path)
        file.write_bytes(good)
    assert "8 other files are as written" in verify(path)
    open_store(path)


def test_measurements_that_changed_are_told_and_deleted_ones_are_no_damage(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    file = store.path / "measures-0123456789abcdef.parquet"
    write_atomic(file, b"as measured")
    sign(store.path, [file.name])
    file.write_bytes(b"as changed")
    with pytest.raises(DataError, match="Delete this file; it is made again"):
        verify(store.path)
    file.unlink()
    assert "are as written" in verify(store.path)


def test_a_large_signal_is_read_by_verify_alone(corpus, root, monkeypatch):
    path = prepare(corpus, CONFIG, root, n_jobs=1).path
    signal = path / "signal.i16"
    signal.write_bytes(signal.read_bytes()[:-1] + b"\7")
    monkeypatch.setattr(verifying, "CHEAP", 100)
    open_store(path)
    with pytest.raises(DataError, match=r"signal.i16: changed .* bytes 0 to 16,758 differs"):
        verify(path)


def test_a_store_of_the_first_version_opens_and_may_be_given_digests(corpus, root):
    path = prepare(corpus, CONFIG, root, n_jobs=1).path
    manifest = json.loads((path / "manifest.json").read_text())
    old = {k: v for k, v in manifest.items() if k not in ("files", "signal", "sha256")}
    (path / "manifest.json").write_text(json.dumps(old, indent=1))
    open_store(path)
    assert "cannot be known" in verify(path) and "verify=add" in verify(path)
    assert json.loads((path / "manifest.json").read_text()) == old
    assert "are noted" in verify(path, add=True)
    assert json.loads((path / "manifest.json").read_text()) == manifest


def test_a_folder_without_a_manifest_is_no_store_and_is_replaced(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    whole = folder_bytes(store.path)
    (store.path / "manifest.json").unlink()
    again = prepare(corpus, CONFIG, root, n_jobs=1)
    assert folder_bytes(again.path) == whole
    assert [p.name for p in root.iterdir()] == [store.path.name]


def test_when_another_process_was_faster_its_store_is_used(corpus, root, monkeypatch):
    other = Fake(corpus.root)
    progress_calls = []

    def progress(items, total, text):
        progress_calls.append((total, text))
        yield from items
        prepare(other, CONFIG, root.parent / "other", n_jobs=1)
        (root.parent / "other").glob("fake-*").__next__().rename(root / store_name)

    store_name = f"fake-{store_digest(corpus, corpus.recordings(), CONFIG)[:8]}"
    store = prepare(corpus, CONFIG, root, n_jobs=1, progress=progress)
    assert store.path.name == store_name
    assert len(store.recordings) == 4
    assert [p.name for p in root.iterdir()] == [store_name]
    assert progress_calls == [(4, "preparing recordings")]


@pytest.mark.parametrize("change", [b"", b"x"])
def test_a_signal_file_of_another_size_is_refused(corpus, root, change):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    path = store.path / "signal.i16"
    del store
    path.write_bytes(path.read_bytes()[:-1] if not change else path.read_bytes() + change)
    with pytest.raises(DataError, match="signal.i16.*bytes.*Delete the folder") as caught:
        prepare(corpus, CONFIG, root, n_jobs=1)
    assert caught.value.reason == "store_damaged"
    with pytest.raises(DataError):
        open_store(path.parent)


def test_leavings_of_a_dead_process_are_removed_and_of_a_living_one_kept(corpus, root):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    dead = root / f".building-fake-00000000-{child.pid}"
    alive = root / f".building-fake-00000000-{os.getppid()}"
    young = root / f".building-fake-00000001-{child.pid}"  # of another host, for all we know
    for folder in (dead, alive, young):
        folder.mkdir(parents=True)
        (folder / "signal.i16").write_bytes(b"half")
    for folder in (dead, alive):
        for path in (folder / "signal.i16", folder):
            os.utime(path, (time.time() - 7200,) * 2)
    prepare(corpus, CONFIG, root, n_jobs=1)
    assert not dead.exists()
    assert alive.exists() and young.exists()


def test_leavings_under_our_own_process_number_are_ours_to_remove(corpus, root):
    # In a container every start has the same number.
    name = f"fake-{store_digest(corpus, corpus.recordings(), CONFIG)[:8]}"
    left = root / f".building-{name}-{os.getpid()}"
    left.mkdir(parents=True)
    (left / "signal.i16").write_bytes(b"half")
    for path in (left / "signal.i16", left):
        os.utime(path, (time.time() - 7200,) * 2)
    assert len(prepare(corpus, CONFIG, root, n_jobs=1).recordings) == 4
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_one_line(corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="store.root"):
        prepare(corpus, CONFIG, tmp_path / "file" / "store", n_jobs=1)


def test_the_signal_cannot_be_changed_by_accident(corpus, root):
    with pytest.raises(ValueError):
        prepare(corpus, CONFIG, root, n_jobs=1).signal_TC[0, 0] = 1


def test_loud_flat_and_clipped_stretches_are_counted(tmp_path, root):
    corpus = Fake(tmp_path / "data", n=1)
    x = np.random.default_rng(0).standard_normal((3, 640)).astype(np.float32)
    x[0, 100] = 700  # one loud sample in second 1; at most 600 is let through
    x[0, 300:310] = -550  # second 4
    x[2] = 3.0
    corpus.signals["r0"] = [x]
    config = dataclasses.replace(CONFIG, clip_uv=600.0)
    row = prepare(corpus, config, root, n_jobs=1).recordings.iloc[0]
    assert (row["loud_seconds"], row["flat_channels"], row["clipped_samples"]) == (2, 1, 1)


# --- normalisation, applied when a batch is made


def index_of(store):
    return cut(store.pieces, store.events, store.classes, store.sfreq, WindowConfig(seizure_overlap=0.75))


def by_hand(corpus, windows, row, mean, sd):
    """A window taken straight from the cleaned recording, normalised with the given statistics."""
    name = f"r{windows['recording'][row]}"
    ahead = {0: 0, 1: 500, 2: 1473, 3: 2101}[windows["recording"][row]]
    at = windows["first"][row] - ahead
    return (clean_uv(corpus, name)[:, at : at + 64] - mean[:, None]) / sd[:, None]


def test_recording_means_z_scores_over_the_whole_recording(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    source = WindowSource(store, windows, View(64), "recording")
    rows = np.array([len(windows) - 1, 0, 9, 20, 9])
    batch = source.batch(rows)
    assert batch.row_B.tolist() == rows.tolist()
    assert batch.label_B.tolist() == windows["label"][rows].tolist()
    for got, row in zip(batch.eeg_BCT.numpy(), rows, strict=True):
        uv = clean_uv(corpus, f"r{windows['recording'][row]}")
        expected = by_hand(corpus, windows, row, uv.mean(axis=1), uv.std(axis=1))
        np.testing.assert_allclose(got, expected, atol=2e-4)


@pytest.mark.parametrize("view", [View(64), View(64, 32, 16)])
def test_a_batch_is_the_same_from_a_signal_that_lies_on_the_device(corpus, root, view, monkeypatch):
    """A CPU stands for the GPU; sent in pieces."""
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows, rows = index_of(store), np.array([5, 0, 17])
    sources = [WindowSource(store, windows, view, "recording") for _ in range(2)]
    monkeypatch.setattr(loaders, "PIECE", 500)
    sources[1].reside(torch.device("cpu"))
    assert [source.resident for source in sources] == [False, True]
    assert torch.equal(sources[0].batch(rows).eeg_BCT, sources[1].batch(rows).eeg_BCT)


def test_on_a_cpu_the_signal_stays_where_it_is(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    source = WindowSource(store, index_of(store), View(64), "recording")
    for wanted in ("auto", "cpu"):
        source.settle(wanted, torch.device("cpu"))
    assert not source.resident
    with pytest.raises(ConfigError, match="store.device=cuda, but training is on a CPU"):
        source.settle("cuda", torch.device("cpu"))


class Asked:
    """What a mapped file is asked for: (advice, first byte, bytes)."""

    def __init__(self, mapped: mmap.mmap):
        self.mapped, self.calls = mapped, []

    def madvise(self, *call: int) -> None:
        self.mapped.madvise(*call)
        self.calls.append(call)


@pytest.mark.parametrize("view", [View(64), View(64, 32, 16)])
def test_of_a_large_signal_the_disk_is_asked_for_whole_windows_and_the_batch_is_the_same(
    corpus, root, view, monkeypatch
):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    rows = np.array([len(windows) - 1, 0, 17])
    small, large = (WindowSource(store, windows, view, "recording") for _ in range(2))
    small.settle("auto", torch.device("cpu"))
    assert small.mapped is None
    monkeypatch.setattr(loaders, "LARGE", 0)
    large.settle("auto", torch.device("cpu"))
    large.mapped = asked = Asked(large.mapped)
    assert torch.equal(small.batch(rows).eeg_BCT, large.batch(rows).eeg_BCT)
    sample = 2 * store.signal_TC.shape[1]
    for row, (advice, first, size) in zip(rows, asked.calls, strict=True):
        assert (advice, first % mmap.PAGESIZE) == (mmap.MADV_WILLNEED, 0)
        assert first <= max(0, windows["first"][row] - view.before) * sample
        assert first + size >= (windows["first"][row] + view.length + view.after) * sample


def test_microvolts_are_as_filtered(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    rows = np.array([3, 14, 25])
    got = WindowSource(store, windows, View(64), "recording").microvolts(rows)
    assert got.dtype == np.float32 and got.flags.c_contiguous
    for mine, row in zip(got, rows, strict=True):
        np.testing.assert_allclose(mine, by_hand(corpus, windows, row, np.zeros(3), np.ones(3)), atol=5e-3)


def test_train_means_statistics_of_the_training_recordings_weighted_by_their_windows(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    fit = np.flatnonzero(windows["recording"].isin([0, 2]))[3:]  # three windows of r0 are not used
    uv = {i: clean_uv(corpus, f"r{i}").astype(np.float64) for i in (0, 2)}
    weight = {i: (windows["recording"][fit] == i).mean() for i in (0, 2)}
    mean = sum(weight[i] * uv[i].mean(axis=1) for i in (0, 2))
    variance = sum(weight[i] * (uv[i] ** 2).mean(axis=1) for i in (0, 2)) - mean**2
    source = WindowSource(store, windows, View(64), "train", fit)
    rows = np.array([0, 10, 30])
    for got, row in zip(source.batch(rows).eeg_BCT.numpy(), rows, strict=True):
        np.testing.assert_allclose(
            got, by_hand(corpus, windows, row, mean, np.sqrt(variance)), atol=1e-3, rtol=1e-3
        )


def test_train_statistics_do_not_see_test_recordings(corpus, root):
    changed = Fake(corpus.root)
    changed.signals["r3"] = [5 * x + 100 for x in changed.signals["r3"]]
    sources = []
    for data, folder in ((corpus, root / "a"), (changed, root / "b")):
        store = prepare(data, CONFIG, folder, n_jobs=1)
        windows = index_of(store)
        fit = np.flatnonzero(windows["recording"] != 3)
        sources.append(WindowSource(store, windows, View(64), "train", fit))
    a, b = sources
    assert np.array_equal(a.mean, b.mean) and np.array_equal(a.sd, b.sd)
    train = np.flatnonzero(windows["recording"] != 3)
    assert np.array_equal(a.batch(train).eeg_BCT, b.batch(train).eeg_BCT)
    test = np.flatnonzero(windows["recording"] == 3)
    assert not np.array_equal(a.batch(test).eeg_BCT, b.batch(test).eeg_BCT)


def test_running_means_the_last_minute_up_to_the_windows_end(tmp_path, root):
    corpus = Fake(tmp_path / "data", n=1)
    rng = np.random.default_rng(0)
    x = 30 * rng.standard_normal((3, 64 * 100)).astype(np.float32)
    x[:, 64 * 30 :] *= 4
    corpus.signals["r0"] = [x]
    config = dataclasses.replace(CONFIG, clip_uv=1e6)
    store = prepare(corpus, config, root, n_jobs=1)
    windows = index_of(store)
    uv = clean_uv(corpus, "r0", config).astype(np.float64)
    source = WindowSource(store, windows, View(64), "running")
    got = source.batch(np.arange(len(windows))).eeg_BCT.numpy()
    for row, first in enumerate(windows["first"]):
        past = uv[:, max(0, first + 64 - 60 * 64) : first + 64]
        window = uv[:, first : first + 64]
        expected = (window - past.mean(axis=1, keepdims=True)) / past.std(axis=1, keepdims=True)
        np.testing.assert_allclose(got[row], expected, atol=2e-3)


def test_running_looks_only_back_and_stays_in_its_recording(corpus, root):
    changed = Fake(corpus.root)
    changed.signals["r1"] = [x.copy() for x in changed.signals["r1"]]
    changed.signals["r1"][1][:, 100:] *= -3  # the second piece of r1, from its sample 100 on
    config = dataclasses.replace(CONFIG, phase="causal", l_freq=0.5)  # nothing looks ahead
    out = []
    for data, folder in ((corpus, root / "a"), (changed, root / "b")):
        store = prepare(data, config, folder, n_jobs=1)
        windows = index_of(store)
        out.append(
            WindowSource(store, windows, View(64), "running").batch(np.arange(len(windows))).eeg_BCT.numpy()
        )
    end = windows["first"] + 64
    before = ((end <= 1140 + 100) | (windows["first"] >= 1473)).to_numpy()
    # int16 steps depend on the loudest sample of the recording: equal up to them, not to the bit
    np.testing.assert_allclose(out[0][before], out[1][before], atol=1e-3)
    assert np.abs(out[0][~before] - out[1][~before]).max(axis=(1, 2)).min() > 0.05


def test_time_in_a_gap_does_not_exist_for_running_statistics(corpus, root):
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    row = windows.index[(windows["recording"] == 1) & (windows["start_s"] == 100)][0]
    uv = clean_uv(corpus, "r1").astype(np.float64)[:, : 640 + 64]  # ten seconds before the gap, one after
    source = WindowSource(store, windows, View(64), "running")
    np.testing.assert_allclose(source.mean[row], uv.mean(axis=1), atol=1e-2)
    np.testing.assert_allclose(source.sd[row], uv.std(axis=1), rtol=1e-3)


@pytest.mark.parametrize("normalize", ["recording", "train", "running"])
def test_a_flat_channel_becomes_zero_whatever_the_normalisation(tmp_path, root, normalize):
    corpus = Fake(tmp_path / "data", n=2)
    for pieces in corpus.signals.values():
        for x in pieces:
            x[1] = 0.02 * x[1] / np.abs(x[1]).max() + 7  # far below any electrode
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    source = WindowSource(store, windows, View(64), normalize, np.arange(len(windows)))
    eeg = source.batch(np.arange(len(windows))).eeg_BCT
    assert (eeg[:, 1] == 0).all()
    assert eeg[:, 0].std() > 0.5


def test_a_dead_recording_is_all_zeros_and_no_error(tmp_path, root):
    corpus = Fake(tmp_path / "data", n=1)
    corpus.signals["r0"] = [np.zeros((3, 640), np.float32)]
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    windows = index_of(store)
    assert (WindowSource(store, windows, View(64), "recording").batch(np.arange(3)).eeg_BCT == 0).all()


def test_the_order_of_an_epoch_follows_from_seed_and_epoch_alone():
    rows = np.arange(50) * 3
    orders = {(s, e): epoch_order(rows, s, e).tolist() for s in (0, 1) for e in (0, 1)}
    assert orders[0, 1] == epoch_order(rows, 0, 1).tolist()
    assert len({tuple(o) for o in orders.values()}) == 4
    assert all(sorted(o) == rows.tolist() for o in orders.values())


def test_a_recording_without_events_still_gives_typed_tables(tmp_path, root):
    corpus = Fake(tmp_path / "data", n=1)
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    assert len(store.events) == 0
    assert pd.api.types.is_integer_dtype(store.events["recording"])
    assert (index_of(store)["label"] == 0).all()


def test_files_that_the_corpus_lists_and_the_disk_lacks_stand_in_the_data_report(corpus, root):
    corpus.missing = ("gone_01.edf", "gone_02.edf")
    store = prepare(corpus, CONFIG, root, n_jobs=1)
    assert "2 listed files are not on disk, the first: gone_01.edf" in data_report(store)


# -------------------------------------------------------- excluded time, filled channels, joblib backends


class Odd(Fake):
    """The second recording lacks channel B and has two seconds that are neither."""

    options = {"consensus": "unanimous"}

    def read(self, ref):
        recording = super().read(ref)
        if ref.recording != "r1":
            return recording
        pieces = [Piece(p.start_s, p.eeg_CT * np.float32([[1], [0], [1]])) for p in recording.pieces]
        stretch = (Event(5.0, 7.0, "disagreement"),)
        return dataclasses.replace(recording, pieces=tuple(pieces), filled=("B",), excluded=stretch)


def test_excluded_time_and_filled_channels_are_kept_and_reported(tmp_path, root):
    store = prepare(Odd(tmp_path / "data"), CONFIG, root, n_jobs=1)
    assert store.excluded.values.tolist() == [[1, 5.0, 7.0, "disagreement"]]
    assert store.filled_RC.tolist() == [[False] * 3, [False, True, False], [False] * 3, [False] * 3]
    report = data_report(store)
    assert "excluded, neither seizure nor background: disagreement 2 s" in report
    assert "1 recordings with filled channels, 1 channels in all" in report


@pytest.mark.parametrize("normalize", ["recording", "running", "train"])
def test_a_channel_the_file_lacks_is_zero_whatever_the_normalisation(tmp_path, root, normalize):
    store = prepare(Odd(tmp_path / "data"), CONFIG, root, n_jobs=1)
    windows = cut(store.pieces, store.events, store.classes, store.sfreq, WindowConfig())
    rows = np.flatnonzero(windows["recording"] == 1)
    source = WindowSource(store, windows, View(64), normalize, np.arange(len(windows)))
    eeg = source.batch(rows).eeg_BCT.numpy()
    assert (eeg[:, 1] == 0).all() and (eeg[:, [0, 2]].std(axis=-1) > 0.3).all()


def test_training_statistics_leave_out_what_was_not_recorded(tmp_path, root):
    store = prepare(Odd(tmp_path / "data"), CONFIG, root, n_jobs=1)
    windows = cut(store.pieces, store.events, store.classes, store.sfreq, WindowConfig())
    rows = np.flatnonzero(windows["recording"] == 0)
    alone = WindowSource(store, windows, View(64), "train", rows)
    both = WindowSource(store, windows, View(64), "train", np.flatnonzero(windows["recording"] <= 1))
    assert both.sd[0, 1] == pytest.approx(alone.sd[0, 1]) and both.sd[0, 0] != pytest.approx(alone.sd[0, 0])


def test_an_option_that_changes_labels_is_part_of_the_key(tmp_path):
    corpus = Odd(tmp_path / "data")
    before = store_digest(corpus, corpus.recordings(), CONFIG)
    corpus.options = {"consensus": "any"}
    assert store_digest(corpus, corpus.recordings(), CONFIG) != before


def test_another_joblib_backend_may_take_over_and_the_bytes_are_the_same(corpus, tmp_path):
    by_threads = prepare(corpus, CONFIG, tmp_path / "a", n_jobs=2).path
    with joblib.parallel_config(backend="loky", n_jobs=2):
        by_processes = prepare(corpus, CONFIG, tmp_path / "b", n_jobs=None).path
    assert len(corpus.reads) == 4, "the second time, other processes read"
    assert folder_bytes(by_threads) == folder_bytes(by_processes)
