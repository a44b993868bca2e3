"""The page of a recording's events: it holds what was detected, in bounded space, and no name runs in it."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from deploy_tools import CHANNELS, LIVE, Loudness, brain, recipe, with_gap, write_edf
from scipy import signal

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.corpora.edf.montage import CHBMIT_23
from distilclip_eeg.deploy.blocks import EdfSource
from distilclip_eeg.deploy.detection import Detection, Excerpt
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.review import SIGNAL_BYTES, review_page, stretches, view_of
from distilclip_eeg.deploy.writers import write_detection
from distilclip_eeg.schema import NOTE
from distilclip_eeg.scoring.events.detect import Trace, smooth

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
SMOOTHED = DetectConfig(smooth_s=3, threshold=0.5)
HOUR = np.array([[0.0, 3600.0]])


def held(page):
    """What the page's script reads."""
    (body,) = DATA.findall(page.decode())
    return json.loads(body)


def curve(data, name):
    return np.frombuffer(base64.b64decode(data["curves"][name]), "<u2") / data["curves"]["levels"]


def microvolts(strip):
    steps = np.frombuffer(base64.b64decode(strip["data"]), "<i2").reshape(-1, strip["n"])
    return steps * np.array(strip["step"])[:, None]


def told(page):
    """The text that a reader sees, without style, script or data."""
    text = re.sub(r"(?s)<(script|style).*?</\1>", " ", page.decode())
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


@pytest.fixture(scope="module")
def gapped(tmp_path_factory):
    """Three minutes at 500 Hz without the seconds 60 to 80; loud from 30 to 45 s and from 100 to 130 s."""
    uv = brain(180, 500, seizures=[(30, 45), (100, 130)])
    path = tmp_path_factory.mktemp("review") / "a.edf"
    return write_edf(path, uv, 500, **with_gap(uv, 500, (60, 80)))


@pytest.fixture(scope="module")
def found(gapped):
    return Detector(recipe(detect=SMOOTHED), Loudness()).file(gapped, review=True)


@pytest.fixture(scope="module")
def data(found):
    return held(review_page(found, "a", "eegnet"))


# --------------------------------------------------------------------------------------------- what it holds


def test_both_curves_are_those_of_the_detection_to_a_step(found, data):
    np.testing.assert_allclose(curve(data, "raw"), found.trace.probability_N, atol=0.5 / 65535 + 1e-9)
    np.testing.assert_allclose(curve(data, "smoothed"), smooth(found.trace, 3), atol=0.5 / 65535 + 1e-9)
    assert np.abs(curve(data, "raw") - curve(data, "smoothed")).max() > 0.1  # two curves, not one twice
    assert data["curves"]["stretches"] == [[0, 0, 60], [80, 60, 160]] and data["curves"]["hop"] == 1
    assert data["threshold"] == 0.5 and data["span"] == 180 and data["gaps"] == [[60, 80]]


def test_events_are_listed_with_their_mean_probability_and_lie_where_the_smoothed_curve_is_above(found, data):
    assert [row[:2] for row in data["events"]] == found.track.events_E2.tolist()
    assert [row[2] for row in data["events"]] == pytest.approx(found.confidence_E.tolist(), abs=5e-5)
    assert len(data["events"]) == 2 and all(row[3] == 1 for row in data["events"])
    above = found.trace.start_s_N[curve(data, "smoothed") >= 0.5]
    assert above.tolist() == [s for on, off in found.track.events_E2 for s in np.arange(on, off)]


def test_the_signal_is_that_of_the_detection_to_a_step_of_16_bits(found, data):
    assert len(data["strips"]) == len(found.strips) == 2 and data["channels"] == list(CHANNELS)
    for packed, strip in zip(data["strips"], found.strips, strict=True):
        assert packed["start"] == strip.start_s and packed["rate"] == strip.sfreq == 128
        away = np.abs(microvolts(packed) - strip.uv_CT)
        assert (away <= 0.5 * np.array(packed["step"])[:, None] + 1e-4).all()
        assert max(packed["step"]) == 0.1


def test_a_large_artefact_makes_the_steps_of_its_channel_larger_and_is_not_cut(found):
    loud = found.strips[0].uv_CT.copy()
    loud[1, 5] = -100_000
    changed = replace(found, strips=(replace(found.strips[0], uv_CT=loud),))
    (packed,) = held(review_page(changed, "a", ""))["strips"]
    assert packed["step"][0] == 0.1 and packed["step"][1] == pytest.approx(100_000 / 32767)
    assert microvolts(packed)[1, 5] == pytest.approx(-100_000)


def test_ten_seconds_on_both_sides_are_kept_and_none_across_a_gap(found):
    ends = [(s.start_s, s.start_s + s.uv_CT.shape[1] / s.sfreq) for s in found.strips]
    assert ends == [(on - 10, off + 10) for on, off in found.track.events_E2]
    recorded = np.array([[0, 40.0], [42, 60.0]])
    kept = stretches(np.array([[35, 40.0]]), np.ones(1), recorded, 100)
    assert kept.tolist() == [[25, 40], [42, 50]]


def test_the_signal_is_the_file_s_own_in_place_and_size(gapped, found):
    """Beside scipy's filters on all of the piece, in a band that both hold."""
    source = EdfSource(gapped)
    source.choose((0, 1, 2))
    sos = signal.butter(4, 0.3, "highpass", fs=500, output="sos")
    uv_CT = signal.sosfiltfilt(sos, 1e6 * source.read(1, 0, 50_000).astype(float), axis=1)
    expected = signal.resample_poly(uv_CT, 32, 125, axis=1)  # of the piece from 80 s on, at 128 Hz
    strip = found.strips[1]
    first = round((strip.start_s - 80) * 128)
    expected = expected[:, first : first + strip.uv_CT.shape[1]]
    band = signal.butter(4, (2, 30), "bandpass", fs=128, output="sos")
    a, b = (signal.sosfiltfilt(band, x, axis=1)[:, 256:-256] for x in (strip.uv_CT, expected))
    assert np.abs(a - b).max() < 0.02 * np.abs(b).max()


def test_what_the_lower_rate_cannot_hold_is_taken_out_before(tmp_path):
    """68 Hz is in the model's band; at 128 samples a second it would look like 60 Hz."""
    time = np.arange(60 * 256) / 256
    for f, low, high in ((68, 0, 1), (20, 97, 103)):
        uv = np.tile(100 * np.sin(2 * np.pi * f * time), (3, 1))
        path = write_edf(tmp_path / f"{f}.edf", uv, 256)
        (strip,) = Detector(recipe(), Loudness(99)).file(path, review=True).strips
        assert low <= np.abs(strip.uv_CT).max() <= high


@pytest.mark.parametrize("sfreq, rate", [(256, 128), (200, 100), (250, 125), (512, 128), (100, 100)])
def test_the_rate_divides_the_model_s_and_is_128_at_the_most(sfreq, rate):
    view = view_of(SignalConfig(sfreq=sfreq, h_freq=min(70, sfreq / 2)))
    assert view.sfreq == rate and view.h_freq <= rate / 2


# ------------------------------------------------------------------------------------------------- the budget


def test_neighbours_share_what_lies_between_them_and_it_is_read_once():
    events = np.array([[100, 110], [115, 120.0], [300.5, 310]])
    kept = stretches(events, np.ones(3), HOUR, 1000)
    assert kept.tolist() == [[90, 130], [290, 320]]


def test_the_most_probable_events_are_kept_until_the_budget_is_spent():
    events = np.array([[100, 110], [200, 210], [300, 310], [400, 410.0]])
    chance = np.array([0.6, 0.9, 0.7, 0.8])
    for most_s, starts in ((60, [190, 390]), (89, [190, 390]), (90, [190, 290, 390]), (29, [])):
        assert stretches(events, chance, HOUR, most_s)[:, 0].tolist() == starts, most_s


def test_a_long_event_keeps_its_first_five_minutes():
    assert stretches(np.array([[100, 3000.0]]), np.ones(1), HOUR, 1e6).tolist() == [[90, 410]]


def made(n_s, events, strips, names=CHANNELS, **more):
    """A detection of ``n_s`` windows, 0.9 in each event, with strips of noise."""
    probability = np.full(n_s, 0.1)
    for on, off in events:
        probability[on:off] = 0.9
    rng = np.random.default_rng(0)
    strips = tuple(
        Excerpt(float(a), 128.0, names, rng.normal(0, 50, (len(names), (b - a) * 128)).astype(np.float32))
        for a, b in strips
    )
    trace = Trace(probability, np.arange(n_s))
    settings = DetectConfig(smooth_s=0)
    return Detection("a", trace, settings, np.array([[0.0, n_s]]), strips=strips, excerpt=strips[0], **more)


def test_the_page_says_how_many_events_have_no_eeg():
    page = review_page(made(600, [(20, 30), (100, 110), (500, 510)], [(10, 120)]), "a", "")
    assert [row[3] for row in held(page)["events"]] == [1, 1, 0]
    assert "room for 2 of 3 events, the most probable ones; of the other 1 it holds no EEG" in told(page)
    whole = review_page(made(600, [(20, 30)], [(10, 40)]), "a", "")
    assert "room for" not in told(whole)


def test_an_event_in_several_strips_that_touch_counts_as_kept():
    page = review_page(made(900, [(20, 500)], [(10, 170), (170, 330)]), "a", "")
    assert held(page)["events"][0][3] == 1 and "longer than 300 s the first 300 s" in told(page)


@pytest.mark.slow
def test_a_day_of_23_channels_with_alarms_beyond_the_budget_stays_below_20_mb():
    events = [(s, s + 4) for s in range(20, 86_380, 6)]
    most_s = int(SIGNAL_BYTES / (23 * 128 * 2 * 4 / 3))
    strips = [(s, min(s + 240, most_s)) for s in range(0, most_s, 240)]
    page = review_page(made(86_400, events, strips, CHBMIT_23), "day", "eegnet")
    assert len(held(page)["events"]) == 14_394
    assert 16e6 < len(page) < 20e6


def test_a_curve_of_many_values_shows_the_highest_of_neighbours(monkeypatch):
    monkeypatch.setattr("distilclip_eeg.report.review.MOST_POINTS", 30)
    data = held(review_page(made(100, [(50, 53)], [(40, 63)]), "a", ""))
    assert data["curves"]["hop"] == 4 and data["curves"]["stretches"] == [[0, 0, 25]]
    assert np.flatnonzero(curve(data, "smoothed") > 0.5).tolist() == [12, 13]  # 48 to 51, 52 to 55


# ------------------------------------------------------------------------------------------- odd and hostile


def test_without_an_event_the_most_probable_moment_is_shown(gapped):
    calm = Detector(recipe(detect=DetectConfig(threshold=float("inf"))), Loudness()).file(gapped, review=True)
    page = review_page(calm, "a", "")
    data = held(page)
    assert data["events"] == [] and data["threshold"] is None
    start, end = data["moment"]
    assert (start, end) == (calm.excerpt.start_s, calm.excerpt.start_s + 10)
    (strip,) = data["strips"]
    assert strip["start"] <= start - 9 and strip["start"] + strip["n"] / strip["rate"] >= end + 9
    assert "0 events in 0:02:40 of recording with 1 gap; no threshold" in told(page)
    assert "most probable moment, since there is no event" in told(page)


def test_a_hostile_name_stays_text(found):
    evil = "</script><script>alert(1)</script>&\n\x1b"
    odd = replace(found, warnings=(f"odd: {evil}",), strips=(replace(found.strips[0], ch_names=(evil,) * 3),))
    page = review_page(odd, evil, evil)
    text = page.decode()
    assert text.count("<script") == text.count("</script>") == 2 and "alert(1)</" not in text.lower()
    assert "\x1b" not in text and r"\n\x1b" in text
    assert held(page)["channels"] == [evil] * 3
    assert told(page).count("&lt;/script&gt;&lt;script&gt;alert(1)") == 4  # title, heading, model, warning


def test_the_page_asks_for_nothing_and_may_not(found):
    text = review_page(found, "a", "eegnet").decode()
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|url\(|@import|<img|<iframe|<link(?! rel=\"icon\" href=\"data:,\")", text)


def test_it_says_what_it_is_with_which_model_and_what_was_odd(found):
    page = told(review_page(found, "night 3", "eegnet"))
    for words in ("night 3", "eegnet", NOTE, "threshold 0.5 on the probability smoothed over 3 s"):
        assert words in page
    assert "unknown_ages: the model does not say the age" in page
    assert "128 samples a second" in page and "2 events in 0:02:40 of recording with 1 gap" in page


def test_no_field_of_the_header_is_in_it(tmp_path):
    who = {"patient": "MRN77 F 02-MAY-1951 Haagse_Harry", "recording": "Startdate 03-APR-2005 ADMIN77 Tech X"}
    path = write_edf(tmp_path / "a.edf", brain(30, 256), 256, date="03.04.05", clock="07.08.09", **who)
    text = review_page(Detector(recipe(), Loudness()).file(path, review=True), "a", "").decode()
    for word in (
        "MRN77",
        "1951",
        "Harry",
        "2005",
        "ADMIN77",
        "Startdate",
        "07.08.09",
        "7:08:09",
        str(tmp_path),
    ):
        assert word not in text


def test_the_page_is_the_same_bytes_twice_and_may_be_left_out(gapped, found, tmp_path):
    again = Detector(recipe(detect=SMOOTHED), Loudness()).file(gapped, review=True)
    for name, one in (("x", found), ("y", again)):
        assert tmp_path / name / "a_review.html" in write_detection(one, tmp_path / name, "a", {})
    assert (tmp_path / "x/a_review.html").read_bytes() == (tmp_path / "y/a_review.html").read_bytes()
    write_detection(found, tmp_path / "x", "a", {}, review=False)
    assert not (tmp_path / "x/a_review.html").exists()  # nor the one of before


def test_signal_is_read_again_only_for_who_asks(gapped):
    assert Detector(recipe(), Loudness()).file(gapped).strips == ()


def test_a_live_detection_has_no_page(tmp_path):
    detector = Detector(LIVE, Loudness(), detect=DetectConfig(smooth_s=0))
    detector.push(brain(10, 256) * 1e-6)
    live, _ = detector.finish()
    names = [path.name for path in write_detection(live, tmp_path, "live", {})]
    assert not any(name.endswith((".png", ".html")) for name in names)
