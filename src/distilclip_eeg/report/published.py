"""Figures the article prints, for comparison: its Tables I to V, in per cent but for the last."""

CORPORA = ("tusz", "aubmc", "chbmit", "zenodo")
COLUMNS = ("accuracy", "precision", "recall", "f1")

TABLE_1 = {
    "cnn_rnn": (
        90.61, 91.45, 85.11, 90.86, 91.08, 93.68, 87.92, 92.05,
        80.13, 82.90, 75.92, 79.26, 81.84, 83.08, 79.95, 81.49,
    ),
    "gasf_cnn": (
        89.56, 90.67, 84.39, 89.86, 88.38, 91.39, 81.69, 89.57,
        85.29, 87.15, 82.80, 84.92, 84.03, 83.82, 84.33, 84.07,
    ),
    "sincnet_conv1d": (
        90.05, 90.92, 85.04, 90.24, 89.67, 92.69, 85.02, 90.77,
        87.01, 87.60, 86.24, 86.91, 84.42, 84.22, 84.73, 84.47,
    ),
    "ggn": (
        94.41, 94.42, 90.32, 94.38, 92.23, 93.82, 86.31, 92.85,
        92.17, 94.39, 89.68, 91.97, 87.21, 85.31, 89.90, 87.54,
    ),
    "lightseizurenet": (
        88.64, 89.85, 84.29, 88.65, 90.18, 92.99, 85.34, 91.26,
        97.09, 96.53, 97.69, 97.11, 91.52, 91.58, 91.44, 91.51,
    ),
    "eegnet": (
        90.90, 91.60, 87.86, 91.04, 90.95, 92.47, 85.48, 91.54,
        89.59, 86.98, 93.12, 89.95, 87.61, 85.96, 89.90, 87.88,
    ),
    "meta_gnn": (
        91.46, 92.22, 88.57, 91.61, 88.38, 91.11, 81.33, 89.47,
        89.56, 88.33, 91.16, 89.72, 83.62, 82.16, 85.92, 84.00,
    ),
    "cbam3d": (
        97.00, 96.98, 93.11, 96.98, 97.66, 97.75, 91.84, 97.70,
        96.87, 97.39, 96.32, 96.85, 93.57, 93.31, 93.87, 93.59,
    ),
    "rnn": (
        89.35, 90.48, 84.50, 89.79, 90.99, 93.16, 87.60, 91.81,
        86.52, 86.89, 86.00, 86.45, 83.83, 83.76, 83.93, 83.84,
    ),
    "cnn_rnns": (
        79.80, 83.13, 78.79, 80.94, 79.44, 84.87, 78.58, 81.34,
        77.91, 75.54, 82.56, 78.90, 71.90, 75.97, 64.04, 69.50,
    ),
    "resbilstm": (
        91.53, 92.34, 87.11, 91.81, 92.27, 93.77, 88.23, 92.85,
        88.24, 83.92, 94.60, 88.94, 83.82, 81.28, 87.91, 84.46,
    ),
    "stacked_lstm": (
        96.93, 96.95, 92.74, 96.93, 96.12, 96.68, 90.53, 96.32,
        92.17, 96.06, 87.96, 91.82, 90.79, 91.53, 89.90, 90.71,
    ),
    "pcc_cnn": (
        91.04, 91.75, 86.33, 91.09, 91.89, 93.29, 88.04, 92.40,
        89.59, 90.93, 87.96, 89.42, 90.99, 90.90, 91.09, 91.00,
    ),
    "two_layer_lstm": (
        82.28, 84.85, 80.12, 82.80, 82.48, 86.88, 73.05, 84.26,
        82.47, 81.55, 83.94, 82.73, 79.58, 79.63, 79.51, 79.57,
    ),
    "gcn_bigru": (
        91.27, 91.83, 86.17, 91.41, 91.46, 94.22, 85.98, 92.58,
        97.05, 95.92, 98.28, 97.09, 93.50, 95.37, 91.44, 93.37,
    ),
    "multisincnet": (
        86.49, 88.63, 83.00, 86.87, 87.09, 92.37, 83.49, 89.11,
        89.31, 89.02, 89.68, 89.35, 85.87, 86.21, 85.41, 85.81,
    ),
    "teacher": (
        97.75, 97.82, 96.26, 97.77, 97.77, 97.95, 96.27, 97.82,
        97.90, 98.13, 97.66, 97.89, 94.61, 95.78, 93.33, 94.54,
    ),
    "student": (
        97.12, 97.21, 95.86, 97.14, 97.38, 97.64, 95.77, 97.46,
        97.13, 97.90, 96.32, 97.10, 94.10, 95.00, 93.10, 94.04,
    ),
}  # fmt: skip
"""By model; four columns for each of ``CORPORA``. Protocol: windows split at random, balanced test folds."""

TABLE_2_COLUMNS = ("accuracy", "precision", "recall", "specificity", "f1")
TABLE_2 = {
    "eeg_lp": (
        97.37, 97.42, 96.25, 99.62, 97.38, 97.05, 97.37, 94.04, 98.98, 97.16,
        97.10, 97.11, 97.09, 97.11, 97.10, 94.08, 95.22, 92.81, 95.34, 94.00,
    ),
    "text_wp": (
        97.09, 97.14, 95.76, 99.58, 97.11, 96.92, 97.27, 93.44, 98.95, 97.05,
        97.07, 97.08, 97.06, 97.08, 97.07, 93.96, 95.01, 92.80, 95.12, 93.89,
    ),
    "text_lp": (
        96.94, 96.99, 95.62, 99.55, 96.96, 96.79, 97.21, 94.09, 98.91, 96.93,
        97.02, 96.95, 97.08, 96.96, 97.02, 93.82, 94.91, 92.60, 95.03, 93.74,
    ),
    "text_hp": (
        96.86, 96.91, 95.64, 99.54, 96.88, 96.66, 97.11, 93.52, 98.86, 96.82,
        96.90, 96.79, 97.02, 96.78, 96.91, 93.73, 94.83, 92.51, 94.96, 93.65,
    ),
    "base_wp": (
        96.76, 96.82, 95.64, 99.53, 96.78, 96.53, 97.00, 92.89, 98.82, 96.70,
        96.84, 96.66, 97.04, 96.64, 96.85, 93.61, 94.55, 92.55, 94.66, 93.54,
    ),
    "base_lp": (
        97.75, 97.82, 96.26, 99.68, 97.77, 97.77, 97.95, 96.27, 99.23, 97.82,
        97.90, 98.13, 97.66, 98.14, 97.90, 94.61, 95.78, 93.33, 95.89, 94.54,
    ),
}  # fmt: skip
"""Ablations of the teacher (``base_lp`` is the whole of it); five columns for each of ``CORPORA``."""

CLASS_COLUMNS = ("precision", "recall", "specificity", "f1")
CLASSES = {
    ("tusz", "teacher"): {
        "absz": (75.11, 85.17, 99.58, 79.82), "bckg": (99.25, 97.70, 99.80, 98.47),
        "cpsz": (98.15, 97.82, 99.69, 97.99), "fnsz": (99.28, 97.10, 99.81, 98.18),
        "gnsz": (98.25, 99.27, 99.53, 98.76), "spsz": (95.59, 97.50, 99.66, 96.53),
        "tcsz": (96.61, 98.14, 99.63, 97.37), "tnsz": (94.28, 97.39, 99.75, 95.81),
    },
    ("tusz", "student"): {
        "absz": (75.11, 85.17, 99.58, 79.82), "bckg": (99.25, 97.70, 99.80, 98.47),
        "cpsz": (98.15, 97.34, 99.69, 97.74), "fnsz": (98.92, 94.43, 99.72, 96.62),
        "gnsz": (95.72, 99.27, 98.82, 97.46), "spsz": (95.59, 97.50, 99.66, 96.53),
        "tcsz": (96.61, 98.14, 99.63, 97.37), "tnsz": (94.28, 97.39, 99.75, 95.81),
    },
    ("aubmc", "teacher"): {
        "bckg": (99.48, 97.33, 99.49, 98.39), "complex_partial": (97.91, 98.95, 98.65, 98.43),
        "electrographic": (94.61, 96.00, 99.42, 95.30), "video_detected": (67.76, 92.79, 99.36, 78.33),
    },
    ("aubmc", "student"): {
        "bckg": (99.14, 97.33, 99.15, 98.23), "complex_partial": (97.83, 98.29, 98.61, 98.06),
        "electrographic": (94.29, 94.67, 99.39, 94.48), "video_detected": (62.42, 92.79, 99.19, 74.64),
    },
}  # fmt: skip
"""Tables III and IV; the column that they call a class's accuracy repeats its recall."""

OVERALL = {
    ("tusz", "teacher"): (97.75, 97.82, 96.26, 99.68, 97.77),
    ("tusz", "student"): (97.12, 97.21, 95.86, 99.58, 97.14),
    ("aubmc", "teacher"): (97.77, 97.95, 96.27, 99.23, 97.82),
    ("aubmc", "student"): (97.38, 97.64, 95.77, 99.09, 97.46),
}
"""Their last rows; columns as in Table II."""

AUC = {
    ("tusz", "teacher"): (0.9237, 0.9875, 0.9875, 0.9846, 0.9940, 0.9858, 0.9888, 0.9857),
    ("tusz", "student"): (0.9237, 0.9875, 0.9851, 0.9708, 0.9904, 0.9858, 0.9888, 0.9857),
    ("aubmc", "teacher"): (0.9841, 0.9880, 0.9771, 0.9608),
    ("aubmc", "student"): (0.9824, 0.9845, 0.9703, 0.9599),
    ("chbmit", "teacher"): (0.9790,),
    ("chbmit", "student"): (0.9713,),
    ("zenodo", "teacher"): (0.9461,),
    ("zenodo", "student"): (0.9410,),
}
"""Table V, classes in the order of ``CLASSES``; (recall + specificity) / 2 of hard answers throughout."""
MACRO_AUC = {
    ("tusz", "teacher"): 0.9797,
    ("tusz", "student"): 0.9772,
    ("aubmc", "teacher"): 0.9775,
    ("aubmc", "student"): 0.9743,
}
MICRO_AUC = {
    ("tusz", "teacher"): 0.9872,
    ("tusz", "student"): 0.9836,
    ("aubmc", "teacher"): 0.9851,
    ("aubmc", "student"): 0.9825,
}
"""(a + 1 - (1 - a) / (K - 1)) / 2 of the accuracy a and K classes: recall and specificity pooled."""


def article_name(model: str) -> str:
    """What the article calls a model: every size of our teacher and student is compared with its own."""
    return model.partition("_")[0] if model.startswith(("teacher", "student")) else model


def table_1(model: str, dataset: str) -> dict[str, float]:
    """The article's row of Table I, in per cent; empty where it prints none.

    Args:
        model: a model's key.
    """
    row = TABLE_1.get(article_name(model))
    if row is None or dataset not in CORPORA:
        return {}
    first = 4 * CORPORA.index(dataset)
    return dict(zip(COLUMNS, row[first : first + 4], strict=True))


def table_2(row: str, dataset: str) -> dict[str, float]:
    """The article's row of Table II, in per cent; empty where it prints none."""
    if row not in TABLE_2 or dataset not in CORPORA:
        return {}
    n = len(TABLE_2_COLUMNS)
    first = n * CORPORA.index(dataset)
    return dict(zip(TABLE_2_COLUMNS, TABLE_2[row][first : first + n], strict=True))
