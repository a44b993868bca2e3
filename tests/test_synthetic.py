"""The synthetic corpus: same settings, same bytes; real layout; signals with the structure they claim."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import welch

from distilclip_eeg.corpora import synthetic
from distilclip_eeg.corpora.chbmit_files import read_seizure_file, read_summary
from distilclip_eeg.corpora.invented import eeg as synthetic_eeg
from distilclip_eeg.corpora.invented.eeg import SFREQ
from distilclip_eeg.corpora.invented.files import seizure_bytes
from distilclip_eeg.corpora.invented.plan import NAMES, draw_person
from distilclip_eeg.corpora.synthetic import MANIFEST, Synthetic
from distilclip_eeg.schema import ConfigError, DataError

TINY = {"n_subjects": 3, "recordings_per_subject": 3, "recording_s": 45}
STEP_V = 1600e-6 / 4095


def tree_hash(corpus):
    """One digest of every path and byte below the corpus's tree."""
    corpus.recordings()
    digest = hashlib.sha256()
    for path in sorted(p for p in corpus.tree.rglob("*") if p.is_file()):
        digest.update(path.relative_to(corpus.tree).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    made = Synthetic(root=tmp_path_factory.mktemp("synthetic"), **TINY)
    made.recordings()
    return made


@pytest.fixture(scope="module")
def read(corpus):
    return {ref.recording: corpus.read(ref) for ref in corpus.recordings()}


def person_of(seed):
    return draw_person(np.random.default_rng(seed), seed, 0.5)


def test_the_same_settings_give_the_same_bytes_for_any_number_of_workers(corpus, tmp_path):
    assert tree_hash(Synthetic(root=tmp_path, **TINY, workers=2)) == tree_hash(corpus)


def test_another_seed_gives_other_bytes_in_another_folder_of_the_same_root(tmp_path):
    one, two = (Synthetic(root=tmp_path, n_subjects=1, recording_s=40, seed=seed) for seed in (1, 2))
    assert tree_hash(one) != tree_hash(two)
    assert sorted(tmp_path.iterdir()) == sorted([one.tree, two.tree])


def test_a_tree_is_made_once(corpus):
    before = (corpus.tree / MANIFEST).stat().st_mtime_ns
    again = Synthetic(root=corpus.root, **TINY)
    assert again.recordings() == corpus.recordings()
    assert (again.tree / MANIFEST).stat().st_mtime_ns == before


def test_reading_back_gives_the_seizures_of_the_summary_and_of_the_binary_files(corpus, read):
    seen = 0
    for ref in corpus.recordings():
        listed = read_summary(ref.path.parent / f"{ref.session}-summary.txt")[ref.path.name]
        assert [(e.onset_s, e.offset_s) for e in read[ref.recording].events] == sorted(listed)
        binary = ref.path.with_name(ref.path.name + ".seizures")
        assert binary.exists() == bool(listed)
        if listed:
            assert read_seizure_file(binary) == listed
        seen += len(listed)
    assert seen == 6  # two of three recordings of three people, one seizure each at this length


def test_seizure_files_follow_the_released_ones_byte_for_byte():
    start = bytes.fromhex("0058 17fc") + b"## time resolution: 256\0" + bytes.fromhex("00ec ffff ffff 0100")
    body = bytes.fromhex("00ec 0000 0064 0080 00ec 0000 001e 0084 0000")
    assert seizure_bytes(((100, 130),)) == start + body  # 25600 ticks are 0x6400, 7680 are 0x1e00


def test_recordings_have_the_montage_the_rate_and_no_unexpected_warning(corpus, read):
    for recording in read.values():
        assert (recording.sfreq, recording.ch_names) == (256, corpus.ch_names)
        assert {w.partition(":")[0] for w in recording.warnings} <= {"discontinuous", "short_for_filter"}
        assert recording.metadata["sex"] in ("F", "M")
    assert {ref.subject for ref in corpus.recordings()} == {"chb01", "chb02", "chb03"}


def test_an_edf_plus_d_is_read_in_pieces_and_its_seizures_lie_on_signal(read):
    gapped = [r for r in read.values() if len(r.pieces) > 1]
    assert [r.ref.recording for r in gapped] == ["chb01_02", "chb03_02"]  # numbers 1 and 7 of the corpus
    for recording in gapped:
        first, second = recording.pieces
        gap = (first.start_s + first.eeg_CT.shape[1] / SFREQ, second.start_s)
        assert gap[1] - gap[0] >= 3
        assert all(e.offset_s <= gap[0] or e.onset_s >= gap[1] for e in recording.events)


def test_the_layout_with_dummies_reads_as_the_same_channels(corpus, read):
    by_signals = {ref.recording: int(ref.path.read_bytes()[252:256]) for ref in corpus.recordings()}
    assert {name for name, n in by_signals.items() if n == 28} == {"chb01_03"}
    assert by_signals["chb03_02"] == 29  # dummies and annotations in one
    assert "Channels changed:" in (corpus.tree / "chb01" / "chb01-summary.txt").read_text()
    assert read["chb01_03"].pieces[0].eeg_CT.std(axis=1).min() > 1e-6


def test_the_second_t8_p8_equals_the_first_and_p7_t7_is_minus_t7_p7(read):
    for recording in read.values():
        for piece in recording.pieces:
            np.testing.assert_array_equal(piece.eeg_CT[14], piece.eeg_CT[22])
            assert np.abs(piece.eeg_CT[18] + piece.eeg_CT[2]).max() <= 1.01 * STEP_V


def test_no_header_names_anybody(corpus):
    for ref in corpus.recordings():
        assert ref.path.read_bytes()[8:168].split() == [*b"X X X X Startdate X X X X".split()]


def test_the_background_falls_as_a_power_of_frequency_and_has_alpha_behind():
    rng, person = np.random.default_rng(0), person_of(0)
    eeg = synthetic_eeg.background(rng, person, 120 * SFREQ)
    hz, power = welch(eeg, SFREQ, nperseg=4 * SFREQ)
    band = (hz >= 2) & (hz <= 40)
    slope = np.polyfit(np.log(hz[band]), np.log(power[:, band].mean(0)), 1)[0]
    assert slope == pytest.approx(-person.exponent, abs=0.2)

    eeg = eeg + synthetic_eeg.alpha(rng, person, 120 * SFREQ)
    hz, power = welch(eeg, SFREQ, nperseg=4 * SFREQ)
    flat = power * hz**person.exponent
    alpha, beside = abs(hz - person.alpha_hz) < 0.6, (hz > 15) & (hz < 25)
    rise = flat[:, alpha].mean(1) / flat[:, beside].mean(1)
    assert rise[NAMES.index("O1")] > 5 * rise[NAMES.index("FP1")]
    behind = (hz > 6) & (hz < 14)
    peak = hz[behind][np.argmax(flat[NAMES.index("O1"), behind])]
    assert peak == pytest.approx(person.alpha_hz, abs=1.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_seizure_slows_down_and_spreads_from_its_focus(seed):
    rhythm = person_of(seed).seizure
    wave = synthetic_eeg.seizure(np.random.default_rng(seed), rhythm, 30 * SFREQ)
    focus = NAMES.index(rhythm.centre)
    hz, early = welch(wave[focus, 2 * SFREQ : 7 * SFREQ], SFREQ, nperseg=2 * SFREQ)
    late = welch(wave[focus, -5 * SFREQ :], SFREQ, nperseg=2 * SFREQ)[1]
    fundamental = hz < 10
    centre = [np.sum(hz[fundamental] * p[fundamental]) / np.sum(p[fundamental]) for p in (early, late)]
    assert centre[1] < centre[0] - 0.5

    power = (wave**2).reshape(len(NAMES), 30, SFREQ).mean(2)
    half = np.argmax(power > 0.5 * np.median(power[:, 20:], axis=1, keepdims=True), axis=1)
    far = np.argsort(synthetic_eeg.DISTANCE_EE[focus])[-5:]
    assert half[focus] + 2 <= np.median(half[far])


def test_a_seizure_has_spikes_that_a_harmless_rhythm_of_the_same_spectrum_lacks():
    person, rng = person_of(5), np.random.default_rng(5)
    spiky, smooth = [], []
    for rhythm in person.harmless:
        same = replace(person.seizure, looseness=rhythm.looseness)
        spiky.append(synthetic_eeg.seizure(rng, person.seizure, 20 * SFREQ)[:, 10 * SFREQ :])
        smooth.append(synthetic_eeg.seizure(rng, same, 20 * SFREQ)[:, 10 * SFREQ :])
    spiky, smooth = np.concatenate(spiky), np.concatenate(smooth)
    hz, one = welch(spiky, SFREQ, nperseg=SFREQ)
    other = welch(smooth, SFREQ, nperseg=SFREQ)[1]
    for low, high in ((2, 8), (8, 13), (13, 30)):
        band = (hz >= low) & (hz < high)
        assert one[:, band].sum() / other[:, band].sum() == pytest.approx(1.0, abs=0.5)

    def skew(x):
        return np.mean(((x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)) ** 3)

    assert skew(spiky) < -0.8 < -0.4 < skew(smooth)  # negative spikes


def test_a_broken_generation_leaves_nothing_that_looks_complete(tmp_path, monkeypatch):
    real = synthetic.edf_bytes

    def fail_late(plan, eeg):
        if plan.file == "chb02_01.edf":
            raise KeyboardInterrupt
        return real(plan, eeg)

    monkeypatch.setattr(synthetic, "edf_bytes", fail_late)
    corpus = Synthetic(root=tmp_path, **TINY)
    with pytest.raises(KeyboardInterrupt):
        corpus.recordings()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert len(corpus.recordings()) == 9


def test_files_of_others_are_neither_used_nor_touched(tmp_path):
    corpus = Synthetic(root=tmp_path, **TINY)
    corpus.tree.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (corpus.tree / "chb01").write_text("mine too")
    with pytest.raises(DataError, match="not the tree of these settings") as error:
        corpus.recordings()
    assert error.value.reason == "not_ours"
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["chb01", "notes.txt", corpus.tree.name]


def test_a_root_that_is_a_file_is_a_settings_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Synthetic(root=tmp_path / "file", **TINY).recordings()


@pytest.mark.parametrize("wrong", [{"difficulty": 1.5}, {"n_subjects": 0}, {"recording_s": 5}])
def test_settings_out_of_range_are_named(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Synthetic(root=tmp_path, **wrong)


def test_a_folder_number_that_the_reader_takes_for_another_person_is_not_used(tmp_path):
    settings = synthetic.Settings(
        n_subjects=22, recordings_per_subject=1, recording_s=40, difficulty=0.5, seed=0
    )
    (tmp_path / "new").mkdir()
    synthetic.write_person(tmp_path / "new", settings, 20)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["chb22"]
