"""What a page shows that no run of it says: rows of the folder of results, and what the article published."""

from collections.abc import Sequence
from pathlib import Path

from distilclip_eeg.report.article_tables import rows_of
from distilclip_eeg.report.blocks import Block, Bullets, Folded, Table, Text, folded
from distilclip_eeg.report.grid import Grid
from distilclip_eeg.report.parts import Ledger, on
from distilclip_eeg.report.tables import cell
from distilclip_eeg.schema import PROTOCOLS


def stored_blocks(
    ledger: Ledger, datasets: Sequence[str], tables: dict[str, list[Grid]], results: Path, told: Sequence[str]
) -> list[Block]:
    """Of each corpus the gap between protocols and the tables of the scripts; then corpora without a run.

    Args:
        told: audits that stand on the page already.
    """
    shown: list[Block] = [
        Text(
            "None of this was measured by the runs above. It stands in the CSVs of the folder "
            f"{results.name} (those that came with the code, and what scripts wrote there since), or is what "
            "the article published."
        )
    ]
    seen = list(told)
    for dataset in datasets:
        shown += gap(ledger, dataset, results, seen)
        mine = [grid for stem, grids in tables.items() if stem.endswith(f"_{dataset}") for grid in grids]
        stored = [grid for grid in mine if grid.stored]
        shown += folded(f"{dataset}: tables of scripts/reproduce_table1.py and scripts/ablations.py", stored)
    for stem, grids in tables.items():
        if not any(stem.endswith(f"_{name}") for name in datasets):
            shown += folded(grids[0].title.rpartition(",")[0], grids)
    return shown


def gap(ledger: Ledger, dataset: str, results: Path, told: list[str]) -> list[Block]:
    """What ``results/gap_*.csv`` says of the same models under several protocols.

    Args:
        told: audits that stand on the page already; those told here are added.
    """
    rows = rows_of(results, "gap_*.csv", dataset)
    if rows.empty:
        what = f"{dataset}: the same model under every protocol"
        return [ledger.lacks(what, f"python scripts/gap.py {on(dataset)}")]
    rows = rows.drop_duplicates(["model", "split"], keep="last").set_index(["model", "split"])
    splits = [split for split in PROTOCOLS if split in rows.index.unique("split")]
    body = []
    for model in rows.index.unique("model"):
        found = rows.loc[model]
        texts = [
            cell(*found.loc[s, ["auroc", "auroc_sd"]]) if s in found.index else "not run" for s in splits
        ]
        body.append([model, *texts])
    folds = "/".join(str(n) for n in sorted(rows["folds"].unique()))
    caption = (
        f"{dataset}: AUROC % of the same models under several protocols, mean ± SD over {folds} folds (not a "
        f"confidence interval); {results.name}/gap_*.csv"
    )
    notes = rows.groupby("split")["leak_note"].last()
    new = [split for split in splits if notes[split] not in told]
    told += [notes[split] for split in new]
    lines = [f"{split}: {notes[split]}" for split in new]
    table = Table(["model", *splits], body, caption=caption)
    return [Folded(f"{dataset}: the same models under several protocols", [table, Bullets(lines)])]
