"""One odd file, link, name, label or person never stops, hides or fakes the rest of a corpus."""

import io
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torture_readers
from deploy_tools import write_edf
from tools import codes

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.bids import Bids
from distilclip_eeg.corpora.download.files import Files
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.filecheck import Recordings, check, check_recording
from distilclip_eeg.corpora.folder import Folder
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.corpora.small_files import check_matlab, json_of, read_small
from distilclip_eeg.corpora.survey import describe, survey
from distilclip_eeg.corpora.walk import Walk
from distilclip_eeg.corpora.zenodo_files import read_mat
from distilclip_eeg.deploy.card import as_text
from distilclip_eeg.deploy.screen import find
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.files.writing import csv_bytes
from distilclip_eeg.schema import (
    ConfigError,
    CorpusError,
    DataError,
    SkipRecording,
    guarded,
    person_key,
    recordings_of,
    unguarded,
    visible,
)
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.workers import threaded

REPO = Path(__file__).parents[1]
CHANNELS = ["F3", "C3", "T3"]
QUICK = SignalConfig(l_freq=1.0, h_freq=30.0, sfreq=100.0)


def edf(path, seconds=20, sfreq=100, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    uv = 40 * np.random.default_rng(len(path.name)).standard_normal((3, seconds * sfreq))
    return write_edf(path, uv, sfreq, **how)


def table(root, rows):
    lines = ["recording,onset,duration,label,subject", *(",".join(map(str, row)) for row in rows)]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def ward(root, names=("a", "b", "c"), label="sz"):
    for name in names:
        edf(root / f"{name}.edf")
    table(root, [(f"{name}.edf", 5, 6, label, f"s{name}") for name in names])
    return Folder(root=root, channels=CHANNELS)


def fields(path, **changed):
    """Header fields of a file written anew: ``duration`` or the samples of each record."""
    raw = bytearray(path.read_bytes())
    if "duration" in changed:
        raw[244:252] = changed["duration"].encode().ljust(8)
    if "samples" in changed:
        n = int(raw[252:256])
        at = 256 + n * 216
        for k, count in enumerate(changed["samples"]):
            raw[at + 8 * k : at + 8 * k + 8] = str(count).encode().ljust(8)
    path.write_bytes(bytes(raw))


# ------------------------------------------------------------------------------------ one odd file (6)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda path: path.write_bytes(b"<html>not found</html>"), "not_edf"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "header_truncated"),
        (lambda path: path.write_bytes(b""), "empty_file"),
        (lambda path: fields(path, duration="1.0037"), "bad_sampling_rate"),
        (lambda path: fields(path, duration="1.00001"), "bad_sampling_rate"),
        (lambda path: (path.unlink(), path.mkdir()), "not_a_file"),
        (lambda path: (path.unlink(), path.symlink_to("gone.edf")), "not_fetched"),
    ],
)
def test_a_file_that_cannot_be_read_is_skipped_named_and_counted_and_the_rest_goes_on(
    tmp_path, spoil, reason
):
    corpus = ward(tmp_path / "w")
    spoil(tmp_path / "w" / "b.edf")
    store = prepare(corpus, QUICK, tmp_path / "store", n_jobs=2)
    found = store.recordings.set_index("recording")["skipped"].to_dict()
    assert found == {"a": "", "b": reason, "c": ""}
    report = data_report(store)
    assert f"skipped 1 ({reason}): " in report and "b.edf" in report and "2 of 3 recordings used" in report
    rows = survey(corpus, n_jobs=1).set_index("recording")
    if reason != "bad_sampling_rate":  # which is found where the signal is
        assert rows["problem"].to_dict() == found
        lines = {Path(line["path"]).name: line for line in check(tmp_path / "w")}
        assert lines["b.edf"]["reasons"] in ([reason], ["missing_file"])


def test_a_second_by_a_clock_that_was_not_set_is_read_as_a_second_and_told(tmp_path):
    corpus = ward(tmp_path / "w")
    fields(tmp_path / "w" / "b.edf", duration="1.000001")
    header = read_header(tmp_path / "w" / "b.edf")
    assert header.record_duration_s == 1 and header.sfreqs == (100, 100, 100)
    assert codes(header.warnings) == ["odd_record_duration"]
    assert (prepare(corpus, QUICK, tmp_path / "s", n_jobs=1).recordings["skipped"] == "").all()


def test_a_listing_at_odds_with_itself_stops_the_corpus(tmp_path):
    corpus = ward(tmp_path / "w")
    rows = [(f"{n}.edf", 5, 6, "sz", f"s{n}") for n in "abc"]
    table(tmp_path / "w", [*rows, ("b.edf", 7, 3, "other", "sb")])
    with pytest.raises(CorpusError, match="expected one label at a time"):
        prepare(Folder(root=corpus.root, channels=CHANNELS), QUICK, tmp_path / "s", n_jobs=2)
    assert [*(tmp_path / "s").iterdir()] == []


def slow(flag, k):
    if k == 1:
        raise ValueError("boom")
    time.sleep(0.2)
    flag.append(k)
    return k


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_error_in_a_thread_ends_only_when_no_thread_is_at_work(jobs):
    done: list[int] = []
    with pytest.raises(ValueError, match="boom"):
        list(threaded(slow, [(done, k) for k in range(20)], jobs=jobs))
    count = len(done)
    time.sleep(0.5)
    assert len(done) == count < 20


def test_results_come_in_order_and_a_caller_that_has_seen_enough_leaves_no_thread_at_work():
    done: list[int] = []
    results = threaded(slow, [(done, k) for k in (0, 2, 3, 4, 5, 6)], jobs=2)
    assert [next(results), next(results)] == [0, 2]
    results.close()
    count = len(done)
    time.sleep(0.5)
    assert len(done) == count
    with joblib.parallel_config("threading", n_jobs=2):
        assert list(threaded(divmod, [(7, 2), (9, 4)], jobs=2)) == [(3, 1), (2, 1)]


SIX_ENDS = """
import os, runpy, sys
import distilclip_eeg.commands.cli, distilclip_eeg.signals.store
born = []
for _ in range(6):
    pid = os.fork()
    if not pid:
        sys.argv.pop(0)
        runpy.run_path(sys.argv[0], run_name="__main__")
    born.append(pid)
print([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in born])
"""
"""A script six times at once, each to the end of an interpreter of its own."""


@pytest.mark.slow
def test_no_error_of_a_thread_ends_in_an_abort(tmp_path):
    ward(tmp_path / "w", names="abcdefgh")
    rows = [(f"{n}.edf", 5, 6, "sz", f"s{n}") for n in "abcdefgh"]
    table(tmp_path / "w", [*rows, ("b.edf", 7, 3, "other", "sb")])
    words = ["dataset=folder", f"dataset.root={tmp_path / 'w'}", "dataset.channels=[F3,C3,T3]", "n_jobs=4"]
    words = [str(REPO / "scripts" / "prepare.py"), *words, f"store.root={tmp_path / 's'}"]
    done = subprocess.run([sys.executable, "-c", SIX_ENDS, *words], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str([3] * 6), done.stderr


# ----------------------------------------------------------------------------------- finding files (7)


def tree(tmp_path):
    """Two patients, one of them on another disk, and what nobody means to score."""
    root, nas = tmp_path / "d", tmp_path / "nas"
    edf(root / "pat1" / "a.edf")
    edf(nas / "pat2" / "b.edf")
    for hidden in (
        ".git/annex/objects/X/MD5E--a.edf",
        ".Trash-0/files/old.edf",
        "$RECYCLE.BIN/x.edf",
        "._a.edf",
    ):
        edf(root / hidden)
    (root / "pat2").symlink_to(nas / "pat2")
    (root / "again").symlink_to("pat1")
    (root / "pat1" / "up").symlink_to("..")
    (root / "pat1" / "annexed.edf").symlink_to("../.git/annex/objects/X/MD5E--a.edf")
    (root / "pat1" / "copy.edf").symlink_to("a.edf")
    return root


def test_one_walk_follows_links_inside_once_and_names_those_that_lead_out(tmp_path):
    root = tree(tmp_path)
    walk = Walk(root)
    assert [p.relative_to(root).as_posix() for p in walk.files()] == ["pat1/a.edf", "pat1/annexed.edf"]
    assert walk.refused == [root / "pat2"]
    following = Walk(root, "follow")
    names = [p.relative_to(root).as_posix() for p in following.files()]
    assert names == ["pat1/a.edf", "pat1/annexed.edf", "pat2/b.edf"] and following.refused == []


def test_a_folder_that_is_known_by_links_alone_is_followed_once(tmp_path):
    edf(tmp_path / ".hidden" / "x" / "a.edf")
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(".hidden/x")
    assert [p.relative_to(tmp_path).as_posix() for p in Walk(tmp_path).files()] == ["one/a.edf"]
    (tmp_path / "ring").symlink_to("ring")
    assert Walk(tmp_path).files() == [tmp_path / "one" / "a.edf"]


def test_a_part_of_an_annexed_tree_finds_its_data_above_it(tmp_path):
    edf(tmp_path / ".git" / "annex" / "objects" / "k.edf")
    (tmp_path / "sub-01").mkdir()
    (tmp_path / "sub-01" / "a.edf").symlink_to("../.git/annex/objects/k.edf")
    assert Walk(tmp_path / "sub-01").files() == [tmp_path / "sub-01" / "a.edf"]


def test_check_detect_search_describe_and_prepare_find_the_same(tmp_path):
    root = tree(tmp_path)
    rows = [(name, 5, 6, "sz", name) for name in ("pat1/a.edf", "pat1/annexed.edf", "pat2/b.edf")]
    table(root, rows)
    items = find(root)
    assert [(item.label, item.refused is not None) for item in items] == [
        ("pat1/a", False),
        ("pat1/annexed", False),
        ("pat2", True),
    ]
    with pytest.raises(SkipRecording, match="pat2: a link to .*nas/pat2, outside of .*links=follow"):
        items[-1].check()
    lines = {Path(x["path"]).relative_to(root).as_posix(): x["reasons"] for x in check(root)}
    assert lines.pop("pat2") == ["link_outside"]
    corpus = Folder(root=root, channels=CHANNELS)
    names = [ref.path.relative_to(root).as_posix() for ref in corpus.recordings()]
    assert names == [*lines] == ["pat1/a.edf", "pat1/annexed.edf"]
    assert codes(corpus.warnings)[0] == "link_outside" and "dataset.links=follow" in corpus.warnings[0]
    report = describe(corpus, survey(corpus, n_jobs=1))
    assert "link_outside: 1 links lead out" in report and "pat2" in report
    whole = Folder(root=root, channels=CHANNELS, links="follow")
    assert len(whole.recordings()) == len(find(root, "follow")) == 3
    with pytest.raises(ConfigError, match="dataset.links='all'"):
        Folder(root=root, links="all")


def test_a_name_in_latin_1_is_read_and_escaped_where_it_is_written(tmp_path):
    root = tmp_path / "w"
    edf(root / "b.edf")
    (root / "b.edf").rename(os.fsdecode(os.fsencode(root) + b"/A_M\xfcller.edf"))
    edf(root / "b.edf")
    (root / "labels.csv").write_bytes(
        b"recording,onset,duration,label,subject\nA_M\xfcller.edf,5,6,sz,p1\nb.edf,5,6,sz,p2\n"
    )
    corpus = Folder(root=root, channels=CHANNELS)
    store = prepare(corpus, QUICK, tmp_path / "s", n_jobs=1)
    assert list(store.recordings["recording"]) == ["A_M\\xfcller", "b"]
    assert (store.recordings["skipped"] == "").all()
    assert [item.label for item in find(root)] == ["A_M\\xfcller", "b"]
    assert all(json.dumps(line).isascii() for line in check(root))
    describe(corpus, survey(corpus, n_jobs=1)).encode()


# ---------------------------------------------------------------------------------------- persons (15)


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("P01", "p01", True),
        ("3", "03", True),
        ("p1 ", "p1", True),
        ("J\u00fc", "Ju\u0308", True),
        ("sub-0012", "SUB-12", True),
        ("p10", "p1", False),
        ("p100", "p10", False),
        ("P-01", "P01", False),
        ("0", "00", True),
    ],
)
def test_persons_are_compared_without_case_blanks_zeros_and_unicode_forms(one, other, same):
    assert (person_key(one) == person_key(other)) == same


def test_spellings_of_one_person_are_joined_before_splitting_and_told(tmp_path):
    for name in "abcde":
        edf(tmp_path / "w" / f"{name}.edf")
    people = dict(zip("abcde", ["P01", "p01", "3", "03", "p2"], strict=True))
    table(tmp_path / "w", [(f"{n}.edf", 5, 6, "sz", who) for n, who in people.items()])
    corpus = Folder(root=tmp_path / "w", channels=CHANNELS)
    refs, told = recordings_of(corpus)
    assert [ref.subject for ref in refs] == ["P01", "P01", "3", "3", "p2"]
    assert codes(told) == ["persons_joined"] * 2 and "'P01' is also spelt 'p01'" in told[0]
    store = prepare(corpus, QUICK, tmp_path / "s", n_jobs=1)
    assert store.recordings["subject"].nunique() == 3 and "3 subjects" in data_report(store)
    assert "'3' is also spelt '03'" in data_report(store)
    assert "persons_joined" in describe(corpus, survey(corpus, n_jobs=1))


# ---------------------------------------------------------------------------------- crafted headers (16)


def crafted(path, first, others, duration, records=2):
    """A small file of 19 electrodes whose header asks for much work."""
    samples = [first] + [others] * 18
    signals = [signal_of(name, [1.0, -1.0], 1, physical_range=(-500, 500)) for name in STANDARD_19]
    head = edf_bytes(signals)[: 256 * 20]
    path.write_bytes(head + np.random.default_rng(0).bytes(2 * records * sum(samples)))
    fields(path, samples=samples, duration=duration)
    return path


@pytest.mark.parametrize(
    "first, others, duration, reason",
    [
        (99_991, 10, "1", "bad_sampling_rate"),
        (5_003, 5_003, ".0500001", "bad_sampling_rate"),
        (9_973, 256, "1", "mixed_eeg_rates"),
        (4_096, 2, "1", "mixed_eeg_rates"),
        (1_009, 1_008, "1", "mixed_eeg_rates"),
        (512, 256, "1", "implausible_amplitude"),
        (1, 1, ".0020011", "bad_sampling_rate"),
        (1, 1, ".0061237", "bad_sampling_rate"),
    ],
)
def test_a_header_that_asks_for_much_is_refused_before_it_is_done(tmp_path, first, others, duration, reason):
    path = crafted(tmp_path / "x.edf", first, others, duration, records=2000 if first == 1 else 2)
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        check_recording(path, Recordings({}))
        raise DataError("it was read", reason="implausible_amplitude")
    assert time.perf_counter() - start < 2 and caught.value.reason == reason


def test_a_file_in_crumbs_is_refused_and_a_few_gaps_are_not(tmp_path):
    def in_pieces(n):
        signals = [signal_of(name, [1.0, -1.0] * n, 2, physical_range=(-500, 500)) for name in STANDARD_19]
        path = tmp_path / "x.edf"
        path.write_bytes(edf_bytes(signals, onsets_s=[2.0 * k for k in range(n)]))
        return path

    with pytest.raises(SkipRecording, match="600 pieces of 1 s") as caught:
        read_header(in_pieces(600))
    assert caught.value.reason == "too_many_pieces"
    assert len(read_header(in_pieces(60)).stretches) == 60


# ------------------------------------------------------------------------------ what readers are given (18)


NASTY = [
    "=1+1",
    "+cmd",
    "-2+3",
    "@x",
    "\tx",
    "'=x",
    "''=x",
    "'x",
    "-1.5",
    "+3",
    "-",
    "plain",
    "a,b",
    'q"q',
    "x\ny",
]


def test_a_table_holds_no_formula_and_is_read_back_as_it_was(tmp_path):
    frame = pd.DataFrame({"label": NASTY, "@n": np.arange(len(NASTY)) - 3.5})
    (tmp_path / "t.csv").write_bytes(body := csv_bytes(frame))
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv", keep_default_na=False), frame)
    cells = pd.read_csv(io.BytesIO(body), dtype=str, keep_default_na=False)
    assert [c for c in cells.iloc[:, 0] if c[0] in "=+-@\t\r"] == ["-1.5", "+3", "-"]
    assert cells.columns[0] == "label" and cells.columns[1] == "'@n"


@pytest.mark.parametrize("text", NASTY)
def test_a_guarded_cell_is_told_from_one_that_looks_like_it(text):
    assert unguarded(guarded(text)) == text and guarded(3) == 3


def test_what_a_terminal_would_obey_is_written_out():
    assert visible("a\x1b[31m\x07b\n\u202ec\udcfc ü") == "a\\x1b[31m\\x07b\\n\\u202ec\\xfc ü"
    assert str(DataError("two\nlines\x1b]0;x\x07")) == "two\\nlines\\x1b]0;x\\x07"


def test_no_markup_of_a_label_reaches_a_card():
    told = as_text({"classes": ["bckg", "<img src=x onerror=a()>", "[x](http://y)", "`c`\n# head"], "n": 3})
    assert told["classes"][1:] == ["&lt;img src=x onerror=a()&gt;", "\\[x\\](http://y)", "\\`c\\`\\n# head"]
    assert told["n"] == 3


# ---------------------------------------------------------------------------- damaged annotations (19)


def test_damaged_headers_and_annotations_of_all_layouts_end_in_a_result_or_a_typed_error():
    for found, n in (
        (torture_readers.try_headers(150, 1), 150),
        (torture_readers.try_annotations(560, 1), 560),
    ):
        assert torture_readers.wrong(found) == {}
        assert found["refused"] > n / 4 and found["read"] > n / 10


@pytest.mark.slow
def test_a_thousand_of_each_kind_too():
    assert torture_readers.main(1000, 7) == 0


def test_deep_json_and_endless_numbers_are_no_tree():
    for body in (b"[" * 5000 + b"]" * 5000, b'{"a":' * 300 + b"1" + b"}" * 300, b"1" * 10_000, b"\xff"):
        with pytest.raises(ValueError):
            json_of(body)
    assert json_of(b"\xef\xbb\xbf" + b"[" * 99 + b"]" * 99)


def test_a_file_of_more_than_its_kind_can_hold_is_not_read(tmp_path):
    path = tmp_path / "a_events.tsv"
    with path.open("wb") as stream:
        stream.truncate(200 * 2**20)
    with pytest.raises(DataError, match="more than 67,108,864 bytes") as caught:
        read_small(path)
    assert caught.value.reason == "too_large"


def test_a_matlab_file_that_unpacks_to_a_gigabyte_is_refused_at_its_64th_megabyte(tmp_path):
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(bytes(2**20)) for _ in range(100)), packer.flush()])
    element = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
    path = tmp_path / "annotations_2017.mat"
    path.write_bytes(b" " * 124 + b"\x00\x01IM" + element + packed)
    assert path.stat().st_size < 200_000
    for read in (check_matlab, read_mat):
        with pytest.raises(DataError, match="unpacks to more than") as caught:
            read(path)
        assert caught.value.reason == "too_large"


def test_a_listing_that_unpacks_to_a_gigabyte_is_refused(tmp_path):
    import gzip
    from http.server import BaseHTTPRequestHandler, HTTPServer

    body = gzip.compress(bytes(100 * 2**20))

    class Bomb(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Bomb)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/list"
        with pytest.raises(DataError, match="larger than 67,108,864 bytes") as caught:
            Files(tmp_path, connections=1, backoff_s=0.1).read(url, "*/*")
    finally:
        server.shutdown()
        server.server_close()
    assert caught.value.reason == "bad_listing"


# ------------------------------------------------------------------------------------- labels by map (20)


EVENTS = "onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"


def bids(root, label="ictal"):
    edf(root / "sub-01" / "eeg" / "sub-01_task-sz_eeg.edf")
    rows = f"2.00\t4.00\t{label}\tn/a\tall\tn/a\t20.00\n9.00\t1.00\tspike\tn/a\tall\tn/a\t20.00\n"
    (root / "sub-01" / "eeg" / "sub-01_task-sz_events.tsv").write_text(EVENTS + rows)
    (root / "events.json").write_text('{"eventType": {"Levels": {"ictal": "", "spike": ""}}}')


def test_types_that_count_as_nothing_are_told_with_their_number(tmp_path):
    bids(tmp_path)
    corpus = Bids(root=tmp_path, channels=CHANNELS)
    (ref,) = corpus.recordings()
    (warning,) = corpus.warnings
    assert warning.startswith("uncounted_type: 2 events are neither seizure nor background and excluded: ")
    assert "ictal (1), spike (1)" in warning and "dataset.label_map={ictal: seiz}" in warning
    assert corpus.read(ref).events == ()


def test_a_map_says_what_counts_as_what(tmp_path):
    bids(tmp_path)
    corpus = Bids(root=tmp_path, channels=CHANNELS, label_map={"Ictal": "seiz", "spike": "bckg"})
    recording = corpus.read(corpus.recordings()[0])
    assert [(e.onset_s, e.offset_s, e.label) for e in recording.events] == [(2.0, 6.0, "seiz")]
    assert recording.excluded == () and corpus.warnings == ()
    typed = Bids(root=tmp_path, channels=CHANNELS, classes=["sz_foc"], label_map={"ictal": "sz_foc_a"})
    assert [e.label for e in typed.read(typed.recordings()[0]).events] == ["sz_foc"]
    (tmp_path / "events.json").unlink()  # a word of the map needs no other list
    corpus = Bids(root=tmp_path, channels=CHANNELS, label_map={"ictal": "sz", "spike": "bckg"})
    assert len(corpus.read(corpus.recordings()[0]).events) == 1
    with pytest.raises(ConfigError, match="dataset.label_map: nonsense is no class"):
        Bids(root=tmp_path, channels=CHANNELS, label_map={"ictal": "nonsense"})


def test_a_table_s_words_become_a_model_s_classes(tmp_path):
    corpus = ward(tmp_path, label="SZ")
    assert corpus.classes == ("bckg", "SZ")
    mapped = Folder(root=tmp_path, channels=CHANNELS, label_map={"sz": "seiz", "other": "bckg"})
    assert mapped.classes == ("bckg", "seiz")
    refs = mapped.recordings()
    assert "unused_map: dataset.label_map names other" in "".join(mapped.warnings)
    assert [e.label for e in mapped.read(refs[0]).events] == ["seiz"]
    background = Folder(root=tmp_path, channels=CHANNELS, label_map={"sz": "bckg"}, classes=["seiz"])
    assert background.read(background.recordings()[0]).events == ()
    with pytest.raises(ConfigError, match="each word of the table once"):
        Folder(root=tmp_path, label_map={"sz": "seiz", "SZ": "bckg"})


def test_a_map_is_a_setting_of_one_s_own_recordings(tmp_path):
    ward(tmp_path, label="1")
    words = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.label_map={1: seiz}"]
    (settings,) = load(TrainSettings, words).each_seed()
    assert settings.dataset.label_map == {"1": "seiz"}
    assert settings.dataset.corpus.build("corpus").classes == ("bckg", "seiz")
    with pytest.raises(ConfigError, match="dataset.label_map='sz'.* is str, expected a mapping of str to"):
        load(TrainSettings, [*words[:2], "dataset.label_map=sz"])
    with pytest.raises(ConfigError, match="dataset.label_map: dataset=tusz has no such setting"):
        load(TrainSettings, ["dataset=tusz", words[2]])
