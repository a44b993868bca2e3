"""`make demo`: synthetic recordings in; teacher, student and floor out, under two protocols side by side.

One process, about 150 optimiser steps a fit, minutes on two CPU cores. Prints the time of every stage, and
leaves a report with every figure: runs/report/index.html.
"""

import time
from pathlib import Path

from distilclip_eeg.commands.which_run import with_teacher_data
from distilclip_eeg.config.compose import load
from distilclip_eeg.explain.run import Ask, explain
from distilclip_eeg.progress import clock
from distilclip_eeg.report.build import write_report
from distilclip_eeg.report.entries import choose
from distilclip_eeg.report.event_tables import write_event_tables
from distilclip_eeg.report.tables import run_table
from distilclip_eeg.runs import write_atomic
from distilclip_eeg.schema import NOTE
from distilclip_eeg.scoring.events.detect import DetectConfig
from distilclip_eeg.training import pipeline, traces
from distilclip_eeg.training.data import describe_data, load_data

STEPS = 150
EXPLAINED = 120
"""Test windows of one fold that are looked at for the report."""
PROTOCOLS = ("subject", "window")


def main() -> None:
    start = last = time.perf_counter()
    stages: list[tuple[str, float]] = []

    def stage(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        stages.append((name, now - last))
        last = now

    print(NOTE)
    runs = []
    print(describe_data(load_data(load("train", ["split=subject"]))))
    stage("write and prepare the synthetic corpus")
    for split in PROTOCOLS:
        common = [f"split={split}"]
        runs.append(pipeline.train(load("train", [*common, "model=logreg_bandpower"]), report=False))
        stage(f"{split}: floor")
        teacher = pipeline.train(load("train", [*common, f"trainer.max_steps={STEPS}"]), report=False)
        runs.append(teacher)
        stage(f"{split}: teacher")
        config = load("distill", [f"trainer.max_steps={STEPS}"])
        runs.append(pipeline.distill(with_teacher_data(config, teacher, []), teacher))
        stage(f"{split}: student")
    table = run_table(runs)
    print(table)
    write_atomic(Path("runs") / "demo.txt", (table + "\n").encode())
    _, *networks = (run for run in runs if run.config["split"]["name"] == "subject")
    for run in networks:
        explain(run, Ask(windows=EXPLAINED))
        stage(f"subject: where the {run.config['model']['kind']} looks")
    traces.score(networks[-1])
    write_event_tables(networks[-1], DetectConfig())
    stage("subject: whole recordings of the student")
    write_report(choose(runs), Path("runs") / "report", Path("results"))
    stage("report")
    print("\ntime by stage:")
    for name, seconds in stages:
        print(f"  {name:40s}{clock(seconds):>8s}")
    print(f"  {'all':40s}{clock(time.perf_counter() - start):>8s}")
    print(
        "written: runs/demo.txt and runs/report/index.html (open it in a browser)\n"
        "next: python evaluate.py, or train on your own copy of CHB-MIT:\n"
        "  python train.py dataset=chbmit dataset.root=FOLDER model=teacher_small"
    )


if __name__ == "__main__":
    main()
