"""The page and its files from run folders alone: whole, self-contained, honest about what is not there."""

import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report_runs import add_event_scores, add_events, add_explanation, make_run, small_world

from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import WRITTEN, write_json
from distilclip_eeg.report import cards, html
from distilclip_eeg.report.blocks import Missing, Section, Table, Text
from distilclip_eeg.report.build import write_report
from distilclip_eeg.report.entries import choose
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import NOTE

EMPTY = ("img", "meta", "link")
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Every element with its attributes, every text, and what is still open at the end."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.source = text
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in EMPTY:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def within(self, anchor):
        """The text below a heading of the first rank, up to the next one."""
        (section,) = re.findall(rf'(?s)<h2 id="{anchor}">(.*?)</section>', self.source)
        return " ".join(re.sub("<[^>]*>", " ", section).split())

    def all(self, name):
        return [attributes for found, attributes in self.elements if found == name]


def report_of(root, **more):
    """Lines and page of a report on the runs below ``root / "runs"``."""
    entries = choose(find_runs(root / "runs", finished=False), **more)
    lines = write_report(entries, root / "runs" / "report", root / "results")
    return lines, Page((root / "runs" / "report" / "index.html").read_text(encoding="utf-8"))


@pytest.fixture
def unrendered(monkeypatch):
    """Every figure is drawn and then saved as one pixel, for tests of all but the picture."""
    pixel = io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "png")
    monkeypatch.setattr(Figure, "savefig", lambda figure, target, **_: target.write(pixel.getvalue()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The small world's report: its root, lines and page."""
    root = tmp_path_factory.mktemp("report")
    small_world(root)
    return root, *report_of(root)


def test_the_page_asks_for_nothing_from_elsewhere(made):
    page = made[2]
    assert not page.open and not page.all("script")
    for name, attributes in page.elements:
        for key, value in attributes.items():
            if key in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                assert value.startswith(("data:", "#")), (name, key, value[:60])
            assert not key.startswith("on") and (key == "src" or "//" not in value), (name, key)
    style = "".join(t for t in page.texts if "font-variant" in t)
    assert style and "url(" not in style and "@import" not in style
    assert {"default-src 'none'; style-src 'unsafe-inline'; img-src data:"} <= {
        meta.get("content") for meta in page.all("meta")
    }


def test_every_image_decodes_is_written_as_a_file_too_and_has_an_alternative_text(made):
    root, lines, page = made
    images = page.all("img")
    assert len(images) == 15
    files = {path.read_bytes() for path in (root / "runs" / "report" / "figures").glob("*.png")}
    for image in images:
        data = base64.b64decode(image["src"].partition("base64,")[2])
        Image.open(io.BytesIO(data)).verify()
        assert data in files
        assert len(image["alt"]) > 20
    assert len(files) == len(images) == len(list((root / "runs" / "report" / "figures").glob("*.pdf")))


def test_every_anchor_leads_somewhere(made):
    page = made[2]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [a["href"][1:] for a in page.all("a")]
    assert anchors and set(anchors) <= set(ids)


def test_every_heading_has_an_anchor_and_stands_in_the_navigation_in_its_order(made):
    source = made[2].source
    navigation = re.findall(r'<a href="#([^"]*)">([^<]*)</a>', source.partition("</nav>")[0])
    headings = re.findall(r'<h[2-6] id="([^"]*)"><a href="#\1">([^<]*)</a></h[2-6]>', source)
    assert headings == navigation and len(headings) > 15
    assert len(headings) == len(re.findall(r"<h[2-6]", source))
    assert [title for _, title in headings][0] == "Verdict" and source.count("<h1>") == 1


def test_what_a_split_lets_through_is_said_once_for_each_protocol(made):
    root, _, page = made
    notes = {run.data["leak_note"] for run in find_runs(root / "runs")}
    assert len(notes) == 2
    assert {page.text.count(note) for note in notes} == {1}
    for path in (root / "runs" / "report").glob("[tc]a*/*_chbmit*.md"):  # files stand alone
        assert any(note in path.read_text() for note in notes), path


@pytest.mark.parametrize(
    "part",
    [
        NOTE,
        "split=subject: every test window comes from a person that the model never saw",
        "Which protocol split=subject, 2 folds, test windows: natural prevalence: every test window",
        "split=window: people stand on both sides",
        "chbmit: 4 of 4 recordings used",
        "test windows sharing with training: event 100 %, subject 100 %",
        "standard preset",
        "paper preset",
        "each class against the rest",
        "Training curves (Fig. 5)",
        "Parameters by component (Fig. 6)",
        "Cumulative FLOPs by layer (Fig. 7)",
        "Confusion matrices (Fig. 8)",
        "Channel activation maps (Fig. 9)",
        "ROC and precision-recall curves",
        "Reliability",
        "Deletion curves",
        "Map of the EEG features",
        "Rhythmic theta.",
        "Fast. (similarity 0.50)",
        "Nearest of 12 descriptions",
        "1 annotated seizures, 1 detected events",
        "thresholds by fold: 0.5",
        "read back from events.tsv",
        "torch 2.13.0",
        "Model card: chbmit, split=subject, teacher_tiny",
        "Data card: chbmit, split=window",
        "Guttag J. (2010)",
        "Table V, chbmit, split=subject",
        "Table III, tusz, split=window",
    ],
)
def test_the_page_holds(made, part):
    assert part in made[2].text


def test_faithfulness_and_focus_stand_beside_the_maps_with_chance(made):
    text = made[2].text
    head = "method windows area of deletion in random order Spearman with occlusion, mean over windows"
    assert f"{head} hires 6 0.425 0.575 0.5 6" in text
    assert "at its focus % by chance %" in text
    assert "first third hires 5 80 10 90" in text


def test_each_file_has_a_line_and_each_line_a_file(made):
    root, lines, _ = made
    written = [line.removeprefix("written: ") for line in lines if line.startswith("written: ")]
    said = set()
    for line in written:
        first, *more = line.split(" .")
        said |= {first, *(re.sub(r"\.\w+$", f".{end}", first) for end in more)}
    report = root / "runs" / "report"
    assert said == {str(path) for path in report.rglob("*") if path.is_file() and path.name != WRITTEN}
    assert {path.name for path in report.iterdir()} == {WRITTEN, "index.html", "tables", "figures", "cards"}


def test_what_is_missing_is_named_with_the_command_that_makes_it(made):
    _, lines, page = made
    left_out = [line for line in lines if line.startswith("left out: ")]
    # The floor by window has no teacher; no ablation was trained; gap.py was not run.
    assert len(left_out) == 3
    for command in (
        "python scripts/gap.py dataset=chbmit dataset.root=FOLDER",
        "python train.py split=window dataset=chbmit dataset.root=FOLDER",
        "python scripts/ablations.py what=table2 split=subject dataset=chbmit dataset.root=FOLDER",
    ):
        assert any(f"; {command} makes it" in line for line in left_out), (command, left_out)
        assert command in page.text


def test_the_gap_has_a_row_a_model_and_a_column_a_protocol(tmp_path, unrendered):
    make_run(tmp_path / "runs", "teacher_tiny", "teacher")
    (tmp_path / "results").mkdir()
    rows = [("window", 0.97, 0.01), ("subject", 0.865, 0.04)]
    table = pd.DataFrame(rows, columns=["split", "auroc", "auroc_sd"])
    table = table.assign(dataset="chbmit", model="random_forest", folds=5, leak_note="as audited")
    other = table[:1].assign(model="eegnet", auroc=0.8, auroc_sd=float("nan"))
    pd.concat([table, other]).to_csv(tmp_path / "results" / "gap_chbmit.csv", index=False)
    _, page = report_of(tmp_path)
    assert "model window subject random_forest 97.0 ± 1.0 86.5 ± 4.0 eegnet 80.0 not run" in page.text
    assert "AUROC % of the same models under several protocols, mean ± SD over 5 folds" in page.text
    assert "results/gap_*.csv" in page.text and "window: as audited" in page.text
    assert "97.0 ± 1.0" in page.within("stored")  # of a script, and so apart from the runs
    for anchor in ("verdict", "corpus_chbmit"):
        assert "97.0 ± 1.0" not in page.within(anchor) and "teacher_tiny" in page.within(anchor)
    assert "None of this was measured by the runs above" in page.within("stored")


def test_a_lone_teacher_is_reported_and_says_what_else_there_could_be(tmp_path, unrendered):
    run = make_run(tmp_path / "runs", "teacher_tiny", "teacher")
    lines, page = report_of(tmp_path)
    for command in (
        f"python distill.py teacher={run.path}",
        f"python scripts/explain.py run={run.path}",
        f"python scripts/continuous.py run={run.path}",
    ):
        assert command in page.text and any(command in line for line in lines)
    assert len(page.all("img")) == 5  # people, curves, ROC and PR, reliability, confusion
    assert "Channel activation" not in page.text


def test_a_model_on_another_corpus_is_shown_as_that(tmp_path, unrendered):
    run = make_run(tmp_path / "runs", "teacher_tiny from tusz", "transfer", "transfer")
    data = read_json(run.path / "data.json")
    note = "every window of chbmit, scored by the models of each fold of tusz"
    write_json(run.path / "data.json", {"audit": None, "leak_note": note, "run": data["leak_note"]})
    lines, page = report_of(tmp_path)
    assert (
        f"{note}." in page.text
        and "no estimate for new patients" in page.within("verdict")
        and "teacher_tiny from tusz" in page.text
    )
    assert "unknown people" in page.text and "never saw" not in page.text
    left_out = " ".join(line for line in lines if line.startswith("left out"))
    assert "split=transfer" not in left_out and str(run.path) not in left_out


def test_of_half_an_explanation_the_half_that_is_there_is_shown(tmp_path, unrendered):
    folder = add_explanation(make_run(tmp_path / "runs", "student_tiny", "student"))
    for name in ("ecam.npz", "examples.json", "cost.csv", "focus.csv"):
        (folder / name).unlink()
    write_json(folder / "explain.json", {"left_out": {"cost.csv": "nothing to count"}})
    page = report_of(tmp_path)[1]
    assert "Deletion curves" in page.text and "cost.csv: nothing to count." in page.text
    assert "Channel activation" not in page.text and "Example window" not in page.text


def test_nothing_that_a_file_says_becomes_markup(tmp_path, unrendered):
    run = make_run(
        tmp_path / "runs", "teacher_tiny", "teacher", recording=HOSTILE, classes=("bckg", HOSTILE), name="run"
    )
    folder = add_explanation(run)
    add_events(run, f"{HOSTILE}0")
    about = read_json(folder / "examples.json")
    about["windows"][0] |= {key: HOSTILE for key in ("text", "subject", "true", "predicted")}
    about["windows"][0]["nearest"][0]["text"] = HOSTILE
    write_json(folder / "examples.json", about)
    (run.path / "data_report.txt").write_text(f"{HOSTILE}\n")
    (run.path / "continuous" / "events.txt").write_text(f"{HOSTILE}\n")
    pd.DataFrame({HOSTILE: [HOSTILE]}).to_csv(run.path / "continuous" / "by_subject.csv", index=False)
    data = read_json(run.path / "data.json")
    write_json(run.path / "data.json", data | {"leak_note": HOSTILE})
    page = report_of(tmp_path)[1]
    assert not page.all("script") and not page.open
    assert all(image["src"].startswith("data:image/png") for image in page.all("img"))
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert page.text.count(HOSTILE) > 10
    for path in (tmp_path / "runs" / "report" / "tables").glob("*.md"):
        assert "<script" not in path.read_text()


def test_a_report_never_loads_torch():
    code = "import distilclip_eeg.report.build, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(made, tmp_path):
    root = made[0]
    first = {p: p.read_bytes() for p in (root / "runs" / "report").rglob("*") if p.is_file()}
    report_of(root)
    assert {p: p.read_bytes() for p in first} == first


def test_the_model_card_says_who_how_well_and_what_not(tmp_path):
    run = make_run(tmp_path, "teacher_tiny", "teacher", "window")
    (entry,) = choose(find_runs(tmp_path))
    text = cards.markdown("Card", cards.model_card(entry))
    assert text.startswith("# Card\n") and NOTE in text
    assert "2 subjects, 2 recordings, 20 test windows" in text
    assert "fold 0, 10 windows: Acc 80.0, Pre 75.0, Rec 75.0, Spe 83.3" in text
    assert "subject 100 %" in text and "no estimate for new patients" in text
    assert (
        "30 steps in fold 0; seed 0; name adam, lr 0.001, text_lr 0.001, weight_decay 0.0001, grad_clip 1.0, "
        "warmup_steps 20, ema 0.95, epochs 3, batch_size 32, precision fp32, judge macro_f1, log_every 20, "
        "log_with tensorboard, compile off."
    ) in text
    assert run.path.name in text and "code abc1234" in text and "Guttag" in text
    assert str(tmp_path) not in text


def test_the_data_card_says_where_recordings_come_from_and_how_they_were_cut(tmp_path):
    make_run(tmp_path, "rnn", "baseline", dataset="zenodo")
    (entry,) = choose(find_runs(tmp_path))
    text = cards.markdown("Card", cards.data_card(entry))
    assert "term neonates" in text and "windows of 1 s: bckg 12, seiz 8" in text
    assert "0.1 to 70 Hz, 256 samples a second, normalised by recording" in text
    assert NOTE in text and "split=subject, 2 folds" in text and "Stevenson" in text


def test_every_text_of_every_kind_of_block_is_escaped():
    blocks = [Text("a < b & c"), Missing("<", "<"), Table(["<"], [[("<", "best")]], caption="<")]
    page = html.page("<", "<", [Section("<", "x", blocks)])
    assert "<p>a &lt; b &amp; c</p>" in page and "<strong>&lt;</strong>" in page
    assert page.count("&lt;") == 10 and "<<" not in page
    with pytest.raises(ValueError, match="share an anchor"):
        html.page("t", "t", [Section("a", "x", []), Section("b", "x", [])])


def test_the_verdict_is_that_of_the_comparison_and_its_interval_is_over_people(tmp_path, unrendered):
    # Fold 0 has 5 of 6 and 3 of 4 right, the five others all: 35 of 36 and 23 of 24, on average 96.5 %.
    make_run(tmp_path / "runs", "teacher_tiny", "teacher", folds=6)
    make_run(tmp_path / "runs", "logreg_bandpower", "floor", folds=6)
    page = report_of(tmp_path)[1]
    (claim,) = re.findall(r'<p class="claim">(.*?)</p>', page.source)
    (figure,) = re.findall(r"balanced accuracy of (96\.5 \[[\d.]+, [\d.]+\]) % on people it never saw", claim)
    rows = re.findall(r"<tr>(.*?)</tr>", page.source)
    (row,) = [row for row in rows if ">teacher_tiny<" in row and figure in row]
    assert row.startswith('<td class="word">subject</td>') and "<td>79 to 100</td><td>6</td>" in row
    low, high = (float(v) for v in re.findall(r"[\d.]+", figure.partition("[")[2]))
    assert 79 <= low < 96.5 < high <= 100
    sure = page.within("verdict")
    assert f"From 79 to 100 % by person; the 95 % interval [{low:.1f}, {high:.1f}] is over 6 people" in sure
    assert "not told apart from logreg_bandpower (+0.0 points, p 1)" in sure
    assert "the highest of 2, beside logreg_bandpower 96.5" in sure


def test_below_six_people_the_verdict_gives_no_interval_and_says_why(made):
    verdict = made[2].within("verdict")
    assert "chbmit: teacher_tiny reaches a balanced accuracy of 89.6 % on people it never saw" in verdict
    assert "no interval, since 2 people are fewer than 6" in verdict
    assert "split=window: logreg_bandpower 89.6 %; people stand on both sides" in verdict


def test_the_environment_stands_once_for_all_runs_that_share_it(made, tmp_path, unrendered):
    assert made[2].text.count("torch 2.13.0") == 1 and "Runs and minutes (3)" in made[2].text
    make_run(tmp_path / "runs", "teacher_tiny", "teacher")
    other = make_run(tmp_path / "runs", "student_tiny", "student")
    said = read_json(other.path / "provenance.json")
    write_json(other.path / "provenance.json", said | {"machine": "another"})
    text = report_of(tmp_path)[1].within("environment")
    assert text.count("Runs and minutes (1)") == 2 and text.count("another") == 1


def test_event_scores_are_tables_with_units_and_rates_an_hour_where_no_day_was_recorded(tmp_path, unrendered):
    run = make_run(tmp_path / "runs", "teacher_tiny", "teacher")
    add_events(run)
    add_event_scores(run, hours=2.0)
    text = report_of(tmp_path)[1].text.replace("\xa0", " ")
    assert "seizures found found % [95 %] % of quiet time under alarm [95 %]" in text
    assert "model 3 of 4 75.0 [50, 100] 12.5 [10, 15]" in text
    assert (
        "false alarms / h [95 %] NEDC OVLP model 75.0 [50, 100] 60.0 [40, 80] 66.7 [50, 80] 5.0 [4.0, 6.0]"
        in (text.replace("\xa0", " "))
    )
    assert "3 of 4 seizures found, 12.5 % of the 1.90 h without seizure under alarm" in text
    assert "thresholds by fold: 0.5" not in text  # the page of text stands in for tables alone
    add_event_scores(run, hours=48.0)
    assert "false alarms / 24 h [95 %]" in report_of(tmp_path)[1].text.replace("\xa0", " ")


def test_the_command_reports_one_corpus_or_one_run_and_says_where(tmp_path, as_script, unrendered):
    make_run(tmp_path / "runs", "logreg_bandpower", "floor")
    run = make_run(tmp_path / "runs", "eegnet", "baseline", dataset="tusz")
    script = "scripts/report.py"

    nothing = as_script(script, f"root={tmp_path / 'empty'}")
    assert nothing.returncode == 2 and "no finished run found" in nothing.stderr
    wrong = as_script(script, f"root={tmp_path / 'runs'}", f"run={tmp_path}")
    assert wrong.returncode == 2 and "no run folder" in wrong.stderr

    root = tmp_path / "runs"
    one = as_script(script, f"root={root}", f"results={tmp_path / 'results'}", "dataset=chbmit")
    assert one.returncode == 0, one.stderr
    assert NOTE in one.stdout and f"next: open {root / 'report' / 'index.html'}" in one.stdout
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    assert "logreg_bandpower" in page and run.path.name not in page

    one = as_script(script, f"root={root}", f"results={tmp_path / 'results'}", f"run={run.path}")
    page = (root / "report" / "index.html").read_text(encoding="utf-8")
    assert one.returncode == 0 and run.path.name in page and "logreg_bandpower-subject" not in page
