"""Commands that are stopped by SIGTERM, SIGINT or a kill at any moment, started again, end the same."""

import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from warm import REPO, Started, environment

TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL
CODES = {TERM: 143, INT: 130, KILL: -9}
LINE = "stopped; the same command continues where this one ended\n"
RUN_FILES = ("predictions.npz", "metrics.json", "history.csv", "model.safetensors", "text.safetensors")


def digests(root: Path, names=None) -> dict[str, str]:
    """SHA-256 of the files below a folder, hidden ones too; of those that are called ``names``."""
    found = [p for p in sorted(root.rglob("*")) if p.is_file() and (names is None or p.name in names)]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def once(words: list[str], cwd: Path) -> float:
    """Run a command to its end; seconds that it took."""
    began = time.monotonic()
    process = Started(words, cwd)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return time.monotonic() - began


def stopped(words: list[str], cwd: Path, number: int, after_s: float) -> bool:
    """Whether the command was still at work then; what it says is checked."""
    process = Started(words, cwd)
    try:
        _, err = process.communicate(timeout=after_s)
        assert process.returncode == 0, err
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    # Before its first line of ours Python itself ends it, without a word.
    assert process.returncode in (CODES[number], 0) or (process.returncode, err) == (-number, ""), err
    if process.returncode > 0:
        assert err == LINE
    return True


def battered(words: list[str], cwd: Path, span_s: float, seed: int, times: int = 3) -> int:
    """Stop a command again and again at moments of its span, then let it end; how often it was at work."""
    rng, hits = random.Random(seed), 0
    for k in range(times):
        if not stopped(words, cwd, (TERM, INT, KILL)[k % 3], rng.uniform(0.2, 0.8) * span_s):
            return hits
        hits += 1
    once(words, cwd)
    return hits


@pytest.mark.parametrize("number", [TERM, INT])
@pytest.mark.parametrize("after_s", [0.15, 1.0])
def test_a_signal_in_the_first_second_is_one_line(tmp_path, number, after_s):
    words = ["train.py", "device=cpu", "trainer.max_steps=1", "n_jobs=1"]
    process = subprocess.Popen(
        [sys.executable, str(REPO / words[0]), *words[1:]],
        **{"cwd": tmp_path, "env": environment(), "stderr": subprocess.PIPE, "text": True},
    )
    time.sleep(after_s)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    # Before its first line of ours Python itself ends it.
    assert (process.returncode, err) == (CODES[number], LINE) or after_s < 1, err
    assert after_s < 1 or "Traceback" not in err


@pytest.mark.slow
def test_train(tmp_path, tiny):
    words = [
        "train.py",
        *tiny,
        "split.n_folds=2",
        "trainer.epochs=5",
        "trainer.batch_size=4",
        "optim.ema=0.9",
    ]
    once([*words, "run.root=whole"], tmp_path)
    (timing,) = tmp_path.rglob("timing.json")
    span = sum(json.loads(timing.read_text()).values())  # of the folds alone: the corpus is there now
    assert battered([*words, "run.root=broken"], tmp_path, span, 1) > 0
    whole = digests(tmp_path / "whole", RUN_FILES)
    assert len(whole) == 11 and digests(tmp_path / "broken", RUN_FILES) == whole
    assert not list((tmp_path / "broken").rglob(".*"))


@pytest.mark.slow
def test_distill_and_export(tmp_path, tiny, sizes):
    once(["train.py", *tiny, "split.n_folds=2"], tmp_path)
    words = ["distill.py", *sizes, "trainer.epochs=5", "trainer.batch_size=4", "distill.cosine=0.5"]
    shutil.copytree(tmp_path / "runs", tmp_path / "broken")
    span = once(words, tmp_path)
    battered([*words, "run.root=broken"], tmp_path, span, 0)
    whole = digests(tmp_path / "runs", RUN_FILES)
    assert digests(tmp_path / "broken", RUN_FILES) == whole
    (student,) = (tmp_path / "runs" / "synthetic").glob("student*")
    shutil.copytree(student.parent, tmp_path / "again" / "synthetic")
    again = tmp_path / "again" / "synthetic" / student.name
    words = ["scripts/export.py", "onnx=false", "device=cpu", "n_jobs=1"]
    span = once([*words, f"run={student}"], tmp_path)
    battered([*words, f"run={again}"], tmp_path, span, 1)
    whole = digests(student / "export", ("model.safetensors", "config.json"))
    found = digests(again / "export", ("model.safetensors", "config.json"))
    assert found["model.safetensors"] == whole["model.safetensors"] and len(found) == 2
    assert not list((tmp_path / "again").rglob(".*"))


@pytest.mark.slow
def test_prepare(tmp_path):
    words = ["scripts/prepare.py", "dataset=synthetic", "dataset.corpus.n_subjects=3", "n_jobs=2"]
    words += ["+dataset.corpus.recordings_per_subject=4", "+dataset.corpus.recording_s=300"]
    once([*words, "store.root=first"], tmp_path)  # writes the corpus
    span = once([*words, "store.root=whole"], tmp_path)
    assert battered([*words, "store.root=broken"], tmp_path, span, 0) > 0
    assert digests(tmp_path / "broken") == digests(tmp_path / "whole")
    assert len(list((tmp_path / "broken").iterdir())) == 1


@pytest.mark.slow
def test_tune(tmp_path, tiny_data):
    words = ["scripts/tune.py", *tiny_data, "split.n_folds=2", "model=eegnet", "trainer.epochs=5"]
    words += ["trials=3", "pruner=none", "fold=0", "space=training", "device=cpu", "n_jobs=1"]
    span = once([*words, "run.root=whole"], tmp_path)
    battered([*words, "run.root=broken", "jobs=2"], tmp_path, span, 0, times=2)
    tables = [pd.read_csv(next((tmp_path / name).rglob("trials.csv"))) for name in ("whole", "broken")]
    whole, broken = (table.set_index("folder")["val_macro_f1"].to_dict() for table in tables)
    assert whole == broken and len(whole) == 3
    histories = [
        {p.parent.parent.name: p.read_bytes() for p in (tmp_path / name).rglob("history.csv")}
        for name in ("whole", "broken")
    ]
    assert histories[0] == histories[1]


@pytest.mark.slow
def test_the_same_fold_started_twice_is_trained_once_and_the_second_says_by_whom(tmp_path, tiny):
    words = ["train.py", *tiny, "split.n_folds=2", "fold=0", "trainer.epochs=400", "trainer.batch_size=4"]
    first = Started(words, tmp_path)
    while not list((tmp_path / "runs").rglob("checkpoint.pt")):
        assert first.poll() is None
        time.sleep(0.05)
    second = Started(words, tmp_path)
    _, err = second.communicate(timeout=300)
    assert second.returncode == 4 and err.count("\n") == 1
    assert "fold0 is held by" in err and f"(process {first.pid}, since " in err
    first.send_signal(TERM)
    assert first.wait(timeout=120) == 143
