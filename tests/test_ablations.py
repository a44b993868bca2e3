"""The ablations: what each variant changes, how rows pool, and a table made twice."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tools import scores_of

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.studies import VARIANT_GROUPS, AblationsSettings
from distilclip_eeg.models.losses import TARGETS
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.studies import ablations
from distilclip_eeg.studies.ablations import VARIANTS, cells_of, pooled, table
from distilclip_eeg.training.data import load_data

SIX = ("eeg_lp", "text_wp", "text_lp", "text_hp", "base_wp", "base_lp")


RESULTS = Path(__file__).parents[1] / "results"


def told_cells(*said):
    words = AblationsSettings.words(list(said))
    return cells_of(load(AblationsSettings, words), AblationsSettings.train_words(words))


def study(said, results):
    """``python scripts/ablations.py``, its tables in ``results``."""
    words = AblationsSettings.words([*said, f"results={results}"])
    ablations.ablations(load(AblationsSettings, words), AblationsSettings.train_words(words))


def config(name, reading="placement", *words):
    return load(TrainSettings, [f"experiment=ablation_{name}", f"ablation_reading={reading}", *words])


def told(name, reading):
    c = config(name, reading)
    eeg, text = c.model.net.get("prompts", "deep"), c.text_encoder.get("prompts", "deep")
    return c.text.source, c.loss.alpha, c.head.input, eeg, text


@pytest.mark.parametrize(
    "name, placement, unimodal",
    [
        ("eeg_lp", ("none", 0.0, "eeg", "deep", "deep"), ("none", 0.0, "eeg", "deep", "deep")),
        (
            "text_wp",
            ("descriptors", 0.5, "eeg", "deep", "none"),
            ("descriptors", 0.0, "text", "deep", "none"),
        ),
        (
            "text_lp",
            ("descriptors", 0.5, "eeg", "none", "deep"),
            ("descriptors", 0.0, "text", "none", "deep"),
        ),
        (
            "text_hp",
            ("handcrafted", 0.5, "eeg", "none", "none"),
            ("handcrafted", 0.0, "text", "none", "none"),
        ),
        ("base_wp", ("descriptors", 0.5, "eeg", "none", "none"), ("descriptors", 0.5, "eeg", "none", "none")),
        ("base_lp", ("descriptors", 0.5, "eeg", "deep", "deep"), ("descriptors", 0.5, "eeg", "deep", "deep")),
    ],
)
def test_each_row_of_table_2_is_one_experiment_in_both_readings(name, placement, unimodal):
    assert told(name, "placement") == placement and told(name, "unimodal") == unimodal


def test_the_full_model_is_the_default_one_and_the_others_are_other_runs():
    digests = {name: digest_of(config(name)) for name in SIX}
    assert digests["base_lp"] == digest_of(load(TrainSettings, []))
    assert len(set(digests.values())) == 6


def test_an_ablation_adds_to_another_experiment_and_gives_way_to_the_command_line():
    both = load(TrainSettings, ["experiment=[paper_chbmit,ablation_text_wp]", "dataset.root=x"])
    assert both.split.name == "window" and both.text_encoder.get("prompts") == "none"
    assert config("text_wp", "placement", "loss.alpha=0.3").loss.alpha == 0.3


def test_an_unknown_reading_is_refused():
    with pytest.raises(ConfigError, match="ablation_reading='literal' is not one of"):
        load(TrainSettings, ["ablation_reading=literal"])


def test_the_table_has_all_six_rows_and_all_readings_of_the_targets():
    assert tuple(VARIANTS["table2"]) == SIX
    told = [words[0].partition("=")[2] for words in VARIANTS["targets"].values()]
    assert {*told, "multi_positive"} == set(TARGETS)
    assert tuple(VARIANTS) == VARIANT_GROUPS


def test_cells_of_the_committed_table_are_known():
    cells = told_cells("what=table2,student", "trainer.max_steps=200", "fold=0", "seed=0,2")
    assert len(cells) == 2 * 2 * 8
    assert {one.key for one in cells} <= set(pd.read_csv(RESULTS / "ablations_synthetic.csv")["key"])


@pytest.mark.parametrize("name", ["synthetic", "chbmit_excerpts"])
def test_the_committed_page_is_what_the_committed_rows_print(name):
    page = (RESULTS / f"ablations_{name}.txt").read_text(encoding="utf-8")
    assert table(RESULTS / f"ablations_{name}.csv") + "\n" == page


def test_a_distilled_student_s_cell_begins_with_its_teacher():
    distilled, alone = told_cells("what=student", "model=teacher_small", "split=subject")
    assert (
        distilled.settings.model.name == "teacher_small" and distilled.student.model.name == "student_small"
    )
    assert alone.settings.model.name == "student_small" and alone.distill is None


def rows(variant, seed, aurocs, model="teacher_tiny"):
    about = {"split": "subject", "variant": variant, "model": model, "seed": seed, "reading": "placement"}
    shown = dict.fromkeys(ablations.SHOWN, 0.5)
    return [about | shown | {"fold": k, "auroc": a} for k, a in enumerate(aurocs)]


def test_seeds_and_folds_pool_in_one_row_and_gains_are_paired():
    made = pd.DataFrame(
        [
            *rows("base_lp", 0, [0.8, 0.6]),
            *rows("base_lp", 1, [0.7, 0.5]),
            *rows("eeg_lp", 0, [0.9, 0.5]),
            *rows("eeg_lp", 1, [0.7, 0.7]),
        ]
    )
    found = pooled(made).set_index("variant")
    assert found.loc["base_lp", "auroc"] == pytest.approx(0.65)
    assert found.loc["base_lp", "auroc_sd"] == pytest.approx(np.std([0.8, 0.6, 0.7, 0.5], ddof=1))
    assert found.loc["eeg_lp", "gain"] == pytest.approx(np.mean([0.1, -0.1, 0.0, 0.2]))
    assert found.loc["eeg_lp", "gain_sd"] == pytest.approx(np.std([0.1, -0.1, 0.0, 0.2], ddof=1))
    assert found.loc["eeg_lp", ["seeds", "folds"]].tolist() == [2, 2]


def test_a_distilled_student_is_compared_with_the_same_student_alone():
    made = pd.DataFrame(
        [
            *rows("base_lp", 0, [0.9]),
            *rows("student distilled", 0, [0.8], "student_tiny"),
            *rows("student alone", 0, [0.7], "student_tiny"),
        ]
    )
    assert pooled(made).set_index("variant").loc["student distilled", "gain"] == pytest.approx(0.1)


def test_a_row_that_was_made_twice_counts_once():
    made = pd.DataFrame([*rows("base_lp", 0, [0.1]), *rows("base_lp", 0, [0.8])])
    assert pooled(made)["auroc"].tolist() == [0.8]


def test_the_line_of_always_seizure_follows_from_the_figures_of_a_network():
    """0.8 of the ictal and 0.6 of the other windows right, 0.75 of all: three quarters are ictal."""
    figures = {"accuracy": 0.75, "recall": 0.8, "specificity": 0.6, "model": "teacher_tiny"}
    same = {"accuracy": 0.5, "recall": 0.5, "specificity": 0.5, "model": "student_tiny"}  # tells nothing
    line = ablations.always(pd.DataFrame([figures | {"fold": 0}, same | {"fold": 0}]))
    # F1 = 2 * 0.75 / 1.75
    assert line[4:10] == ["75.0", "75.0", "100.0", "85.7", "50.0", "50.0"] and line[3] == "– x 1"


@pytest.mark.parametrize(
    "words, says",
    [
        (["what=table3"], "what='table3' is not one of 'table2', 'targets', 'text', 'student'"),
        (["model=eegnet"], "model=eegnet: expected a teacher"),
        (["seed=a"], "seed='a' is str, expected int"),
        (["jobs=0"], r"jobs=0 must be in \[1, 1024\]"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(words, says):
    with pytest.raises(ConfigError, match=says):
        told_cells(*words)


def test_the_table_is_filled_once_and_names_what_it_could_not_run(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = [o for o in tiny if not o.startswith(("split=", "trainer."))]
    words = [*common, "split=subject", "seed=0", "fold=0", "trainer.max_steps=2", "trainer.epochs=1"]
    students = [*words, "what=student", "model=teacher_tiny"]
    study(students, tmp_path / "results")
    made = pd.read_csv(tmp_path / "results/ablations_synthetic.csv")
    assert made["variant"].tolist() == ["student distilled", "student alone"]
    assert set(made["model"]) == {"student_tiny"} and made["steps"].eq(2).all()
    for column in ("command", "seed", "hardware", "minutes"):
        assert made[column].notna().all()
    first = capsys.readouterr().out
    assert "0 of 2 cells stand" in first and "sharing with training: samples 0 %" in first
    study(students, tmp_path / "results")
    again = capsys.readouterr().out
    assert "2 of 2 cells stand" in again and first.split("\n\n")[-1].splitlines()[-1] in again
    assert pd.read_csv(tmp_path / "results/ablations_synthetic.csv").equals(made)
    windows = load_data(load(TrainSettings, [*common, "split=subject"]).data).windows
    scores_of(windows).to_parquet("knows.parquet")
    study([*students, "fill=false", "scores=knows.parquet"], tmp_path / "results")
    *_, knows = pd.read_csv(tmp_path / "results/ablations_synthetic.csv").to_dict("records")
    assert (knows["variant"], knows["model"], knows["fold"]) == ("knows", ablations.BESIDE, 0)
    assert knows["n"] == made["n"].iloc[0] and knows["auroc"] > 0.9
    page = (tmp_path / "results/ablations_synthetic.txt").read_text().splitlines()
    shown = [line.split()[4] for line in page if line.startswith(ablations.BESIDE)]
    assert shown == ["knows", "always"]
    study([*words, "what=text", "split=subject", "loss.alpha=0.0"], tmp_path / "results")
    assert (
        "not run: subject head.inference=prompt seed 0: head.inference=prompt needs"
        in capsys.readouterr().out
    )


def test_variants_are_compared_with_their_base_person_by_person(tmp_path):
    """Seven persons, two seeds: a variant that gains 1 to 7 points on average, and a student that loses 2."""
    rows = [
        {"split": "subject", "model": model, "variant": variant, "seed": seed, "reading": "placement"}
        | {"subject": f"p{i}", "auroc": 0.7 + gain(i) / 100 + (seed - 0.5) / 50}
        for model, variant, gain in (
            ("teacher_tiny", "base_lp", lambda i: 0),
            ("teacher_tiny", "text_lp", lambda i: i),
            ("student_tiny", "student distilled", lambda i: -2),
            ("student_tiny", "student alone", lambda i: 0),
        )
        for seed in (0, 1)
        for i in range(1, 8)
    ]
    assert ablations.by_person(tmp_path / "none.csv") == ""
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    lines = ablations.by_person(tmp_path / "t.csv").splitlines()
    gains = next(line for line in lines if " text_lp " in line).split()
    # All seven of one sign: p = 2 / 2**7 = 0.016.
    assert gains[:5] == ["subject", "teacher_tiny", "text_lp", "2", "7"]
    assert gains[5] == "+4.0" and gains[-2:] == ["0.02", "+1.00"]
    losses = next(line for line in lines if " student distilled " in line)
    assert "-2.0 [-2.0, -2.0], 0.02" in losses and losses.endswith("-1.00")
