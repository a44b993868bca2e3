"""``scripts/rehearse.py``: exported folds on recordings they never saw, from file to scored events."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from epilepsy2bids.annotations import Annotations
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import Places
from distilclip_eeg.config.detection import EventConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.events_tsv import read_events, szcore_tsv
from distilclip_eeg.deploy import screen
from distilclip_eeg.deploy.blocks import EdfSource
from distilclip_eeg.deploy.detection import Detection
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.export import export
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, Event
from distilclip_eeg.scoring import event_scores
from distilclip_eeg.scoring.events.latency import onset_errors
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import Reference
from distilclip_eeg.studies import rehearsal
from distilclip_eeg.training.pipeline import training

WHOLE = np.array([[0.0, 100.0]])
CPU = Places(device="cpu", n_jobs=1)


def train(words) -> Run:
    """``python train.py``."""
    (settings,) = load(TrainSettings, words).each_seed()
    return training(settings, report=False).train()


def test_onset_errors_are_signed_and_of_the_first_alarm_on_each_seizure():
    reference = Track([(10, 20), (30, 40), (60, 70), (80, 90)], WHOLE)
    alarms = Track([(4, 12), (15, 16), (33, 35), (36, 41), (70, 75), (76, 95)], WHOLE)
    # the third seizure ends where an alarm begins: touching is no overlap
    np.testing.assert_array_equal(onset_errors(reference, alarms), [-6, 3, np.nan, -4])
    assert np.isnan(onset_errors(reference, Track([], WHOLE))).all()


def test_written_events_are_read_back_in_file_time_and_a_gap_holds_none(tmp_path):
    recorded = np.array([[0.0, 40.0], [50.0, 100.0]])
    reference = Reference("a", "p", Track([(5, 9)], recorded))
    (tmp_path / "a_events.tsv").write_bytes(szcore_tsv([Event(3, 8, "sz"), Event(38, 52, "sz")], 100.0))
    assert rehearsal.read_back(tmp_path, reference).events_E2.tolist() == [[3, 8], [38, 40], [50, 52]]
    (tmp_path / "a_events.tsv").write_bytes(szcore_tsv([], 100.0))
    assert rehearsal.read_back(tmp_path, reference).events_E2.shape == (0, 2)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("rehearsal")
    words = [*tiny, "trainer.epochs=1", f"run.root={root}", "fold=[0,1]"]
    return train(words)


@pytest.fixture(scope="module")
def rehearsed(trained) -> Run:
    rehearsal.rehearse(trained, places=CPU)
    return trained


def independent(folder: Path, known: dict) -> tuple[int, int, int]:
    """Hits, seizures and false alarms of the files, by two libraries that are not ours."""
    strict = EventScoring.Parameters(0, 0, 0, 86400, 0)
    hits = seizures = alarms = 0
    for name, reference in known.items():
        found = Annotations.loadTsv(str(folder / f"{name}_events.tsv"))
        n = round(reference.track.end_s * 10)
        pairs = [tuple(map(float, pair)) for pair in reference.track.events_E2]
        one = EventScoring(Annotation(pairs, 10, n), Annotation(found.getMask(10)[:n], 10), strict)
        hits, seizures, alarms = hits + one.tp, seizures + one.refTrue, alarms + one.fp
    return hits, seizures, alarms


def false_seconds(folder: Path, name: str, reference: Reference) -> float:
    """Time under alarm without a seizure, on a grid of tenths."""
    alarm_T = Annotations.loadTsv(str(folder / f"{name}_events.tsv")).getMask(10).astype(bool)
    time_T = (np.arange(len(alarm_T)) + 0.5) / 10
    inside = [((time_T > a) & (time_T < b)) for a, b in reference.track.events_E2]
    return float((alarm_T & ~np.any(inside, axis=0)).sum() / 10) if inside else float(alarm_T.sum() / 10)


def check_scores(run: Run) -> pd.Series:
    """The tables against the libraries; gives the row of all subjects."""
    known = event_scores.references(run)
    folds = pd.read_parquet(run.path / "folds.parquet")
    tested = {n for k in run.folds_done() for n in folds.loc[folds[f"fold{k}"] == "test", "recording_name"]}
    written = {p.name.removesuffix("_events.tsv") for p in (run.path / "rehearsal").glob("*_events.tsv")}
    assert written == tested
    people = pd.read_csv(run.path / "rehearsal" / "by_subject.csv", dtype={"subject": str})
    for who, row in people.set_index("subject").iterrows():
        own = {n: r for n, r in known.items() if n in tested and who in ("all", r.subject)}
        hits, seizures, alarms = independent(run.path / "rehearsal", own)
        overlap = [row[f"{rehearsal.OVERLAP} {what}"] for what in ("sensitivity", "false alarms")]
        assert row["seizures"] == seizures and overlap[1] == alarms
        quiet_s = sum(r.track.recorded_s - np.ptp(r.track.events_E2, axis=1).sum() for r in own.values())
        alarmed_s = sum(false_seconds(run.path / "rehearsal", name, r) for name, r in own.items())
        assert row["false time"] == pytest.approx(alarmed_s / quiet_s, abs=0.02)  # seconds against tenths
        assert overlap[0] == pytest.approx(hits / seizures) if seizures else np.isnan(overlap[0])
    return row


def test_every_test_recording_is_scored_as_two_other_libraries_score_the_files(rehearsed):
    check_scores(rehearsed)
    record = read_json(next((rehearsed.path / "rehearsal").glob("*_detection.json")))
    assert record["model"]["name"] == "teacher_tiny" and "not a medical device" in record["note"]


def test_detect_says_of_the_files_what_continuous_says_of_the_store(rehearsed):
    """Two roads: EDF, exported folder and events.tsv; and the store, the run's weights and its traces."""
    expected = event_scores.event_tables(rehearsed, EventConfig())
    found = pd.read_csv(rehearsed.path / "rehearsal" / "overall.csv").set_index("scorer")
    for _, row in expected.overall.iterrows():
        assert found.loc[row["scorer"], ["tp", "fp", "fn"]].tolist() == pytest.approx(
            row[["tp", "fp", "fn"]].tolist(), abs=0.01
        )  # events.tsv holds hundredths of a second


def test_a_second_start_keeps_what_still_holds_and_prints_the_same(rehearsed, monkeypatch):
    before = (rehearsed.path / "rehearsal" / "events.txt").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(screen, "write_detection", lambda *a, **k: pytest.fail("detected again"))
        said = rehearsal.rehearse(rehearsed, places=CPU)
    assert f"{said}\n" == before and "onset error" in said and "signals.phase=zero" in said
    assert "no rate of false alarms can be told" in said


def test_training_a_fold_again_deletes_what_was_said_of_its_earlier_network(rehearsed, tmp_path):
    run = Run(shutil.copytree(rehearsed.path, tmp_path / rehearsed.path.name))
    run.forget(0)
    assert not (run.path / "rehearsal").exists()


def test_a_protocol_that_splits_recordings_is_refused_before_anything_is_written(tiny, tmp_path):
    words = [*tiny, "split=window", "trainer.epochs=1", "fold=0", f"run.root={tmp_path}"]
    run = train(words)
    with pytest.raises(ConfigError, match="split=window.*none of them is new as a whole"):
        rehearsal.rehearse(run, places=CPU)
    assert not (run.path / "rehearsal").exists()


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(
    "DISTILCLIP_EEG_SHARED" not in os.environ, reason="DISTILCLIP_EEG_SHARED names no shared folder"
)
def test_real_seizures_of_a_person_never_trained_on_are_found_alike_on_every_road(tmp_path):
    """A network of few steps: that it finds seizures at all, and the same by file, live, torch and ONNX."""
    shared = Path(os.environ["DISTILCLIP_EEG_SHARED"]) / "data" / "chbmit"
    words = ["dataset=chbmit", f"dataset.root={shared}", "split=subject", "fold=0", "trainer.max_steps=60"]
    words += ["signals.phase=causal", "signals.normalize=running"]
    places = [f"store.root={tmp_path / 's'}", f"run.root={tmp_path / 'r'}", "device=cpu"]
    run = train([*words, *places])
    rehearsal.rehearse(run, places=Places(device="cpu"))
    everyone = check_scores(run)
    assert everyone["seizures"] >= 5 and everyone[f"{rehearsal.OVERLAP} sensitivity"] > 0.5
    folder = export(run, 0, tmp_path / "model", places=CPU)
    by_torch, by_onnx = (Detector(folder.recipe, open_network(folder, e, "fp32")) for e in ("torch", "onnx"))
    written = sorted((run.path / "rehearsal").glob("*_events.tsv"))
    with_gap = []
    for events in written[:4]:
        (path,) = shared.rglob(f"{events.name.removesuffix('_events.tsv')}.edf")
        found, other = by_torch.file(path), by_onnx.file(path)
        np.testing.assert_allclose(found.trace.probability_N, other.trace.probability_N, atol=1e-5)
        assert found.events == other.events
        assert [r.onset_s for r in read_events(events).rows if r.label != "bckg"] == pytest.approx(
            [e.onset_s for e in found.events], abs=0.01
        )
        with_gap.append(len(found.gaps_G2) > 0)
        if not with_gap[-1]:
            alike_live(by_torch, path, found)
    assert set(with_gap) == {True, False}  # both kinds of recording were met


def alike_live(detector: Detector, path: Path, whole: Detection) -> None:
    """The file's own volts, pushed three quarters of a second at a time, give the same events."""
    source = EdfSource(path)
    source.choose(range(len(source.labels)))
    volts_CT = source.read(0, 0, source.pieces[0][1])
    detector.start(source.sfreq, source.labels)
    for at in range(0, volts_CT.shape[1], 192):
        detector.push(volts_CT[:, at : at + 192])
    live, _ = detector.finish()
    np.testing.assert_allclose(live.trace.probability_N, whole.trace.probability_N, atol=1e-5)
    assert live.events == whole.events
