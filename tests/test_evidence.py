"""The committed table of floors, teacher and student, and what fills and prints it."""

from pathlib import Path

import pandas as pd
import pytest

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.studies import Table1Settings
from distilclip_eeg.report.comparison import of_others
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.studies import evidence
from distilclip_eeg.studies.table1 import table1

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "chbmit_excerpts.csv"


def told(*said):
    """Settings and train's words of ``python scripts/reproduce_table1.py page=evidence``."""
    words = Table1Settings.words(["page=evidence", "dataset=chbmit", *said])
    return load(Table1Settings, words), Table1Settings.train_words(words)


def keys(*said):
    return {one.label: one.key for one in evidence.cells_of(*told(*said))}


def trained():
    """Rows of the committed table that a cell has made; the others are of other detectors' scores."""
    rows = pd.read_csv(RESULTS)
    return rows[~of_others(rows)]


def test_every_row_says_how_it_was_made():
    rows = trained()
    assert len(rows) >= 9
    for column in ("command", "digest", "hardware", "minutes", "seed", "shares_samples", "always_accuracy"):
        assert rows[column].notna().all(), column
    assert rows["command"].str.contains("DISTILCLIP_EEG_SHARED|teacher=").all()
    assert not rows.duplicated(["split", "model"]).any()
    assert (rows["folds"] == 5).all()
    assert (rows["windows"] == 11414).all()  # all windows kept, each tested once


def test_the_page_of_results_shows_the_table_that_the_command_prints(capsys):
    table1(*told("name=chbmit_excerpts", "fill=false", f"results={ROOT / 'results'}"))
    page = capsys.readouterr().out.strip()
    assert len(page.splitlines()) > 15 and page in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_other_detectors_stand_under_every_protocol_on_the_windows_of_the_models():
    rows = pd.read_csv(RESULTS)
    theirs = rows[of_others(rows)]
    assert theirs.groupby("split").size().to_dict() == dict.fromkeys(evidence.SPLITS, 4)
    assert (theirs["windows"] == 11414).all() and (theirs["folds"] == 5).all()
    assert evidence.page(RESULTS).count("| trivial_position | – | – |") == 3


def test_a_cell_that_was_not_run_says_so(tmp_path):
    text = evidence.page(tmp_path / "nothing.csv")
    assert text.count("not run") == 9 * len(evidence.SPLITS) * len(evidence.MODELS)


def test_a_row_is_found_again_under_its_model_and_protocol():
    rows = pd.read_csv(RESULTS)
    row = rows[(rows["split"] == "subject") & (rows["model"] == "random_forest")].iloc[0]
    line = next(x for x in evidence.page(RESULTS).splitlines() if x.startswith("| subject | random_forest"))
    assert f"| {100 * row['accuracy']:.1f} ± {100 * row['accuracy_sd']:.1f} |" in line


@pytest.mark.parametrize("augment", ["none", "standard"])
def test_the_cells_of_the_committed_table_are_known_and_only_those(augment):
    rows = trained()
    words = ["split=window,recording,subject", "trainer.precision=bf16", f"augment={augment}"]
    found = {label for label, key in keys(*words).items() if key in set(rows["digest"])}
    marked = rows["model"].str.endswith(evidence.AUGMENTED) == (augment == "standard")
    mine = rows[marked | ~rows["model"].str.contains("teacher|student")]
    assert found == set(mine["split"] + " " + mine["model"].str.removesuffix(evidence.AUGMENTED))


def test_the_digest_tells_settings_apart_but_not_where_the_data_lie():
    here, there = keys("dataset.root=a"), keys("dataset.root=b")
    assert here == there and here["window teacher_small"] in here["window student_small"]
    assert keys("split=subject")["subject teacher_small"] != here["window teacher_small"]
    augmented = keys("augment=standard")
    assert augmented["window random_forest"] == here["window random_forest"]
    assert augmented["window student_small"] != here["window student_small"]


def test_a_student_s_cell_is_told_of_augmentation_by_its_teacher_alone():
    (one,) = evidence.cells_of(*told("models=student_small", "augment=standard"))
    assert one.settings.model.name == "teacher_small" and one.settings.augment == "standard"
    assert one.student.model.name == "student_small" and one.student.augment == "none"


def test_an_unknown_protocol_is_one_line():
    with pytest.raises(ConfigError, match="split='patient' is not one of") as caught:
        told("split=patient")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_floor_and_student_are_filled_and_found_again(tiny, tmp_path, capsys):
    data = [o for o in tiny if not o.startswith(("split=", "model.", "trainer.epochs"))]
    words = [*data, "trainer.max_steps=2", "split.n_folds=2", "models=student_tiny,logreg_bandpower"]
    words += ["dataset=synthetic", f"results={tmp_path / 'r'}", f"run.root={tmp_path / 'runs'}"]
    table1(*told(*words))
    rows = pd.read_csv(tmp_path / "r" / "evidence_synthetic.csv")
    assert rows["model"].tolist() == ["student_tiny", "logreg_bandpower"]
    assert "| window | logreg_bandpower |" in capsys.readouterr().out
    table1(*told(*words))
    assert "2 of 2 cells stand in" in capsys.readouterr().out
