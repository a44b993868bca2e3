"""``make demo``'s script from end to end, on the tiny corpus with two steps a fit."""

import re

import pytest
from browser_tools import CHROME, HEIGHT, browse, page_for_scripts
from tools import without_pdf

from distilclip_eeg.commands import cli
from distilclip_eeg.config import compose
from distilclip_eeg.config.experiment import DistillSettings
from distilclip_eeg.report.tables import ALWAYS
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import NOTE
from distilclip_eeg.studies import demo

STAGES = ["write and prepare the synthetic corpus"] + [
    f"{split}: {what}" for split in ("subject", "window") for what in ("floor", "teacher", "student")
]
STAGES += ["subject: where the teacher looks", "subject: where the student looks"]
STAGES += ["subject: whole recordings of the student", "report"]
SHARING = "test windows sharing with training"
MOST_BYTES, HIGHEST = 3_000_000, 8000
"""Of the page of a demo, and pixels of it at a width of 1,280."""


@pytest.fixture
def small(tiny_data, tiny, monkeypatch):
    """Every setting that the demo composes made tiny; floors take the corpus alone."""

    def load(cls, words):
        made = tiny_data if any(w.startswith("model=") for w in words) else tiny
        made = [w for w in made if not w.startswith("split=")]
        if cls is DistillSettings:  # the text encoder is the teacher's
            made = [w for w in made if not w.startswith("text_encoder.")]
        return compose.load(cls, [*made, *words])

    monkeypatch.setattr(demo, "load", load)


@pytest.mark.slow
def test_the_demo_shows_both_protocols_every_model_and_the_time_of_each_stage(
    small, tmp_path, tmp_path_factory, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    without_pdf(monkeypatch)
    cli.act("demo", ["steps=2", "explained=12"])
    said = capsys.readouterr().out
    assert said.startswith(NOTE)
    table = (tmp_path / "runs" / "demo.txt").read_text(encoding="utf-8")
    assert table in said
    for split in ("window", "subject"):
        for model in ("logreg_bandpower", "teacher_tiny", "student_tiny", ALWAYS):
            row = re.search(rf"(?m)^{split} +{model} +5 +\S.*$", table)
            assert row and re.search(r"\d+\.\d ± \d+\.\d", row[0]), f"{split} {model}\n{table}"
        assert re.search(rf"(?m)^{split}: .*\n  test windows sharing with training: samples \d+ %", table), (
            table
        )
    nothing = "samples 0 %, event 0 %, recording 0 %, subject 0 %"
    assert re.search(rf"(?m)^subject: .*\n  test windows sharing with training: {nothing}$", table), table
    assert "not an estimate for new patients" in table

    times = said.partition("time by stage:\n")[2].splitlines()
    found = [re.fullmatch(r"  (\S.*?) +(\d+:\d\d)", line) for line in times[: len(STAGES) + 1]]
    assert [m and m[1] for m in found] == [*STAGES, "all"], times
    assert "runs/demo.txt and runs/report/index.html" in said
    short = said.partition("mean of five folds")[2].partition("written:")[0].splitlines()
    assert max(map(len, short)) <= 90
    for model in (
        "logreg_bandpower",
        "teacher_tiny",
        "student_tiny",
        ALWAYS,
    ):  # the whole table's figures again
        (line,) = [line for line in short if line.startswith(model)]
        accuracies = line.removeprefix(model).split()[::3]
        for split, accuracy in zip(("subject", "window"), accuracies, strict=True):
            whole, *_ = re.findall(rf"(?m)^{split} +{model} +5 +(\S+) ±", table)  # of the first columns
            assert abs(float(whole) - float(accuracy)) <= 0.55, line
    page = (tmp_path / "runs" / "report" / "index.html").read_text(encoding="utf-8")
    for figure in ("(Fig. 5)", "(Fig. 6)", "(Fig. 7)", "(Fig. 8)", "(Fig. 9)", "Events over a recording"):
        assert figure in page, figure
    assert len(page.encode()) <= MOST_BYTES
    if CHROME:
        seen, complaints = browse(tmp_path_factory.mktemp("browser"), page_for_scripts(page), 1280, HEIGHT)
        assert seen["height"] <= HIGHEST and complaints == []

    runs = find_runs(tmp_path / "runs")
    assert len(runs) == 6
    fitted = [run for run in runs if run.settings.model.kind != "floor"]
    assert [run.settings.trainer.max_steps for run in fitted] == [2] * 4
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}
