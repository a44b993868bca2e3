"""One fold of a run explained: numbers by hand, a whole run, and where invented seizures really start."""

import json
import shutil

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from mne.channels.layout import _find_topomap_coords
from tools import one_run, write_config

from distilclip_eeg.commands import cli
from distilclip_eeg.config.data import Places
from distilclip_eeg.corpora.edf.montage import BIPOLAR_18, CHBMIT_23, STANDARD_19
from distilclip_eeg.corpora.invented.plan import NAMES
from distilclip_eeg.corpora.invented.truth import Truth, at_focus, truth_of, truths
from distilclip_eeg.corpora.synthetic import Settings, plan_of
from distilclip_eeg.explain import examples, focus
from distilclip_eeg.explain.ecam import mean_map
from distilclip_eeg.explain.examples import Texts, choose, draw, drawn, flat_map, nearest
from distilclip_eeg.explain.maps import channel_map
from distilclip_eeg.explain.positions import electrodes, positions
from distilclip_eeg.explain.run import Ask, explain
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.runs import Run
from distilclip_eeg.training import data as loading
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.pipeline import frozen_teacher

ASK = Ask(windows=20)
LOCAL = Places(device="cpu", n_jobs=1)


# ------------------------------------------------------------------------------------------- by hand


def test_each_person_counts_once_however_many_windows():
    maps = np.array([[1.0, 0.0], [1.0, 0.4], [0.0, 1.0], [5.0, 5.0]])
    people, chosen = np.array(["a", "a", "b", "b"]), np.array([True, True, True, False])
    assert mean_map(maps, people, chosen).tolist() == [0.5, pytest.approx(0.6)]
    assert np.isnan(mean_map(maps, people, ~chosen & False)).all()


def test_windows_are_drawn_alike_from_each_class_and_a_small_one_leaves_its_room():
    label, rng = np.array([0] * 90 + [1] * 4 + [2] * 6), np.random.default_rng(0)
    chosen = draw(label, 30, rng)
    assert np.bincount(label[chosen]).tolist() == [20, 4, 6]
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(label[draw(label, 9, rng)]).tolist() == [3, 3, 3]
    assert draw(label, 1000, rng).tolist() == list(range(100))
    assert len(draw(label, 1, rng)) == 1


def test_examples_are_a_few_right_and_wrong_ones_of_each_class():
    label, predicted = np.array([0] * 10 + [1] * 10), np.array([0] * 9 + [1] + [1] * 5 + [0] * 5)
    chosen = choose(label, predicted, np.random.default_rng(0))
    pairs = list(zip(label[chosen].tolist(), predicted[chosen].tolist(), strict=True))
    assert pairs == [(0, 0), (0, 0), (1, 1), (1, 1), (0, 1), (1, 0), (1, 0)]
    assert len(set(chosen)) == len(chosen)


def test_a_picture_keeps_a_slow_wave_at_a_whole_part_of_the_rate():
    time = np.arange(256) / 256
    wave = 100 * np.sin(2 * np.pi * 8 * time)
    picture, sfreq = drawn(wave[None, None], 256.0)
    assert picture.dtype == np.float16 and picture.shape == (1, 1, 128) and sfreq == 128
    assert picture[0, 0, 16:-16] == pytest.approx(wave[32:-32:2], abs=1)
    assert drawn(wave[None, None], 500.0)[1] == 100 and drawn(wave[None, None], 100.0)[1] == 100


def test_the_nearest_texts_are_by_angle_and_not_by_length():
    texts = Texts(np.array([]), np.array(["east", "north", "west", "far east"]), None)
    features = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [90.0, 90.0]])
    found = nearest(np.array([3.0, 4.0]), Texts(texts.sentence_N, texts.test_U, features))
    assert [f["text"] for f in found] == ["far east", "north", "east"]
    assert [f["similarity"] for f in found] == pytest.approx([7 / 5 / 2**0.5, 0.8, 0.6], abs=1e-4)


def test_the_embedding_s_first_axis_is_the_longest():
    rng = np.random.default_rng(0)
    line = rng.standard_normal(200)
    features = np.stack([9 * line, rng.standard_normal(200), 0.1 * rng.standard_normal(200)], axis=1)
    xy, explained = flat_map(features)
    assert abs(np.corrcoef(xy[:, 0], line)[0, 1]) > 0.99 and explained[0] > 0.95


# -------------------------------------------------------------------------------------------- places


def test_electrodes_lie_where_mne_draws_them():
    info = mne.create_info(list(STANDARD_19), 256.0, "eeg")
    info.set_montage("colin27_1020", match_case=False)
    layout = _find_topomap_coords(info, picks=None)
    assert positions(STANDARD_19) == pytest.approx(layout, abs=1e-9)


def test_left_is_left_and_front_is_in_front():
    x, y = positions(("FP1", "T3", "T4", "O2", "CZ")).T
    assert x[0] < 0 < x[3] and x[1] < -0.06 and x[2] > 0.06 and y[0] > 0.06 and y[3] < -0.06
    assert abs(x[4]) < 0.01


@pytest.mark.parametrize("ch_names", [CHBMIT_23, BIPOLAR_18])
def test_a_bipolar_channel_lies_midway_and_duplicates_lie_on_one_place(ch_names):
    found = dict(zip(ch_names, positions(ch_names), strict=True))
    known = electrodes()
    assert found["FP1-F3"] == pytest.approx((known["FP1"] + known["F3"]) / 2)
    if "T8-P8-1" in found:
        assert found["T8-P8-1"].tolist() == found["T8-P8"].tolist()
        assert found["P7-T7"] == pytest.approx(found["T7-P7"])
        assert len(np.unique(np.round(positions(ch_names), 9), axis=0)) == 21


def test_a_channel_of_an_unknown_electrode_has_no_place():
    found = positions(("EEG C3-REF", "X9", "C3-X9", "Fp1"))
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, False, True]
    assert found[0] == pytest.approx(electrodes()["C3"])


# --------------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def teacher(tiny, tmp_path_factory):
    """A run whose first fold is done."""
    words = [*tiny, "fold=0", "trainer.epochs=1", f"run.root={tmp_path_factory.mktemp('runs')}"]
    return pipeline.training(one_run(words), report=False).train()


@pytest.fixture(scope="module")
def folder(teacher):
    return explain(teacher, ASK, LOCAL)


@pytest.fixture(scope="module")
def data(teacher):
    return loading.reopen(teacher, LOCAL)[1]


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_the_folder_holds_every_part(folder):
    names = {"ecam.npz", "faithfulness.json", "examples.npz", "examples.json", "embedding.npz", "cost.csv"}
    names |= {"explain.json", "sha256.json"}
    assert names <= set(contents(folder)) <= names | {"focus.csv"}
    assert not list(folder.parent.glob(".*"))


def test_the_maps_are_those_of_the_test_windows_for_the_class_predicted(teacher, folder, data):
    found, saved = arrays(folder / "ecam.npz"), teacher.predictions(0)
    answer = dict(zip(saved["window_id"], saved["probability_NK"].argmax(1), strict=True))
    part = dict(zip(saved["window_id"], saved["part"], strict=True))
    assert found["method"] == "hires" and np.bincount(found["label_N"]).tolist() == [10, 10]
    for at in range(20):
        window = found["window_id_N"][at]
        assert part[window] == "test" and answer[window] == found["predicted_N"][at]
        row = data.windows.loc[window]
        assert (row["subject"], row["start_s"]) == (found["subject_N"][at], found["start_s_N"][at])
        inside = found["start_s_N"][at] + 1 > found["event_onset_s_N"][at]
        assert inside == bool(found["label_N"][at])  # NaN for background
    batch = data.source(loading.train_rows(data, 0, 0)).batch(found["window_id_N"])
    net, target = load_network(teacher.fold(0)), torch.from_numpy(found["predicted_N"])
    raw = channel_map(net, batch.eeg_BCT, target, "hires").numpy()
    assert found["map_NC"] == pytest.approx(raw / raw.max(axis=1, keepdims=True), abs=1e-4)
    assert found["map_NC"].max(axis=1) == pytest.approx(1) and found["map_NC"].min() >= 0


def test_a_class_s_map_is_made_of_windows_named_right(folder):
    found = arrays(folder / "ecam.npz")
    right = found["label_N"] == found["predicted_N"]
    for k in range(2):
        expected = mean_map(found["map_NC"], found["subject_N"], right & (found["label_N"] == k))
        assert found["class_map_KC"][k] == pytest.approx(expected, nan_ok=True)
    difference = found["class_map_KC"][1] - found["class_map_KC"][0]
    assert found["difference_C"] == pytest.approx(difference, nan_ok=True)


def test_faithfulness_is_measured_of_three_methods_on_the_same_windows(folder):
    found = read_json(folder / "faithfulness.json")
    assert set(found) == {"hires", "ig", "occlusion"}
    assert found["occlusion"]["spearman_occlusion_mean"] == pytest.approx(1)
    for record in found.values():
        assert record["windows"] == 20 and len(record["curve"]["probability"]) == 24
        assert record["deletion_auc_random"] == found["hires"]["deletion_auc_random"]
    firsts = {record["curve"]["probability"][0] for record in found.values()}
    lasts = {round(record["curve"]["probability"][-1], 5) for record in found.values()}
    assert len(firsts) == len(lasts) == 1  # nothing removed, and everything removed


def test_examples_carry_their_own_text_and_the_nearest_of_the_test_fold(teacher, folder, data):
    found, pictures = read_json(folder / "examples.json"), arrays(folder / "examples.npz")
    model, bank = frozen_teacher(teacher, 0, data)
    test = loading.test_rows(data, 0)
    allowed = set(bank.sentences[bank.text_N[test]])
    assert found["texts_compared"] == len(allowed)
    source = data.source(loading.train_rows(data, 0, 0))
    for at, window in enumerate(found["windows"]):
        row = window["window_id"]
        assert row == pictures["window_id_N"][at] and row in test
        assert window["text"] == bank.sentences[bank.text_N[row]]
        assert {"window_id", "subject", "start_s", "true", "predicted", "probability"} < set(window)
        assert {n["text"] for n in window["nearest"]} <= allowed and len(window["nearest"]) > 0
        eeg = model.eeg.encode(source.batch(np.array([row])).eeg_BCT)[0]
        first = window["nearest"][0]
        u = list(bank.sentences).index(first["text"])
        text = model.encode_text(bank.input_ids[[u]], bank.attention_mask[[u]])[0]
        cosine = torch.nn.functional.cosine_similarity(eeg, text, dim=0)
        assert first["similarity"] == pytest.approx(cosine.item(), abs=2e-4)
    uv = source.microvolts(pictures["window_id_N"])
    assert pictures["uv_NCT"].shape == (len(uv), 23, 128) and pictures["sfreq"] == 128
    assert np.abs(pictures["uv_NCT"]).max() == pytest.approx(np.abs(uv).max(), rel=0.3)


def test_the_embedding_and_the_cost_say_what_they_are_of(folder):
    found = arrays(folder / "embedding.npz")
    n = len(found["label_N"])
    assert found["xy_N2"].shape == (n, 2) and 20 < n <= 500
    assert found["xy_N2"].mean(axis=0) == pytest.approx(0, abs=1e-4)
    cost = pd.read_csv(folder / "cost.csv")
    assert cost["side"].unique().tolist() == ["eeg", "text"] and cost["text_included"].all()
    assert cost["parameters_cumulative"].iloc[-1] == cost["parameters"].sum()
    assert cost["batch"].eq(32).all() and cost["unit"].str.startswith("FLOP").all()


def test_no_more_of_a_person_is_told_than_the_corpus_s_code(folder, data):
    told = json.dumps(read_json(folder / "examples.json"))
    names = set(data.windows["recording_name"])
    assert names and not [name for name in names if name in told]
    assert "recording_name" not in arrays(folder / "ecam.npz")


def test_a_second_start_leaves_what_is_there_and_another_question_replaces_it(teacher, folder, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(teacher.path, run.path)
    mine, before = run.fold(0) / "explain", contents(folder)
    (mine / "cost.csv").write_text("as it was")
    explain(run, ASK, LOCAL)
    assert (mine / "cost.csv").read_text() == "as it was"
    explain(run, ASK, LOCAL, fresh=True)
    assert contents(mine) == before  # the same bytes as of the first time
    explain(run, Ask(windows=6, method="gradcam"), LOCAL)
    assert arrays(mine / "ecam.npz")["method"] == "gradcam" and len(arrays(mine / "ecam.npz")["map_NC"]) == 6
    assert set(read_json(mine / "faithfulness.json")) == {"hires", "gradcam", "ig", "occlusion"}


def test_an_attempt_that_fails_leaves_the_older_folder_whole(teacher, folder, monkeypatch):
    before = contents(folder)

    def fail(*_):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(examples, "examples", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        explain(teacher, ASK, LOCAL, fresh=True)
    assert contents(folder) == before
    shutil.rmtree(teacher.fold(0) / ".explain-unfinished")


def test_a_baseline_leaves_out_what_it_has_not(tiny_data, tmp_path):
    words = [*tiny_data, "fold=0", "model=meta_gnn", "trainer.epochs=1", "trainer.max_steps=2", "device=cpu"]
    run = pipeline.training(one_run([*words, "n_jobs=1", f"run.root={tmp_path}"]), report=False).train()
    found = explain(run, Ask(windows=8, method="ig"), LOCAL)
    left_out = read_json(found / "explain.json")["left_out"]
    assert {"embedding.npz", "cost.csv"} <= set(left_out) and not (found / "embedding.npz").exists()
    assert set(read_json(found / "faithfulness.json")) == {"ig", "occlusion"}
    windows = read_json(found / "examples.json")["windows"]
    assert all(w["text"] and w["nearest"] == [] for w in windows)


def test_a_window_outside_training_gets_no_sentence_of_its_class(tiny, tmp_path):
    words = [*tiny, "fold=0", "trainer.epochs=1", "text.source=class_template", "loss.targets=class_prompt"]
    run = pipeline.training(one_run([*words, f"run.root={tmp_path}"]), report=False).train()
    found = read_json(explain(run, Ask(windows=8), LOCAL) / "examples.json")
    assert found["texts_compared"] == 0
    assert all(w["text"] == "" and w["nearest"] == [] for w in found["windows"])


# -------------------------------------------------------------------------------------- the command


def test_the_command_prints_each_file_and_what_to_do_next(teacher, folder, capsys):
    cli.run("explain", [f"run={teacher.path}", "windows=20", "device=cpu", "n_jobs=1"])
    said = capsys.readouterr().out.splitlines()
    assert {f"written: {p}" for p in folder.iterdir()} == {s for s in said if s.startswith("written")}
    assert sum(s.startswith("faithfulness: ") for s in said) == 3
    assert said[0] == f"run={teacher.path}" and said[-1] == "next: python scripts/report.py"


@pytest.fixture
def refused(capsys):
    def attempt(*argv, code=2):
        with pytest.raises(SystemExit) as ended:
            cli.run("explain", list(argv))
        err = capsys.readouterr().err
        assert ended.value.code == code and err.count("\n") == 1, err
        return err

    return attempt


def test_what_cannot_be_explained_is_refused_in_one_line(teacher, refused, tmp_path):
    assert "holds no finished run of a network" in refused(f"root={tmp_path}")
    assert "no run folder" in refused(f"run={tmp_path / 'nowhere'}")
    assert "fold 3 is not finished; finished are [0]" in refused(f"run={teacher.path}", "fold=3")
    assert "windows=0 must be 1 or more" in refused("windows=0")
    assert "dataset: nothing to choose here; it has dataset.root." in refused("dataset=chbmit")
    assert "method='lime' is not one of" in refused("method=lime")
    floor = tmp_path / "floor"
    floor.mkdir()
    write_config(floor, ["model=random_forest"])
    assert "model.kind=floor keeps no network" in refused(f"run={floor}")


# ------------------------------------------------------------------------------- invented seizures

SMALL = Settings(n_subjects=2, recordings_per_subject=2, recording_s=60, difficulty=0.5, seed=3)


def test_the_truth_is_the_seizures_alone():
    plan, _ = plan_of(SMALL, 0, 0)
    truth = truth_of(SMALL, 0, 0)
    ictal = np.zeros(truth.wave_ET.shape[1], bool)
    for onset, offset in plan.seizures:
        ictal[onset * 256 : offset * 256] = True
    assert np.abs(truth.wave_ET[:, ~ictal]).max() < 1e-9 < 20 < np.abs(truth.wave_ET[:, ictal]).max()
    assert truth.focus == "T7"  # of the first person


def test_a_seizure_is_first_seen_at_its_focus():
    plan, _ = plan_of(SMALL, 1, 0)
    truth = truth_of(SMALL, 1, 0)
    onset = plan.seizures[0][0]
    early = (truth.wave_ET[:, (onset + 1) * 256 : (onset + 2) * 256] ** 2).mean(axis=1)
    assert NAMES[early.argmax()] == truth.focus
    power = truth.power(CHBMIT_23, onset + 1, 1.0)
    assert at_focus(CHBMIT_23, truth.focus)[power.argmax()]


def test_truth_is_found_by_the_recording_s_name():
    assert set(truths(SMALL, ["chb02_01", "chb99_01"])) == {"chb02_01"}


def test_the_power_of_a_channel_is_that_of_a_difference():
    wave = np.zeros((len(NAMES), 512))
    wave[NAMES.index("T7")] = 3.0
    wave[NAMES.index("P7")] = 1.0
    power = Truth("T7", wave).power(("F7-T7", "T7-P7", "FP2-F4", "T8-P8-1"), 0.5, 1.0)
    assert power.tolist() == [9.0, 4.0, 0.0, 0.0]


def test_channels_contain_an_electrode_by_any_of_its_names():
    names = ("F7-T7", "T3-T5", "T7-FT9", "FT10-T8", "T8-P8-1")
    assert at_focus(names, "T7").tolist() == [True, True, True, False, False]
    assert at_focus(names, "T8").tolist() == [False, False, False, True, True]


def test_hits_chance_and_the_wave_by_stage():
    at = np.array([[True, False, False], [True, False, False], [False, True, True]])
    wave = np.array([[9.0, 1.0, 1.0], [1.0, 9.0, 1.0], [1.0, 9.0, 1.0]])
    maps = {"good": at + 0.5, "bad": np.array([[0.0, 0.0, 1.0]] * 3)}
    stages = {"all": np.ones(3, bool), "last": np.array([False, False, True])}
    table = pd.DataFrame(list(focus.table_rows(stages, at, wave, maps))).set_index(["stage", "method"])
    assert table.loc[("all", "good")].tolist() == [3, 1.0, pytest.approx(4 / 9), pytest.approx(2 / 3)]
    assert table.loc[("all", "bad"), "share"] == pytest.approx(1 / 3)
    assert table.loc[("last", "bad")].tolist() == [1, 1.0, pytest.approx(2 / 3), 1.0]


def test_early_windows_are_counted_from_the_onset_to_their_middle(data):
    rows = np.arange(len(data.windows))
    seconds, share = focus.since_onset(data, rows)
    ictal = data.windows["event"].to_numpy() >= 0
    assert np.isnan(seconds[~ictal]).all()
    window = data.windows[ictal].iloc[4]
    event = data.store.events.loc[window["event"]]
    assert seconds[ictal][4] == window["start_s"] + 0.5 - event["onset_s"]
    early = focus.early(data, rows)
    assert 0 < len(early) < ictal.sum() and ictal[early].all()
    assert set(rows[share < 1 / 3]) | set(rows[seconds < 3]) == set(early)


FOCAL = ["+dataset.corpus.focality=1", "dataset.corpus.n_subjects=24"]
"""Seizures that stay at their focus for a third of their length; every focus is two people's or more."""


def test_with_focality_the_first_third_of_a_seizure_is_strongest_at_its_focus():
    found, total = 0, 0
    for number in range(8):
        settings = Settings(
            n_subjects=8, recordings_per_subject=1, recording_s=60, difficulty=0.5, seed=3, focality=1.0
        )
        truth = truth_of(settings, number, 0)
        for onset, offset in plan_of(settings, number, 0)[0].seizures:
            for start in range(onset + 1, onset + (offset - onset) // 3):
                power = truth.power(CHBMIT_23, start, 1.0)
                found, total = found + at_focus(CHBMIT_23, truth.focus)[power.argmax()], total + 1
    assert total > 40 and found / total > 0.95


@pytest.mark.slow
def test_the_map_finds_the_focus_in_the_first_third_of_focal_seizures(tmp_path):
    """People who were never trained on; the wave itself, as strong as the network sees it, says how far a map
    can be right."""
    words = [*FOCAL, "+dataset.corpus.recordings_per_subject=1", "fold=0", "trainer.max_steps=250"]
    words += ["device=cpu"]
    places = [f"dataset.root={tmp_path / 'd'}", f"store.root={tmp_path / 's'}", f"run.root={tmp_path / 'r'}"]
    run = pipeline.training(one_run([*words, *places]), report=False).train()
    table = pd.read_csv(explain(run, Ask(windows=20), Places(device="cpu")) / "focus.csv")
    row = table.set_index(["stage", "method"]).loc[("first third", "hires")]
    assert row["n"] >= 40 and row["share"] >= 0.8 and row["chance"] < 0.2
