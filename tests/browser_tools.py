"""A page in a real browser, where ``CHROME_BIN`` names one."""

import json
import os
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest

CHROME = os.environ.get("CHROME_BIN")
needs_browser = pytest.mark.skipif(not CHROME, reason="CHROME_BIN names no Chromium")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
]
FRAME = """<!doctype html><iframe src="page.html" style="width:{}px;height:900px;border:0"></iframe>
<script>addEventListener("message", e => document.documentElement.setAttribute("data-seen", e.data))</script>
"""
"""A browser's own window has a least width, a frame has none."""
HEIGHT = """<script>addEventListener("load", () =>
  parent.postMessage(JSON.stringify({height: document.scrollingElement.scrollHeight}), "*"))</script>"""
"""What ``browse`` may look for."""


def page_for_scripts(text: str) -> str:
    """The page without the line by which it lets no script run, not even that of a test."""
    return re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)


def browse(folder: Path, text: str, width: int, look: str) -> tuple[dict, list[str]]:
    """Open a page as wide as ``width``: what a script found, and what the browser complained of.

    Args:
        folder: for the copy of the page and the browser's own files.
        look: the script, put into the copy; it posts its findings to the parent as JSON.
    """
    (folder / "page.html").write_text(text.replace("</body>", f"{look}</body>"), encoding="utf-8")
    file = folder / "frame.html"
    file.write_text(FRAME.format(width))
    size, profile = "--window-size=1400,1000", f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [CHROME, *FLAGS, profile, size, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    seen = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert seen, done.stderr[-2000:]
    return json.loads(unescape(seen[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]
