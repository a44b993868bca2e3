"""Every real EDF that both our reader and mne may read: same samples, same channels, same annotations."""

import os
from pathlib import Path

import mne
import numpy as np
import pytest

from distilclip_eeg.corpora.chbmit import ChbMit
from distilclip_eeg.corpora.edf.fields import ANNOTATIONS
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.reader import read_pieces
from distilclip_eeg.schema import DataError

SHARED = os.environ.get("DISTILCLIP_EEG_SHARED")
pytestmark = [
    pytest.mark.shared,
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # what mne says of the damaged ones
    pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set"),
]
FOLDERS = ("chbmit", "iiic", "neonatal", "robustness")
TOLERANCE_V = 1e-10
"""1e-4 microvolts; float32 allows no less beyond a millivolt, there 1e-7 of the largest value."""
NO_FILE_FOR_US = {
    "chb01_04__header_bytes_wrong.edf": "header_size_mismatch",
    "chb01_04__header_only.edf": "no_data",
    "chb01_04__zero_bytes.edf": "empty_file",
    "SC4001EC-Hypnogram.edf": "no_signals",
}
"""Refused whole, by which reason; mne refuses all but the last, which holds annotations only."""
NO_SIGNAL_FOR_US = {
    "chb01_04__comma_decimals.edf": "bad_physical_range",
    "chb01_04__physmin_eq_physmax.edf": "bad_physical_range",
}
"""Every signal of it is refused, where mne gives silence or NaN."""


def edfs():
    """Every EDF of the four folders, by its path below the shared one."""
    data = Path(SHARED or "nowhere") / "data"
    paths = [path for folder in FOLDERS for path in sorted((data / folder).rglob("*.edf"))]
    return [pytest.param(path, id=path.relative_to(data).as_posix()) for path in paths]


def by_mne(path):
    return mne.io.read_raw_edf(path, infer_types=False, stim_channel=None, verbose="error")


def same(ours, theirs):
    """Whether volts agree to the tolerance; both (T,)."""
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() <= max(TOLERANCE_V, 1e-7 * np.abs(theirs).max())


@pytest.mark.parametrize("path", edfs())
def test_samples_channels_and_annotations_are_those_of_mne(path):
    if path.name in NO_FILE_FOR_US:
        with pytest.raises(DataError) as caught:
            read_header(path)
        assert caught.value.reason == NO_FILE_FOR_US[path.name]
        return
    header, raw = read_header(path), by_mne(path)
    signals = [index for index, label in enumerate(header.labels) if label != ANNOTATIONS]
    fastest = max(header.signals[index].samples_per_record for index in signals)
    assert raw.info["sfreq"] == fastest / header.record_duration_s
    compared = 0
    for row, index in enumerate(signals):
        signal = header.signals[index]
        assert raw.ch_names[row].startswith(signal.label)  # mne adds -0, -1 to a repeated name
        if signal.samples_per_record != fastest:
            continue  # mne brings it to the rate of the fastest
        try:
            pieces, *_ = read_pieces(path, header, [index])
        except DataError as refusal:
            assert refusal.reason == NO_SIGNAL_FOR_US[path.name]
            continue
        # mne puts the stretches of an EDF+D one after the other.
        volts = np.concatenate([piece.eeg_CT[0] for piece in pieces])
        theirs = raw.get_data(picks=[row])[0] * (1e-6 if not signal.unit else 1)  # no unit: volts to mne
        assert same(volts.astype(float), theirs), signal.label
        compared += 1
    assert compared or path.name in NO_SIGNAL_FOR_US
    length_s = raw.n_times / raw.info["sfreq"]
    ours = [(e.onset_s, e.offset_s - e.onset_s, e.label) for e in header.annotations]
    theirs = [(a["onset"], a["duration"], a["description"]) for a in raw.annotations]
    if len(header.stretches) > 1:  # mne drops what lies past the sum of the stretches
        ours = [note for note in ours if note[0] < length_s]
    assert [note[2] for note in ours] == [note[2] for note in theirs]
    assert np.allclose([n[:2] for n in ours], [n[:2] for n in theirs], atol=1e-6, rtol=0)


def test_the_corpus_gives_the_rows_that_mne_gives_by_name():
    corpus = ChbMit(root=Path(SHARED) / "data" / "chbmit")
    refs = corpus.recordings()
    for ref in refs:
        recording, raw = corpus.read(ref), by_mne(ref.path)
        rows = np.concatenate([piece.eeg_CT for piece in recording.pieces], axis=1).astype(float)
        for row, name in zip(rows, recording.ch_names, strict=True):
            twice = {"T8-P8": "T8-P8-0", "T8-P8-1": "T8-P8-1"}
            assert same(row, raw.get_data(picks=[twice.get(name, name)])[0]), (ref.recording, name)
    assert len(refs) == 56


def test_annotations_that_mne_drops_are_where_the_summary_says():
    corpus = ChbMit(root=Path(SHARED) / "data" / "chbmit")
    seen = 0
    for ref in corpus.recordings():
        notes = read_header(ref.path).annotations
        if notes:  # only the discontinuous files carry them
            events = corpus.labels(ref, read_header(ref.path)).events
            assert [(e.onset_s, e.offset_s) for e in notes] == [(e.onset_s, e.offset_s) for e in events]
            seen += len(notes)
    assert seen == 37  # in 30 files
