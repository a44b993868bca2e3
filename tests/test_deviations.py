"""docs/deviations.md: its arithmetic on the article's tables comes out, and its settings are there."""

import re
from pathlib import Path

import pytest

from distilclip_eeg.config.compose import CONFIG_DIR, SETTINGS, load
from distilclip_eeg.config.rules import plain

PAGE = (Path(__file__).parents[1] / "docs" / "deviations.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*=[^`\s]+)`", PAGE)))
GROUPS = {p.name for p in CONFIG_DIR.iterdir() if p.is_dir()}
CORPUS = {"labels": "tusz", "consensus": "zenodo", "corpus": "chbmit"}
"""Which corpus a setting of ``dataset.`` belongs to."""

TUSZ = {  # recall, precision, specificity, F1 of the teacher (Table III), AUC (Table V)
    "absz": (85.17, 75.11, 99.58, 79.82, 0.9237),
    "bckg": (97.70, 99.25, 99.80, 98.47, 0.9875),
    "cpsz": (97.82, 98.15, 99.69, 97.99, 0.9875),
    "fnsz": (97.10, 99.28, 99.81, 98.18, 0.9846),
    "gnsz": (99.27, 98.25, 99.53, 98.76, 0.9940),
    "spsz": (97.50, 95.59, 99.66, 96.53, 0.9858),
    "tcsz": (98.14, 96.61, 99.63, 97.37, 0.9888),
    "tnsz": (97.39, 94.28, 99.75, 95.81, 0.9857),
}
AUBMC = {  # Table IV, Table V; and windows as released
    "bckg": (97.33, 99.48, 99.49, 98.39, 0.9841, 3895),
    "complex_partial": (98.95, 97.91, 98.65, 98.43, 0.9880, 3079),
    "electrographic": (96.00, 94.61, 99.42, 95.30, 0.9771, 705),
    "video_detected": (92.79, 67.76, 99.36, 78.33, 0.9608, 111),
}


def mean(table, column):
    return sum(row[column] for row in table.values()) / len(table)


@pytest.mark.parametrize("setting", NAMED)
def test_every_setting_that_it_names_is_there_and_takes_the_value(setting):
    key, _, value = setting.partition("=")
    verb = "distill" if key.startswith("distill.") else "tune" if key == "space" else "train"
    corpus = CORPUS.get(key.split(".")[1]) if key.startswith("dataset.") else None
    settings = load(SETTINGS[verb], [*([f"dataset={corpus}"] if corpus else []), setting])
    if key not in GROUPS:
        node = plain(settings)
        for part in key.split("."):
            node = node[part]
        if isinstance(node, float):
            assert node == float(value)
        else:
            assert str(node).lower() == value.replace("null", "none")


def test_it_names_the_readings_of_every_part():
    keys = {setting.partition("=")[0] for setting in NAMED}
    wanted = {"split", "loss.targets", "head.input", "text.source", "model.net.prompts", "distill.direction"}
    assert wanted <= keys and len(NAMED) > 50


def test_the_averages_of_the_tables_are_mixed_as_it_says():
    said = [round(mean(TUSZ, k), 2) for k in (0, 2, 3)] + [mean(TUSZ, 1)]
    assert said == [96.26, 99.68, 95.37, pytest.approx(94.57, abs=0.006)]
    assert [round(mean(AUBMC, k), 2) for k in (0, 1, 2, 3)] == [96.27, 89.94, 99.23, 92.61]
    windows = sum(row[5] for row in AUBMC.values())
    overall = [sum(row[k] * row[5] for row in AUBMC.values()) / windows for k in (0, 1, 3)]
    assert windows == 7790
    assert overall == pytest.approx([97.77, 97.95, 97.82], abs=0.021)  # accuracy, precision, F1 as printed


def test_the_article_s_auc_is_the_mean_of_recall_and_specificity():
    for row in (*TUSZ.values(), *AUBMC.values()):
        assert (row[0] + row[2]) / 200 == pytest.approx(row[4], abs=6e-5)
    for accuracy, n_classes, micro in ((0.9775, 8, 0.9872), (0.9777, 4, 0.9851)):
        specificity = 1 - (1 - accuracy) / (n_classes - 1)  # of pooled counts, one class against the rest
        assert (accuracy + specificity) / 2 == pytest.approx(micro, abs=1e-4)


def test_its_test_sets_were_balanced_and_what_precision_would_be_otherwise():
    for recall, specificity, accuracy in ((97.66, 98.14, 97.90), (93.33, 95.89, 94.61)):
        assert (recall + specificity) / 2 == pytest.approx(accuracy, abs=1e-9)
    hit, alarm = 0.9766, 1 - 0.9814
    for share, said in ((0.5, 0.98), (0.05, 0.73), (0.003, 0.14)):
        assert round(hit * share / (hit * share + alarm * (1 - share)), 2) == said
    assert alarm * 0.997 * 86_400 == pytest.approx(1600, abs=5)
    assert 2 * 98.13 * 97.66 / (98.13 + 97.66) == pytest.approx(97.89, abs=0.006)
