"""TUSZ: the grammar of its annotation files, the type of a seizure, the folders, a whole invented release."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from tools import bad_module, codes, needs_shared

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.tusz import Recipe, csv_text, write_recording, write_tusz
from distilclip_eeg.corpora.tusz import Tusz
from distilclip_eeg.corpora.tusz_files import LEFT_OUT, NON_SPECIFIC, TYPES, labels_of, read_csv
from distilclip_eeg.schema import ConfigError, DataError, Event, SkipRecording
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import prepare

HEAD = "# version = csv_v1.0.0\n# bname = aaaaaaaa_s001_t000\n# duration = 20.00 secs\n#\n"
COLUMNS = "channel,start_time,stop_time,label,confidence\n"


def annotation(tmp_path, body, head=HEAD + COLUMNS):
    path = tmp_path / "a.csv"
    path.write_bytes((head + body).encode() if isinstance(body, str) else body)
    return read_csv(path)


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    """Of a recording of 20 s."""
    return read_header(write_recording(tmp_path_factory.mktemp("edf"), Recipe(seconds=20)))


def labels(tmp_path, header, *rows, typed=True):
    """``(channel, start, stop, label)`` rows as labels."""
    body = "".join(f"{c},{a:.4f},{b:.4f},{label},1.0000\n" for c, a, b, label in rows)
    return labels_of(annotation(tmp_path, body), header, typed=typed)


def only(root, **settings):
    corpus = Tusz(root=root, **settings)
    (ref,) = corpus.recordings()
    return corpus.read(ref)


def spans(events):
    return [(e.onset_s, e.offset_s, e.label) for e in events]


# ------------------------------------------------------------------------------------------------ grammar


def test_every_row_is_read_as_pandas_reads_it(tmp_path):
    recipe = Recipe(seconds=60, seizures=(Event(10.1237, 31.5, "cpsz"), Event(40, 55, "tcsz")))
    path = write_recording(tmp_path, recipe).with_suffix(".csv")
    table = pd.read_csv(path, comment="#")
    mine = [(r.channel, r.event.onset_s, r.event.offset_s, r.event.label) for r in read_csv(path).rows]
    assert mine == list(
        table[["channel", "start_time", "stop_time", "label"]].itertuples(index=False, name=None)
    )
    assert len(mine) == 8 * 5 + 14 * 3  # 8 channels have both seizures, 14 only the tonic-clonic one


def test_the_duration_is_read_whatever_its_decimals(tmp_path):
    for text, seconds in (("410.00 secs", 410), ("410.0000 secs", 410), ("7", 7), (" 12.5 s", 12.5)):
        file = annotation(tmp_path, "TERM,0,1,bckg,1\n", f"# Duration = {text}\n" + COLUMNS)
        assert (file.duration_s, file.warnings) == (seconds, ())


def test_comments_of_older_tools_are_free_text_but_a_missing_duration_is_said(tmp_path):
    file = annotation(tmp_path, "TERM,0,1,bckg,1\n", "# map file: x/y.txt\n#\n\n" + COLUMNS)
    assert file.duration_s is None and codes(file.warnings) == ["missing_duration"]


def test_columns_are_found_by_name_and_others_left_unread(tmp_path):
    head = HEAD + "label, Confidence ,stop_time,note,start_time,channel\n"
    (row,) = annotation(tmp_path, "seiz,1,8,x,5,term\n", head).rows
    assert (row.channel, row.event) == ("TERM", Event(5, 8, "seiz"))


@pytest.mark.parametrize(
    "body, reason, words",
    [
        (b"", "empty_annotation", "0 bytes"),
        (b" \n\n", "empty_annotation", "3 bytes"),
        (HEAD.encode(), "missing_column", "comments only"),
        ("", "no_rows", "without rows"),
        ("TERM,1,2,seiz\n", "bad_row", "line 6"),
        ("TERM,1,2,seiz,1,2\n", "bad_row", "6 fields"),
        ("TERM,1,2,seiz,\n", "bad_number", "confidence"),
        ("TERM,1,2,bckg,1\nTERM,one,2,seiz,1\n", "bad_number", "line 7"),
        ("TERM,1_0,20,seiz,1\n", "bad_number", "'1_0'"),  # Python would read ten
        ("TERM,1,1e999,seiz,1\n", "bad_number", "stop_time"),
        ("TERM,8,5,bckg,1\n", "bad_interval", "8 to 5"),  # a background row is no excuse
        ("TERM,1,2,Seizure,1\n", "unknown_label", "'Seizure'"),
        ("TERM,1,2,,1\n", "unknown_label", "''"),
        ("label,1,2,channel,1\n", "unknown_label", "'channel'"),
        (b"# duration = 3 min\n" + COLUMNS.encode(), "bad_number", "3 min"),
        (b"# duration =\n" + COLUMNS.encode(), "bad_number", "duration ''"),
        (b"# bname = C:\\x\n" + COLUMNS.encode(), "unsafe_path", "bname"),
        (b"# bname = ..\n" + COLUMNS.encode(), "unsafe_path", "bname"),
        (COLUMNS.replace("label", "label,label").encode(), "missing_column", "label not once"),
        (b"FP1-F7,0,1,bckg,1\n", "missing_column", "channel"),  # no header at all
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_with_its_line(tmp_path, body, reason, words):
    with pytest.raises(DataError) as caught:
        annotation(tmp_path, body)
    message = str(caught.value)
    assert caught.value.reason == reason and not isinstance(caught.value, SkipRecording)
    assert "a.csv" in message and words in message and "expected" in message and "\n" not in message


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataError, match="No such file") as caught:
        read_csv(tmp_path / "none.csv")
    assert caught.value.reason == "unreadable"


def test_a_file_that_may_have_been_cut_between_rows_is_said(tmp_path, header):
    file = annotation(tmp_path, "TERM,1,2,seiz,1.0")
    assert (
        codes(file.warnings) == codes(labels_of(file, header, typed=False).warnings) == ["no_final_newline"]
    )


def test_byte_order_mark_line_ends_case_and_blanks_do_not_matter(tmp_path):
    raw = b"\xef\xbb\xbf" + (HEAD + COLUMNS + " term , 5.0 ,8, SEIZ ,1.0\n\n").replace("\n", "\r\n").encode()
    file = annotation(tmp_path, raw)
    assert [(r.channel, r.event) for r in file.rows] == [("TERM", Event(5, 8, "seiz"))]
    assert (file.duration_s, file.warnings) == (20, ())


def test_another_encoding_is_read_and_said(tmp_path):
    file = annotation(tmp_path, f"# bname = Zo\xe9\x85y\n{COLUMNS}TERM,1,2,seiz,1\n".encode("latin-1"))
    assert (len(file.rows), codes(file.warnings)) == (1, ["bad_encoding", "missing_duration"])


# ------------------------------------------------------------------------------- the type of a whole seizure


def test_a_seizure_is_the_union_over_channels_and_takes_the_type_of_most_channel_seconds(tmp_path, header):
    found = labels(
        tmp_path,
        header,
        ("FP1-F7", 0, 4, "bckg"),
        ("FP1-F7", 4, 9, "fnsz"),  # 5 channel-seconds
        ("F7-T3", 5, 8, "cpsz"),
        ("T3-T5", 6, 10, "cpsz"),  # 7 together
        ("T5-O1", 0, 20, "bckg"),
        ("T5-O1", 14, 16, "gnsz"),
    )
    assert spans(found.events) == [(4, 10, "cpsz"), (14, 16, "gnsz")]
    assert (found.excluded, codes(found.warnings)) == ((), ["mixed_types"])
    assert found.warnings[0].endswith("seizure 4 to 10 s is cpsz, on some channels fnsz")


@pytest.mark.parametrize(
    "first, second, chosen",
    [
        ("fnsz", "cpsz", "cpsz"),
        ("fnsz", "spsz", "spsz"),
        ("gnsz", "absz", "absz"),
        ("gnsz", "tnsz", "tnsz"),
        ("gnsz", "tcsz", "tcsz"),
        ("cpsz", "absz", "cpsz"),  # both say more: the earlier
        ("tcsz", "cpsz", "tcsz"),
        ("gnsz", "fnsz", "gnsz"),  # neither does: the earlier
    ],
)
def test_of_equal_types_the_one_that_says_more_is_taken_then_the_earlier(
    tmp_path, header, first, second, chosen
):
    found = labels(tmp_path, header, ("FP1-F7", 2.1, 5.3, first), ("F7-T3", 4.2, 7.4, second))
    assert spans(found.events) == [(2.1, 7.4, chosen)]  # 3.2 channel-seconds each


@pytest.mark.parametrize("label", LEFT_OUT)
def test_a_type_that_is_no_class_is_excluded_and_never_background(tmp_path, header, label):
    found = labels(
        tmp_path, header, ("FP1-F7", 2, 5, label), ("F7-T3", 3, 6, label), ("T3-T5", 9, 12, "fnsz")
    )
    assert spans(found.excluded) == [(2, 6, label)]
    assert (spans(found.events), codes(found.warnings)) == ([(9, 12, "fnsz")], ["excluded_class"])


def test_a_few_myoclonic_channels_do_not_exclude_another_seizure(tmp_path, header):
    found = labels(
        tmp_path, header, ("FP1-F7", 2, 6, "gnsz"), ("F7-T3", 2, 6, "gnsz"), ("T3-T5", 2, 6, "mysz")
    )
    assert (spans(found.events), found.excluded) == ([(2, 6, "gnsz")], ())
    assert codes(found.warnings) == ["mixed_types"]


def test_a_seizure_without_a_type_is_excluded_but_one_typed_channel_names_it(tmp_path, header):
    found = labels(
        tmp_path,
        header,
        ("FP1-F7", 2, 5, "seiz"),
        ("FP1-F7", 9, 15, "seiz"),
        ("F7-T3", 10, 11, "absz"),
    )
    assert spans(found.excluded) == [(2, 5, "untyped_seizure")]
    assert (spans(found.events), codes(found.warnings)) == ([(9, 15, "absz")], ["untyped_seizure"])


def test_without_types_every_seizure_is_one_class_whatever_it_is_called(tmp_path, header):
    rows = (
        ("FP1-F7", 2, 5, "fnsz"),
        ("F7-T3", 2, 5, "mysz"),
        ("T3-T5", 9, 12, "seiz"),
        ("FP1-F7", 15, 17, "mysz"),
    )
    found = labels(tmp_path, header, *rows, typed=False)
    assert spans(found.events) == [(2, 5, "seiz"), (9, 12, "seiz")]
    assert (spans(found.excluded), codes(found.warnings)) == ([(15, 17, "mysz")], ["excluded_class"])


def test_one_warning_stands_for_the_same_oddity_on_many_channels(tmp_path, header):
    found = labels(tmp_path, header, *((f"C{k}", 15, 30, "gnsz") for k in range(22)))
    assert spans(found.events) == [(15, 20, "gnsz")]
    (warning,) = found.warnings
    assert (
        warning.startswith("annotation_outside: seizure on C0, 15 to 30 s is cut")
        and "(and 21 more)" in warning
    )
    assert "; " not in warning  # the report parts warnings there


def test_types_follow_the_rule_on_random_rows(tmp_path, header):
    """The rule again, by counting tenths of a second on a grid."""
    rng = np.random.default_rng(4)
    names = (*TYPES, *LEFT_OUT, "seiz")
    for _ in range(60):
        rows = []
        for channel in ("A", "B", "C", "D"):
            edges = np.sort(rng.choice(np.arange(200), 4, replace=False)) / 10
            rows += [(channel, a, b, str(rng.choice(names))) for a, b in (edges[:2], edges[2:])]
        grid = {label: np.zeros((4, 200), int) for label in names}
        for channel, a, b, label in rows:
            grid[label]["ABCD".index(channel), round(10 * a) : round(10 * b)] = 1
        ictal = np.concatenate([[0], sum(g.sum(axis=0) for g in grid.values()) > 0, [0]]).astype(int)
        edges = np.flatnonzero(np.diff(ictal))
        expected = []
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            score = {}
            for label in set(names) - {"seiz"}:
                inside = grid[label][:, a:b]
                if inside.any():
                    first = np.flatnonzero(inside.any(axis=0))[0]
                    score[label] = (inside.sum(), label not in NON_SPECIFIC, -first)
            best = [label for label in score if score[label] == max(score.values())] or ["untyped_seizure"]
            expected.append((a / 10, b / 10, best))
        found = labels(tmp_path, header, *rows)
        mine = sorted(spans((*found.events, *found.excluded)))
        assert [e[:2] for e in mine] == [e[:2] for e in expected]
        assert all(e[2] in other[2] for e, other in zip(mine, expected, strict=True))
        assert {e.label for e in found.events} <= set(TYPES)
        assert not {e.label for e in found.excluded} & set(TYPES)


@pytest.mark.parametrize(
    "rows, events, expected",
    [
        ([("TERM", 12, 14, "seiz"), ("TERM", 2, 4, "seiz")], [(2, 4), (12, 14)], []),
        ([("TERM", -2, 5, "seiz")], [(0, 5)], ["annotation_outside"]),
        ([("TERM", 18, 1e9, "seiz")], [(18, 20)], ["annotation_outside"]),
        ([("TERM", 5, 5, "seiz")], [], ["zero_length_event"]),
        ([("TERM", 2, 4, "seiz")] * 2, [(2, 4)], ["duplicate_event"]),
        ([("TERM", 2, 9, "fnsz"), ("TERM", 5, 7, "fnsz")], [(2, 9)], ["overlapping_events"]),
        ([("TERM", 2, 5, "fnsz"), ("TERM", 5, 9, "gnsz")], [(2, 9)], []),  # they touch: one seizure
    ],
)
def test_rows_are_sorted_joined_and_cut_to_the_recording(tmp_path, header, rows, events, expected):
    found = labels(tmp_path, header, *rows, typed=False)
    assert spans(found.events) == [(a, b, "seiz") for a, b in events]
    assert codes(found.warnings) == expected


@pytest.mark.parametrize("typed", [True, False])
def test_the_whole_recording_has_one_label_at_a_time(tmp_path, header, typed):
    with pytest.raises(DataError, match="expected one label at a time") as caught:
        labels(tmp_path, header, ("TERM", 2, 9, "fnsz"), ("TERM", 5, 7, "gnsz"), typed=typed)
    assert caught.value.reason == "conflicting_labels"


@pytest.mark.parametrize("said, fits", [("19.0", True), ("21.0", True), ("18.9", False), ("1289", False)])
def test_an_annotation_of_another_duration_belongs_to_another_recording(tmp_path, header, said, fits):
    head = f"# duration = {said} secs\n{COLUMNS}"
    file = annotation(tmp_path, "TERM,2,4,seiz,1\n", head)
    if fits:
        assert len(labels_of(file, header, typed=False).events) == 1
        return
    with pytest.raises(DataError, match=r"a.csv: a duration of .* s; expected the EDF's 20 s") as caught:
        labels_of(file, header, typed=False)
    assert caught.value.reason == "duration_mismatch"


def test_a_row_wholly_past_the_end_means_the_wrong_annotation(tmp_path, header):
    with pytest.raises(SkipRecording) as caught:
        labels(tmp_path, header, ("FP1-F7", 500, 510, "fnsz"))
    assert caught.value.reason == "annotation_outside"


# ------------------------------------------------------------------------- two files beside one recording


def test_sex_age_band_and_montage_come_along_and_nothing_else_of_the_header(tmp_path):
    write_recording(tmp_path, Recipe(sex="M", age="0.0109", montage="03_tcp_ar_a"))
    recording = only(tmp_path)
    expected = {"sex": "M", "age_band": "neonate", "tcp_montage": "03_tcp_ar_a", "montage": "native"}
    assert dict(recording.metadata) == expected
    write_recording(tmp_path / "b", Recipe(sex="X", age=""))
    assert dict(only(tmp_path / "b").metadata) == {"tcp_montage": "01_tcp_ar", "montage": "native"}
    assert "aaaaaaaa 01-JAN" not in repr(recording)


@pytest.mark.parametrize("shift, differs", [(0.4, 0), (0.6, 1)])
def test_more_than_a_second_between_the_two_files_is_said(tmp_path, shift, differs):
    rows = [("TERM", 5 + shift, 8 + shift, "seiz")]  # the same length elsewhere: two ends differ
    write_recording(tmp_path, Recipe(seizures=(Event(5, 8, "fnsz"),)), csv_bi=rows)
    recording = only(tmp_path)
    assert spans(recording.events) == [(5, 8, "fnsz")]  # the .csv is kept
    assert codes(recording.warnings) == ["annotations_differ"] * differs
    recording = only(tmp_path, labels="binary")
    assert spans(recording.events) == [(5 + shift, 8 + shift, "seiz")] and recording.warnings == ()


def test_excluded_seizures_are_not_missing_in_the_comparison(tmp_path):
    write_recording(tmp_path, Recipe(seizures=(Event(5, 8, "mysz"),)))
    assert codes(only(tmp_path).warnings) == ["excluded_class"]


@pytest.mark.parametrize(
    "lost, mode, used",
    [
        (".csv", "types", False),
        (".csv_bi", "types", False),
        (".csv_bi", "binary", False),
        (".csv", "binary", True),
    ],
)
def test_a_recording_without_the_annotation_that_is_read_is_left_out(tmp_path, lost, mode, used):
    path = write_recording(tmp_path, Recipe(seizures=(Event(5, 8, "fnsz"),)))
    path.with_suffix(lost).unlink()
    if used:
        assert spans(only(tmp_path, labels=mode).events) == [(5, 8, "seiz")]
        return
    with pytest.raises(SkipRecording, match=rf"expected aaaaaaaa_s001_t000\{lost}") as caught:
        only(tmp_path, labels=mode)
    assert caught.value.reason == "missing_annotation"


def test_a_truncated_recording_may_have_the_duration_it_once_had(tmp_path):
    path = write_recording(tmp_path, Recipe(seizures=(Event(2, 5, "fnsz"), Event(17, 19, "fnsz"))))
    record = sum(signal.samples_per_record for signal in read_header(path).signals) * 2
    path.write_bytes(path.read_bytes()[: -6 * record])
    recording = only(tmp_path)
    assert (recording.duration_s, spans(recording.events)) == (14, [(2, 5, "fnsz")])
    assert codes(recording.warnings) == ["truncated", "annotation_outside"]


def test_what_is_read_decides_which_change_is_noticed(tmp_path):
    write_recording(tmp_path, Recipe())
    (typed,), (binary,) = (Tusz(root=tmp_path, labels=mode).recordings() for mode in ("types", "binary"))
    assert [p.suffix for p in typed.files] == [".edf", ".csv_bi", ".csv"]
    assert [p.suffix for p in binary.files] == [".edf", ".csv_bi"]
    assert Tusz(root=tmp_path).options != Tusz(root=tmp_path, labels="binary").options


# ---------------------------------------------------------------------------------------------- the folders


def test_recordings_carry_person_session_and_official_part(tmp_path):
    write_recording(tmp_path, Recipe(patient="aaaaaabb", part="eval", session="s010_2013", token=3))
    write_recording(tmp_path, Recipe(patient="aaaaaaaa", part="train", session="s001_2009_03_17"))
    write_recording(tmp_path, Recipe(patient="aaaaaacc", part="dev"))
    (tmp_path / "edf" / "train" / "aaaaaaaa" / "._aaaaaaaa_s001_t000.edf").write_bytes(b"")
    corpus = Tusz(root=tmp_path)
    assert [(r.recording, r.subject, r.session, r.part) for r in corpus.recordings()] == [
        ("aaaaaaaa_s001_t000", "aaaaaaaa", "s001_2009_03_17", "train"),
        ("aaaaaabb_s010_t003", "aaaaaabb", "s010_2013", "test"),
        ("aaaaaacc_s001_t000", "aaaaaacc", "s001_2009", "val"),
    ]
    assert (corpus.missing, corpus.warnings) == ((), ())


@pytest.mark.parametrize("below", ["", "edf", "edf/dev"])
def test_the_root_may_be_the_release_its_edf_or_one_split(tmp_path, below, monkeypatch):
    write_recording(tmp_path / "v2.0.3", Recipe(part="dev"))
    root = tmp_path / "v2.0.3" / below
    (ref,) = Tusz(root=root).recordings()
    assert (ref.part, ref.session) == ("val", "s001_2009")
    monkeypatch.chdir(root)
    (ref,) = Tusz(root=".").recordings()
    assert ref.part == "val"


def test_a_folder_above_the_root_that_happens_to_be_called_train_means_nothing(tmp_path):
    path = write_recording(tmp_path, Recipe(part="dev"))
    root = tmp_path / "train" / "mine"
    root.mkdir(parents=True)
    for file in path.parent.iterdir():
        file.rename(root / file.name)
    (ref,) = Tusz(root=root).recordings()
    assert (ref.part, ref.session) == ("", "s001")
    write_recording(tmp_path / "b" / "train", Recipe(part="dev"))
    (ref,) = Tusz(root=tmp_path / "b" / "train").recordings()
    assert ref.part == "val"  # the nearest folder counts


def old_tree(root, suffixes=(".edf", ".tse", ".tse_bi", ".lbl")):
    folder = root / "edf" / "train" / "01_tcp_ar" / "002" / "00000258" / "s001_2003_07_16"
    folder.mkdir(parents=True)
    for suffix in suffixes:
        (folder / f"00000258_s001_t000{suffix}").write_bytes(b"")


def two_releases(root):
    for release in ("v2.0.0", "v2.0.3"):
        write_recording(root / release, Recipe(seconds=1))


def two_parts(root):
    write_recording(root, Recipe(seconds=1, part="train"))
    write_recording(root, Recipe(seconds=1, part="eval", session="s002_2010"))


def same_stem_in_two_parts(root):
    write_recording(root, Recipe(seconds=1, part="train", montage="01_tcp_ar"))
    write_recording(root, Recipe(seconds=1, part="eval", montage="03_tcp_ar_a"))


def other_names(root):
    root.mkdir()
    (root / "patient 7.edf").write_bytes(b"")


@pytest.mark.parametrize(
    "make, reason, words",
    [
        (lambda root: None, "missing_root", "no such folder"),
        (lambda root: root.mkdir(), "empty_root", "an empty folder"),
        (lambda root: (root / "edf").mkdir(parents=True), "no_recordings", "0 EDF files"),
        (other_names, "no_recordings", "1 EDF files of other names"),
        (old_tree, "old_release", "v1.5"),
        (lambda root: old_tree(root, (".edf",)), "old_release", "v2.0.x"),
        (two_releases, "duplicate_recording", "one release"),
        (two_parts, "subject_in_two_parts", "patient aaaaaaaa"),
        (same_stem_in_two_parts, "subject_in_two_parts", "patient aaaaaaaa"),
    ],
)
def test_a_root_that_is_not_one_release_is_refused_with_what_to_do(tmp_path, make, reason, words):
    root = tmp_path / "data"
    make(root)
    with pytest.raises(DataError) as caught:
        Tusz(root=root).recordings()
    message = str(caught.value)
    assert caught.value.reason == reason and words in message and str(root) in message
    assert "expected" in message and "\n" not in message


def test_files_of_other_names_and_lost_recordings_are_counted_not_fatal(tmp_path):
    path = write_recording(tmp_path, Recipe())
    path.with_name("notes.edf").write_bytes(b"")
    path.with_name("aaaaaaaa_s001_t007.csv_bi").write_text("")
    corpus = Tusz(root=str(tmp_path))
    assert [ref.recording for ref in corpus.recordings()] == ["aaaaaaaa_s001_t000"]
    assert corpus.missing == ("aaaaaaaa_s001_t007.edf",)
    assert codes(corpus.warnings) == ["unexpected_name"] and "notes.edf" in corpus.warnings[0]


def test_labels_may_be_types_or_binary_and_nothing_else(tmp_path):
    assert Tusz(root=tmp_path).classes == ("bckg", "absz", "cpsz", "fnsz", "gnsz", "spsz", "tcsz", "tnsz")
    assert Tusz(root=tmp_path, labels="binary").classes == ("bckg", "seiz")
    with pytest.raises(ConfigError, match="dataset.labels='all' is not one of 'types', 'binary'"):
        Tusz(root=tmp_path, labels="all")


# ------------------------------------------------------------------------------------------ a whole release


def summary(store):
    """What a store holds, in the terms of the writer's truth."""
    table = store.recordings
    used = table[table["skipped"] == ""]
    events = store.events.assign(s=store.events["offset_s"] - store.events["onset_s"])
    found = used["detail"].str.split("; ").map(lambda parts: set(codes(parts)) - {""})
    return {
        "recordings": len(used),
        "skipped": table.loc[table["skipped"] != "", "skipped"].value_counts().to_dict(),
        "subjects": used["subject"].nunique(),
        "seizures": events["label"].value_counts().to_dict(),
        "seizure_s": pytest.approx(events.groupby("label")["s"].sum().to_dict()),
        "excluded_s": pytest.approx((store.excluded["offset_s"] - store.excluded["onset_s"]).sum()),
        "duration_s": used["duration_s"].sum(),
        "warnings": found.explode().value_counts().to_dict(),
        "corpus_warnings": pd.Series(codes(store.manifest["warnings"])).value_counts().to_dict(),
    }


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A small tree with every quirk, its truth and its store."""
    here = tmp_path_factory.mktemp("release")
    truth = write_tusz(here / "data", n_recordings=50, recording_s=35)
    return here / "data", truth, prepare(Tusz(root=here / "data"), SignalConfig(), here / "store", n_jobs=2)


def test_a_prepared_release_holds_what_was_written(release):
    _, truth, store = release
    assert summary(store) == truth
    assert set(truth["seizures"]) == set(TYPES) and len(truth["warnings"]) == 7
    report = data_report(store)
    assert report.startswith(
        f"tusz: {truth['recordings']} of 50 recordings used, {truth['subjects']} subjects"
    )
    assert f"{sum(truth['seizures'].values())} seizures, {truth['duration_s']:,.0f} s" in report
    assert f"neither seizure nor background: mysz {truth['excluded_s']:,.0f} s" in report
    assert f"skipped {truth['skipped']['missing_channels']} (missing_channels)" in report
    for code, n in truth["warnings"].items():
        assert f"\n  {n} recordings with {code}, the first: " in report
    assert store.ch_names == STANDARD_19 and set(store.recordings["part"]) == {"train", "val", "test"}


@pytest.mark.slow
def test_a_hundred_recordings_end_with_a_report_of_the_counts_written(tmp_path):
    truth = write_tusz(tmp_path / "data", n_recordings=100, recording_s=35, seed=1)
    assert truth["recordings"] + sum(truth["skipped"].values()) == 100 and truth["subjects"] == 50
    store = prepare(Tusz(root=tmp_path / "data"), SignalConfig(), tmp_path / "store", n_jobs=2)
    assert summary(store) == truth
    assert f"tusz: {truth['recordings']} of 100 recordings used, 50 subjects" in data_report(store)


def test_the_bytes_of_a_tree_depend_on_its_settings_alone(tmp_path):
    trees = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_tusz(tmp_path / name, n_recordings=4, recording_s=36, seed=seed)
        paths = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        trees.append({p.relative_to(tmp_path / name): p.read_bytes() for p in paths})
    assert trees[0] == trees[1] and trees[0] != trees[2]


def test_every_type_is_written_in_five_people_and_in_each_part(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "distilclip_eeg.corpora.invented.layouts.tusz.write_recording",
        lambda root, recipe, uv: written.append(recipe),
    )
    monkeypatch.setattr("distilclip_eeg.corpora.invented.layouts.tusz.potentials", lambda *args: {})
    write_tusz(tmp_path)
    people = {(r.part, r.patient, e.label) for r in written for e in r.seizures if r.midline}
    for label in TYPES:
        assert len({patient for _, patient, found in people if found == label}) >= 5
        assert {part for part, _, found in people if found == label} == {"train", "dev", "eval"}
    parts = {(r.patient, r.part) for r in written}
    assert len(parts) == len({patient for patient, _ in parts}) == 30
    assert {r.sfreq for r in written} == {250, 256, 400} and len({r.montage for r in written}) == 3


def test_the_writer_keeps_the_tiling_of_the_release(tmp_path):
    recipe = Recipe(seconds=60, seizures=(Event(10, 31.5, "cpsz"),))
    table = pd.read_csv(write_recording(tmp_path, recipe).with_suffix(".csv"), comment="#")
    assert len(set(table["channel"])) == 22
    for _, rows in table.groupby("channel"):
        assert rows["start_time"].iloc[0] == 0 and rows["stop_time"].iloc[-1] == 60
        assert all(a == b for (_, a), (b, _) in pairwise(rows[["start_time", "stop_time"]].to_numpy()))
    assert csv_text([], "x", 7).endswith(COLUMNS)


def test_the_settings_build_the_corpus_and_its_official_split_holds_patients_apart(release, tmp_path):
    from distilclip_eeg.training.data import load_data

    root, truth, _ = release
    argv = ["dataset=tusz", "split=official", f"dataset.root={root}", f"store.root={tmp_path}", "n_jobs=2"]
    settings = load(TrainSettings, argv)
    assert settings.dataset.corpus.build().classes[1:] == TYPES
    assert (settings.windows.seizure_overlap, settings.signals.sfreq) == (0.75, 256.0)
    assert load(TrainSettings, ["dataset=tusz"]).split.name == "auto"
    data = load_data(settings.data)
    assert set(data.audit.values()) == {0.0}
    assert dict(zip(data.windows["part"], data.windows["fold0"], strict=True)) == {
        "train": "train",
        "val": "val",
        "test": "test",
    }
    assert set(data.windows["label"]) == set(range(8))
    for _, part in data.windows.groupby("fold0", observed=True):
        assert {0} < set(part["label"])
    binary = load(TrainSettings, [*argv, "dataset.labels=binary"])
    assert binary.dataset.corpus.build().classes == ("bckg", "seiz")


# -------------------------------------------------------------------------------------------- shared material


def bad_annotations():
    """The shared corpus of bad annotation files; nothing where it is absent."""
    module = bad_module()
    if module is None:
        return []
    module.build_ann()
    cases = [c for c in module.CASES if c["kind"] == "tusz_csv_bi"]
    return [pytest.param(c["data"], c["name"], c["expect"], c["reason"], id=c["name"]) for c in cases]


EVENTS = {
    "tu_ok": [(5, 8)],
    "tu_zero_length": [],
    "tu_negative": [(0, 5)],
    "tu_past_end": [(18, 20)],
    "tu_overlap": [(2, 9)],
    "tu_unsorted": [(2, 4), (12, 14)],
    "tu_inf_time": [(2, 20)],
    "tu_mysz": [],
}
"""Where it is not 2 to 4 s."""


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("data, name, expect, reason", bad_annotations())
def test_a_bad_annotation_is_met_as_the_manifest_says(tmp_path, data, name, expect, reason):
    path = write_recording(tmp_path, Recipe(seconds=20))
    path.with_suffix(".csv_bi").write_bytes(data)
    corpus = Tusz(root=tmp_path, labels="binary")
    (ref,) = corpus.recordings()
    if expect in ("error", "skip") and name != "tu_mysz":
        with pytest.raises(DataError) as caught:
            corpus.read(ref)
        assert caught.value.reason == reason
        assert isinstance(caught.value, SkipRecording) == (expect == "skip")
        assert "\n" not in str(caught.value) and path.name[:-4] in str(caught.value)
        return
    recording = corpus.read(ref)
    assert codes(recording.warnings) == ([reason] if reason else [])
    assert recording.events == tuple(Event(a, b, "seiz") for a, b in EVENTS.get(name, [(2, 4)]))
    assert spans(recording.excluded) == ([(2, 4, "mysz")] if name == "tu_mysz" else [])
    alone = labels_of(read_csv(path.with_suffix(".csv_bi")), read_header(path), typed=False)
    assert (alone.events, alone.excluded) == (recording.events, recording.excluded)
    assert alone.warnings == recording.warnings
    if name != "tu_mysz":  # the same rows where types are wanted: no seizure becomes background
        typed = labels_of(read_csv(path.with_suffix(".csv_bi")), read_header(path), typed=True)
        assert typed.events == ()
        assert spans(typed.excluded) == [(a, b, "untyped_seizure") for a, b, _ in spans(alone.events)]
