"""The review page in a real browser, where ``CHROME_BIN`` names one: keys, clicks, no error, no overflow."""

import numpy as np
import pytest
from browser_tools import browse, needs_browser
from deploy_tools import Loudness, brain, recipe, with_gap, write_edf

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.review import review_page

pytestmark = [needs_browser, pytest.mark.slow]
LOOK = """
<script>addEventListener("load", () => {
  const of = id => document.getElementById(id), where = () => of("where").textContent;
  const press = key => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  const after = key => { press(key); return [key, where(), Number(of("scroll").value), of("gain").value]; };
  const copy = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const ink = id => {
    const c = of(id);
    Object.assign(copy.canvas, {width: c.width, height: c.height});
    copy.drawImage(c, 0, 0);
    const d = copy.getImageData(0, 0, c.width, c.height).data;
    let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i + 3] && d[i] < 60 && d[i + 2] < 60; return n; };
  const touch = x => { const box = of("overview").getBoundingClientRect();
    of("overview").dispatchEvent(new MouseEvent("click", {clientX: box.left + x, clientY: box.top + 50}));
    return [where(), Number(of("scroll").value), of("said").textContent]; };
  const choose = (id, value) => {
    of(id).value = value; of(id).dispatchEvent(new Event("change")); return ink("eeg"); };
  const width = of("overview").clientWidth, left = innerWidth < 600 ? 58 : 76;
  const seen = {start: [where(), Number(of("scroll").value), of("gain").value, of("length").value],
    keys: KEYS.map(after), ink: [ink("overview"), ink("eeg"), ink("near")],
    wide: document.scrollingElement.scrollWidth, width: innerWidth, rows: of("rows").children.length,
    small: [...document.querySelectorAll("p, td, th, label, button, li, span")]
      .filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length,
    now: [...of("rows").children].findIndex(r => r.className === "now"),
    clicks: CLICKS.map(t => touch(left + t / SPAN * (width - 4 - left)))};
  if (seen.rows) { of("rows").children[1].click(); seen.row = where(); }
  seen.highpass = [ink("eeg"), choose("high", "5")];
  parent.postMessage(JSON.stringify(seen), "*");
})</script>
"""


def look(keys=(), clicks=(), span=180):
    """The script that presses the keys, then clicks on the overview at the seconds."""
    return (
        LOOK.replace("KEYS", str(list(keys))).replace("CLICKS", str(list(clicks))).replace("SPAN", str(span))
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Three minutes without the seconds 60 to 80; events from 29 to 46 s and from 100 to 130 s or so."""
    uv = brain(180, 256, seizures=[(30, 45), (100, 130)])
    path = write_edf(tmp_path_factory.mktemp("page") / "a.edf", uv, 256, **with_gap(uv, 256, (60, 80)))
    found = Detector(recipe(detect=DetectConfig(smooth_s=0)), Loudness()).file(path, review=True)
    assert np.abs(found.track.events_E2 - [[30, 45], [100, 130]]).max() <= 1
    return review_page(found, "a night", "eegnet").decode()


@pytest.mark.parametrize("width", [1280, 400])
def test_keys_turn_events_pages_and_gain_and_nothing_overflows(page, tmp_path, width):
    keys = ["n", "n", "p", "ArrowRight", "ArrowRight", "ArrowLeft", "+", "-", "-", "x"]
    seen, complaints = browse(tmp_path, page, width, look(keys))
    assert complaints == []
    assert seen["width"] == width and seen["wide"] <= width and seen["small"] == 0
    step = 5 if width == 400 else 10
    where, start, gain, length = seen["start"]
    assert where.startswith("Event 1 of 2: 0:00:3") and length == str(step)
    events = [text.partition(":")[0] for _, text, _, _ in seen["keys"]]
    at = [place for _, _, place, _ in seen["keys"]]
    assert events[:3] == ["Event 2 of 2", "Event 2 of 2", "Event 1 of 2"]
    assert at[:3] == [98, 98, start] and start == 28
    third = min(start + 2 * step, 55 - step)  # what is kept of the first event ends at 55 s
    assert at[3:6] == [start + step, third, start + step]
    gains = [int(gain), *(int(g) for _, _, _, g in seen["keys"])]
    assert len(set(gains[:7])) == 1 and gains[7] < gains[6] == gains[8] < gains[9] == gains[10]
    assert min(seen["ink"]) > 50 and seen["rows"] == 2 and seen["now"] == 0


def test_right_arrows_walk_through_every_page_of_every_event_and_left_ones_back(page, tmp_path):
    seen, complaints = browse(tmp_path, page, 1280, look(["ArrowRight"] * 8 + ["ArrowLeft"] * 9))
    assert complaints == []
    events = "".join(text[6] for _, text, _, _ in seen["keys"])
    assert events == "11222222" + "222221111"
    at = [place for _, _, place, _ in seen["keys"]]  # ten seconds on both sides of 30 to 45 and of 100 to 130
    assert at == [38, 45, 90, 98, 108, 118, 128, 130] + [128, 118, 108, 98, 90, 45, 38, 28, 20]


def test_a_click_on_the_overview_goes_there(page, tmp_path):
    seen, complaints = browse(tmp_path, page, 1280, look(clicks=[120, 37, 160, 70]))
    assert complaints == []
    (in_second, at, _), (in_first, _, _), (beyond, _, said), (gap, _, words) = seen["clicks"]
    assert in_second.startswith("Event 2") and at <= 120 <= at + 10
    assert in_first.startswith("Event 1")
    assert beyond.startswith("Event 2") and "Around 0:02:40 no EEG is kept" in said
    assert gap.startswith("Event 1") and "no EEG is kept" in words
    assert seen["row"].startswith("Event 2")  # the second row of the list


def test_a_high_pass_takes_the_slow_part_out(page, tmp_path):
    seen, _ = browse(tmp_path, page, 1280, look())
    before, after = seen["highpass"]
    assert abs(after - before) > 0.02 * before


def test_without_an_event_the_most_probable_moment_is_open(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(60, 256), 256)
    found = Detector(recipe(), Loudness(9)).file(path, review=True)
    assert found.events == []
    text = review_page(found, "a", "eegnet").decode()
    seen, complaints = browse(tmp_path, text, 400, look(["n", "p"]))
    assert complaints == [] and seen["rows"] == 0
    assert seen["start"][0].startswith("No event; most probable moment") and seen["ink"][1] > 50
