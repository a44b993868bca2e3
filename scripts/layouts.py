"""Fill results/native_layouts.csv: teacher and student on an invented corpus in every native layout.

    python scripts/layouts.py [--steps 200] [--layouts tusz,bids] [--root data/layouts]

Rows by class, as in Tables III to V of the article. The signals are invented, so the figures show that every
layout goes the whole way with all its classes, and nothing about epilepsy.
"""

import argparse
from pathlib import Path

import pandas as pd

from distilclip_eeg import verbs
from distilclip_eeg.commands.which_run import with_teacher_data
from distilclip_eeg.config.compose import load
from distilclip_eeg.corpora.invented.layouts.tree import LAYOUTS
from distilclip_eeg.report.tables import format_classes, summary_rows
from distilclip_eeg.runs import Run, commit, provenance, read_json, write_atomic
from distilclip_eeg.scoring.answers import class_rows
from distilclip_eeg.training import pipeline

RESULT = Path("results/native_layouts.csv")
SUBJECTS = {"tusz": 24}
"""Eight classes need more people than the others' twelve."""


def rows_of(run: Run, layout: str, command: str) -> pd.DataFrame:
    """The classes of a run and, as the class ``overall``, its averages."""
    whole = summary_rows([run]).iloc[0]
    classes = class_rows(run)
    names = ["accuracy", *(c for c in classes.columns if c in whole.index and c not in ("split", "model"))]
    overall = {
        "split": whole["split"],
        "model": whole["model"],
        "class": "overall",
        "support": whole["windows"],
    }
    overall |= {n: whole[n] for k in names for n in (k, f"{k}_sd") if n in whole.index}
    table = pd.concat([classes, pd.DataFrame([overall])], ignore_index=True)
    seconds = sum(v for k, v in read_json(run.path / "timing.json").items() if k.startswith("fold"))
    return table.assign(
        dataset=layout,
        seed=run.config["seed"],
        folds=whole["folds"],
        minutes=round(seconds / 60, 2),
        hardware=provenance()["machine"],
        commit=commit(),
        command=command,
    )


def run_layout(layout: str, root: Path, steps: int) -> pd.DataFrame:
    """Write the tree where it is not there yet, train, distil, and give the rows of both."""
    tree = root / layout
    make = f"layout={layout} root={tree} n_subjects={SUBJECTS.get(layout, 12)}"
    if not tree.exists():
        verbs.synthesize(make.split())
    words = [f"dataset={layout}", f"dataset.root={tree}", f"trainer.max_steps={steps}"]
    teacher = pipeline.train(load("train", words))
    config = load("distill", ["model=student_tiny", words[-1]])
    student = pipeline.distill(with_teacher_data(config, teacher, words[1:2]), teacher)
    first = f"python scripts/synthesize.py {make}; python train.py {' '.join(words)}"
    commands = first, f"{first}; python distill.py {' '.join(words[1:])}"
    return pd.concat([rows_of(r, layout, c) for r, c in zip((teacher, student), commands, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps a fold")
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--root", type=Path, default=Path("data/layouts"))
    said = parser.parse_args()
    for layout in said.layouts.split(","):
        rows = run_layout(layout, said.root, said.steps)
        print(f"\n{layout}\n{format_classes(rows)}", flush=True)
        before = pd.read_csv(RESULT) if RESULT.exists() else pd.DataFrame({"dataset": []})
        kept = before[before["dataset"] != layout]
        table = pd.concat([kept, rows], ignore_index=True)
        order = [
            *["dataset", "split", "model", "class"],
            *(c for c in table.columns if c not in rows.columns[:3]),
        ]
        write_atomic(
            RESULT, table[list(dict.fromkeys(order))].to_csv(index=False, float_format="%.4f").encode()
        )


if __name__ == "__main__":
    main()
