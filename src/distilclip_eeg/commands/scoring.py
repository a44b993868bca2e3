"""Commands that score what runs have saved: evaluate, report, continuous, probe, explain."""

from pathlib import Path
from typing import TYPE_CHECKING

from distilclip_eeg.commands.command import Command
from distilclip_eeg.config.commands import (
    ContinuousSettings,
    EvaluateSettings,
    ExplainSettings,
    ProbeSettings,
    ReportSettings,
)
from distilclip_eeg.config.compose import load
from distilclip_eeg.files.folders import check_writable
from distilclip_eeg.schema import NOTE, ConfigError, UserError

if TYPE_CHECKING:
    from distilclip_eeg import runs


def evaluate(settings: EvaluateSettings, words: list[str]) -> None:
    """Metric tables from saved predictions, of one run, all runs, or a run's models on another corpus."""
    from distilclip_eeg.commands.which_run import open_scored
    from distilclip_eeg.report.tables import write_evaluation
    from distilclip_eeg.runs import find_scored, sound
    from distilclip_eeg.scoring.answers import Reading

    root = Path(settings.root)
    reading = Reading(settings.metrics, settings.calibration, settings.threshold)
    if settings.dataset is not None:
        runs = [transfer(settings, words)]
    elif settings.run == "all":
        runs = sound(find_scored(root))
        if not runs:
            raise no_runs(str(root))
    else:
        runs = [open_scored(Path(settings.run))]
        runs[0].check()
    print(write_evaluation(runs, root, reading))


def no_runs(where: str) -> ConfigError:
    """What is said where there is nothing to score."""
    return ConfigError(f"{where}: no finished run found. Run `python train.py` first, or set root=FOLDER.")


def transfer(settings: EvaluateSettings, words: list[str]) -> "runs.Run":
    """``evaluate run=RUN dataset=OTHER``: the run's models on another corpus, in the run's own montage."""
    from distilclip_eeg.commands.which_run import open_scored

    assert settings.dataset is not None
    if settings.run == "all":
        raise ConfigError(f"dataset={settings.dataset.name}: say which model to test on it, run=RUN.")
    run = open_scored(Path(settings.run))
    montage = run.settings.signals.montage
    settings = load(EvaluateSettings, [*words, f"signals.montage={montage}"])
    from distilclip_eeg.training import transfer

    assert settings.dataset is not None
    places = Path(settings.store.root), Path(settings.root)
    target = transfer.Target(settings.dataset, *places, settings.device, settings.n_jobs)
    return transfer.transfer(run, target)


def as_trained(words: list[str]) -> list[str]:
    """The words, none of which changes what a run's models were trained on.

    Raises:
        ConfigError: one of them does.
    """
    for said in words:
        if said.lstrip("+~").startswith(("signals.", "windows.", "split")):
            raise ConfigError(f"{said}: a model is tested as it was trained; leave it out.")
    return words


def report(settings: ReportSettings, words: list[str]) -> None:
    """Every table and figure of the article, and one page."""
    from distilclip_eeg.commands.which_run import open_scored
    from distilclip_eeg.report.build import write_report
    from distilclip_eeg.report.entries import choose
    from distilclip_eeg.runs import find_runs, sound

    root, dataset = Path(settings.root), settings.dataset.name if settings.dataset else None
    if settings.run == "all":
        runs = sound(find_runs(root, finished=False))
    else:
        runs = [open_scored(Path(settings.run))]
        runs[0].check()
    entries = choose(runs, dataset)
    if not entries:
        raise no_runs(f"{root}, dataset={dataset}" if dataset else str(root))
    folder = root / "report"
    for run in (entry.run for entry in entries if entry.run.part):
        print(run.part_line)
    print(*write_report(entries, folder, Path(settings.results)), sep="\n")
    print(f"{NOTE}\nnext: open {folder / 'index.html'} in a browser")


def continuous(settings: ContinuousSettings, words: list[str]) -> None:
    """Seizure events in whole recordings."""
    from distilclip_eeg.commands.which_run import whole_run

    run = whole_run(settings.run)
    print(f"run={run.path}")
    check_writable("run", run.path)
    from distilclip_eeg.report.event_tables import write_event_tables
    from distilclip_eeg.scoring.event_scores import FOLDER
    from distilclip_eeg.training import traces

    traces.score(run, hop_s=settings.hop_s, places=settings.places)
    page = write_event_tables(run, settings.detect, settings.threshold, settings.score_files)
    print(f"{page}\nwritten: {run.path / FOLDER}")


def probe(settings: ProbeSettings, words: list[str]) -> None:
    """What a teacher's text gives away of class and person."""
    from distilclip_eeg.commands.which_run import existing, is_teacher, newest

    if settings.run == "latest":
        run = newest(Path("runs"), "run", "teacher run", is_teacher)
    else:
        run = existing(Path(settings.run))
    print(f"run={run.path}")
    check_writable("run", run.path)
    if settings.table:
        check_writable("table", Path(settings.table).parent)
    from distilclip_eeg.studies import probes

    table = probes.probe(run, settings.places)
    print(f"{probes.page(table)}\nwritten: {run.path / probes.TABLE}")
    if settings.table:
        probes.add(table, run, Path(settings.table))


def explain(settings: ExplainSettings, words: list[str]) -> None:
    """Where one fold's network looks."""
    from distilclip_eeg.commands.which_run import existing
    from distilclip_eeg.explain import run as explaining
    from distilclip_eeg.explain.page import page

    ask = explaining.Ask(fold=settings.fold, method=settings.method, windows=settings.windows)
    if settings.run in ("latest", "all"):
        runs = explaining.networks(Path(settings.root))
        runs = runs[-1:] if settings.run == "latest" else runs
    else:
        runs = [existing(Path(settings.run))]
    for run in runs:
        print(f"run={run.path}", flush=True)
        try:
            check_writable("run", run.path)
            print(page(explaining.explain(run, ask, settings.places, fresh=settings.fresh)))
        except UserError as error:
            if settings.run != "all":
                raise
            print(f"left out: {error}")
    print("next: python scripts/report.py")


COMMANDS = {
    "evaluate": Command(
        EvaluateSettings,
        evaluate,
        ("", "run=RUN metrics=paper", "run=RUN dataset=bids dataset.root=FOLDER"),
        as_trained,
        writes=("root",),
    ),
    "report": Command(ReportSettings, report, ("", "dataset=chbmit", "run=RUN"), writes=("root",)),
    "continuous": Command(
        ContinuousSettings,
        continuous,
        ("run=RUN", "run=RUN detect.budget=10", "run=RUN threshold=0.9 scores=OTHER.parquet"),
    ),
    "probe": Command(
        ProbeSettings, probe, ("", "run=RUN", "run=RUN table=results/probes.csv dataset.root=FOLDER")
    ),
    "explain": Command(
        ExplainSettings, explain, ("run=RUN fold=0", "run=all", "run=RUN method=occlusion windows=100")
    ),
}
