"""The page in a real browser, where ``CHROME_BIN`` names one: no error, every image, no overflow."""

import json
import os
import re
import subprocess
from html import unescape

import pytest
from report_runs import small_world

from distilclip_eeg.report.build import write_report
from distilclip_eeg.report.entries import choose
from distilclip_eeg.runs import find_runs

CHROME = os.environ.get("CHROME_BIN")
pytestmark = pytest.mark.skipif(not CHROME, reason="CHROME_BIN names no Chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
]
LOOK = """
<script>addEventListener("load", () => {
  const images = [...document.images], wide = document.scrollingElement.scrollWidth;
  const seen = {images: images.length, broken: images.filter(i => !i.naturalWidth).length, width: innerWidth,
    wide, small: [...document.querySelectorAll("p, li, td, th, figcaption, pre")]
      .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length,
    narrow: images.filter(i => i.getBoundingClientRect().width < 300).length};
  parent.postMessage(JSON.stringify(seen), "*");
})</script>
"""
"""Put into a copy of the page, here alone: the report itself holds no script."""
FRAME = """<!doctype html><iframe src="page.html" style="width:{}px;height:900px;border:0"></iframe>
<script>addEventListener("message", e => document.documentElement.setAttribute("data-seen", e.data))</script>
"""
"""A browser's own window has a least width, a frame has none."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The small world's page."""
    root = tmp_path_factory.mktemp("browser")
    entries = choose(find_runs(small_world(root)))
    write_report(entries, root / "report", root / "results")
    return (root / "report" / "index.html").read_text(encoding="utf-8")


@pytest.fixture
def browse(tmp_path):
    """``browse(html, width)``: what the browser measured, and what it complained of."""

    def start(text: str, width: int) -> tuple[dict, list[str]]:
        (tmp_path / "page.html").write_text(text.replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
        file = tmp_path / "frame.html"
        file.write_text(FRAME.format(width))
        size, profile = "--window-size=1400,1000", f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            [CHROME, *FLAGS, profile, size, "--dump-dom", file.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
        )
        seen = re.search(r'data-seen="([^"]*)"', done.stdout)
        assert seen, done.stderr[-2000:]
        return json.loads(unescape(seen[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return start


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 400])
def test_every_image_shows_and_nothing_overflows(page, browse, width):
    seen, complaints = browse(page, width)
    assert complaints == []
    assert seen["width"] == width
    assert seen["images"] == 14 and seen["broken"] == 0
    assert seen["wide"] <= width
    assert seen["small"] == 0 and seen["narrow"] == 0


@pytest.mark.slow
def test_the_check_itself_sees_a_broken_image_an_overflow_and_an_error(browse):
    broken = (
        '<!doctype html><body><img src="data:image/png;base64,AAAA"><p style="width:900px;font-size:8px">x'
        '</p><script>console.error("oh")</script></body>'
    )
    seen, complaints = browse(broken, 400)
    assert seen["broken"] == 1 and seen["wide"] > 400 and seen["small"] == 1 and seen["narrow"] == 1
    assert len(complaints) == 1 and "oh" in complaints[0]
