"""check.py: one line for each file, with the outcome and reason that training would meet."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tools import SHARED, bad_module, needs_shared

from distilclip_eeg.commands import cli
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.filecheck import CHECKS, check, kind_of
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.schema import DataError

REPO = Path(__file__).parents[1]
LATER = ("checkpoint", "archive", "config")
"""Kinds of the manifest that are no recording and no annotation."""


def lines(capsys, *words):
    cli.act("check", list(words))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="session")
def bad(tmp_path_factory):
    """What bad_inputs.py writes, with its manifest; and the recording of its annotations, ``t.edf``."""
    module = bad_module()
    folder = tmp_path_factory.mktemp("bad") / "inputs"
    module.generate(folder)
    recording = folder.parent / "t.edf"
    recording.write_bytes((folder / "edf" / "ok_plain.edf").read_bytes())
    return folder, recording


@pytest.mark.shared
@needs_shared
def test_every_bad_recording_and_annotation_leads_to_what_its_manifest_says(bad, capsys):
    folder, recording = bad
    manifest = {case["path"]: case for case in json.loads((folder / "manifest.json").read_text())}
    manifest = {path: case for path, case in manifest.items() if case["kind"] not in LATER}
    found = {
        str(Path(line["path"]).relative_to(folder)): line
        for line in lines(capsys, f"path={folder}", f"recording={recording}")
    }
    assert set(found) == set(manifest) and len(found) == 117
    wrong = [
        (path, line["outcome"], line["reasons"], case["expect"], case["reason"])
        for path, line in found.items()
        if (case := manifest[path])["expect"] != line["outcome"]
        or (case["reason"] not in line["reasons"] if case["reason"] else line["reasons"])
    ]
    assert wrong == []


@pytest.mark.shared
@needs_shared
def test_every_message_is_one_line_that_names_its_file(bad):
    folder, recording = bad
    for line in check(folder, recording):
        for message in line["messages"]:
            name = Path(line["path"]).name
            assert "\n" not in message and (name in message or "t.edf" in message)
        assert bool(line["messages"]) == (line["outcome"] != "tolerate")


@pytest.mark.shared
@needs_shared
def test_claims_of_terabytes_are_answered_in_a_process_of_500_megabytes(bad, tmp_path):
    limit = 500 * 2**20
    for name in ("edf/claims_99999999.edf", "edf/spr_99999999.edf", "npy/npy_claims_1TB.npy"):
        (tmp_path / Path(name).name).symlink_to(bad[0] / name)

    def hold():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    words = [sys.executable, str(REPO / "scripts" / "check.py"), f"path={tmp_path}", "links=follow"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=hold, env=env, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    found = {Path(line["path"]).stem: line["reasons"] for line in map(json.loads, done.stdout.splitlines())}
    assert found == {
        "claims_99999999": ["truncated"],
        "npy_claims_1TB": ["size_mismatch"],
        "spr_99999999": ["record_larger_than_file"],
    }


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("name, least", [("robustness", 30), ("skeleton_WHITE_NOISE", 40)])
def test_other_peoples_files_are_each_read_or_refused_for_a_reason(name, least):
    folder = Path(SHARED) / "data" / name
    found = {line["path"]: line for line in check(folder)}
    recordings = [p for p in folder.rglob("*") if p.suffix.lower() in (".edf", ".bdf", ".gdf")]
    assert len(recordings) > least and {str(p) for p in recordings} <= set(found)
    for line in found.values():
        assert line["outcome"] == "tolerate" or line["reasons"]


@pytest.mark.shared
@needs_shared
def test_the_real_recordings_are_all_usable():
    outcomes = {line["outcome"] for line in check(Path(SHARED) / "data" / "chbmit")}
    assert outcomes == {"tolerate", "warn"}


# --------------------------------------------------------------------------------------- files made here


def recording(path, seconds=20):
    signals = [signal_of(f"EEG {n}-REF", [(k + t) % 7 * 20.0 for t in range(200 * seconds)], 200)
               for k, n in enumerate(STANDARD_19)]  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(edf_bytes(signals))
    return path


CSV = "# duration = {} secs\nchannel,start_time,stop_time,label,confidence\nTERM,2.0,4.0,seiz,1.0\n"


def test_an_annotation_is_held_against_the_recording_beside_it(tmp_path):
    recording(tmp_path / "a.edf", 20)
    (tmp_path / "a.csv_bi").write_text(CSV.format(20))
    (tmp_path / "b.csv_bi").write_text(CSV.format(1289))
    found = {Path(line["path"]).name: (line["outcome"], line["reasons"]) for line in check(tmp_path)}
    assert found == {"a.csv_bi": ("tolerate", []), "a.edf": ("tolerate", []), "b.csv_bi": ("tolerate", [])}
    (line,) = check(tmp_path / "b.csv_bi", tmp_path / "a.edf")
    assert (line["outcome"], line["reasons"]) == ("error", ["duration_mismatch"])


def test_an_annotation_apart_from_its_recording_is_held_against_the_one_it_names(tmp_path):
    recording(tmp_path / "edf" / "t.EDF", 20)
    (tmp_path / "a.csv_bi").write_text("# bname = T\n" + CSV.format(1289))
    (tmp_path / "chb99-summary.txt").write_text("File Name: t.edf\nNumber of Seizures in File: 0\n")
    found = {Path(line["path"]).name: line["reasons"] for line in check(tmp_path)}
    assert found == {"a.csv_bi": ["duration_mismatch"], "chb99-summary.txt": [], "t.EDF": []}
    alone = {line["path"]: line["reasons"] for name in ("a.csv_bi", "chb99-summary.txt")
             for line in check(tmp_path / name)}  # fmt: skip
    assert [*alone.values()] == [[], ["listed_file_missing"]]


def test_files_that_are_neither_give_no_line_unless_named(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / ".hidden.edf").write_text("x")
    assert list(check(tmp_path)) == []
    (line,) = check(tmp_path / "notes.txt")
    assert (line["kind"], line["outcome"], line["reasons"]) == ("unknown", "error", ["unknown_kind"])


def test_a_path_that_is_not_there_is_one_line():
    with pytest.raises(DataError) as caught:
        list(check(Path("nowhere")))
    assert caught.value.reason == "missing_file"


def test_every_kind_has_a_check(tmp_path):
    names = {
        "a.edf": "recording",
        "chb01-summary.txt": "chbmit_summary",
        "chb01_03.edf.seizures": "chbmit_seizures",
        "sub-01_events.tsv": "bids_events",
        "x.csv_bi": "tusz_csv",
        "x_train.npy": "aubmc_array",
        "Seizure_times.py": "aubmc_table",
        "annotations_2017.mat": "helsinki_mat",
    }
    assert {kind_of(tmp_path / name) for name in names} | {"helsinki_csv"} == set(CHECKS)
    assert [kind_of(tmp_path / name) for name in names] == list(names.values())
    for name, text, kind in (
        ("t.csv", "# version = csv_v1.0.0\n", "tusz_csv"),
        ("h.csv", "1,2,79\n0,0,1\n", "helsinki_csv"),
        ("o.csv", "recording,onset\n", None),
    ):
        (tmp_path / name).write_text(text)
        assert kind_of(tmp_path / name) == kind
