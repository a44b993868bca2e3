"""``make demo``'s script from end to end, on the tiny corpus with two steps a fit."""

import importlib.util
import re
from pathlib import Path

import pytest

from distilclip_eeg.config import compose as config
from distilclip_eeg.report.tables import ALWAYS
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import NOTE

SCRIPT = Path(__file__).parents[1] / "scripts" / "demo.py"
STAGES = ["write and prepare the synthetic corpus"] + [
    f"{split}: {what}" for split in ("subject", "window") for what in ("floor", "teacher", "student")
]
STAGES += ["subject: where the teacher looks", "subject: where the student looks"]
STAGES += ["subject: whole recordings of the student", "report"]


@pytest.fixture
def demo(tiny_data, tiny, monkeypatch):
    """The script as a module, every config it loads made tiny; floors take the corpus alone."""
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def load(verb, overrides):
        small = tiny_data if any(o.startswith("model=") for o in overrides) else tiny
        small = [o for o in small if not o.startswith("split=")]
        if verb == "distill":  # the text encoder is the teacher's
            small = [o for o in small if not o.startswith("text_encoder.")]
        return config.load(verb, [*small, *overrides])

    monkeypatch.setattr(module, "load", load)
    monkeypatch.setattr(module, "STEPS", 2)
    monkeypatch.setattr(module, "EXPLAINED", 12)
    return module


@pytest.mark.slow
def test_the_demo_shows_both_protocols_every_model_and_the_time_of_each_stage(
    demo, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    demo.main()
    said = capsys.readouterr().out
    assert said.startswith(NOTE)
    table = (tmp_path / "runs" / "demo.txt").read_text(encoding="utf-8")
    assert table in said
    for split in ("window", "subject"):
        for model in ("logreg_bandpower", "teacher_tiny", "student_tiny", ALWAYS):
            row = re.search(rf"(?m)^{split} +{model} +5 +\S.*$", table)
            assert row and re.search(r"\d+\.\d ± \d+\.\d", row[0]), f"{split} {model}\n{table}"
        assert re.search(rf"(?m)^{split}: .*test windows sharing with training: samples \d+ %", table), table
    assert re.search(r"(?m)^subject: .*samples 0 %, event 0 %, recording 0 %, subject 0 %$", table), table
    assert "not an estimate for new patients" in table

    times = said.partition("time by stage:\n")[2].splitlines()
    found = [re.fullmatch(r"  (\S.*?) +(\d+:\d\d)", line) for line in times[: len(STAGES) + 1]]
    assert [m and m[1] for m in found] == [*STAGES, "all"], times
    assert "runs/demo.txt and runs/report/index.html" in times[len(STAGES) + 1]
    page = (tmp_path / "runs" / "report" / "index.html").read_text(encoding="utf-8")
    for figure in ("(Fig. 5)", "(Fig. 6)", "(Fig. 7)", "(Fig. 8)", "(Fig. 9)", "Events over a recording"):
        assert figure in page, figure

    runs = find_runs(tmp_path / "runs")
    assert len(runs) == 6
    fitted = [run for run in runs if run.config["model"]["kind"] != "floor"]
    assert [run.config["trainer"]["max_steps"] for run in fitted] == [2] * 4
    assert {p.name for p in tmp_path.iterdir()} == {"runs"}
