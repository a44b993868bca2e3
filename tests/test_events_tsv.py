"""events.tsv: nothing is lost on the way in and out, nothing doubtful gets through."""

import io
import json
import random
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from tools import SHARED, bad_module, codes, needs_shared

from distilclip_eeg.corpora.events_tsv import (
    COLUMNS,
    SZCORE,
    parse,
    read_events,
    read_levels,
    szcore_tsv,
    write,
)
from distilclip_eeg.corpora.invented.layouts.bids import EXTRA, events_bytes
from distilclip_eeg.schema import DataError, Event

HEAD = "\t".join(COLUMNS) + "\n"
ROW = "5.00\t3.00\tsz\tn/a\tn/a\t2020-01-01 00:00:00\t20.00\n"


def read(tmp_path, data, *args, **kw):
    path = tmp_path / "a_events.tsv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_events(path, *args, **kw)


def refused(tmp_path, data, *args, **kw):
    with pytest.raises(DataError) as caught:
        read(tmp_path, data, *args, **kw)
    message = str(caught.value)
    assert "a_events.tsv" in message and "expected" in message and "\n" not in message
    return caught.value.reason, message


# ------------------------------------------------------------------------------------------------ lossless


@pytest.mark.parametrize(
    "data",
    [
        HEAD + ROW,
        HEAD + ROW + ROW.rstrip("\n"),  # no line end at the end
        (HEAD + ROW).replace("\n", "\r\n"),
        (HEAD + ROW).replace("\n", "\r"),
        HEAD.replace("\n", "\r\n") + ROW + "\n\r\n" + ROW,  # mixed, with blank lines
        "\ufeff" + HEAD + ROW,
        HEAD + ROW.replace("n/a", "") + "a\tb\tc\td\n",  # blank cells, a short line
        "\u2028\x0b\x1c\t\t\n",  # what str.splitlines would take for line ends
        "",
        "\n",
        "\ufeff",
    ],
)
def test_what_is_read_is_written_back_byte_for_byte(data):
    assert write(parse(data.encode())) == data.encode()


def test_any_bytes_at_all_come_back():
    rng = random.Random(0)
    for _ in range(2000):
        data = bytes(rng.choice(b"\t\r\n\xef\xbb\xbf\xe9\0a1.") for _ in range(rng.randrange(30)))
        assert write(parse(data)) == data


def test_every_cell_is_the_one_that_pandas_reads(tmp_path):
    rows = [(1.5, 2.25, "sz_foc"), (9, 3, "impd")]
    data = events_bytes(rows, 60, columns=(*COLUMNS[:3], *EXTRA, *COLUMNS[3:]), end="\r\n", vigilance="awake")
    found = read(tmp_path, data, ["impd"])
    frame = pd.read_csv(io.BytesIO(data), sep="\t", dtype=str, keep_default_na=False)
    assert found.table.columns == tuple(frame.columns)
    assert [dict(row.cells) for row in found.rows] == frame.to_dict("records")
    assert found.rows[0].cells["vigilance"] == "awake" and {line.end for line in found.table.lines} == {
        "\r\n"
    }


# ---------------------------------------------------------------------------------------------- typed access


def test_the_cells_of_a_row_are_numbers_names_and_a_date(tmp_path):
    text = HEAD + "5.25\t3.50\tsz_foc_ia\t0.75\tFp1, F7\t2001-02-03 04:05:06\t600.00\n"
    (row,) = read(tmp_path, text).rows
    assert (row.onset_s, row.duration_s, row.offset_s, row.recording_s) == (5.25, 3.5, 8.75, 600)
    assert (row.label, row.confidence, row.channels) == ("sz_foc_ia", 0.75, ("Fp1", "F7"))
    assert (row.start, row.line) == (datetime(2001, 2, 3, 4, 5, 6), 2)


@pytest.mark.parametrize("absent", ["n/a", "", "N/A", "nan"])  # pandas turns n/a into nan
def test_what_is_not_known_is_none_or_nothing(tmp_path, absent):
    text = HEAD + f"5\t3\tsz\t{absent}\t{absent}\t{absent}\t20\n"
    found = read(tmp_path, text)
    assert (found.rows[0].confidence, found.rows[0].channels, found.rows[0].start) == (None, (), None)
    assert found.warnings == ()


def test_only_the_four_columns_of_times_and_type_are_needed_in_any_order(tmp_path):
    (row,) = read(tmp_path, "recordingDuration\teventType\tduration\tonset\n20\tsz\t3\t5\n").rows
    assert (row.onset_s, row.offset_s, row.label, row.recording_s) == (5, 8, "sz", 20)
    assert (row.confidence, row.channels, row.start) == (None, (), None)


def test_stretches_that_touch_in_decimals_touch_in_numbers(tmp_path):
    first, second = read(
        tmp_path, HEAD + ROW.replace("5.00\t3.00", "0.1\t0.2") + ROW.replace("5.00", "0.3")
    ).rows
    assert 0.1 + 0.2 > 0.3  # what a sum of floats alone would give
    assert first.offset_s == second.onset_s == 0.3


def test_an_odd_date_and_odd_bytes_are_said_and_cost_nothing(tmp_path):
    data = HEAD + ROW.replace("2020-01-01", "2020-13-01")
    assert codes(read(tmp_path, data).warnings) == ["bad_start_time"]
    latin = (HEAD.replace("\n", "\tnote\n") + ROW.replace("\n", "\tn\xe9\n")).encode("latin-1")
    found = read(tmp_path, latin)
    assert codes(found.warnings) == ["bad_encoding"] and found.rows[0].cells["note"] == "n\xe9"
    assert write(found.table) == latin


# ------------------------------------------------------------------------------------------------ the levels


def test_the_vocabulary_is_szcore_s():
    assert len(SZCORE) == len({*SZCORE}) == 71
    for level in (
        "bckg sz sz_foc sz_foc_a_m_automatisms sz_foc_ia_nm_sensory sz_foc_ua_um sz_foc_f2b "
        "sz_gen_m_myoAtonic sz_gen_nm_eyelidMyio sz_uo_m_tonicClonic sz_uo_nm_behavior"
    ).split():
        assert level in SZCORE
    for level in "sz_foc_ua seiz impd sz_uo_m_tonic sz_gen_um sz_foc_a_m_tonicClonic".split():
        assert level not in SZCORE


@pytest.mark.parametrize("written", ["sz_foc_ia", "sz-foc-ia", " sz_foc_ia ", "SZ_FOC_IA", "sz_foc_ia:"])
def test_hyphens_case_blanks_and_a_stray_colon_are_the_same_level(tmp_path, written):
    found = read(tmp_path, HEAD + ROW.replace("\tsz\t", f"\t{written}\t"))
    assert found.rows[0].label == "sz_foc_ia"
    assert written in found.rows[0].cells["eventType"]  # the cell itself is kept as it stands


def test_a_level_of_the_tree_s_own_must_be_listed(tmp_path):
    data = HEAD + ROW.replace("\tsz\t", "\timpd\t")
    reason, message = refused(tmp_path, data)
    assert reason == "unknown_label" and "line 2" in message and "impd" in message
    assert read(tmp_path, data, ["impd"]).rows[0].label == "impd"
    assert read(tmp_path, data, ["impd:"]).rows[0].label == "impd"


def test_another_column_may_hold_the_labels_and_then_needs_no_length(tmp_path):
    data = "onset\tduration\ttrial_type\n5\t3\tseizure_left\n"
    (row,) = read(tmp_path, data, ["seizure_left"], column="trial_type").rows
    assert (row.label, row.recording_s) == ("seizure_left", None)
    assert refused(tmp_path, data, column="eventType")[0] == "missing_column"


@pytest.mark.parametrize(
    "tree, levels",
    [
        ({"eventType": {"Levels": {"bckg": "", "impd": ""}}}, ("bckg", "impd")),
        ({"eventType": {"Levels": {"sz_gen:": "", "own-level": ""}}}, ("sz_gen", "own_level")),
        ({"eventType": {"HED": {"sz_uo:": ""}}, "Levels": {"sz": ""}}, ("sz_uo", "sz")),  # as epilepsy2bids
        ({"eventType": {"HED": "Description/#"}}, ()),
        ({"onset": {}}, ()),
    ],
)
def test_levels_are_read_wherever_tools_put_them(tmp_path, tree, levels):
    path = tmp_path / "events.json"
    path.write_text(json.dumps(tree))
    assert {*read_levels(path)} == {*levels}


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_an_events_json_that_is_none_is_refused(tmp_path, text):
    path = tmp_path / "events.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="events.json") as caught:
        read_levels(path)
    assert caught.value.reason == "bad_json" and "\n" not in str(caught.value)


# --------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "data, reason, words",
    [
        ("", "empty_annotation", "no text"),
        (" \n\n", "empty_annotation", "no text"),
        (HEAD, "no_rows", "silence is not seizure-free"),
        (HEAD + "\n\r\n", "no_rows", "one bckg row"),
        ("onset\tduration\teventType\n5\t3\tsz\n", "missing_column", "recordingDuration"),
        ((HEAD + ROW).replace("\t", ","), "missing_column", "tab-separated"),
        (HEAD.replace("confidence", "onset") + ROW, "missing_column", "onset not found once"),
        (HEAD + ROW + "5\t3\n", "bad_row", "line 3: 2 cells"),
        (HEAD + ROW.replace("20.00", "20.00\tx"), "bad_row", "line 2: 8 cells"),
        (HEAD + ROW.replace("5.00", "5,00"), "bad_number", "onset 5,00"),
        (HEAD + ROW.replace("5.00", "n/a"), "bad_number", "onset n/a"),
        (HEAD + ROW.replace("3.00", "inf"), "bad_number", "duration inf"),
        (HEAD + ROW.replace("3.00", "1e999"), "bad_number", "duration 1e999"),
        (HEAD + ROW.replace("3.00", ""), "bad_number", "duration ''"),
        (HEAD + ROW.replace("20.00", "n/a"), "bad_number", "recordingDuration n/a"),
        (HEAD + ROW.replace("n/a", "85", 1), "bad_number", "confidence 85"),
        (HEAD + ROW.replace("n/a", "high", 1), "bad_number", "confidence high"),
        (HEAD + ROW.replace("3.00", "-3.00"), "bad_interval", "line 2: duration -3 s"),
        (HEAD + ROW + ROW.replace("sz", "foo"), "unknown_label", "line 3: eventType foo"),
        (HEAD + ROW.replace("sz", "n/a", 1), "unknown_label", "eventType n/a"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_with_its_line(tmp_path, data, reason, words):
    found, message = refused(tmp_path, data)
    assert found == reason and words in message


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="a_events.tsv") as caught:
        read_events(tmp_path / "a_events.tsv")
    assert caught.value.reason == "missing_annotation"


# ------------------------------------------------------------------------------------------------ the writer


def test_a_detector_s_events_are_written_as_szcore_wants_them(tmp_path):
    events = [Event(300, 312.5, "sz_gen"), Event(12, 42.504, "seiz")]
    data = szcore_tsv(events, 600, confidence=[0.875, None], start=datetime(2001, 2, 3, 4, 5, 6))
    assert data == (
        b"onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
        b"12.00\t30.50\tsz\tn/a\tn/a\t2001-02-03 04:05:06\t600.00\n"
        b"300.00\t12.50\tsz_gen\t0.88\tn/a\t2001-02-03 04:05:06\t600.00\n"
    )
    rows = read(tmp_path, data).rows
    assert [(row.onset_s, row.offset_s, row.label) for row in rows] == [
        (12, 42.5, "sz"),
        (300, 312.5, "sz_gen"),
    ]
    frame = pd.read_csv(io.BytesIO(data), sep="\t")  # as the tools of SzCORE read it
    assert list(frame.columns) == list(COLUMNS) and frame["onset"].tolist() == [12.0, 300.0]


def test_no_seizure_is_one_background_row_over_the_whole_recording(tmp_path):
    data = szcore_tsv([], 599.996, channels="all")
    assert data == HEAD.encode() + b"0.00\t600.00\tbckg\tn/a\tall\t2000-01-01 00:00:00\t600.00\n"
    (row,) = read(tmp_path, data).rows
    assert (row.label, row.onset_s, row.duration_s, row.recording_s) == ("bckg", 0, 600, 600)


@pytest.mark.parametrize(
    "event",
    [Event(5, 5, "sz"), Event(-1, 5, "sz"), Event(5, 61, "sz"), Event(5, 8, "fnsz"), Event(0, 9, "bckg")],
)
def test_an_event_that_szcore_has_no_word_for_is_not_written(event):
    with pytest.raises(ValueError):
        szcore_tsv([event], 60)


# ------------------------------------------------------------------------------------------- shared material


def bad_events():
    """The shared corpus of bad events files; nothing where it is absent."""
    module = bad_module()
    if module is None:
        return []
    module.build_ann()
    return [
        pytest.param(c["data"], c["expect"], c["reason"], id=c["name"])
        for c in module.CASES
        if c["kind"] == "bids_tsv"
    ]


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("data, expect, reason", bad_events())
def test_a_bad_events_file_is_met_as_the_manifest_says(tmp_path, data, expect, reason):
    if expect == "error":
        assert refused(tmp_path, data)[0] == reason
        return
    (row,) = read(tmp_path, data).rows
    assert (row.onset_s, row.offset_s, row.label) == (5, 8, "sz") and not reason


@pytest.mark.shared
@needs_shared
def test_the_126_files_of_seizeit2_come_back_byte_for_byte_with_every_cell():
    root = Path(SHARED) / "data" / "seizeit2_annotations"
    levels, counts, paths = read_levels(root / "events.json"), {}, sorted(root.rglob("*_events.tsv"))
    assert {*SZCORE} < {*levels} and {*levels} - {*SZCORE} == {
        *("impd", "sz_uo_m_myoclonic", "sz_uo_m_hyperkinetic", "sz_uo_m_tonicMyio")
    }
    for path in paths:
        data, found = path.read_bytes(), read_events(path, levels)
        assert write(found.table) == data and {line.end for line in found.table.lines} == {"\r\n"}
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        assert found.table.columns == tuple(frame.columns) == (*COLUMNS[:3], *EXTRA, *COLUMNS[3:])
        assert [dict(row.cells) for row in found.rows] == frame.to_dict("records")
        assert [row.onset_s for row in found.rows] == frame["onset"].astype(float).tolist()
        assert found.warnings == () and all(row.offset_s <= row.recording_s for row in found.rows)
        for row in found.rows:
            counts[row.label] = counts.get(row.label, 0) + 1
    assert len(paths) == 126
    assert counts == {
        "bckg": 78,
        "impd": 54,
        "sz_foc_ia_m_hyperkinetic": 15,
        "sz_foc_a_nm": 7,
        "sz_foc_ia_nm": 4,
        "sz_foc_ia_m_tonic": 3,
        "sz_foc_ia_m_automatisms": 3,
        "sz_foc_a_m_automatisms": 3,
        "sz_foc_a_nm_behavior": 2,
        "sz_foc_ua_m_tonic": 1,
        "sz_foc_ia": 1,
        "sz_foc_a_m_hyperkinetic": 1,
    }
    assert sum(n for level, n in counts.items() if level.startswith("sz")) == 40
    with pytest.raises(DataError):  # without the tree's own levels, impd is no label
        read_events(root / "sub-001/ses-01/eeg/sub-001_ses-01_task-szMonitoring_run-03_events.tsv")
