"""Commands that run grids or tell sizes: table1, ablations, gap, layouts, parameters, demo."""

from pathlib import Path

from distilclip_eeg.commands.command import Command
from distilclip_eeg.config.commands import DemoSettings, ParametersSettings
from distilclip_eeg.config.studies import AblationsSettings, GapSettings, LayoutsSettings, Table1Settings
from distilclip_eeg.files.folders import check_writable
from distilclip_eeg.schema import NOTE


def table1(settings: Table1Settings, words: list[str]) -> None:
    """Table I of the article."""
    from distilclip_eeg.studies import table1

    table1.table1(settings, Table1Settings.train_words(words))


def ablations(settings: AblationsSettings, words: list[str]) -> None:
    """Table II and its neighbours."""
    from distilclip_eeg.studies import ablations

    ablations.ablations(settings, AblationsSettings.train_words(words))


def gap(settings: GapSettings, words: list[str]) -> None:
    """The same models under every protocol."""
    from distilclip_eeg.studies import gap

    gap.gap(settings, GapSettings.train_words(words))


def layouts(settings: LayoutsSettings, words: list[str]) -> None:
    """Every native layout the whole way."""
    from distilclip_eeg.studies import layouts

    layouts.layouts(settings, LayoutsSettings.train_words(words))


def parameters(settings: ParametersSettings, words: list[str]) -> None:
    """Sizes of every pair, or of one model by layer."""
    from distilclip_eeg.files.reading import read_csv
    from distilclip_eeg.files.writing import write_csv
    from distilclip_eeg.models import cost
    from distilclip_eeg.studies.parameters import pairs

    if settings.model is None:
        print(*pairs(settings.classes), sep="\n")
        return
    if settings.csv:
        check_writable("csv", Path(settings.csv).parent)
    sizes = {"n_chans": settings.channels, "n_times": settings.sfreq, "sfreq": float(settings.sfreq)}
    sizes["n_outputs"] = settings.classes
    work = cost.Workload(settings.batch, settings.texts, settings.tokens)
    table = cost.model_cost(settings.model, sizes, work)
    if settings.csv:
        path = Path(settings.csv)
        if path.exists():  # replaced only where it is such a table
            read_csv(path, *table.columns, again="Give another csv=.")
        write_csv(path, table)
    print(cost.page(table, settings.model, sizes, work))


def demo(settings: DemoSettings, words: list[str]) -> None:
    """Everything once, on invented recordings."""
    check_writable("folder", Path("runs"))
    print(NOTE)
    from distilclip_eeg.studies import demo

    demo.demo(settings.steps, settings.explained)


COMMANDS = {
    "table1": Command(
        Table1Settings,
        table1,
        (
            "dataset=chbmit dataset.root=FOLDER split=window,subject models=all ours=small",
            "models=teacher_small,eegnet trainer.max_steps=200 fold=[0,1,2] jobs=2",
            "dataset=chbmit dataset.root=FOLDER page=evidence fill=false",
        ),
        Table1Settings.words,
        writes=("run.root", "results"),
    ),
    "ablations": Command(
        AblationsSettings,
        ablations,
        (
            "dataset=chbmit dataset.root=FOLDER model=teacher_small seed=0,1,2",
            "what=table2,student split=subject trainer.max_steps=200 jobs=2",
            "what=table2 ablation_reading=unimodal",
        ),
        AblationsSettings.words,
        writes=("run.root", "results"),
    ),
    "gap": Command(
        GapSettings,
        gap,
        (
            "dataset=chbmit dataset.root=FOLDER models=teacher_small,random_forest jobs=2",
            "dataset=placebo models=random_forest",
            "models=teacher_tiny split=window,subject cluster=slurm slurm.partition=gpu",
        ),
        GapSettings.words,
        writes=("run.root", "results"),
    ),
    "layouts": Command(
        LayoutsSettings,
        layouts,
        ("", "layouts=tusz,bids trainer.max_steps=200", "fill=false"),
        LayoutsSettings.words,
        writes=("run.root", "results", "root"),
    ),
    "parameters": Command(
        ParametersSettings,
        parameters,
        ("", "model=teacher", "model=student_lean channels=23 classes=2 csv=FILE"),
    ),
    "demo": Command(DemoSettings, demo, ("", "steps=20", "steps=400 explained=400")),
}
