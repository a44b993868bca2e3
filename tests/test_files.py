"""Our own small files: whole, or one line that names the file and says what to do."""

import io
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import (
    check_file,
    read_csv,
    read_json,
    read_npz,
    read_parquet,
    read_text,
    read_yaml,
)
from distilclip_eeg.files.writing import write_csv, write_json, write_npz, write_yaml
from distilclip_eeg.schema import DataError

TABLE = pd.DataFrame({"recording": [f"r{k}" for k in range(40)], "start_s": np.arange(40.0)})


def parquet(path):
    write_atomic(path, TABLE.to_parquet())


KINDS = {
    "a.json": (lambda p: write_json(p, {"one": 1, "two": [2, 3]}), read_json),
    "a.yaml": (lambda p: write_yaml(p, {"one": {"two": [2, 3]}, "name": "x"}), read_yaml),
    "a.csv": (lambda p: write_csv(p, TABLE), read_csv),
    "a.npz": (lambda p: write_npz(p, x=np.arange(40), y="text"), read_npz),
    "a.parquet": (parquet, read_parquet),
    "a.txt": (lambda p: write_atomic(p, b"one line\nand another\n"), read_text),
}
"""How each kind of small file is written, and read."""
LOSSLESS = {"a.json": 1, "a.yaml": 3}
"""Bytes that may be lost from the end without any value: the last line's end; of YAML, see below."""


def said(read, path):
    """The one line that is told."""
    with pytest.raises(DataError) as told:
        read(path)
    line = str(told.value)
    assert str(path) in line and "\n" not in line and line.endswith(".") and len(line) < 600
    return told.value.reason, line


@pytest.mark.parametrize("name", KINDS)
def test_what_was_written_is_read(name, tmp_path):
    write, read = KINDS[name]
    write(tmp_path / name)
    assert len(read(tmp_path / name)) > 0
    check_file(tmp_path / name)


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_file_is_told(name, tmp_path):
    (tmp_path / name).touch()
    reason, line = said(KINDS[name][1], tmp_path / name)
    assert reason == "damaged_file" and "is empty. Delete it and give the command" in line
    assert said(check_file, tmp_path / name)[0] == "damaged_file"


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("a.yaml", "a.csv", "a.txt")])
def test_a_cut_anywhere_is_told(name, tmp_path):
    write, read = KINDS[name]
    write(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for n in {*range(1, len(whole) - LOSSLESS.get(name, 0), max(1, len(whole) // 40)), len(whole) - 2}:
        (tmp_path / name).write_bytes(whole[:n])
        assert said(read, tmp_path / name)[0] == "damaged_file", n


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_lines_are_cut_inside_a_line_and_told(name, tmp_path):
    write, read = KINDS[name]
    write(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for n in range(1, len(whole)):
        if whole[n - 1 : n] != b"\n":
            (tmp_path / name).write_bytes(whole[:n])
            assert "was cut" in said(read, tmp_path / name)[1]


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_not_there_and_a_folder_in_its_place_are_told(name, tmp_path):
    assert said(KINDS[name][1], tmp_path / name)[0] == "missing_file"
    (tmp_path / name).mkdir()
    assert said(KINDS[name][1], tmp_path / name)[0] == "unreadable_file"


@pytest.mark.parametrize("body", [b"[1]", b"null", b"3", b'"x"', b"[" * 100_000, b"\xff\xfe{}"])
@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_other_content_than_names_and_values_is_told(name, body, tmp_path):
    (tmp_path / name).write_bytes(body)
    assert said(KINDS[name][1], tmp_path / name)[0] == "damaged_file"


def test_a_name_or_column_that_is_lacking_is_told(tmp_path):
    for name, (write, _) in KINDS.items():
        write(tmp_path / name)
    lacking = {
        "a.json": lambda p: read_json(p, "one", "three"),
        "a.yaml": lambda p: read_yaml(p, "one", "three"),
        "a.csv": lambda p: read_csv(p, "recording", "three"),
        "a.npz": lambda p: read_npz(p, "x", "three"),
        "a.parquet": lambda p: read_parquet(p, "recording", "three"),
    }
    for name, read in lacking.items():
        assert "has no three, which this version writes" in said(read, tmp_path / name)[1]


def test_yaml_tags_are_refused_and_nothing_is_called(tmp_path):
    canary = tmp_path / "canary"
    for tag in (
        f"!!python/object/apply:os.system ['touch {canary}']",
        f"!!python/object/new:pathlib.Path ['{canary}']",
        "!!python/name:os.system ''",
        "!unknown {a: 1}",
    ):
        (tmp_path / "a.yaml").write_text(f"dataset: {tag}\n")
        assert said(read_yaml, tmp_path / "a.yaml")[0] == "damaged_file"
    assert not canary.exists()


def test_a_handful_of_aliases_that_stand_for_more_than_any_memory_is_refused_at_once(tmp_path):
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    names = "abcdefghijklmnop"
    for one, other in zip(names, names[1:], strict=False):
        lines.append(f"{other}: &{other} [{','.join(['*' + one] * 10)}]")
    (tmp_path / "a.yaml").write_text("\n".join(lines) + "\n")
    assert "100,000 values" in said(read_yaml, tmp_path / "a.yaml")[1]


class Canary:
    """Creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_arrays_of_objects_and_pickles_under_our_names_are_refused_and_nothing_is_called(tmp_path):
    canary, path = tmp_path / "canary", tmp_path / "a.npz"
    np.savez(path, part=np.array([Canary(canary)], dtype=object))
    assert said(read_npz, path)[0] == "damaged_file"
    path.write_bytes(pickle.dumps(Canary(canary)))
    assert said(read_npz, path)[0] == "damaged_file"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("part.npy", pickle.dumps(Canary(canary)))
    assert "part is no array" in said(read_npz, path)[1]
    path = tmp_path / "a.parquet"
    path.write_bytes(pickle.dumps(Canary(canary)))
    assert said(read_parquet, path)[0] == "damaged_file"
    assert not canary.exists()


def test_an_array_that_claims_a_terabyte_is_told(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**37,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x.npy", header.getvalue() + bytes(64))
    assert said(read_npz, tmp_path / "a.npz")[0] == "damaged_file"


def test_a_table_without_a_column_is_an_empty_table(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame([]))
    assert read_csv(tmp_path / "a.csv").empty
    assert "has no recording" in said(lambda p: read_csv(p, "recording"), tmp_path / "a.csv")[1]
