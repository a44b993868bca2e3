"""Table I of the article: every model under the same folds, ours beside the published figures.

    python scripts/reproduce_table1.py dataset=chbmit dataset.root=FOLDER split=window,subject models=all

A cell is one model under one protocol with one seed (teacher and student share one, since the student needs
its teacher). Rows stand in ``results/<name>.csv``; what runs the cells is ``cells``.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.config.compose import CONFIG_DIR
from distilclip_eeg.config.data import OWN_NUMBER, View
from distilclip_eeg.config.studies import ALL, ModelGrid, Table1Settings, key_of
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv, read_text
from distilclip_eeg.report.comparison import BASELINES, EXTRA, FLOORS, comparison, settings_of
from distilclip_eeg.report.published import COLUMNS
from distilclip_eeg.report.tables import ALWAYS, summary_rows
from distilclip_eeg.runs import Run, public_command
from distilclip_eeg.schema import ConfigError, check_choice
from distilclip_eeg.scoring.answers import Reading
from distilclip_eeg.scoring.metrics import PAPER_COLUMNS
from distilclip_eeg.studies import cells as runner
from distilclip_eeg.studies import evidence, others, persons
from distilclip_eeg.studies.cells import Cell, Grid, composed, digest_key, made, seeded
from distilclip_eeg.studies.expected import expect, nets_of, preset_of
from distilclip_eeg.studies.speed import SPEED, with_speed

SCRIPT = "scripts/reproduce_table1.py"
NETWORK_ONLY = ("trainer.", "augment=", "optim.")
"""Words that mean nothing to a floor."""


def all_models(ours: str) -> list[str]:
    """What ``models=all`` stands for, in the table's order; ``ours`` is the size of our pair."""
    return [*BASELINES, *EXTRA, f"teacher_{ours}", *FLOORS]


def cells_of(settings: ModelGrid, words: Sequence[str]) -> list[Cell]:
    """Every cell of a table; names are checked before anything is read.

    Args:
        words: of train, for all cells alike.

    Raises:
        ConfigError: there is no such model, or it is a student, or the words are wrong.
    """
    chosen = all_models(settings.ours) if settings.models == (ALL,) else settings.models
    known = sorted(path.stem for path in (CONFIG_DIR / "model").glob("*.yaml"))
    for name in chosen:
        check_choice("models", name, known)
    return [
        cell_of(split, name, told, settings.rates)
        for split in settings.protocols
        for name in chosen
        for told in seeded(settings, words)
    ]


def cell_of(split: str, model: str, words: Iterable[str], rates: tuple[float, ...] = ()) -> Cell:
    """One model, a teacher with its student, under one protocol.

    Args:
        rates: multiples of a network's learning rate that it may choose from; a floor has none.
    """
    words = list(words)
    train = words_of(split, model, words)
    kind = composed(train).model.kind
    if kind == "student":
        raise ConfigError(f"models={model}: a student comes with its teacher; name the teacher.")
    ours: list[str] = []
    distill = None
    if kind == "teacher":
        kept = [word for word in words if key_of(word) != "augment"]  # distil takes windows as they are
        distill = words_of(split, student_of(train), kept)
        ours = [f"ours={model.partition('_')[2]}"] if "_" in model else []
    seed = f" seed {composed(train).seed}" if composed(train).seed else ""
    told = [f"rates={','.join(f'{rate:g}' for rate in rates)}"] if rates else []
    command = public_command(SCRIPT, (f"split={split}", f"models={model}", *ours, *words, *told))
    key = "-".join([digest_key(train), *told])
    rates = () if kind == "floor" else rates
    return Cell(f"{split} {model}{seed}", train, key, command, distill, study=split, rates=rates)


def words_of(split: str, model: str, words: Iterable[str]) -> tuple[str, ...]:
    """What train is told of a model under a protocol."""
    dropped: tuple[str, ...] = NETWORK_ONLY if model in FLOORS else ()
    dropped += ("split.n_folds=",) if split in OWN_NUMBER else ()
    kept = (word for word in words if not word.startswith(dropped) and key_of(word) != "model")
    return (f"split={split}", f"model={model}", *kept)


def student_of(train: tuple[str, ...]) -> str:
    """The preset of a teacher's student.

    Raises:
        ConfigError: its yaml names none.
    """
    model = composed(train).model
    if model.student is None:
        raise ConfigError(f"models={preset_of(train)}: its config names no student (model.student).")
    return model.student


def names_of(one: Cell) -> list[str]:
    """The models whose rows a cell gives."""
    student = [one.student.model.name] if one.student else []
    return [one.settings.model.name, *student]


def rows_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """A row a model."""
    nets = list(nets_of(one)) or [preset_of(one.train)]
    return [row_of(run, net) | made(one, run) for run, net in zip(runs, nets, strict=True)]


def row_of(run: Run, net: str) -> dict[str, Any]:
    """A finished run's metrics and sizes; ``net`` finds its speed."""
    table = summary_rows([run])
    row = table[table["model"] != ALWAYS].iloc[0].to_dict()
    always = table[table["model"] == ALWAYS].iloc[0]
    row |= {f"always_{c}": always[c] for c in COLUMNS} | sizes_of(run) | trained(run)
    row |= {f"shares_{name}": share for name, share in run.data["audit"].items()}
    paper = summary_rows([run], Reading("paper")).iloc[0]
    row |= {f"paper_{c}{kind}": paper[f"{c}{kind}"] for c in PAPER_COLUMNS for kind in ("", "_sd")}
    return row | {"leak_note": run.data["leak_note"], "net": net}


def trained(run: Run) -> dict[str, Any]:
    """Steps of a fold, and those of the weights that were kept, each a mean over folds; empty of a floor."""
    folds = run.folds_done()
    if "steps" not in run.metrics(folds[0]):
        return {"steps_per_fold": "", "best_step": "", "learning_rate": ""}
    steps = [run.metrics(k)["steps"] for k in folds]
    best = [
        read_csv(run.fold(k) / "history.csv", "epoch", "step")
        .set_index("epoch")["step"]
        .get(run.metrics(k)["best_epoch"], 0)
        for k in folds
    ]
    rate = run.settings.optim.lr
    return {"steps_per_fold": np.mean(steps), "best_step": np.mean(best), "learning_rate": rate}


def sizes_of(run: Run) -> dict[str, int]:
    """Channels, samples and classes, as its predictions and settings tell."""
    settings = run.settings
    first = read_text(run.path / "data_report.txt").partition("\n")[0]
    n_chans = int(first.rpartition(" channels")[0].rpartition(" ")[2])
    classes = run.predictions(run.folds_done()[0])["classes"]
    n_times = View.of(settings.windows, settings.signals.sfreq).total
    return {"n_chans": n_chans, "n_times": n_times, "n_outputs": len(classes)}


def page(cells: Sequence[Cell], path: Path) -> str:
    """The table as it stands, written beside ``path`` as markdown; what it lacks reads 'not run'."""
    dataset = cells[0].settings.dataset.name
    asked = [(dataset, one.study, settings_of(one.command), name) for one in cells for name in names_of(one)]
    if path.exists():
        rows = read_csv(path)
    else:
        rows = pd.DataFrame(columns=["dataset", "split", "model", "command", "digest"])
    text = comparison(with_speed(rows, path.parent / SPEED), asked)
    if len(rows):
        write_atomic(path.with_suffix(".md"), text.encode())
    return text


def grid_of(cells: Sequence[Cell], path: Path, name: str = "table1") -> Grid:
    """The cells of Table I as the runner needs them."""
    expected = partial(expect, cells=cells, results=path.parent)
    draw = partial(page, cells, path)
    beside = {"persons": persons.rows_of, "curves": persons.curves_of}
    return Grid(name, path, cells, rows_of, draw, expected, beside=beside)


def table1(settings: Table1Settings, words: Sequence[str]) -> None:
    """Run what is lacking of the table and print it; see the module.

    Args:
        words: of train, for all cells alike: ``settings.train_words`` of the command line.
    """
    if settings.page == "evidence":
        evidence.evidence(settings, words)
        return
    cells = cells_of(settings, words)
    path = runner.csv_path(settings, "table1", cells)
    grid = grid_of(cells, path)
    runner.fill(grid, settings)
    by_person, curves = (runner.beside(path, name) for name in grid.beside)
    others.add(grid, settings.score_files, SCRIPT)
    print(page(cells, path))
    if by_person.exists():
        print(persons.page(by_person, curves))
