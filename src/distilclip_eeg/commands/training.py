"""Commands that train: ``train``, ``distill``, ``tune``."""

from pathlib import Path

from distilclip_eeg.commands.command import Command
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import DistillSettings, TrainSettings
from distilclip_eeg.config.studies import TuneSettings


def train(settings: TrainSettings, words: list[str]) -> None:
    """Cross-validate one model, a run a seed."""
    each = settings.each_seed()
    from distilclip_eeg.report.tables import run_table
    from distilclip_eeg.training import forecast, pipeline, side_by_side

    plans = (forecast.told(pipeline.plan(one), settings) for one in each)
    if settings.run.dry:
        for _ in plans:
            pass
    elif settings.alone:
        for plan in plans:
            run = plan.begin().train()
            print(run_table([run]))
    else:
        print(run_table(side_by_side.train(plans, settings)))


def distill(settings: DistillSettings, words: list[str]) -> None:
    """Distil a student from a finished teacher run."""
    from distilclip_eeg.commands.which_run import check_words, find_teacher, option

    check_words(words)
    teacher = find_teacher(settings.teacher, Path(settings.run.root))
    print(f"teacher={teacher.path}", flush=True)
    from distilclip_eeg.report.tables import run_table
    from distilclip_eeg.training import distillation, forecast, side_by_side

    taught = distillation.with_teacher_data(settings, teacher, option(words, "dataset.root"))
    plan = forecast.told(distillation.plan(taught, teacher), settings)
    if settings.run.dry:
        return
    run = plan.begin().train() if settings.alone else side_by_side.train([plan], settings)[0]
    print(run_table([teacher, run]))


def tune(settings: TuneSettings, words: list[str]) -> None:
    """Search settings by macro F1 on validation windows."""
    from distilclip_eeg.commands.which_run import check_words, find_teacher

    if settings.teacher is not None:
        check_words(words)
    from distilclip_eeg.studies.tuning import search

    teacher = None if settings.teacher is None else find_teacher(settings.teacher, Path(settings.run.root))
    search.tune(settings, words, teacher)


def with_student(words: list[str]) -> list[str]:
    """``distill``: the model is the teacher's student where none is named."""
    load(DistillSettings, words)  # a wrong word is told before a teacher is looked for
    from distilclip_eeg.commands.which_run import student_of

    return [*student_of(words), *words]


def with_space(words: list[str]) -> list[str]:
    """``tune teacher=RUN``: its student's distillation, in the article's space for it."""
    from distilclip_eeg.commands.which_run import option, student_of

    if not option(words, "teacher"):
        return words
    return [*student_of(words), *([] if option(words, "space") else ["space=student"]), *words]


COMMANDS = {
    "train": Command(
        TrainSettings,
        train,
        (
            "dataset=tusz model=teacher",
            "dataset=chbmit dataset.root=FOLDER model=teacher_small split=window,subject -m",
            "model=eegnet augment=standard seed=[0,1,2] trainer.max_steps=2000 jobs=2",
        ),
        writes=("run.root",),
    ),
    "distill": Command(
        DistillSettings,
        distill,
        ("", "teacher=RUN model=student_small run.dry=true", "teacher=RUN distill.temperature=3 jobs=2"),
        with_student,
        writes=("run.root",),
    ),
    "tune": Command(
        TuneSettings,
        tune,
        (
            "model=teacher_small trials=30 fold=0",
            "model=eegnet space=training jobs=2",
            "teacher=RUN trials=20",
        ),
        with_space,
        writes=("run.root",),
    ),
}
