"""Everything a report writes: tables, figures, cards and the page, from run folders alone."""

from collections.abc import Sequence
from pathlib import Path

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import damaged, read_bytes
from distilclip_eeg.files.writing import claim, csv_bytes
from distilclip_eeg.report import cards, grid
from distilclip_eeg.report.article_tables import article_tables
from distilclip_eeg.report.drawing import file_name
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.page import named_cards, report_page
from distilclip_eeg.report.parts import Ledger
from distilclip_eeg.schema import NOTE


def of_ours(page: Path) -> None:
    """Refuse a page that no report is, to know one of a version that did not say which files are its own.

    Raises:
        DataError: it is none.
    """
    if NOTE.encode() not in read_bytes(page):
        raise damaged(page, "is no report of ours")


def write_report(entries: Sequence[Entry], folder: Path, results: Path) -> list[str]:
    """Write ``folder``: ``index.html``, ``tables/``, ``figures/`` and ``cards/``.

    Args:
        results: the folder of ``table1_*.csv``, ``ablations_*.csv`` and ``gap_*.csv``; it may be missing.

    Returns:
        A line for each table, figure, card and page, then one for each part that was left out.
    """
    tables, ledger = article_tables(entries, results), Ledger()
    page = report_page(entries, tables, results, ledger)
    files: dict[str, bytes] = {}
    for stem, grids in tables.items():
        files[f"tables/{stem}.csv"] = csv_bytes(grid.frame(grids))
        files[f"tables/{stem}.md"] = "\n".join(map(grid.markdown, grids)).encode()
        files[f"tables/{stem}.tex"] = "\n".join(map(grid.latex, grids)).encode()
    for picture in ledger.pictures:
        files[f"figures/{picture.name}.png"] = picture.png
        files[f"figures/{picture.name}.pdf"] = picture.pdf
    for title, card in named_cards(entries).items():
        files[f"cards/{file_name(title.replace(': ', '_').replace(', ', '_'))}.md"] = cards.markdown(
            title, card
        ).encode()
    files["index.html"] = page.encode()
    claim(folder, files, lambda: of_ours(folder / "index.html"))
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / name, data)
    kinds: dict[str, list[str]] = {}
    for name in files:
        kinds.setdefault(str(Path(name).with_suffix("")), []).append(Path(name).suffix)
    return [
        *(f"written: {folder / stem}{' '.join(endings)}" for stem, endings in kinds.items()),
        *(f"left out: {what}; {command} makes it" for what, command in ledger.absent),
    ]
