"""``make demo``: synthetic recordings in; teacher, student and floor out, under two protocols."""

import time
from pathlib import Path

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import HERE
from distilclip_eeg.config.detection import EventConfig
from distilclip_eeg.config.experiment import DistillSettings, RunSettings, TrainSettings
from distilclip_eeg.explain.run import Ask, explain
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.progress import clock
from distilclip_eeg.report.build import write_report
from distilclip_eeg.report.entries import choose
from distilclip_eeg.report.event_tables import write_event_tables
from distilclip_eeg.report.tables import HEADS, run_table, summary_rows
from distilclip_eeg.runs import Run
from distilclip_eeg.training import distillation, pipeline, traces
from distilclip_eeg.training.data import describe_data, load_data

PROTOCOLS = {"subject": "people never seen", "window": "people seen"}
"""Splits, and who the test windows come from."""
SHORT = ("accuracy", "f1", "auroc")
"""Metrics of the closing table."""


class Stages:
    """What took how long."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()
        self.rows: list[tuple[str, float]] = []

    def done(self, name: str) -> None:
        """The stage that has just ended."""
        now = time.perf_counter()
        self.rows.append((name, now - self.last))
        self.last = now

    def page(self) -> str:
        """A line a stage, and the sum."""
        rows = [*self.rows, ("all", time.perf_counter() - self.start)]
        return "\n".join(["time by stage:", *(f"  {name:40s}{clock(s):>8s}" for name, s in rows)])


def demo(steps: int, explained: int) -> None:
    """Train, distil, explain, score whole recordings and report, in the working folder.

    Args:
        steps: of each training.
        explained: test windows that are looked at.
    """
    stages = Stages()
    print(describe_data(load_data(told("split=subject").data)))
    stages.done("write and prepare the synthetic corpus")
    trained = {split: three(split, steps, stages) for split in PROTOCOLS}
    runs = [run for three_runs in trained.values() for run in three_runs]
    table = run_table(runs)
    print(table)
    write_atomic(Path("runs") / "demo.txt", (table + "\n").encode())
    _, teacher, student = trained["subject"]
    for run in (teacher, student):
        explain(run, Ask(windows=explained), HERE)
        stages.done(f"subject: where the {run.settings.model.kind} looks")
    traces.score(student)
    write_event_tables(student, EventConfig())
    stages.done("subject: whole recordings of the student")
    write_report(choose(runs), Path("runs") / "report", Path("results"))
    stages.done("report")
    print(f"\n{stages.page()}\n\n{in_short(runs)}")
    print(
        "written: runs/demo.txt and runs/report/index.html (open it in a browser)\n"
        "next: python evaluate.py, or train on your own copy of CHB-MIT:\n"
        "  python train.py dataset=chbmit dataset.root=FOLDER model=teacher_small"
    )


def in_short(runs: list[Run]) -> str:
    """The protocols side by side in a table that fits a narrow terminal: means over folds, whole per cent."""
    rows = summary_rows(runs)
    cells = rows.pivot(index="model", columns="split", values=list(SHORT))
    over = (f"{f'{split}: {who}':>28s}" for split, who in PROTOCOLS.items())
    heads = "".join(f"{HEADS[metric]:>9s}" for metric in SHORT)
    lines = ["mean of five folds".ljust(18) + "".join(over), "model".ljust(19) + heads + " " + heads]
    for model in dict.fromkeys(rows["model"]):
        parts = ("".join(f"{100 * cells.loc[model, (m, k)]:9.0f}" for m in SHORT) for k in PROTOCOLS)
        lines.append(f"{model:19s}" + " ".join(parts))
    return "\n".join(lines)


def told(*words: str) -> RunSettings:
    """Settings of ``train`` with these words."""
    return load(TrainSettings, list(words)).each_seed()[0]


def three(split: str, steps: int, stages: Stages) -> tuple[Run, Run, Run]:
    """Floor, teacher and student under one protocol."""
    common, short = f"split={split}", f"trainer.max_steps={steps}"
    floor = pipeline.training(told(common, "model=logreg_bandpower"), report=False).train()
    stages.done(f"{split}: floor")
    teacher = pipeline.training(told(common, short), report=False).train()
    stages.done(f"{split}: teacher")
    asked = distillation.with_teacher_data(load(DistillSettings, [short]), teacher)
    student = distillation.distillation(asked, teacher).train()
    stages.done(f"{split}: student")
    return floor, teacher, student
