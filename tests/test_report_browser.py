"""The page in a real browser, where ``CHROME_BIN`` names one: no error, every image, no overflow."""

import pytest
from browser_tools import browse, needs_browser, page_for_scripts
from report_runs import small_world
from tools import without_pdf

from distilclip_eeg.report.build import write_report
from distilclip_eeg.report.entries import choose
from distilclip_eeg.runs import find_runs

pytestmark = needs_browser
LOOK = """
<script>addEventListener("load", () => {
  const height = document.scrollingElement.scrollHeight;
  document.querySelectorAll("details").forEach(one => one.open = true);
  const images = [...document.images], wide = document.scrollingElement.scrollWidth;
  const seen = {images: images.length, broken: images.filter(i => !i.naturalWidth).length, width: innerWidth,
    wide, height, small: [...document.querySelectorAll("p, li, td, th, figcaption, pre")]
      .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length,
    narrow: images.filter(i => i.getBoundingClientRect().width < 300).length};
  parent.postMessage(JSON.stringify(seen), "*");
})</script>
"""
"""Put into a copy of the page, here alone, which opens what is folded: the report itself holds no script."""
HIGHEST = 8000
"""Pixels at a width of 1,280; the small world has all that the page of the demo has, of fewer models."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The small world's page."""
    root = tmp_path_factory.mktemp("browser")
    entries = choose(find_runs(small_world(root)))
    with pytest.MonkeyPatch.context() as patch:
        without_pdf(patch)
        write_report(entries, root / "report", root / "results")
    return page_for_scripts((root / "report" / "index.html").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_every_image_shows_and_nothing_overflows(page, tmp_path, width):
    seen, complaints = browse(tmp_path, page, width, LOOK)
    assert complaints == []
    assert seen["width"] == width
    assert seen["images"] == 15 and seen["broken"] == 0
    assert seen["wide"] <= width
    assert seen["small"] == 0 and seen["narrow"] == 0
    assert seen["height"] <= HIGHEST or width < 1280


@pytest.mark.slow
def test_the_check_itself_sees_a_broken_image_an_overflow_and_an_error(tmp_path):
    broken = (
        '<!doctype html><body><img src="data:image/png;base64,AAAA"><p style="width:900px;font-size:8px">x'
        '</p><script>console.error("oh")</script></body>'
    )
    seen, complaints = browse(tmp_path, broken, 400, LOOK)
    assert seen["broken"] == 1 and seen["wide"] > 400 and seen["small"] == 1 and seen["narrow"] == 1
    assert len(complaints) == 1 and "oh" in complaints[0]
