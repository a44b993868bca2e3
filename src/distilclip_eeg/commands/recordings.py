"""Commands about recordings: ``prepare``, ``describe``, ``check``, ``synthesize``, ``download``."""

import json
from pathlib import Path

from distilclip_eeg.commands.command import Command
from distilclip_eeg.config.commands import (
    CheckSettings,
    DescribeSettings,
    DownloadSettings,
    PrepareSettings,
    SynthesizeSettings,
)


def prepare(settings: PrepareSettings, words: list[str]) -> None:
    """Recordings to the store only, with a report."""
    from distilclip_eeg.files.folders import remove_left
    from distilclip_eeg.files.writing import write_csv
    from distilclip_eeg.progress import track
    from distilclip_eeg.signals import store
    from distilclip_eeg.signals.data_report import data_report
    from distilclip_eeg.signals.verify import verify
    from distilclip_eeg.workers import instead_of_threads

    corpus, root = settings.dataset.corpus.build("corpus"), Path(settings.store.root)
    with instead_of_threads(settings.backend, settings.n_jobs, settings.scheduler):
        made = store.prepare(corpus, settings.signals, root, n_jobs=settings.n_jobs, progress=track)
    table = made.path / "recordings.csv"
    remove_left(made.path)  # of a start that was killed while it wrote this table
    write_csv(table, made.recordings)
    print(f"{data_report(made)}\nstore: {made.path}\nevery recording: {table}")
    if settings.verify:
        print(verify(made.path, add=settings.verify == "add"))


def describe(settings: DescribeSettings, words: list[str]) -> None:
    """What is on disk, beside the published totals."""
    from distilclip_eeg.corpora import survey
    from distilclip_eeg.progress import track

    corpus = settings.dataset.corpus.build("corpus")
    print(survey.describe(corpus, survey.survey(corpus, n_jobs=settings.n_jobs, progress=track)))


def check(settings: CheckSettings, words: list[str]) -> None:
    """One JSON line a file, by the reader that training uses."""
    from distilclip_eeg.corpora import filecheck

    recording = Path(settings.recording) if settings.recording else None
    path, links = Path(settings.path), settings.links
    for line in filecheck.check(path, recording, settings.signals, links, settings.rename):
        print(json.dumps(line), flush=True)


def synthesize(settings: SynthesizeSettings, words: list[str]) -> None:
    """An invented corpus in a native layout."""
    from distilclip_eeg.corpora.invented.layouts import tree

    layout, root = settings.layout, Path(settings.root)
    told = {"recordings_per_subject": settings.recordings_per_subject, "recording_s": settings.recording_s}
    given = {key: value for key, value in told.items() if value is not None}
    truth = tree.synthesize(layout, root, n_subjects=settings.n_subjects, seed=settings.seed, **given)
    dataset = f"dataset={layout} dataset.root={root}"
    left_out = sum(truth["skipped"].values())
    odd = f", {left_out} of them of the kind that is left out" if left_out else ""
    total = truth["recordings"] + left_out
    print(f"{root}: {total} invented recordings in the layout of {layout}{odd}; counts in {tree.TRUTH}")
    print(f"python scripts/describe.py {dataset}\npython train.py {dataset}")


def download(settings: DownloadSettings, words: list[str]) -> None:
    """Fetch an open corpus from where its owners publish it."""
    from distilclip_eeg.corpora.download.corpus import Download
    from distilclip_eeg.corpora.download.sources import TUSZ

    if settings.dataset == "tusz":
        print(TUSZ)
        return
    root = settings.where_to
    fetching = Download(settings.dataset, root, url=settings.url, workers=settings.workers)
    plan = fetching.plan(list(settings.cases))
    print(fetching.describe(plan), flush=True)
    if not settings.dry_run:
        print(fetching.fetch(plan))
        print(f"next: python scripts/describe.py dataset={settings.dataset} dataset.root={root}")


def listed(words: list[str]) -> list[str]:
    """``cases=a,b`` is a list."""
    return [w if not w.startswith("cases=") or "[" in w else f"cases=[{w[6:]}]" for w in words]


COMMANDS = {
    "download": Command(
        DownloadSettings,
        download,
        ("dataset=chbmit", "dataset=chbmit cases=[chb01,chb02] root=FOLDER", "dataset=zenodo dry_run=true"),
        listed,
        writes=("root", "where_to"),
        exits={130: "stopped; what arrived is kept in .part files, the same command continues"},
    ),
    "prepare": Command(
        PrepareSettings,
        prepare,
        (
            "dataset=chbmit dataset.root=FOLDER",
            "dataset=tusz dataset.root=FOLDER store.root=FAST_DISK verify=true",
            "dataset=bids dataset.root=FOLDER signals.montage=bipolar18",
        ),
        writes=("store.root",),
    ),
    "describe": Command(
        DescribeSettings,
        describe,
        ("", "dataset=chbmit dataset.root=FOLDER", "dataset=tusz dataset.root=FOLDER"),
    ),
    "check": Command(
        CheckSettings, check, ("path=FOLDER", "path=FILE.edf", "path=FILE.csv_bi recording=FILE.edf")
    ),
    "synthesize": Command(
        SynthesizeSettings,
        synthesize,
        (
            "layout=tusz root=data/invented",
            "layout=chbmit root=data/invented n_subjects=24",
            "layout=bids root=data/invented recording_s=600 seed=1",
        ),
        writes=("root",),
    ),
}
