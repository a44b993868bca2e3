"""One recording, one verdict: what check reads, skips or refuses, so do prepare, train and detect."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from deploy_tools import Loudness, recipe
from scipy import signal
from tools import SHARED, bad_module, codes, needs_shared, one_run

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.edf_corpus import EdfCorpus
from distilclip_eeg.corpora.filecheck import check, nearest
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.corpora.walk import looks_like_edf
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.plausible import check_amplitude, check_rate
from distilclip_eeg.schema import DataError, Event, Labels, RecordingRef, SkipRecording
from distilclip_eeg.signals.store import ingest
from distilclip_eeg.training.data import load_data

PAPER = SignalConfig()
OF_THE_MODEL = ("unknown_ages", "unknown_age", "resampled", "clipped", "short_piece")
"""What detection says of a recording beside its model, not of the recording."""
READ = "read"


class One(EdfCorpus):
    """A corpus of one file, with a second of seizure."""

    name, classes = "one", ("bckg", "seiz")

    def labels(self, ref, header):
        return Labels((Event(0.0, min(1.0, header.span_s), "seiz"),))


def montage_for(path):
    try:
        return nearest(read_header(path).labels)
    except DataError:
        return nearest(STANDARD_19)


def by_check(path):
    [line] = check(path, signals=PAPER)
    return verdict(line["outcome"], line["reasons"])


def by_prepare(path):
    corpus = One(root=path.parent, montage=montage_for(path))
    return of_ingest(partial(ingest, corpus, RecordingRef(path.stem, "s", path), PAPER))


def of_ingest(work):
    try:
        got = work()
    except DataError as problem:
        return verdict("error", [problem.reason])
    return verdict("skip", [got["skipped"]]) if got["skipped"] else verdict(READ, codes_of(got["detail"]))


def codes_of(detail):
    """Codes of the warnings that a store keeps in one cell."""
    return [code for code in codes(detail.split("; ")) if re.fullmatch("[a-z_]+", code)]


def by_detect(path):
    model = recipe(ch_names=montage_for(path).ch_names)
    try:
        found = Detector(model, Loudness()).file(path)
    except SkipRecording as problem:
        return verdict("skip", [problem.reason])
    except DataError as problem:
        return verdict("error", [problem.reason])
    return verdict(READ, [code for code in codes(found.warnings) if code not in OF_THE_MODEL])


def verdict(outcome, reasons):
    reasons = tuple(sorted(set(filter(None, reasons))))
    return (outcome if outcome in ("skip", "error") else READ), reasons


# --------------------------------------------------------------------------------------- own odd files


def eeg(seconds, sfreq, n_chans=19, uv=40.0):
    rng = np.random.default_rng(3)
    x = signal.lfilter([1], [1, -0.9], rng.standard_normal((n_chans, round(seconds * sfreq))))
    return uv * x / x.std()


def whole(sfreq=256, seconds=20, *, x=None, ends=3276.8, unit="uV", labels=STANDARD_19, **how):
    x = eeg(seconds, sfreq, len(labels)) if x is None else x
    signals = [
        signal_of(name, row, sfreq, physical_range=(-ends, ends), unit=unit)
        for name, row in zip(labels, x, strict=True)
    ]
    return edf_bytes(signals, **how)


def plus(kind=b"+C", **how):
    """EDF+ with a time stamp a record."""
    made = whole(**{"onsets_s": range(20), **how})
    return made.replace(b"EDF+D", b"EDF" + kind, 1)


def body_only(change, made):
    n = int(made[184:192])
    return made[:n] + change(made[n:])


def unclosed(made):
    return made[:236] + b"-1      " + made[244:]


def as_text(made):
    return body_only(lambda b: b.replace(b"\n", b"\r\n"), made)


def as_utf8(made):
    return body_only(lambda b: b.decode("latin-1").encode(), made)


def amplitudes():
    for power in (-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6):
        factor = 10.0**power
        for bdf in (False, True):
            made = whole(x=eeg(20, 256) * factor, ends=3276.0 * factor, bdf=bdf)
            yield f"times_1e{power}{'_24bit.bdf' if bdf else '.edf'}", made
    x = eeg(20, 256)
    x[:6] *= 1e-3
    yield "a_third_in_millivolts.edf", whole(x=x)
    yield "coarse_millivolts.edf", whole(x=eeg(20, 256) * 1e-3)  # less than a step
    x = eeg(20, 256)
    x[:, 5 * 256 :] = 3.0
    yield "dead_after_5_s.edf", whole(x=x)
    for n in (1, 10, 18):
        x = eeg(20, 256)
        x[:n] = 7.0
        yield f"{n}_flat.edf", whole(x=x)


def rates():
    for rate in (1, 2, 32, 64, 100, 128, 139, 140, 160, 173, 200, 250, 255, 256, 400, 500, 512, 1000, 1024):
        yield f"rate_{rate}.edf", whole(rate, 20)
    for text in (b"1.000001", b"0.999999", b"1.001   ", b"1.0000  ", b"0.9     ", b"1.5     ", b"2       "):
        made = whole()
        yield f"record_of_{text.decode().strip()}_s.edf", made[:244] + text + made[252:]
    for slow in (64, 128, 200):
        x = eeg(20, 256)
        parts = [signal_of(n, x[k], 256) for k, n in enumerate(STANDARD_19[:-2])]
        late = [signal_of(n, eeg(20, slow)[k], slow) for k, n in enumerate(STANDARD_19[-2:])]
        yield f"two_at_{slow}.edf", edf_bytes([*parts, *late])


def broken():
    for name, made in (("edf", whole()), ("plus", plus()), ("bdf", whole(bdf=True))):
        end = "bdf" if name == "bdf" else "edf"
        yield f"text_{name}.{end}", as_text(made)
        yield f"text_{name}_unclosed.{end}", as_text(unclosed(made))
        yield f"text_{name}_cut.{end}", as_text(made)[: len(made) - 999]
        yield f"utf8_{name}.{end}", as_utf8(made)
        for lost in (1, 2, 3, 7):
            yield f"lost_{lost}_{name}.{end}", made[:30_000] + made[30_000 + lost :]
            yield f"more_{lost}_{name}.{end}", made[:30_000] + bytes(lost) + made[30_000:]
    yield "stamps_garbage.edf", plus().replace(b"\x14\x14\0", b"\x13\x13\0")


def stamps():
    for step in (0.0005, 0.003, 0.0038, 0.0041, 0.02, 1.0, -0.003, -0.5):
        for kind in (b"+C", b"+D"):
            onsets = [round(k * (1 + step), 6) for k in range(20)]
            yield f"step_{step}_{kind.decode()[1]}.edf", plus(kind, onsets_s=onsets)


OWN = dict(pair for kind in (amplitudes, rates, broken, stamps) for pair in kind())


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for name, made in OWN.items():
        (folder / name).write_bytes(made)
    return folder


def differing(paths):
    """Files on which the ways differ, with what each says; and every file's verdict."""
    wrong, found = [], {}
    for path in paths:
        said = {way.__name__: way(path) for way in (by_check, by_prepare, by_detect)}
        found[path.name] = said["by_check"]
        # Training goes on without a file that the others end with: the same refusal, the same reason.
        if len({("refused" if how in ("skip", "error") else how, why) for how, why in said.values()}) > 1:
            wrong.append((path.name, said))
    return wrong, found


def test_our_own_odd_files_get_one_verdict_from_check_prepare_and_detect(odd):
    wrong, found = differing(sorted(odd.iterdir()))
    assert wrong == [] and len(found) == len(OWN)
    assert {
        name: found[name]
        for name in (
            "times_1e-3.edf",
            "times_1e0.edf",
            "times_1e4_24bit.bdf",
            "dead_after_5_s.edf",
            "18_flat.edf",
        )
    } == {
        "times_1e-3.edf": ("error", ("implausible_amplitude",)),
        "times_1e0.edf": (READ, ()),
        "times_1e4_24bit.bdf": ("error", ("implausible_amplitude",)),
        "dead_after_5_s.edf": (READ, ("flat_window",)),
        "18_flat.edf": (READ, ("flat_channel",)),
    }
    assert found["a_third_in_millivolts.edf"] == (READ, ())  # the median channel tells
    assert found["rate_128.edf"] == found["rate_139.edf"] == ("skip", ("low_rate",))
    assert found["rate_140.edf"] == found["rate_200.edf"] == (READ, ())
    assert found["record_of_1.000001_s.edf"] == (READ, ("odd_record_duration",))  # read as one second
    assert found["two_at_128.edf"] == (READ, ("mixed_eeg_rates",))
    for name in OWN:
        if name.startswith(("text_", "utf8_")):
            assert found[name] == ("error", ("sent_as_text",)), name
    assert found["lost_3_plus.edf"] == found["more_7_plus.edf"] == ("error", ("shifted_records",))
    assert found["stamps_garbage.edf"] == (READ, ("bad_annotations",))
    assert found["step_0.0038_C.edf"] == found["step_0.003_D.edf"] == (READ, ("drifting_clock",))
    assert found["step_0.0041_C.edf"][1][0] == "discontinuous"


def test_training_says_of_each_odd_file_what_check_says(odd, tmp_path):
    """All that training goes on without in one corpus; each that stops it in a corpus of its own."""
    found = {name: by_check(odd / name) for name in OWN}
    stops = [name for name, (outcome, _) in found.items() if outcome == "error"]
    rest = [name for name in found if name not in stops]
    table = train_on(tmp_path / "rest", odd, rest).store.recordings.set_index("recording")
    for name in rest:
        row = table.loc[Path(name).stem]
        said = (
            ("skip", (row["skipped"],)) if row["skipped"] else (READ, tuple(sorted(codes_of(row["detail"]))))
        )
        assert said == found[name], name
    for name in stops[:: max(1, len(stops) // 8)]:
        try:
            row = train_on(tmp_path / name, odd, [name, "times_1e0.edf"]).store.recordings
            reasons = set(row["skipped"]) - {""}
        except DataError as problem:
            reasons = {problem.reason}
        assert reasons == set(found[name][1]), name


def train_on(root, source, names):
    root.mkdir()
    for name in names:
        (root / name).write_bytes((source / name).read_bytes())
    rows = [f"{name},0.0,1.0,sz,s{k}" for k, name in enumerate(names)]
    (root / "labels.csv").write_text("recording,onset,duration,label,subject\n" + "\n".join(rows) + "\n")
    words = ["dataset=folder", f"dataset.root={root}", f"store.root={root}-store", "n_jobs=1"]
    words += ["model=logreg_bandpower", "split=window", "split.n_folds=2"]
    return load_data(one_run(words).data)


@pytest.mark.shared
@needs_shared
def test_other_people_s_odd_files_get_one_verdict_too(tmp_path):
    module = bad_module()
    module.generate(tmp_path / "bad")
    manifest = json.loads((tmp_path / "bad" / "manifest.json").read_text())
    paths = [tmp_path / "bad" / case["path"] for case in manifest if case["kind"] == "edf"]
    paths += [p for p in sorted((Path(SHARED) / "data" / "robustness").rglob("*")) if looks_like_edf(p)]
    wrong, found = differing(paths)
    # A pointer of git-lfs is refused by all, and named as what it is by the corpus alone.
    assert [name for name, _ in wrong] == ["lfs_pointer.edf"]
    assert len(found) + len(OWN) >= 200


# --------------------------------------------------------------------------------------- the limits


@pytest.mark.parametrize(
    "swing_uv, refused",
    [
        ([0.9, 0.9, 50], True),
        ([0.9, 50, 50], False),
        ([1.0, 1.0], False),
        ([np.nan, 0.5], True),
        ([np.nan], False),
    ],
)
def test_the_median_channel_that_changes_decides_what_is_too_small(swing_uv, refused):
    ask = partial(check_amplitude, "a.edf", ["A", "B", "C"][: len(swing_uv)])
    volts = np.array(swing_uv) * 1e-6
    if refused:
        with pytest.raises(DataError, match="a.edf: the median channel moves by 0[.][59] uV") as caught:
            ask(np.abs(volts), volts)
        assert caught.value.reason == "implausible_amplitude"
    else:
        ask(np.abs(volts), volts)


@pytest.mark.parametrize("h_freq, least", [(70.0, 140.0), (40.0, 80.0), (None, 256.0)])
def test_a_rate_must_hold_the_band_that_is_asked_for(h_freq, least):
    check_rate("a.edf", least, h_freq, 256.0)
    with pytest.raises(SkipRecording, match=f"expected at least {least:g} Hz") as caught:
        check_rate("a.edf", least - 1, h_freq, 256.0)
    assert caught.value.reason == "low_rate"
