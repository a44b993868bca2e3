"""Tables I to V from run folders written by hand: ours beside the article's, marked, and never mixed."""

import os

import numpy as np
import pandas as pd
import pytest
from report_runs import make_run

from distilclip_eeg.report import article_tables, grid, published
from distilclip_eeg.report.entries import choose
from distilclip_eeg.report.grid import NOT_RUN, Grid
from distilclip_eeg.report.tables import ALWAYS
from distilclip_eeg.runs import find_runs

EIGHT = ("bckg", "absz", "cpsz", "fnsz", "gnsz", "spsz", "tcsz", "tnsz")


@pytest.fixture
def root(tmp_path):
    return tmp_path / "runs"


def entries_of(root, **more):
    return choose(find_runs(root, finished=False), **more)


def only(grids, title):
    """The one table whose title begins so."""
    (found,) = (g for g in grids if g.title.startswith(title))
    return found


def row_of(table: Grid, **words):
    (found,) = (row for row in table.rows if words.items() <= row.items())
    return found


def test_table_1_holds_the_figures_worked_by_hand_beside_the_published_ones(root, tmp_path):
    make_run(root, "teacher_tiny", "teacher", "window")
    table = only(
        article_tables.table_1("chbmit", entries_of(root), tmp_path), "Table I, chbmit, split=window"
    )
    row = row_of(table, model="teacher_tiny")
    # Fold 0: background 5 of 6, seizures 3 of 4; background counts as 4 windows at parity. Fold 1: all right.
    assert row["accuracy"] == pytest.approx(((4 * 5 / 6 + 3) / 8 + 1) / 2)
    assert row["precision"] == pytest.approx((3 / (3 + 4 / 6) + 1) / 2)
    assert row["recall"] == pytest.approx((3 / 4 + 1) / 2)
    assert row["recall_sd"] == pytest.approx(np.std([3 / 4, 1], ddof=1))
    article = [row[f"{c}_article"] for c in published.COLUMNS]
    assert article == pytest.approx([0.9790, 0.9813, 0.9766, 0.9789])
    assert "subject 100 %" in table.audit and "subject 100 %" in " ".join(table.told)


def test_published_figures_stand_beside_the_articles_own_protocol_alone(root, tmp_path):
    make_run(root, "student_tiny", "student", "subject")
    (table,) = article_tables.table_1("chbmit", entries_of(root), tmp_path)
    assert not table.published
    assert any("no figures under split=subject" in note for note in table.notes)
    # 5 of 6 and 3 of 4 right, nothing weighted: 8 of 10.
    assert row_of(table, model="student_tiny")["accuracy"] == pytest.approx((0.8 + 1) / 2)


def test_a_network_that_was_not_run_says_so_beside_its_published_figure(root, tmp_path):
    make_run(root, "teacher_tiny", "teacher", "window")
    (table,) = article_tables.table_1("chbmit", entries_of(root), tmp_path)
    texts = {row[0][0]: [text for text, _ in row[1:]] for row in table.texts()}
    assert texts["eegnet"] == [NOT_RUN, "89.59", NOT_RUN, "86.98", NOT_RUN, "93.12", NOT_RUN, "89.95"]
    assert len(texts) >= 18 and ALWAYS in texts


def test_rows_of_results_have_a_table_of_their_own_with_their_settings(root, tmp_path):
    make_run(root, "teacher_tiny", "teacher", "window")
    columns = {f"{c}{end}": 0.5 for c in published.COLUMNS for end in ("", "_sd")}
    columns |= {f"always_{c}": 0.4 for c in published.COLUMNS}
    command = "python scripts/reproduce_table1.py split=window models=eegnet trainer.max_steps=9"
    about = {"split": "window", "model": "eegnet", "folds": 2, "leak_note": "everything", "command": command}
    rows = [{"dataset": d} | about | columns for d in ("chbmit", "tusz")]
    pd.DataFrame(rows).to_csv(tmp_path / "table1_x.csv", index=False)
    own, made = article_tables.table_1("chbmit", entries_of(root), tmp_path)
    assert [row["model"] for row in own.rows] == ["teacher_tiny", ALWAYS]
    assert "trainer.max_steps=9" in " ".join(made.notes) and "2 folds; everything." in " ".join(made.told)
    assert row_of(made, model="eegnet")["accuracy"] == 0.5
    assert "accuracy" not in row_of(made, model="rnn")


def test_ablations_are_told_by_their_settings_and_one_fold_of_them_is_enough(root, tmp_path):
    make_run(root, "teacher_tiny", "teacher", "window")
    lp = make_run(root, "teacher_tiny", "teacher", "window", name="eeg", text="none")
    make_run(root, "teacher_tiny", "teacher", "window", name="text", prompts="none")
    (lp.path / "metrics.json").unlink()
    (lp.fold(0) / "metrics.json").unlink()
    entries = entries_of(root)
    assert [entry.row for entry in entries] == ["base_lp", "eeg_lp", "text_lp"]
    (table,) = article_tables.table_2("chbmit", entries, tmp_path)
    name = article_tables.ROW_NAMES
    assert [row["method"] for row in table.rows] == list(name.values())
    assert row_of(table, method=name["eeg_lp"])["accuracy"] == 1  # fold 1 alone
    assert row_of(table, method=name["base_lp"])["accuracy_article"] == pytest.approx(0.9790)
    assert "accuracy" not in row_of(table, method=name["text_hp"])
    assert any("1 of 2 folds" in note for note in table.notes)


def test_ablations_in_results_pool_seeds_and_folds(root, tmp_path):
    make_run(root, "teacher_tiny", "teacher", "window")
    about = {"dataset": "chbmit", "split": "window", "model": "teacher_small", "reading": "placement"}
    about |= {"leak_note": "note"}
    figures = dict.fromkeys(published.TABLE_2_COLUMNS, 0.0)
    rows = [
        about | figures | {"variant": "base_wp", "seed": seed, "fold": 0, "accuracy": accuracy}
        for seed, accuracy in ((0, 0.5), (0, 0.6), (1, 0.8))  # the first was run again
    ]
    rows.append(about | figures | {"variant": "targets=sigmoid", "seed": 0, "fold": 0})
    pd.DataFrame(rows).to_csv(tmp_path / "ablations_chbmit.csv", index=False)
    own, made = article_tables.table_2("chbmit", entries_of(root), tmp_path)
    row = row_of(made, method=article_tables.ROW_NAMES["base_wp"])
    assert row["accuracy"] == pytest.approx(0.7) and row["accuracy_sd"] == pytest.approx(
        np.std([0.6, 0.8], ddof=1)
    )
    assert len(made.rows) == 6 and "2 seeds x 1 folds" in made.notes[0]
    assert "accuracy" not in row_of(own, method=article_tables.ROW_NAMES["base_wp"])


def test_tables_3_and_4_are_there_without_a_run(root, tmp_path):
    make_run(root, "logreg_bandpower", "floor", "window")
    tables = article_tables.article_tables(entries_of(root), tmp_path)
    assert {"table3_tusz", "table4_aubmc", "table1_chbmit"} <= set(tables)
    (aubmc,) = tables["table4_aubmc"]
    assert len(aubmc.rows) == 2 * 5
    for row in aubmc.texts():
        assert {text for text, _ in row[2::2]} == {NOT_RUN}
    student = row_of(aubmc, **{"class": "video_detected", "model": "student"})
    assert student["precision_article"] == pytest.approx(0.6242)


def test_each_class_of_tusz_stands_beside_its_own_published_row(root, tmp_path):
    make_run(root, "teacher", "teacher", "window", dataset="tusz", classes=EIGHT)
    entries = entries_of(root)
    (table,) = article_tables.by_class("tusz", entries, "III")
    assert [row["class"] for row in table.rows] == [*EIGHT, "overall"]
    assert row_of(table, **{"class": "absz"})["precision_article"] == pytest.approx(0.7511)
    assert row_of(table, **{"class": "overall"})["recall_article"] == pytest.approx(0.9626)
    # fold 0: one window of absz called background, one of background called absz; fold 1 all right
    assert row_of(table, **{"class": "absz"})["recall"] == pytest.approx((0 + 1) / 2)
    (areas,) = article_tables.table_5("tusz", entries)
    assert row_of(areas, **{"class": "absz"})["auc_article"] == pytest.approx(0.9237)
    assert row_of(areas, **{"class": "macro"})["auc_article"] == pytest.approx(0.9797)
    assert row_of(areas, **{"class": "micro"})["auc_article"] == pytest.approx(0.9872)


def test_table_5_is_the_articles_reading_with_the_true_area_beside_it(root):
    make_run(root, "teacher_tiny", "teacher", "subject")
    (table,) = article_tables.table_5("chbmit", entries_of(root))
    (row,) = table.rows
    assert row["class"] == "seiz"
    assert row["auc"] == pytest.approx(((3 / 4 + 5 / 6) / 2 + 1) / 2)
    assert row["auroc"] != pytest.approx(row["auc"])


@pytest.mark.parametrize("dataset, n", [("tusz", 8), ("aubmc", 4)])
@pytest.mark.parametrize("who", ["teacher", "student"])
def test_the_articles_micro_auc_follows_from_its_accuracy(dataset, n, who):
    accuracy = published.OVERALL[dataset, who][0] / 100
    micro = (accuracy + 1 - (1 - accuracy) / (n - 1)) / 2
    assert micro == pytest.approx(published.MICRO_AUC[dataset, who], abs=1.5e-4)
    macro = np.mean(published.AUC[dataset, who])
    assert macro == pytest.approx(published.MACRO_AUC[dataset, who], abs=1e-4)


def test_only_the_newest_finished_run_of_a_model_and_protocol_is_chosen(root):
    old = make_run(root, "teacher_tiny", "teacher", name="old")
    new = make_run(root, "teacher_tiny", "teacher", name="new", seed=1)
    half = make_run(root, "teacher_tiny", "teacher", name="half", seed=2)
    for run, when in ((old, 1), (new, 2), (half, 3)):
        os.utime(run.path / "config.yaml", (when, when))
    (half.path / "metrics.json").unlink()
    make_run(root, "eegnet", "baseline", dataset="tusz")
    assert [entry.run.path.name for entry in entries_of(root, dataset="chbmit")] == ["new"]
    assert [entry.dataset for entry in entries_of(root)] == ["chbmit", "tusz"]


def figures(*rows, measure="f1", within=""):
    body = [{"model": name, measure: value} for name, value in rows]
    return Grid("T", ("note",), ("model",), {measure: "F1 %"}, body, within)


def marks(table):
    return [row[-1][1] for row in table.texts()]


def test_best_and_second_are_of_what_is_printed_and_the_trivial_row_takes_no_part():
    rows = [("a", 0.7), ("b", 0.9001), ("c", 0.9004), ("d", 0.8), (ALWAYS, 0.99)]
    assert marks(figures(*rows)) == ["", "best", "best", "second", ""]
    assert marks(figures(("a", 0.1), ("b", 0.2), measure="ece")) == ["best", "second"]
    assert marks(figures(("a", 0.7))) == [""]
    assert marks(figures(("a", 0.7), ("b", 0.7))) == ["", ""]
    assert marks(figures(("a", 0.7), ("b", np.nan), ("c", 0.6))) == ["best", "", "second"]


def test_rows_are_compared_within_their_group_alone():
    rows = [
        {"model": m, "class": c, "f1": v} for m, c, v in (("a", "x", 0.1), ("b", "x", 0.2), ("a", "y", 0.9))
    ]
    table = Grid("T", (), ("class", "model"), {"f1": "F1 %"}, rows, "class")
    assert marks(table) == ["second", "best", ""]


def test_markdown_and_latex_show_the_same_table_with_protocol_above():
    table = figures(("a_b", 0.5), ("c|d", 0.75))
    table = Grid("T", ("split=window, 100 %",), table.words, table.measures, [*table.rows, {"model": "e"}])
    assert grid.markdown(table).splitlines() == [
        "**T**",
        "",
        "split=window, 100 %  ",
        "",
        "| model | F1 % |",
        "|---|---|",
        "| a_b | <u>50.0</u> |",
        "| c&#124;d | **75.0** |",
        "| e | not run |",
    ]
    tex = grid.latex(table)
    assert r"\caption{T. split=window, 100 \%}" in tex
    assert r"{a\_b} & \underline{50.0} \\" in tex and r"{c|d} & \textbf{75.0} \\" in tex
    assert tex.count("{") == tex.count("}") and r"\begin{tabular}{lr}" in tex


def test_a_hostile_name_is_text_in_every_form():
    table = figures((r"<b>\input{x}$&%#^~`[l](u)", 0.5))
    tex, text = grid.latex(table), grid.markdown(table)
    assert r"\input" not in tex and r"\textbackslash{}input\{x\}\$\&\%\#" in tex
    assert "<b>" not in text and "`" not in text and "[l](u)" not in text


def test_the_csv_holds_fractions_and_reads_back(root, tmp_path):
    make_run(root, "teacher_tiny", "teacher", "window")
    grids = article_tables.table_1("chbmit", entries_of(root), tmp_path)
    grid.frame(grids).to_csv(tmp_path / "t.csv", index=False)
    back = pd.read_csv(tmp_path / "t.csv").set_index("model")
    assert back.loc["teacher_tiny", "recall"] == pytest.approx(0.875)
    assert back.loc["eegnet", "accuracy_article"] == pytest.approx(0.8959)
    assert np.isnan(back.loc["eegnet", "accuracy"]) and "split=window" in back.loc["eegnet", "notes"]
