"""What ``scripts/explain.py`` prints of a folder that ``explain.run`` wrote."""

from pathlib import Path

import pandas as pd

from distilclip_eeg.files.reading import read_csv, read_json


def page(folder: Path) -> str:
    """Files, faithfulness by method, focus where it is known, and what was left out and why."""
    lines = [f"written: {path}" for path in sorted(folder.iterdir())]
    for method, row in read_json(folder / "faithfulness.json").items():
        rho, n = row["spearman_occlusion_mean"], row["spearman_n"]
        lines.append(
            f"faithfulness: {method:9s} deletion area {row['deletion_auc']:.3f} (random order "
            f"{row['deletion_auc_random']:.3f}), {row['windows']} windows; Spearman with occlusion "
            f"{'undefined' if rho is None else f'{rho:.2f}'}, {n} windows"
        )
    if (folder / "focus.csv").exists():
        lines += focus_lines(read_csv(folder / "focus.csv"))
    lines += [
        f"left out: {name}: {why}" for name, why in read_json(folder / "explain.json")["left_out"].items()
    ]
    return "\n".join(lines)


def focus_lines(table: pd.DataFrame) -> list[str]:
    """A line a method and stage."""
    return [
        f"focus: {row.method:9s} {row.stage} of a seizure: the maximum lies on a channel at the focus in "
        f"{row.share:.0%} of {row.n} correctly detected windows; by chance {row.chance:.0%}, of the invented "
        f"wave itself {row.wave:.0%}"
        for row in table.itertuples()
    ]
