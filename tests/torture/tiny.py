"""A tiny corpus and everything that is made of it, once: store, runs, models, events, an index."""

from pathlib import Path

from torture.base import Done, run, warm

DATA = [
    *("split=subject", "split.n_folds=2", "dataset.corpus.n_subjects=5", "dataset.root=data"),
    *("dataset.corpus.recordings_per_subject=1", "dataset.corpus.recording_s=40"),
]
NET = [
    *("model.net.dim=8", "model.net.heads=2", "model.net.embed=8", "model.net.depth=1"),
    *("model.net.filters=4", "model.net.n_prompts=1", "trainer.epochs=3", "device=cpu", "n_jobs=1"),
]
TEXT = ["text_encoder.dim=8", "text_encoder.depth=1", "text_encoder.n_prompts=1"]
VERBS: dict[str, tuple[str, list[str]]] = {
    "prepare": ("prepare", [*DATA[2:], "n_jobs=1"]),
    "train": ("train", [*DATA, *NET, *TEXT, "run.name=t"]),
    "distill": ("distill", [*NET, "teacher=runs/synthetic/t", "run.name=s"]),
    "export": ("export", ["run=runs/synthetic/s", "weights=0", "onnx=false", "output=model", "n_jobs=1"]),
    "tune": (
        "tune",
        [*DATA, *NET, *TEXT, "fold=0", "trials=2", "startup=1", "space=training", "trainer.epochs=1"],
    ),
    "detect": (
        "detect",
        ["weights=model", "input=edf", "output=events", "figure=false", "device=cpu"],
    ),
    "search": (
        "search",
        ["weights=words", "input=edf", "output=found", "query=slow waves", "figure=false", "device=cpu"],
    ),
}
"""Each command of the road, in its order; all paths are below the folder that they are started in."""
NEEDS = {
    "prepare": ["data"],
    "train": ["data"],
    "distill": ["data", "store", "runs"],
    "export": ["data", "store", "runs"],
    "tune": ["data", "store"],
    "detect": ["edf", "model"],
    "search": ["edf", "words"],
}
"""What each finds when it begins."""


def go(name: str, cwd: Path, *more: str) -> Done:
    """One command of the road in a folder."""
    verb, words = VERBS[name]
    return run(verb, [*words, *more], cwd)


def road(scratch: Path) -> Path:
    """The folder in which everything is made; made on first use.

    Raises:
        RuntimeError: a command of the road failed, undamaged as everything is.
    """
    base = scratch / "road"
    if (base / "found").exists():
        return base
    warm()
    for name in ("train", "distill", "export", "words", "detect", "search"):
        if name == "words":
            words = ["run=runs/synthetic/t", "weights=0", "onnx=false", "output=words", "n_jobs=1"]
            done = run("export", words, base)
        else:
            done = go(name, base)
        if done.code != 0:
            raise RuntimeError(f"{name}: {done.err[-300:]}")
        if name == "export":
            (base / "edf").mkdir(exist_ok=True)
            for path in sorted((base / "data").rglob("*.edf"))[:2]:
                (base / "edf" / path.name).write_bytes(path.read_bytes())
    return base
