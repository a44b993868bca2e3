"""Fill results/: five folds of teacher, student and floors under each protocol on one corpus.

    python scripts/evidence.py --name chbmit_excerpts --budget-min 60 \
        dataset=chbmit dataset.root=$DISTILCLIP_EEG_SHARED/data/chbmit trainer.precision=bf16

A cell is one model under one protocol. A cell whose digest already stands in the file is not run again, so
the table may be filled over several evenings; ``--table`` prints what there is, unfilled cells as 'not run'.
"""

import argparse
import os
import sys
import time
from itertools import product
from pathlib import Path

import pandas as pd

from distilclip_eeg.commands.which_run import with_teacher_data
from distilclip_eeg.config.compose import load
from distilclip_eeg.report.tables import ALWAYS, cell, summary_rows
from distilclip_eeg.runs import Run, commit, digest_of, provenance, read_json, write_atomic
from distilclip_eeg.schema import UserError, check_choice
from distilclip_eeg.scoring.metrics import COLUMNS
from distilclip_eeg.training import pipeline

SPLITS = ("window", "recording", "subject")
MODELS = ("random_forest", "logreg_bandpower", "teacher_small", "student_small")
AUGMENTED = " + augment"
"""Behind the name of a model that was trained, or whose teacher was trained, with augment=standard."""
SHARED = "DISTILCLIP_EEG_SHARED"


def configs(split: str, model: str, overrides: list[str]) -> tuple[str, dict]:
    """The verb and config of a cell."""
    network_only = ("trainer.", "augment=") if model in MODELS[:2] else ()
    common = [o for o in overrides if not o.startswith(network_only)]
    if model.startswith("student"):
        common = [o for o in common if not o.startswith("augment=")]  # the teacher's alone
        return "distill", load("distill", [f"split={split}", f"model={model}", *common])
    return "train", load("train", [f"split={split}", f"model={model}", *common])


def command(verb: str, split: str, model: str, overrides: list[str], teacher: Run | None) -> str:
    """What to type to get this cell alone; the shared folder by its variable."""
    if verb == "distill":
        kept = [o for o in overrides if not o.startswith(("dataset", "augment="))]
        words = [f"teacher={teacher.path}", f"model={model}", *kept]
    else:
        words = [f"split={split}", f"model={model}", *overrides]
    text = f"python {verb}.py {' '.join(words)}"
    shared = os.environ.get(SHARED)
    return text.replace(shared, f"${SHARED}") if shared else text


def run_cell(split: str, model: str, overrides: list[str]) -> dict:
    """Train one cell (or find it finished in its run folder) and describe it in one row."""
    verb, config = configs(split, model, overrides)
    teacher = None
    if verb == "distill":
        _, teacher_config = configs(split, model.replace("student", "teacher"), overrides)
        teacher = pipeline.train(teacher_config)  # finished already in the usual order: only found
        run = pipeline.distill(with_teacher_data(config, teacher, []), teacher)
    else:
        run = pipeline.train(config)
    row = summary_rows([run])
    always = row[row["model"] == ALWAYS].iloc[0]
    row = row[row["model"] != ALWAYS].iloc[0].to_dict()
    seconds = sum(v for k, v in read_json(run.path / "timing.json").items() if k.startswith("fold"))
    audit = read_json(run.path / "data.json")["audit"]
    machine = provenance()["machine"]
    if (teacher or run).config["augment"] != "none":
        row["model"] += AUGMENTED
    return row | {
        **{f"always_{c}": always[c] for c in COLUMNS},
        **{f"shares_{k}": v for k, v in audit.items()},
        "minutes": round(seconds / 60, 1),
        "hardware": machine,
        "commit": commit(),
        "command": command(verb, split, model, overrides, teacher),
        "digest": cell_digest(split, model, overrides),
    }


def cell_digest(split: str, model: str, overrides: list[str]) -> str:
    """Stands for every setting of a cell, the teacher's included."""
    verb, config = configs(split, model, overrides)
    digest = digest_of(config)
    if verb == "distill":
        digest += "-" + cell_digest(split, model.replace("student", "teacher"), overrides)
    return digest


def table(path: Path) -> str:
    """Markdown: protocols and models in a fixed order, 'not run' where a cell is empty."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["split", "model"])
    shown = ("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy", "auroc")
    lines = [
        "| protocol | model | Acc % | Pre % | Rec % | Spe % | F1 % | BAcc % | AUROC % "
        "| pooled Acc / AUROC | min |",
        "|" + "---|" * 11,
    ]
    named = [*MODELS[:2], *(m + a for a in ("", AUGMENTED) for m in MODELS[2:])]
    for split in SPLITS:
        of_split = rows[rows["split"] == split]
        for model in named:
            row = of_split[of_split["model"] == model]
            if row.empty and model.endswith(AUGMENTED):
                continue
            if row.empty:
                lines.append(f"| {split} | {model} | " + " | ".join(["not run"] * 9) + " |")
                continue
            row = row.iloc[-1]
            cells = [cell(row[c], row[f"{c}_sd"]) for c in shown]
            pool = f"{row['accuracy_pooled']:.3f} / {row['auroc_pooled']:.3f}"
            lines.append(f"| {split} | {model} | {' | '.join(cells)} | {pool} | {row['minutes']:.0f} |")
        if len(of_split):
            row = of_split.iloc[0]
            cells = [cell(row[f"always_{c}"], float("nan")) for c in shown]
            lines.append(f"| {split} | {ALWAYS} | {' | '.join(cells)} | – | – |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--name", default="chbmit_excerpts", help="results/NAME.csv")
    parser.add_argument("--splits", default=",".join(SPLITS), help="separated by commas")
    parser.add_argument("--models", default=",".join(MODELS), help="separated by commas")
    parser.add_argument("--budget-min", type=float, default=60, help="start no further cell after this")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    args, overrides = parser.parse_known_args()
    for split in args.splits.split(","):
        check_choice("--splits", split, SPLITS)
    path = Path(__file__).parents[1] / "results" / f"{args.name}.csv"
    start = time.monotonic()
    cells = [] if args.table else list(product(args.splits.split(","), args.models.split(",")))
    for split, model in cells:
        done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["digest"])
        if cell_digest(split, model, overrides) in set(done["digest"]):
            print(f"{split} {model}: stands in {path.name} already")
        elif (time.monotonic() - start) / 60 > args.budget_min:
            print(f"{split} {model}: left out, the budget of {args.budget_min:g} min is spent")
        else:
            row = run_cell(split, model, overrides)
            done = (
                pd.read_csv(path) if path.exists() else pd.DataFrame()
            )  # another process may have added rows
            write_atomic(path, pd.concat([done, pd.DataFrame([row])]).to_csv(index=False).encode())
    print(table(path))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
