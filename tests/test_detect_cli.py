"""``scripts/detect.py`` as a user starts it: files, folders, bad files, a second start, exit codes."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from deploy_tools import brain, recipe, write_edf
from epilepsy2bids.annotations import Annotations
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from distilclip_eeg.artefact.folder import entry, load_folder, write_folder
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.deploy.benchmark import memory_of, write_long
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.networks import save_state

REPO = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NET = {"_target_": "distilclip_eeg.models.baselines.eegnet.EEGNet"}
SIZES = {"n_chans": 3, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}
SECRET = "Haagse_Harry"


def export(path, net, *, onnx=None, **changes):
    files = {"model.safetensors": save_state(net)}
    named = [entry(*item) for item in files.items()]
    onnx_named = []
    if onnx:
        files["model.onnx"] = onnx
        onnx_named = [entry("model.onnx", onnx) | {"precision": "fp32", "default": True}]
    model = {"name": "eegnet", "kind": "baseline", "net": NET, **SIZES}
    about = {"recipe": recipe(**changes).as_json(), "model": model, "weights": named}
    about |= {"text": None, "made": {}, "onnx": onnx_named}
    return write_folder(path, about, files, "# a card\n")


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Component.of(NET).build(**SIZES).eval()


@pytest.fixture(scope="module")
def here(tmp_path_factory, net):
    """A model and a folder with a good file, a good one deeper down, and every kind of bad one."""
    root = tmp_path_factory.mktemp("cli")
    export(root / "model", net, detect=DetectConfig(smooth_s=0, threshold=0.5))
    data = root / "data"
    (data / "deep").mkdir(parents=True)
    seizures = [(20, 30)]
    write_edf(data / "good.edf", brain(60, 256, seizures=seizures), 256, patient=f"X F X {SECRET}")
    write_edf(data / "deep" / "other.edf", brain(40, 500, seed=4), 500, ("T7", "EEG C3-REF", "F3"))
    write_edf(data / "lacking.edf", brain(20, 256), 256, ("F3", "C3", "ECG"))
    write_edf(data / "slow.edf", brain(20, 100), 100)
    write_edf(data / "short.edf", brain(1, 256)[:, :128], 256, record_s=0.5)
    (data / "text.edf").write_text("this is no EDF")
    (data / "locked.edf").write_bytes((data / "good.edf").read_bytes())
    (data / "notes.txt").write_text("left alone")
    return root


BAD = {
    "lacking": "missing_channels",
    "slow": "low_rate",
    "short": "too_short",
    "text": "not_edf",
    "locked": "unreadable",
}


def detect(as_script, here, **settings):
    settings = {"weights": here / "model", "engine": "torch", "device": "cpu", **settings}
    return as_script("scripts/detect.py", *(f"{key}={value}" for key, value in settings.items()))


@pytest.fixture
def no_one_may_read(monkeypatch):
    """``locked.edf`` cannot be opened; a mode would not stop a superuser."""
    opened = Path.open

    def guarded(self, *args, **kwargs):
        if self.name == "locked.edf":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", guarded)


def test_a_file_from_the_command_line_is_what_python_says(here, as_script, tmp_path):
    folder, path = load_folder(here / "model"), here / "data" / "good.edf"
    network = open_network(folder, "torch")
    probability = Detector(folder.recipe, network, 0.5).file(path).trace.probability_N
    middle = round(float(np.median(probability)), 4)  # of an untrained network: it gives events
    settings = DetectConfig(smooth_s=0, threshold=middle)
    found = Detector(folder.recipe, network, 0.5, settings).file(path)
    assert len(found.events) > 2
    words = {"hop_s": 0.5, "detect.threshold": middle}
    ran = detect(as_script, here, input=path, output=tmp_path / "out", **words)
    assert ran.returncode == 0, ran.stderr
    assert "not a medical device" in ran.stdout and f"p >= {middle:g} in 60 s" in ran.stdout
    table = pd.read_parquet(tmp_path / "out" / "good_probability.parquet")
    np.testing.assert_array_equal(table["start_s"], found.trace.start_s_N)
    np.testing.assert_array_equal(table["probability"], found.trace.probability_N.astype(np.float32))
    loaded = Annotations.loadTsv(str(tmp_path / "out" / "good_events.tsv"))
    np.testing.assert_allclose(loaded.getEvents(), found.track.events_E2)
    assert (tmp_path / "out" / "good.png").is_file() and (tmp_path / "out" / "good.csv_bi").is_file()
    assert (tmp_path / "out" / "good_review.html").is_file()
    assert f"next: open {tmp_path}/out/good_review.html in a browser, or score" in ran.stdout


def test_a_folder_goes_on_after_bad_files_and_says_why(here, as_script, tmp_path, no_one_may_read):
    ran = detect(as_script, here, input=here / "data", output=tmp_path / "out", figure="false")
    assert ran.returncode == 1
    assert "5 of 7 failed" in ran.stdout and "Traceback" not in ran.stderr
    for name, reason in BAD.items():
        assert re.search(rf"^{name}\s+-\s+-\s+{reason}$", ran.stdout, re.MULTILINE), name
        assert re.search(rf"\d/7 {name}: failed: .*{name}\.edf", ran.stdout)
    assert re.search(r"^good\s+60\s+\d+\s+unknown_ages", ran.stdout, re.MULTILINE)
    assert re.search(r"^deep/other\s+40\s+\d+\s+unknown_ages", ran.stdout, re.MULTILINE)
    made = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*_events.tsv")
    )
    assert made == ["deep/other_events.tsv", "good_events.tsv"]


def test_a_second_start_skips_what_is_finished_and_repeats_what_changed(here, as_script, tmp_path):
    place = {"input": here / "data" / "good.edf", "output": tmp_path / "out", "figure": "false"}
    detect(as_script, here, **place)
    table = tmp_path / "out" / "good_probability.parquet"
    made = table.stat().st_mtime_ns
    ran = detect(as_script, here, **place)
    assert ran.returncode == 0 and "was finished" in ran.stdout and table.stat().st_mtime_ns == made
    ran = detect(as_script, here, **place, **{"detect.threshold": 0.9})
    assert "was finished" not in ran.stdout and "p >= 0.9" in ran.stdout
    table.unlink()
    ran = detect(as_script, here, **place, **{"detect.threshold": 0.9})
    assert "was finished" not in ran.stdout and table.is_file()


def test_another_file_under_the_same_name_is_scored_anew(here, as_script, tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(20, 256), 256)
    place = {"input": path, "output": tmp_path / "out", "figure": "false"}
    detect(as_script, here, **place)
    write_edf(path, brain(30, 256), 256)
    ran = detect(as_script, here, **place)
    assert "in 30 s" in ran.stdout and "was finished" not in ran.stdout


def test_labels_of_one_s_own_are_named_by_a_setting_which_a_record_keeps(here, as_script, tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(20, 256), 256, ("EEG 1", "EEG 2", "EEG 3"))
    place = {"input": path, "output": tmp_path / "out", "figure": "false"}
    ran = detect(as_script, here, **place)
    assert ran.returncode == 3 and "Say which label is which by rename={LABEL: F3}" in ran.stderr
    assert "the file has EEG 1, EEG 2, EEG 3." in ran.stderr and "ALIASES" not in ran.stderr
    named = {"rename": '{"EEG 1":F3, "EEG 2":C3, "EEG 3":T7}'}
    ran = detect(as_script, here, **place, **named)
    assert ran.returncode == 0, ran.stderr
    record = json.loads((tmp_path / "out" / "a_detection.json").read_text())
    assert record["settings"]["rename"] == {"EEG 1": "F3", "EEG 2": "C3", "EEG 3": "T7"}
    assert "was finished" in detect(as_script, here, **place, **named).stdout
    swapped = {"rename": "{EEG 1: C3, EEG 2: F3, EEG 3: T7}"}
    assert "was finished" not in detect(as_script, here, **place, **swapped).stdout
    ran = detect(as_script, here, **place, rename="{EEG 9: F3}")
    assert ran.returncode == 3 and "no signal is called EEG 9" in ran.stderr
    usual = here / "data" / "good.edf"
    detect(as_script, here, **(place | {"input": usual}))
    assert "rename" not in json.loads((tmp_path / "out" / "good_detection.json").read_text())["settings"]


@pytest.mark.parametrize(
    "name, reason", [("lacking", "montage channels are missing"), ("text", "expected an EDF")]
)
def test_a_single_bad_file_is_one_line_and_ends_with_3(here, as_script, tmp_path, name, reason):
    ran = detect(as_script, here, input=here / "data" / f"{name}.edf", output=tmp_path / "out")
    assert ran.returncode == 3
    (line,) = ran.stderr.splitlines()
    assert line.startswith("error: ") and reason in line


def test_a_folder_of_nothing_usable_ends_with_3(here, as_script, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.edf").write_text("no")
    ran = detect(as_script, here, input=tmp_path, output=tmp_path / "out")
    assert ran.returncode == 3 and "none of 2 recordings can be used" in ran.stderr
    (tmp_path / "empty").mkdir()
    ran = detect(as_script, here, input=tmp_path / "empty", output=tmp_path / "out")
    assert ran.returncode == 3 and "no recording in it" in ran.stderr


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"hop_s": 3}, "hop_s=3"),
        ({"channels": "guess"}, "channels='guess'"),
        ({"detect.threshold": 7}, "detect.threshold=7"),
        ({"engine": "tensorflow"}, "engine='tensorflow'"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"smoothing": 1}, "smoothing: there is no such setting"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_a_wrong_setting_is_one_line_and_ends_with_2(here, as_script, tmp_path, wrong, words):
    ran = detect(as_script, here, **{"input": here / "data" / "good.edf", "output": tmp_path / "out"} | wrong)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert words in line and not (tmp_path / "out").exists()


def test_a_damaged_model_is_refused_before_any_file_is_read(here, as_script, tmp_path):
    ran = detect(as_script, here, weights=tmp_path, input=here / "data", output=tmp_path / "out")
    assert ran.returncode == 3 and "no exported model" in ran.stderr and "good" not in ran.stdout


def test_channels_may_be_filled_when_asked_for(here, as_script, tmp_path):
    place = {"input": here / "data" / "lacking.edf", "output": tmp_path / "out"}
    ran = detect(as_script, here, **place, channels="zero", figure="false")
    assert ran.returncode == 0 and "filled_channels" in ran.stdout
    assert json.loads((tmp_path / "out" / "lacking_detection.json").read_text())["filled"] == ["T3"]


def test_a_bids_tree_gives_a_parallel_one_and_ages_by_its_table(as_script, net, tmp_path):
    export(tmp_path / "model", net, ages="child")
    for name in ("01", "02"):
        folder = tmp_path / "tree" / f"sub-{name}" / "ses-01" / "eeg"
        folder.mkdir(parents=True)
        stem = f"sub-{name}_ses-01_task-szMonitoring_run-00"
        write_edf(folder / f"{stem}_eeg.edf", brain(20, 256), 256)
    table = "participant_id\tage\tsex\nsub-01\t7\tF\nsub-02\t50\tM\n"
    (tmp_path / "tree" / "participants.tsv").write_text(table)
    ran = detect(as_script, tmp_path, input=tmp_path / "tree", output=tmp_path / "out", figure="false")
    assert ran.returncode == 1 and "other_age_group" in ran.stdout
    made = [p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*_events.tsv")]
    assert made == ["sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_events.tsv"]


def test_two_files_that_differ_in_their_ending_alone_do_not_share_a_result(here, as_script, tmp_path):
    for name in ("a.edf", "a.EDF"):
        write_edf(tmp_path / name, brain(20, 256), 256)
    detect(as_script, here, input=tmp_path, output=tmp_path / "out", figure="false")
    made = sorted(p.name for p in (tmp_path / "out").glob("*_events.tsv"))
    assert made == ["a.EDF_events.tsv", "a.edf_events.tsv"]


def test_nothing_of_a_header_reaches_what_is_written_or_said(here, as_script, tmp_path):
    write_edf(
        tmp_path / "a.edf", brain(20, 256), 256, patient=f"MRN77 F 02-MAY-1951 {SECRET}", date="03.04.05"
    )
    ran = detect(as_script, here, input=tmp_path / "a.edf", output=tmp_path / "out")
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    for word in (SECRET, "MRN77", "1951", "2005-04-03"):
        assert word.encode() not in written and word not in ran.stdout + ran.stderr
    ran = detect(as_script, here, input=tmp_path / "a.edf", output=tmp_path / "out", dates="true")
    assert b"2005-04-03 00:00:00" in (tmp_path / "out" / "a_events.tsv").read_bytes()


def test_the_help_tells_settings_and_codes(as_script):
    ran = as_script("scripts/detect.py", "--help")
    assert ran.returncode == 0
    codes = ("  0   done\n", "  1   some files could not be used\n", "  3   none could\n")
    for words in ("weights", "hop_s", "Exit codes\n", *codes, "not a medical device"):
        assert words in ran.stdout


CAME_WITH_MNE = ("matplotlib", "packaging", "pillow")
TORCH_FREE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from distilclip_eeg.deploy import detector, engines, live, screen, writers
class Silent:
    def logits(self, eeg_BCT):
        return np.zeros((len(eeg_BCT), 2), np.float32)
screen.open_network = lambda folder, engine, precision: Silent()
screen.OnnxNetwork = Silent
from distilclip_eeg.commands.cli import run
run("detect", sys.argv[1:])
"""


@pytest.mark.slow
def test_detection_needs_neither_torch_nor_anything_that_the_container_lacks(here, tmp_path):
    docker = re.sub(r"#.*", "", (REPO / "container" / "Dockerfile").read_text())
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["train"]]
    wanted = {canonicalize_name(Requirement(r).name) for r in declared}
    blocked = [
        name for name in wanted if not re.search(rf"[ ]{name}[ ]", docker) and name not in CAME_WITH_MNE
    ]
    assert {"torch", "transformers", "scikit-learn"} <= {*blocked}
    modules = [name.replace("-", "_").replace("scikit_learn", "sklearn") for name in blocked]
    settings = {"weights": here / "model", "input": here / "data" / "good.edf", "output": tmp_path / "out"}
    code = TORCH_FREE.replace("{BLOCKED}", repr(modules))
    ran = subprocess.run(
        [sys.executable, "-c", code, *(f"{k}={v}" for k, v in settings.items())],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "out" / "good.png").is_file()


@pytest.mark.slow
def test_onnxruntime_gives_the_probabilities_and_events_of_torch(net, as_script, here, tmp_path):
    eeg = torch.zeros(2, 3, 256)
    path = tmp_path / "net.onnx"
    shapes = {"x": {0: torch.export.Dim("batch")}}
    names = {"input_names": ["eeg"], "output_names": ["logits"], "dynamic_shapes": tuple(shapes.values())}
    torch.onnx.export(net, (eeg,), path, dynamo=True, external_data=False, verbose=False, **names)
    export(tmp_path / "model", net, onnx=path.read_bytes(), detect=DetectConfig(smooth_s=0, threshold=0.5))
    tables = {}
    for engine in ("torch", "onnx"):
        out = tmp_path / engine
        ran = detect(as_script, tmp_path, input=here / "data" / "good.edf", output=out, engine=engine)
        assert ran.returncode == 0, ran.stderr
        tables[engine] = pd.read_parquet(out / "good_probability.parquet")
    a, b = (tables[engine]["probability"] for engine in ("torch", "onnx"))
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.ptp(a) > 1e-3
    events = [(tmp_path / engine / "good_events.tsv").read_bytes() for engine in ("torch", "onnx")]
    assert events[0] == events[1]


# ------------------------------------------------------------------------------------------- time and memory


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path):
    files = [write_long(tmp_path / f"{minutes}.edf", minutes) for minutes in (10, 70)]
    # What the allocator holds on to differs by several MiB between starts, and can only add.
    short, long = (min(memory_of(file)[1] for _ in range(2)) for file in files)
    assert long < short + 15  # MiB; an hour more is 41 MiB


def test_the_benchmark_says_both_times_and_peaks(as_script):
    small = ("minutes=1", "rounds=1", "hours=[]", "batch_size=16", "net=student_tiny")
    ran = as_script("scripts/benchmark.py", "what=detect", *small)
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"60 windows, batches of 16, .* ratio \d+\.\d{3} ", ran.stdout)
    ran = as_script("scripts/benchmark.py", "what=tea")
    assert ran.returncode == 2 and "what='tea'" in ran.stderr


# ------------------------------------------------------------------------------------------------- container


def test_the_dockerfile_keeps_szcore_s_contract():
    lines = (REPO / "container" / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    for words in ('ENV INPUT=""', 'ENV OUTPUT=""', "VOLUME", "/data", "/output"):
        assert words in text
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and users[-1] not in ("root", "0")
    assert lines.index(next(x for x in lines if x.startswith("USER "))) < lines.index(
        next(x for x in lines if x.startswith(("CMD", "ENTRYPOINT")))
    )
    assert not re.search(
        r"https?://|--index[-]url|[\w-]+\.(io|com|org)/", text
    )  # whose registry is not ours to say
    for copied in re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        for name in copied.split():
            assert name == "${MODEL}" or (REPO / name).exists(), name


@pytest.mark.slow
def test_the_entry_script_writes_the_tsv_that_szcore_asks_for(here, tmp_path, command):
    data, output = tmp_path / "data", tmp_path / "output"
    (data / "sub-01").mkdir(parents=True)
    output.mkdir()
    write_edf(data / "sub-01" / "a_eeg.edf", brain(20, 256), 256)
    env = {
        **{key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ},
        **{"INPUT": "sub-01/a_eeg.edf", "OUTPUT": "sub-01/a_events.tsv", "OMP_NUM_THREADS": "1"},
        **{"DATA_DIR": str(data), "OUTPUT_DIR": str(output), "MODEL_DIR": str(here / "model")},
        **{"PYTHON": command("x")[0], "ENGINE": "torch"},
    }
    script = ["sh", str(REPO / "container" / "entry.sh")]
    ran = subprocess.run(script, env=env, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    loaded = Annotations.loadTsv(str(output / "sub-01" / "a_events.tsv"))
    assert loaded.events[0]["recordingDuration"] == 20
    assert [p.name for p in (output / "sub-01").iterdir()] == ["a_events.tsv"]
    for gone in ("INPUT", "OUTPUT"):
        bad = subprocess.run(
            script, env={k: v for k, v in env.items() if k != gone}, capture_output=True, text=True
        )
        assert bad.returncode == 2 and gone in bad.stderr
    bad = subprocess.run(script, env=env | {"INPUT": "none.edf"}, capture_output=True, text=True, timeout=300)
    assert bad.returncode == 3 and "none.edf" in bad.stderr
