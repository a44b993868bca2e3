"""The index of ``results/``: what each file holds, what made it, how long that took, and at which commit."""

from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parents[1] / "results"
WHAT = {
    "table1_chbmit_excerpts": "Table I on the real excerpts of fifteen persons, every network trained out",
    "persons_table1_chbmit_excerpts": "the same by person: means, intervals, paired differences",
    "curves_table1_chbmit_excerpts": "their learning curves on validation windows",
    "table1_synthetic": "Table I on the synthetic corpus by window, every network trained out",
    "persons_table1_synthetic": "the same by person: means, intervals, paired differences",
    "curves_table1_synthetic": "their learning curves on validation windows",
    "history/table1_chbmit_excerpts": "Table I on ten persons after 200 steps a fit",
    "history/best_small_chbmit_excerpts": "two earlier forms of best_small in that table",
    "history/table1_synthetic": "Table I on the synthetic corpus after 200 steps a fit",
    "chbmit_excerpts": "floors, teacher and student under three protocols, five folds, ten persons",
    "gap_chbmit_excerpts": "the same models under five protocols, ten persons, 200 steps",
    "gap_synthetic": "the same on the synthetic corpus",
    "ablations_chbmit_excerpts": "Table II and its neighbours on ten persons, 200 steps",
    "ablations_synthetic": "the same on the synthetic corpus",
    "detector_chbmit_excerpts": "seizure events of fifteen unseen persons by the detector",
    "events_chbmit_excerpts": "the same by the article's one-second network",
    "rehearsal_chbmit_excerpts": "from EDF file to events on the same recordings",
    "rehearsal_synthetic": "from file to events on 25 hours of synthetic EEG",
    "export_chbmit_excerpts": "exported networks beside torch: answers, sizes, speed",
    "native_layouts": "teacher and student on an invented corpus in every native layout",
    "probes": "what text and features tell of class and person",
    "search_iiic": "search by words on real clips of other patients",
    "speed": "milliseconds a step and windows a second of every network",
    "bench": "ratios to peers and to the machine's limits",
    "bench_before": "the same of an earlier state",
    "scale_windows": "what five million windows cost",
    "torture": "an hour of ended processes, damaged files and hostile folders",
}
"""By the path below ``results`` without its ending; pictures and pages stand beside their table."""
LONGEST = 160
"""Characters of a command; its row in the file has it whole."""


def stems() -> list[str]:
    """What lies in ``results``, a table and what is drawn of it once."""
    files = (path for path in RESULTS.rglob("*") if path.is_file())
    return sorted({path.relative_to(RESULTS).with_suffix("").as_posix() for path in files})


def page() -> str:
    """The index as a page."""
    lines = [
        "# Index of results",
        "",
        "Every file of the folder `results`, from the columns `command`, `minutes` and `commit` of its rows.",
        "Where there are no rows, the file begins with its command. A `+` behind a commit: with changes that",
        "were not committed yet.",
        "",
        "| file | what | command | minutes | commits |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| `{name}` | {WHAT.get(name, '')} | {' | '.join(made(name))} |" for name in stems()]
    return "\n".join([*lines, ""])


def made(name: str) -> tuple[str, str, str]:
    """Command of the first row, minutes of all, commits from the first to the last."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return "see its first lines", "", ""
    rows = pd.read_csv(path)
    commands = rows["command"].dropna()
    minutes = rows.drop_duplicates(["command", "minutes"])["minutes"].sum()
    commits = list(dict.fromkeys(rows["commit"].dropna().astype(str)))
    told = [commits[0], commits[-1]] if len(commits) > 1 else commits
    first = str(commands.iloc[0])
    first = first if len(first) <= LONGEST else f"{first[:LONGEST]}…"
    more = f" and {commands.nunique() - 1} more" if commands.nunique() > 1 else ""
    return f"`{first}`{more}", f"{minutes:.0f}", " to ".join(told)
