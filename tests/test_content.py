"""Copies of a signal are found whatever their name, header, gain or start; and nothing else is."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import signal
from tools import SHARED, needs_shared, one_run

from distilclip_eeg.corpora.edf.montage import CHBMIT_18, STANDARD_19, Montage
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.invented.layouts.edf import Header, edf_bytes, signal_of
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.schema import DataError, Piece, Recording, RecordingRef
from distilclip_eeg.signals import audit, content
from distilclip_eeg.signals.content import ENTRY, FILES, find_copies, fingerprints
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.training.data import load_data

RATE = 256


def eeg(seconds, seed, n_chans=19):
    """Microvolts (C, T) with the spectrum of EEG: much slow, some fast."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_chans, seconds * RATE)) * 8
    return signal.lfilter([1], [1, -0.97], noise)


def recording(uv, *, name="r", names=None, filled=(), sfreq=RATE, step_uv=0.1):
    """As a file with steps of ``step_uv`` gives it; ``uv`` is one piece or several."""
    pieces = uv if isinstance(uv, list) else [uv]
    volts = [(np.rint(p / step_uv) * step_uv * 1e-6).astype(np.float32) for p in pieces]
    names = names or tuple(f"C{k}" for k in range(len(volts[0])))
    return Recording(
        ref=RecordingRef(name, name, Path(name)),
        sfreq=sfreq,
        ch_names=names,
        pieces=tuple(Piece(1000.0 * k, p) for k, p in enumerate(volts)),
        events=(),
        filled=filled,
    )


def copies_of(*recordings):
    """Pairs among recordings, as (first, second, by what, whole)."""
    found = [fingerprints(r) for r in recordings]
    for k, entries in enumerate(found):
        for kind in entries:
            kind["recording"] = k
    table = find_copies(*(np.concatenate(kind) for kind in zip(*found, strict=True)))
    return [(row.recording, row.other, row.equal, row.whole) for row in table.itertuples()]


X = eeg(120, 0)


@pytest.mark.parametrize(
    "other, how",
    [
        (X, "seconds"),
        (0.37 * X, "anchors"),
        (-1 * (-2.5 * X), "anchors"),
        (X + 300.0, "anchors"),  # another offset
        (X[:, 1:], "anchors"),
        (X[:, 37:], "anchors"),
        (X[:, 5 * RATE :], "seconds"),  # cut at a whole second
        (X[:, 40 * RATE + 11 : 70 * RATE], "anchors"),  # 30 s out of its middle
        (0.5 * X[:, 1234:], "anchors"),  # quieter, and later
    ],
)
def test_a_copy_is_found_whatever_its_gain_offset_or_start(other, how):
    assert copies_of(recording(X), recording(eeg(120, 1)), recording(other)) == [(0, 2, how, True)]


def test_two_different_recordings_of_one_person_share_nothing():
    common = eeg(120, 9)  # the same background in both, as loud as what is their own
    assert copies_of(recording(common + eeg(120, 1)), recording(common + eeg(120, 2))) == []


def test_two_files_that_overlap_by_a_minute_share_a_stretch_and_are_not_one_signal():
    long = eeg(1200, 3, 2)
    halves = long[:, : 630 * RATE], long[:, 570 * RATE :]
    assert copies_of(*map(recording, halves)) == [(0, 1, "seconds", False)]
    shifted = long[:, : 630 * RATE], long[:, 570 * RATE + 7 :]
    assert copies_of(*map(recording, shifted)) == [(0, 1, "anchors", False)]


CLOCK = np.arange(60 * RATE) / RATE
SQUARE = 50.0 * np.sign(np.sin(2 * np.pi * CLOCK + 0.1))


@pytest.mark.parametrize(
    "shared",
    [
        np.zeros((4, 60 * RATE)),
        np.full((4, 60 * RATE), 123.4),
        np.tile(SQUARE, (4, 1)),
        np.tile(100 * np.sin(2 * np.pi * 10 * CLOCK), (4, 1)),  # a calibration, alike in all channels
    ],
    ids=["zero", "constant", "square", "sine"],
)
def test_flat_stretches_and_calibrations_are_nobody_s_copy(shared):
    """A minute that is the same in both, before two minutes that are not."""
    pair = [recording(np.concatenate([shared, eeg(120, seed, 4)], axis=1)) for seed in (1, 2)]
    assert copies_of(*pair) == []


def test_channels_that_the_file_lacked_do_not_make_a_match():
    names = ("A", "B", "C")
    half = np.zeros((2, 60 * RATE))
    lacking = [
        recording(np.vstack([half, eeg(60, seed, 1)]), names=names, filled=("A", "B")) for seed in (1, 2)
    ]
    assert copies_of(*lacking) == []
    same = recording(np.vstack([half, eeg(60, 1, 1)]), names=names, filled=("A", "B"))
    assert copies_of(lacking[0], same) == [(0, 1, "seconds", True)]


def test_a_recording_of_two_seconds_must_be_equal_whole():
    assert copies_of(recording(X[:, : 2 * RATE]), recording(X)) == [(0, 1, "seconds", True)]
    part = np.concatenate([X[:, :RATE], eeg(1, 5)], axis=1)
    assert copies_of(recording(part), recording(X)) == []


def test_copies_of_copies_are_one_family_and_gaps_do_not_hide_them():
    three = [recording([X[:, : 40 * RATE], X[:, 50 * RATE :]]), recording(X), recording(2 * X)]
    found = [fingerprints(r) for r in three]
    for k, entries in enumerate(found):
        for kind in entries:
            kind["recording"] = k
    table = find_copies(*(np.concatenate(kind) for kind in zip(*found, strict=True)))
    assert content.families(table) == [[0, 1, 2]]


def test_half_a_million_entries_without_a_copy_are_sorted_in_seconds_and_give_none():
    rng = np.random.default_rng(0)
    entries = np.zeros(500_000, ENTRY)
    entries["hash"] = rng.integers(0, 1 << 24, len(entries))  # chance matches in plenty
    entries["recording"], entries["at"] = np.divmod(np.arange(len(entries)), 900)
    assert find_copies(entries, entries).empty


def test_an_hour_costs_less_than_two_hundred_kilobytes():
    seconds, anchors = fingerprints(recording(eeg(600, 0, 19)))
    assert len(seconds) == 600 and (seconds.nbytes + anchors.nbytes) * 6 < 200_000


# --------------------------------------------------------------------------------------- a whole run


def write(path, uv, *, gain=1.0, header=None, unit="uV", record_s=1):
    scale = {"uV": 1.0, "mV": 1e-3}[unit]
    ends = (-3276.8 * scale, 3276.7 * scale)
    signals = [
        signal_of(name, row * gain * scale, RATE, physical_range=ends, unit=unit)
        for name, row in zip(STANDARD_19, uv, strict=True)
    ]
    path.write_bytes(edf_bytes(signals, header=header or Header(), record_s=record_s))


@pytest.fixture(scope="module")
def people():
    return [eeg(40, seed) for seed in range(4)]


def corpus(root, people, extra=None):
    """Four people with a seizure each, and what ``extra`` writes as a fifth's recording."""
    root.mkdir()
    rows = ["recording,onset,duration,label,subject"]
    for k, uv in enumerate(people):
        write(root / f"p{k}.edf", uv)
        rows.append(f"p{k}.edf,10,20,sz,s{k}")
    if extra:
        name, subject = extra(root)
        rows.append(f"{name},10,20,sz,{subject}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def settings(root, *words):
    asked = ["dataset=folder", f"dataset.root={root}", f"store.root={root}-store", "n_jobs=1"]
    return one_run([*asked, "model=logreg_bandpower", *(words or ["split=leave_one_subject_out"])]).data


def copied(root, uv):
    write(root / "q.edf", uv)
    return "q.edf", "s9"


def in_a_folder(root, uv):
    (root / "visit2").mkdir()
    write(root / "visit2" / "p1.edf", uv)
    return "visit2/p1.edf", "s9"


def reheaded(root, uv):
    header = Header("0007 F 01-JAN-1990 X", "Startdate 03-MAR-2003 X X X", "03.03.03", "10.11.12")
    write(root / "q.edf", uv, header=header, record_s=2)
    return "q.edf", "s9"


def louder(root, uv):
    write(root / "q.edf", uv, gain=1.7)
    return "q.edf", "s9"


def later(root, uv):
    write(root / "q.edf", np.roll(uv, -333, axis=1)[:, : 38 * RATE])
    return "q.edf", "s9"


def in_millivolts(root, uv):
    write(root / "q.edf", uv, unit="mV")
    return "q.edf", "s9"


COPIES = (copied, in_a_folder, reheaded, louder, later, in_millivolts)


@pytest.mark.parametrize("copy", COPIES, ids=[f.__name__ for f in COPIES])
def test_one_recording_under_two_persons_stops_the_run_and_both_are_named(tmp_path, people, copy):
    root = corpus(tmp_path / "c", people, lambda root: copy(root, people[1]))
    with pytest.raises(DataError) as caught:
        load_data(settings(root))
    message = str(caught.value)
    assert caught.value.reason == "same_signal" and "\n" not in message
    assert "p1" in message and ("q and" in message or "and q" in message or "visit2" in message)


def test_without_a_copy_nothing_is_said(tmp_path, people):
    data = load_data(settings(corpus(tmp_path / "c", people)))
    assert data.leak_note.endswith("subject 0 %") and "signal" not in data_report(data.store)


def test_a_copy_under_the_same_person_stays_on_one_side_and_is_told(tmp_path, people):
    def extra(root):
        return copied(root, people[1])[0], "s1"

    data = load_data(settings(corpus(tmp_path / "c", people, extra)))
    assert "1 pairs of recordings hold the same signal, the first: p1 and q (40 s are equal)" in data_report(
        data.store
    )
    assert "signal" not in data.leak_note


def test_random_windows_share_samples_by_their_nature_so_a_copy_is_told_and_not_stopped(tmp_path, people):
    root = corpus(tmp_path / "c", people, lambda root: copied(root, people[1]))
    note = load_data(settings(root, "split=window", "split.n_folds=2")).leak_note
    assert "1 pairs of recordings on two sides hold the same signal: p1, q" in note


def test_a_store_from_before_is_used_and_says_that_nobody_compared_it(tmp_path, people):
    root = corpus(tmp_path / "c", people, lambda root: copied(root, people[1]))
    with pytest.raises(DataError):
        load_data(settings(root))
    [store] = Path(f"{root}-store").iterdir()
    for name in (*FILES, content.COPIES):
        (store / name).unlink()
    manifest = read_json(store / "manifest.json")
    kept = {key: value for key, value in manifest.items() if key not in ("files", "signal", "sha256")}
    write_json(store / "manifest.json", kept)
    data = load_data(settings(root))
    assert "prepared before signals were compared" in data_report(data.store)


def test_a_part_that_two_recordings_may_share_is_told_in_the_note():
    folds = pd.DataFrame({"recording": [0, 1], "recording_name": ["a", "b"], "fold0": ["test", "train"]})
    row = {"recording": 0, "other": 1, "equal": "anchors", "n": 9, "share": 0.1, "whole": False}
    note = audit.check_copies(folds, pd.DataFrame([row]), "subject")
    assert note == "; 1 pairs of recordings on two sides share a part: a, b"
    assert audit.check_copies(folds.assign(fold0="train"), pd.DataFrame([row]), "subject") == ""
    with pytest.raises(DataError, match=r"a and b hold the same signal \(6 s are equal\)"):
        audit.check_copies(folds, pd.DataFrame([row | {"equal": "seconds", "n": 6}]), "subject")


@pytest.mark.shared
@needs_shared
def test_real_recordings_are_nobody_s_copy_and_chb21_is_not_chb01():
    """chb21 is the child of chb01, recorded a year and a half later."""
    montage = Montage("native", CHBMIT_18)
    paths = sorted(Path(SHARED).glob("data/chbmit*/chb*/*.edf"))
    assert {"chb01", "chb21"} <= {p.parent.name for p in paths} and len(paths) > 70
    found = []
    for number, path in enumerate(paths):
        eeg = read_eeg(path, montage)
        made = Recording(RecordingRef(path.stem, "", path), eeg.sfreq, CHBMIT_18, eeg.pieces, ())
        found.append(fingerprints(made))
        for kind in found[-1]:
            kind["recording"] = number
    assert find_copies(*(np.concatenate(kind) for kind in zip(*found, strict=True))).empty


# --------------------------------------------------------------------------------------- what is left


def test_a_corpus_without_a_seizure_is_refused_with_what_was_lost(tmp_path, people):
    root = corpus(tmp_path / "c", people)
    table = (root / "labels.csv").read_text().splitlines()
    table[2:] = [row.replace(",sz,", ",bckg,") for row in table[2:]]
    (root / "labels.csv").write_text("\n".join(table) + "\n")
    path = root / "p0.edf"  # two seconds a record: 128 Hz
    whole = path.read_bytes()
    path.write_bytes(whole[:244] + b"2       " + whole[252:])
    with pytest.raises(DataError) as caught:
        load_data(settings(root, "split=recording", "split.n_folds=2"))
    assert caught.value.reason == "one_class"
    message = str(caught.value)
    assert "all 120 windows are bckg in 3 of 4 recordings" in message
    assert "1 recordings were left out (1 low_rate)" in message and "128 Hz" in message


def test_a_corpus_of_seizures_alone_is_refused(tmp_path, people):
    root = corpus(tmp_path / "c", people)
    (root / "labels.csv").write_text((root / "labels.csv").read_text().replace(",10,20,", ",0,40,"))
    with pytest.raises(
        DataError, match="windows are sz in 4 of 4 recordings; .* none was left out"
    ) as caught:
        load_data(settings(root, "split=recording", "split.n_folds=2"))
    assert caught.value.reason == "one_class"
