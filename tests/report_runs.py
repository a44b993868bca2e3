"""Run folders written by hand, as training, explain.py and continuous.py leave them."""

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from tools import write_config

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.config.learning import DistillConfig
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.runs import Run, write_predictions

CHANNELS = ("FP1-F7", "F7-T7", "T7-P7", "P7-T7", "FZ-CZ", "CZ-PZ", "FP2-F8", "F8-T8", "T8-P8", "ECG")
PLACES = (
    *((-0.045, 0.082), (-0.067, 0.038), (-0.065, -0.011), (-0.065, -0.011), (-0.001, 0.041)),
    *((-0.001, -0.006), (0.045, 0.082), (0.066, 0.038), (0.063, -0.011), (np.nan, np.nan)),
)
"""Two derivations share a middle; the last channel has no place."""
COST = """side,layer,parameters,article,executed,parameters_cumulative,article_cumulative,executed_cumulative
eeg,stem,1000,2000000000,1000000000,1000,2000000000,1000000000
eeg,layer 1,3000,4000000000,3000000000,4000,6000000000,4000000000
eeg,layer 2,3000,4000000000,3000000000,7000,10000000000,7000000000
eeg,classifier,10,1000000,1000000,7010,10001000000,7001000000
text,layer 1,500,5000000000,5000000000,7510,15001000000,12001000000
"""
WHAT = {"unit": "FLOP of one forward pass, two a multiply-add", "batch": 32, "texts": 4, "tokens": 64}


def make_run(root: Path, model: str, kind: str, split: str = "subject", **more) -> Run:
    """A finished run of two folds, each of one person; ``more``: name, dataset, classes, text, prompts,
    recording, seed, folds."""
    folds = range(more.get("folds", 2))
    dataset, name = more.get("dataset", "chbmit"), more.get("name", f"{model}-{split}-s0-00000000")
    run = Run(root / dataset / name)
    run.path.mkdir(parents=True)
    write_config(
        run.path,
        dataset={"name": dataset},
        model={
            "name": model,
            "kind": kind,
            "net": {
                "_target_": "distilclip_eeg.models.conformer.Conformer",
                "prompts": more.get("prompts", "deep"),
            },
        },
        split={"name": split, "n_folds": len(folds)},
        text={"source": more.get("text", "descriptors")},
        loss={"alpha": 0.0 if more.get("text") == "none" else 0.5},
        optim={"lr": 0.001},
        trainer={"epochs": 3},
        distill=plain(DistillConfig()) if kind == "student" else None,
        seed=more.get("seed", 0),
    )
    shared = 0.0 if split == "subject" else 1.0
    note = f"test windows sharing with training: event {100 * shared:.0f} %, subject {100 * shared:.0f} %"
    audit = dict.fromkeys(("samples", "event", "recording", "subject", "future"), shared)
    about = {"audit": audit, "leak_note": note, "windows": {"length_s": 1.0}, "folds_sha256": split}
    write_json(run.path / "data.json", about)
    own = np.repeat(folds, 10)  # the fold that tests each window
    parts = {f"fold{k}": np.where(own == k, "test", "train") for k in folds}
    pd.DataFrame(parts).to_parquet(run.path / "folds.parquet")
    report = f"{dataset}: 4 of 4 recordings used, 2 subjects\n  windows of 1 s: bckg 12, seiz 8\n"
    (run.path / "data_report.txt").write_text(f"{report}\n")
    made = {
        "commit": "abc1234",
        "python": "3.11.7",
        "machine": "Linux, 2 cores",
        "libraries": {"torch": "2.13.0"},
    }
    write_json(run.path / "provenance.json", made)
    write_json(run.path / "timing.json", {"fold0_s": 90.0, "fold1_s": 30.0})
    for fold in folds:
        folder = run.fold(fold)
        folder.mkdir()
        if kind != "floor":
            history(fold).to_csv(folder / "history.csv", index=False)
        predictions_of(run, fold, more.get("classes", ("bckg", "seiz")), more.get("recording", "r"))
        write_json(folder / "metrics.json", {"steps": 30})
    write_json(run.path / "metrics.json", {"folds": len(folds)})
    return run


def history(fold: int) -> pd.DataFrame:
    """Three epochs of a fold; fold 1 is ten points better than fold 0."""
    epoch = np.arange(1, 4)
    accuracy = 0.5 + 0.1 * epoch + 0.1 * fold
    columns = {
        "train_loss": 2 / epoch,
        "val_loss": 1 / epoch,
        "train_accuracy": accuracy,
        "val_accuracy": accuracy,
    }
    return pd.DataFrame({"epoch": epoch, **columns, "val_macro_f1": accuracy})


def predictions_of(run: Run, fold: int, classes: tuple[str, ...], recording: str) -> None:
    """Ten test windows, labels 0 0 0 0 0 0 1 1 1 1; in fold 0 one false alarm and one miss, later none.

    More classes than two take turns over the last four.
    """
    label = np.array([0] * 6 + [1 + i % (len(classes) - 1) for i in range(4)])
    answer = label.copy()
    if fold == 0:
        answer[5], answer[6] = 1, 0
    logits_NK = (
        2.0 * np.eye(len(classes))[answer] + 0.01 * np.arange(10)[:, None] * np.eye(len(classes))[answer]
    )
    windows = pd.DataFrame(
        {
            "window_id": np.arange(10) + 10 * fold,
            "recording_name": f"{recording}{fold}",
            "subject": f"s{fold}",
            "start_s": np.arange(10.0),
            "label": label,
        }
    )
    write_predictions(run.fold(fold) / "predictions.npz", windows, np.full(10, "test"), logits_NK, classes)


def add_explanation(run: Run, fold: int = 0) -> Path:
    """What ``scripts/explain.py`` leaves; seizures are seen at FP1-F7, background nowhere in particular."""
    folder = run.fold(fold) / "explain"
    folder.mkdir()
    n, c = 6, len(CHANNELS)
    normal_C, difference_C = np.full(c, 0.2), np.zeros(c)
    difference_C[0], difference_C[5] = 0.6, -0.1
    who = {"label_N": np.array([0, 0, 0, 1, 1, 1]), "subject_N": np.array(["s0", "s1"] * 3)}
    names = {"ch_names": np.array(CHANNELS), "classes": np.array(["bckg", "seiz"])}
    np.savez(
        folder / "ecam.npz",
        **(who | names),
        method="hires",
        predicted_N=np.array([0, 0, 1, 1, 1, 1]),
        positions_C2=np.array(PLACES),
        class_map_KC=np.array([normal_C, normal_C + difference_C]),
        difference_C=difference_C,
    )
    curve = {"share": [0, 0.5, 1], "probability": [0.9, 0.3, 0.2], "random": [0.9, 0.6, 0.2]}
    numbers = {
        "spearman_occlusion_mean": 0.5,
        "spearman_n": 6,
        "deletion_auc": 0.425,
        "deletion_auc_random": 0.575,
    }
    write_json(folder / "faithfulness.json", {"hires": numbers | {"windows": 6, "curve": curve}})
    uv_NCT = 50 * np.sin(np.linspace(0, 20, 128) + np.arange(c).reshape(1, c, 1))
    np.savez(folder / "examples.npz", uv_NCT=uv_NCT.astype(np.float16), sfreq=128.0, ch_names=CHANNELS)
    windows = [
        {
            **{"window_id": 0, "subject": "s0", "start_s": 3.0, "true": "seiz", "predicted": "seiz"},
            **{
                "probability": 0.93,
                "text": "Rhythmic theta.",
                "nearest": [{"text": "Fast.", "similarity": 0.5}],
            },
        }
    ]
    write_json(folder / "examples.json", {"windows": windows, "texts_compared": 12})
    xy_N2 = np.column_stack([np.arange(n), np.arange(n) % 3])
    np.savez(
        folder / "embedding.npz",
        xy_N2=xy_N2,
        explained_2=np.array([0.6, 0.2]),
        **who,
        classes=names["classes"],
    )
    pd.read_csv(io.StringIO(COST)).assign(**WHAT).to_csv(folder / "cost.csv", index=False)
    focus = [{"stage": "first third", "method": "hires", "n": 5, "share": 0.8, "chance": 0.1, "wave": 0.9}]
    pd.DataFrame(focus).to_csv(folder / "focus.csv", index=False)
    write_json(folder / "explain.json", {"left_out": {}})
    return folder


def add_events(run: Run, recording: str = "r0") -> None:
    """Two minutes of a recording with one seizure, 30 to 50 s, that the model finds from 32 to 52 s."""
    start_s = np.arange(120.0)
    probability = np.where((start_s >= 32) & (start_s < 52), 0.95, 0.05)
    trace = {"part": "test", "recording": recording, "start_s": start_s, "probability": probability}
    pd.DataFrame(trace).to_parquet(run.fold(0) / "continuous.parquet")
    write_json(run.path / "continuous.json", {"hop_s": 1.0, "length_s": 1.0})
    known = {
        "recording": [recording],
        "subject": ["s0"],
        "onset_s": [30.0],
        "offset_s": [50.0],
        "label": ["seiz"],
    }
    pd.DataFrame(known).to_csv(run.path / "events.tsv", sep="\t", index=False)
    (run.path / "continuous").mkdir()
    scores = {"scorer": ["SzCORE event"], "subjects": [1], "sensitivity": [1.0], "fp_per_24h": [0.0]}
    pd.DataFrame(scores).to_csv(run.path / "continuous" / "overall.csv", index=False)
    (run.path / "continuous" / "events.txt").write_text("thresholds by fold: 0.5\n")
    write_json(run.path / "continuous" / "detect.json", {"0": asdict(DetectConfig())})
    (run.path / "rehearsal").mkdir()
    (run.path / "rehearsal" / "events.txt").write_text("events read back from events.tsv\n")


def add_event_scores(run: Run, hours: float) -> None:
    """Tables that ``continuous.py`` writes beside its page: 3 of 4 seizures, 120 false alarms a day."""
    folder, ends = run.path / "continuous", ("", "_low", "_high")
    scores = {"scorer": ["NEDC OVLP"], "subjects": [1], "recordings": [2], "unscored": [0], "hours": [hours]}
    pd.DataFrame(scores).to_csv(folder / "overall.csv", index=False)

    def rate(name: str, *values: float) -> dict[str, float]:
        return {f"{name}{end}": value for end, value in zip(ends, values, strict=True)}

    found = rate("sensitivity", 0.75, 0.5, 1.0)
    burden = {"row": "model", "hits": 3.0, "seizures": 4.0, "quiet_hours": 1.9} | found
    burden |= rate("quiet_share", 0.125, 0.1, 0.15) | {"person_low": 0.1, "person_high": 0.2}
    burden |= {"in_warning": 0.2, "alarms_per_h": 6.0, "false_per_h": 5.0}
    events = {"row": "model", "scorer": "NEDC OVLP"} | found | rate("precision", 0.6, 0.4, 0.8)
    events |= rate("f1", 2 / 3, 0.5, 0.8) | rate("fp_per_24h", 120.0, 96.0, 144.0)
    for name, row in (("burden", burden), ("events", events)):
        pd.DataFrame([row]).to_csv(folder / f"beside_{name}.csv", index=False)


def small_world(root: Path) -> Path:
    """``root/runs``: by subject a teacher, explained and with events, and its student; by window a floor."""
    teacher = make_run(root / "runs", "teacher_tiny", "teacher")
    make_run(root / "runs", "student_tiny", "student")
    make_run(root / "runs", "logreg_bandpower", "floor", "window")
    add_explanation(teacher)
    add_events(teacher)
    return root / "runs"
