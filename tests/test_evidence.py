"""The committed results and the script that fills and prints them."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "chbmit_excerpts.csv"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("evidence", ROOT / "scripts" / "evidence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_row_says_how_it_was_made():
    rows = pd.read_csv(RESULTS)
    assert len(rows) >= 9
    for column in ("command", "digest", "hardware", "minutes", "seed", "shares_samples", "always_accuracy"):
        assert rows[column].notna().all(), column
    assert rows["command"].str.contains("DISTILCLIP_EEG_SHARED|teacher=").all()
    assert not rows.duplicated(["split", "model"]).any()
    assert (rows["folds"] == 5).all()
    assert (rows["windows"] == 11414).all()  # all windows kept, each tested once


def test_the_readme_shows_the_table_that_the_script_prints(as_script):
    done = as_script("scripts/evidence.py", "--table")
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 15
    assert done.stdout.strip() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_cell_that_was_not_run_says_so(script, tmp_path):
    text = script.table(tmp_path / "nothing.csv")
    assert text.count("not run") == 9 * len(script.SPLITS) * len(script.MODELS)


def test_a_row_is_found_again_under_its_model_and_protocol(script):
    rows = pd.read_csv(RESULTS)
    row = rows[(rows["split"] == "subject") & (rows["model"] == "random_forest")].iloc[0]
    line = next(x for x in script.table(RESULTS).splitlines() if x.startswith("| subject | random_forest"))
    assert f"| {100 * row['accuracy']:.1f} ± {100 * row['accuracy_sd']:.1f} |" in line


def test_the_digest_tells_settings_apart_but_not_where_the_data_lie(script):
    here = script.cell_digest("subject", "teacher_small", ["dataset=chbmit", "dataset.root=a"])
    assert here == script.cell_digest("subject", "teacher_small", ["dataset=chbmit", "dataset.root=b"])
    assert here != script.cell_digest("window", "teacher_small", ["dataset=chbmit", "dataset.root=a"])
    assert here in script.cell_digest("subject", "student_small", ["dataset=chbmit", "dataset.root=a"])
    plain = script.cell_digest("subject", "random_forest", ["dataset=chbmit", "augment=standard"])
    assert plain == script.cell_digest("subject", "random_forest", ["dataset=chbmit"])


def test_an_unknown_protocol_is_one_line(as_script):
    done = as_script("scripts/evidence.py", "--splits", "patient")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: --splits='patient' is not one of")
