"""README and pages say what is so: their figures are counted again, their files and links are there."""

import re

import pandas as pd
import pytest
import torch
import yaml
from page_tools import REPO, blocks, commands, pages, table

from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.studies import demo

PAGES = pages()
README = PAGES["README.md"]
MODELS = PAGES["docs/reference/models.md"]


# ------------------------------------------------------------------------------------------------ the README


def test_it_is_short_and_has_one_small_picture_with_words_for_those_who_cannot_see_it():
    assert len(README.splitlines()) <= 120
    ((words, picture),) = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
    assert len(words) > 80 and (REPO / picture).stat().st_size < 200_000


def test_it_says_what_it_is_not_and_how_to_start():
    assert "**Research software, not a medical device.**" in README
    for word in ("diagnosis", "monitoring", "treatment", 'never "normal"'):
        assert word in README
    assert README.index("not a medical device") < README.index("make demo")
    assert {"make demo", "make test"} <= set(commands(README))


def test_outputs_fit_ninety_columns():
    assert max(len(line) for block in blocks(README, "text") for line in block.splitlines()) <= 90


def test_the_demo_prints_the_table_that_is_shown():
    """Its heads and models; figures differ a little from machine to machine."""
    shown = blocks(README, "text")[0].splitlines()
    assert [line.split()[0] for line in shown[2:]] == [
        *("logreg_bandpower", "teacher_tiny", "student_tiny", "always")
    ]
    for split, who in demo.PROTOCOLS.items():
        assert f"{split}: {who}" in shown[0]
    assert shown[1].split() == ["model", *2 * ["Acc", "%", "F1", "%", "AUROC", "%"]]


@pytest.mark.parametrize("page", PAGES)
def test_no_path_of_a_machine_stands_in_it(page):
    assert not re.findall(r"(?<![\w.~>-])/(?:home|work|root|tmp|mnt|opt|Users|farm)\b\S*", PAGES[page])


# -------------------------------------------------------------------------------------------- files and links


@pytest.mark.parametrize("page", PAGES)
def test_every_file_it_names_is_there(page):
    """Looked up from the top, as a reader types it."""
    named = set(re.findall(r"`([\w./-]+)`", PAGES[page]))
    ours = {n for n in named if re.match(r"(docs|results|scripts|configs|tests|notebooks|src|container)/", n)}
    ours |= {word for line in commands(PAGES[page]) for word in line.split() if word.endswith(".py")}
    assert not [name for name in sorted(ours) if not (REPO / name).exists()]


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub and MyST make them."""
    heads = re.findall(r"(?m)^#{1,3} (.*)$", text)
    return {re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads}


def links(page: str) -> list[str]:
    """Targets of a page's links to other pages."""
    found = re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"(?s)```.*?```", "", PAGES[page]))
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (REPO / page).parent / name if name else REPO / page
        if "_generated" in name:  # written when the pages are built
            assert re.fullmatch(r"settings-\w+|api-\w+|results-index", target.stem), link
            continue
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_can_be_reached_from_the_index():
    listed = {
        (REPO / page).parent.joinpath(f"{name}.md").resolve()
        for page, text in PAGES.items()
        for block in re.findall(r"(?ms)^```\{toctree\}\n(.*?)^```$", text)
        for name in block.splitlines()
        if name and not name.startswith(":")
    }
    written = {(REPO / page).resolve() for page in PAGES if page.startswith("docs/")}
    assert written - listed == {(REPO / "docs/index.md").resolve()}


# --------------------------------------------------------------------------------------------------- figures


def test_each_row_of_results_has_what_the_readme_promises():
    files = sorted((REPO / "results").glob("*.csv"))
    assert files
    for path in files:
        rows = pd.read_csv(path)
        for column in ("command", "seed", "hardware", "minutes"):
            assert rows[column].notna().all(), f"{path.name}: {column}"


def test_what_is_said_of_the_starter_stands_in_its_results():
    stored = (REPO / "results" / "detector_chbmit_excerpts.txt").read_text(encoding="utf-8")
    assert re.search(r"(?m)^model +75 of 86 .* 8\.5 \[", stored)
    assert re.search(r"(?m)^position only +83 of 86 .* 9\.4 \[", stored)
    assert re.search(r"(?m)^always on +86 of 86 ", stored)
    plain = re.sub(r"<!--.*?-->", "", README)
    assert "75 of 86 seizures of persons it never saw with 8.5 %" in plain
    assert "hits 83 with 9.4 %" in plain
    seconds = stored.partition("second by second")[2].partition("the model's area less")[0]
    areas = dict(re.findall(r"(?m)^(\w[\w ]*?) +(0\.\d{3}) \[", seconds))
    said = " ".join(PAGES["docs/explain/alarms.md"].split())
    peers = (areas["neureka2020_unet_raw_filenorm"], areas["deepsoz_txlstm_szpool_x5"])
    assert (
        f"an AUROC of {areas['model']}, where two published detectors stand at {' and '.join(peers)}" in said
    )
    assert f"a score that looks at no EEG at {areas['position only']}" in said


def test_the_gap_is_that_of_the_stored_rows():
    rows = pd.read_csv(REPO / "results" / "gap_chbmit_excerpts.csv")
    shown = table(PAGES["docs/explain/protocols.md"], "| | window | event | recording | time | subject |")
    assert len(shown) == 6
    for model, *cells in shown:
        for split, cell in zip(("window", "event", "recording", "time", "subject"), cells, strict=True):
            (row,) = rows[(rows["model"] == model) & (rows["split"] == split)].to_dict("records")
            assert cell == f"{100 * row['auroc']:.1f}", (model, split)


CLASSES = 8
"""As ``python scripts/parameters.py`` counts: TUSZ in the article, seven kinds of seizure and background."""


def size_rows() -> list[tuple[list[str], list[float] | None]]:
    """Models and millions of parameters of each row of the table of sizes; None where it shows a dash."""
    rows = []
    for first, second, _ in table(MODELS, "| model | EEG side"):
        millions = [float(m) for m in re.findall(r"([\d.]+) M", second)]
        rows.append((re.findall(r"`(\w+)`", first), millions or None))
    return rows


def test_every_model_is_named_ours_and_the_floors_once_in_the_table():
    named = [name for models, _ in size_rows() for name in models]
    kinds = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["kind"]
        for path in (CONFIG_DIR / "model").glob("*.yaml")
    }
    assert sorted(named) == sorted(name for name, kind in kinds.items() if kind != "baseline")
    assert all(f"`{name}`" in MODELS for name, kind in kinds.items() if kind == "baseline")


def test_every_corpus_stands_in_its_table():
    named = [
        cells[0].strip("`") for cells in table(PAGES["docs/reference/corpora.md"], "| `dataset=` | what")
    ]
    assert sorted(named) == sorted(path.stem for path in (CONFIG_DIR / "dataset").glob("*.yaml"))


@pytest.mark.parametrize("models, millions", size_rows(), ids=lambda v: "-".join(map(str, v or ["floor"])))
def test_the_sizes_are_those_of_the_presets(models, millions):
    if millions is None:
        for name in models:
            text = (CONFIG_DIR / "model" / f"{name}.yaml").read_text(encoding="utf-8")
            assert yaml.safe_load(text)["model"]["kind"] == "floor"
        return
    for name, said in zip(models, millions * (len(models) if len(millions) == 1 else 1), strict=True):
        with torch.device("meta"):
            sizes = {"n_chans": 23, "n_times": 256, "sfreq": 256.0, "n_outputs": CLASSES}
            net = build_network(load(TrainSettings, [f"model={name}"]).model, sizes)
        assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == said, name
