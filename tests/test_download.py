"""Downloads against a server of our own: listings, resuming, checksums, proxies, lists that lie."""

import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tools import SHARED, needs_shared

from distilclip_eeg.corpora.download import corpus, files, sources
from distilclip_eeg.corpora.download.corpus import Download
from distilclip_eeg.schema import ConfigError, DataError, UserError

pytestmark = pytest.mark.loopback

SCRIPT = Path(__file__).parents[1] / "scripts" / "download.py"
BIG = bytes(range(256)) * 4096  # 1 MiB
HALF = len(BIG) // 2


# ------------------------------------------------------------------------------------------- the server


class Handler(BaseHTTPRequestHandler):
    """Serves ``place.files`` with Range; ``place.moods`` says what goes wrong with the next requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        place = self.server.place
        asked = urlsplit(self.path)
        path = asked.path + (f"?{asked.query}" if asked.query else "")
        place.log.append((self.command, path, self.headers.get("Range")))
        place.hosts.append(asked.netloc)  # not empty where we are asked as a proxy
        place.agents.append(self.headers.get("User-Agent"))
        moods = place.moods.get(path, []) if self.command == "GET" else []
        mood = moods.pop(0) if moods else ""
        if self.command == "HEAD" and place.no_head:
            return self.answer(405, b"")
        if mood.isdecimal():
            return self.answer(int(mood), b"busy")
        if mood == "page":
            return self.answer(200, b"<html>sign in first</html>")
        if path not in place.files:
            return self.answer(404, b"no such file")
        body, first = (
            place.files[path],
            self.headers.get("Range", "").removeprefix("bytes=").removesuffix("-"),
        )
        if not first or mood == "whole":
            return self.answer(200, body, mood=mood)
        if int(first) >= len(body):
            return self.answer(416, b"", span=f"bytes */{len(body)}")
        span = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.answer(206, body[int(first) :], span=span, mood=mood)

    do_HEAD = do_GET

    def answer(self, status, body, *, span="", mood=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.command == "HEAD":
            return
        if mood in ("cut", "hold"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if mood == "hold":
                self.server.place.release.wait(20)
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Place:
    """A server, what it has, and what it was asked."""

    def __init__(self):
        self.files, self.moods, self.log, self.hosts, self.agents = {}, {}, [], [], []
        self.no_head, self.release = False, threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.place, self.server.daemon_threads = self, True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def gets(self, path):
        """The Range headers of what was got of ``path``, None for the whole."""
        return [span for verb, asked, span in self.log if verb == "GET" and asked == path]

    def chbmit(self, content):
        """Publish ``{name: bytes}`` as PhysioNet does: one blank between checksum and name, no sizes."""
        self.files |= {"/" + n.replace("+", "%2B"): b for n, b in content.items()}
        lines = [f"{hashlib.sha256(body).hexdigest()} {name}" for name, body in content.items()]
        self.files["/SHA256SUMS.txt"] = ("\n".join(lines) + "\n").encode()

    def zenodo(self, content, record="/api/records/4940267"):
        """Publish ``{name: bytes}`` as the records API does; returns the record's address."""
        entries = [
            {
                "id": f"{i:08x}-0000-4000-8000-000000000000",
                "key": name,
                "size": len(body),
                "checksum": "md5:" + hashlib.md5(body).hexdigest(),
                "links": {"self": f"{self.url}{record}/files/{name}/content"},
            }
            for i, (name, body) in enumerate(content.items())
        ]
        self.files[record] = json.dumps({"id": 4940267, "metadata": {}, "files": entries}).encode()
        self.files |= {f"{record}/files/{name}/content": body for name, body in content.items()}
        return self.url + record

    def mendeley(self, tree, base="/public-api/datasets/5pc2j46cbc"):
        """Publish ``{folder/name: bytes}`` as the public API does; returns the dataset's address."""
        folders, in_folder = {}, {"root": []}
        for number, (name, body) in enumerate(tree.items()):
            *above, filename = name.split("/")
            parent = None
            for depth in range(len(above)):
                key = "/".join(above[: depth + 1])
                folders.setdefault(key, {"id": f"f-{key}", "name": above[depth], "parent_id": parent})
                parent = folders[key]["id"]
            details = {
                "id": f"c{number}",
                "sha256_hash": hashlib.sha256(body).hexdigest(),
                "content_type": "application/octet-stream",
                "size": len(body),
                "created_date": "2021-01-01T00:00:00.000Z",
                "download_url": f"{self.url}/public-files/datasets/5pc2j46cbc/files/{number}/file_downloaded",
                "view_url": "",
                "download_expiry_time": "2121-01-01T00:00:00.000Z",
            }
            entry = {"filename": filename, "id": str(number), "content_details": details, "size": len(body)}
            entry |= {"folder_id": parent} if parent else {}
            in_folder.setdefault(parent or "root", []).append(entry)
            self.files[f"/public-files/datasets/5pc2j46cbc/files/{number}/file_downloaded"] = body
        self.files[f"{base}/folders/1"] = json.dumps(list(folders.values())).encode()
        for folder in ("root", *(f["id"] for f in folders.values())):
            listed = json.dumps(in_folder.get(folder, [])).encode()
            self.files[f"{base}/files?folder_id={folder.replace('/', '%2F')}&version=1"] = listed
        return self.url + base


@pytest.fixture
def place():
    made = Place()
    yield made
    made.release.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """The caller's own proxies are none of these tests' business."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def get(place, tmp_path):
    """``get()``: plan and fetch the CHB-MIT that the place publishes, without pauses."""

    def start(dataset="chbmit", url="", cases=(), **settings):
        download = Download(dataset, tmp_path / "data", url=url or place.url, backoff_s=0, **settings)
        return download.fetch(download.plan(cases))

    return start


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def script(*words, cwd):
    """The command, running."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & would have it ignored
    )


def said(*words, cwd):
    """The command's exit code, output and errors."""
    process = script(*words, cwd=cwd)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def tree(folder):
    """``{name: bytes}`` of everything in a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def part_of(root, name, body):
    """Where a file with this content grows."""
    return root / f"{name}.{hashlib.sha256(body).hexdigest()[:8]}.part"


SMALL = {
    "RECORDS": b"chb01/chb01_01.edf\n",
    "chb01/chb01_01.edf": b"one",
    "chb01/chb01-summary.txt": b"File Name: chb01_01.edf\n",
    "chb02/chb02_16.edf": b"plain",
    "chb02/chb02_16+.edf": b"plus",
    "chb02/chb02_16+.edf.seizures": b"\x00\xec",
}


# ------------------------------------------------------------------------------------- the three listings


def test_chbmit_arrives_in_its_own_layout_and_the_plus_is_escaped(place, get, root):
    place.chbmit(SMALL)
    summary = get()
    assert tree(root) == SMALL | {"SHA256SUMS.txt": place.files["/SHA256SUMS.txt"]}
    assert place.gets("/chb02/chb02_16%2B.edf") == [None]
    assert not [path for _, path, _ in place.log if "+" in path]
    assert "7 files fetched" in summary and "all checksums agree" in summary
    assert set(place.agents) == {f"distilclip-eeg/{files.__version__}"}


def test_a_second_run_fetches_only_the_listing(place, get):
    place.chbmit(SMALL)
    get()
    place.log.clear()
    assert "0 files fetched" in get()
    assert place.log == [("GET", "/SHA256SUMS.txt", None)]


def test_zenodo_is_checked_by_md5_and_told_its_sizes_by_the_record(place, get, root):
    content = {"eeg1.edf": BIG, "eeg10.edf": b"ten", "annotations_2017_A_fixed.csv": b"1,10\n0,1\n"}
    get("zenodo", place.zenodo(content))
    assert tree(root) == content
    assert {verb for verb, _, _ in place.log} == {"GET"}


def test_aubmc_keeps_the_folders_of_mendeley(place, get, root):
    content = {
        "description.pdf": b"pdf",
        "Raw_EDF_Files/p10_Record1.edf": b"edf",
        "Raw_EDF_Files/p11_Record1.edf": b"edf",  # the same bytes under two names are two files
        "Npy_files/inner/x_test.npy": b"npy",
    }
    get("aubmc", place.mendeley(content))
    assert tree(root) == content


@pytest.mark.parametrize(
    "dataset, cases, names",
    [
        ("chbmit", ["chb01"], {"RECORDS", "chb01/chb01_01.edf", "chb01/chb01-summary.txt", "SHA256SUMS.txt"}),
        ("zenodo", ["eeg1"], {"eeg1.edf", "annotations_2017_B.csv"}),
        ("aubmc", ["p11"], {"Raw_EDF_Files/p11_Record2.edf", "Preprocessing_Scripts/Seizure_times.py"}),
    ],
)
def test_cases_choose_recordings_and_keep_what_is_common_to_all(place, get, root, dataset, cases, names):
    place.chbmit(SMALL)
    url = {
        "chbmit": place.url,
        "zenodo": place.zenodo({"eeg1.edf": b"1", "eeg10.edf": b"10", "annotations_2017_B.csv": b"B"}),
        "aubmc": place.mendeley(
            {
                "Raw_EDF_Files/p10_Record1.edf": b"10",
                "Raw_EDF_Files/p11_Record2.edf": b"11",
                "Preprocessing_Scripts/Seizure_times.py": b"{}",
            }
        ),
    }[dataset]
    get(dataset, url, cases)
    assert set(tree(root)) == names


def test_an_unknown_case_is_named_with_those_there_are(place, get):
    place.chbmit(SMALL)
    with pytest.raises(ConfigError, match="chb99.*chb01, chb02") as caught:
        get(cases=["chb01", "chb99"])
    assert caught.value.reason == "unknown_case"


@pytest.mark.shared
@needs_shared
def test_the_real_list_of_chbmit_is_read_whole():
    sums = (Path(SHARED) / "data" / "chbmit_annotations_original" / "SHA256SUMS.txt").read_bytes()
    source = sources.SOURCES["chbmit"]
    listed = sources.files_of(source, lambda url, accept: sums, source.url)
    assert len(listed) == sums.count(b"\n") + 1  # and the list itself
    assert sum(f.name.endswith(".edf") for f in listed) == 686
    assert len({m[1] for f in listed if (m := source.case.search(f.name))}) == 24
    (odd,) = [f.url for f in listed if f.name.endswith("16+.edf")]
    assert odd == "https://physionet.org/files/chbmit/1.0.0/chb02/chb02_16%2B.edf"
    (subjects,) = [f for f in listed if f.name == "SUBJECT-INFO"]
    there = (Path(SHARED) / "data" / "chbmit_annotations_original" / "SUBJECT-INFO").read_bytes()
    assert subjects.checksum == hashlib.sha256(there).hexdigest()


# ------------------------------------------------------------------------------ what a listing may not say

NAMES = [
    "../out.edf",
    "/out.edf",
    "chb01/../../out.edf",
    "a//b",
    "./a",
    "a\\..\\b",
    "C:x",
    "a/\x01b",
    "a/",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dataset", sorted(sources.SOURCES))
def test_a_name_that_leaves_the_root_is_refused_and_nothing_is_fetched(place, get, tmp_path, dataset, name):
    url = place.url
    if dataset == "zenodo":
        url = place.zenodo({"eeg1.edf": b"fine", name: b"out"})
    elif dataset == "aubmc":
        url = place.mendeley({"fine.edf": b"fine", "x": b"out"})
        place.files["/public-api/datasets/5pc2j46cbc/files?folder_id=root&version=1"] = place.files[
            "/public-api/datasets/5pc2j46cbc/files?folder_id=root&version=1"
        ].replace(b'"filename": "x"', f'"filename": {json.dumps(name)}'.encode())
    else:
        place.chbmit({"fine.edf": b"fine", name: b"out"})
    with pytest.raises(DataError) as caught:
        get(dataset, url)
    assert caught.value.reason == "unsafe_path"
    assert list(tmp_path.iterdir()) == []


def test_a_mendeley_folder_cannot_leave_the_root_either(place, get, tmp_path):
    url = place.mendeley({"Raw/x.edf": b"x"})
    key = "/public-api/datasets/5pc2j46cbc/folders/1"
    place.files[key] = place.files[key].replace(b'"name": "Raw"', b'"name": "../.."')
    with pytest.raises(DataError) as caught:
        get("aubmc", url)
    assert caught.value.reason == "unsafe_path" and list(tmp_path.iterdir()) == []


RING = [{"id": "a", "name": "A", "parent_id": "b"}, {"id": "b", "name": "B", "parent_id": "a"}]


@pytest.mark.parametrize(
    "dataset, listing",
    [
        ("chbmit", b"<html>please sign in</html>"),
        ("chbmit", b"0123 RECORDS\n"),
        ("chbmit", b"\xff\xfe"),
        ("chbmit", b"0" * 64 + b" RECORDS\n" + b"1" * 64 + b" RECORDS\n"),
        ("zenodo", b"not json"),
        ("zenodo", b"[]"),
        ("zenodo", b'{"files": []}'),
        ("zenodo", b'{"message": "gone"}'),
        ("zenodo", b'{"files": [{"key": "a", "checksum": "md5:12", "size": 1, "links": {"self": "/a"}}]}'),
        ("zenodo", b'{"files": [{"key": "a", "checksum": "none", "size": 1, "links": {"self": "/a"}}]}'),
        (
            "zenodo",
            b'{"files": [{"key": "a", "checksum": "md5:%b", "size": -1, "links": {"self": "/a"}}]}'
            % (b"0" * 32),
        ),
        ("aubmc", b'{"message": "gone"}'),
        ("aubmc", json.dumps(RING).encode()),
    ],
)
def test_what_is_no_listing_is_an_error_of_one_line(place, get, tmp_path, dataset, listing):
    place.files |= {"/SHA256SUMS.txt": listing, "/record": listing, "/set/folders/1": listing}
    entry = {"filename": "x", "folder_id": "a", "content_details": {}}
    for folder in ("root", "a", "b"):
        place.files[f"/set/files?folder_id={folder}&version=1"] = json.dumps([entry]).encode()
    url = place.url + {"chbmit": "/", "zenodo": "/record", "aubmc": "/set"}[dataset]
    with pytest.raises(DataError) as caught:
        get(dataset, url)
    assert caught.value.reason == "bad_listing" and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------------------- resuming


def test_a_cut_connection_is_continued_where_it_broke(place, get, root):
    place.chbmit({"chb01/chb01_01.edf": BIG})
    place.moods["/chb01/chb01_01.edf"] = ["cut", "cut"]
    get()
    whole, *rest = place.gets("/chb01/chb01_01.edf")
    starts = [int(span.removeprefix("bytes=").removesuffix("-")) for span in rest]
    assert whole is None and len(starts) == 2
    assert HALF - files.CHUNK <= starts[0] <= HALF and starts[0] < starts[1] < len(BIG)
    assert (root / "chb01/chb01_01.edf").read_bytes() == BIG


def test_a_killed_download_is_continued_by_the_same_command(place, root, tmp_path):
    place.chbmit({"chb01/chb01_01.edf": BIG})
    place.moods["/chb01/chb01_01.edf"] = ["hold"]
    words = "dataset=chbmit", f"root={root}", f"url={place.url}"
    process, part = script(*words, cwd=tmp_path), part_of(root, "chb01/chb01_01.edf", BIG)
    wait_for(lambda: files.size_of(part) >= HALF - 2 * files.CHUNK)
    process.kill()
    process.communicate()
    kept = part.stat().st_size
    assert not (root / "chb01/chb01_01.edf").exists()
    code, out, err = said(*words, cwd=tmp_path)
    assert (code, err) == (0, "") and "of it kept from before" in out
    assert place.gets("/chb01/chb01_01.edf") == [None, f"bytes={kept}-"]
    assert (root / "chb01/chb01_01.edf").read_bytes() == BIG and not part.exists()


def test_ctrl_c_keeps_what_arrived_and_says_how_to_go_on(place, root, tmp_path):
    place.chbmit({"chb01/chb01_01.edf": BIG})
    place.moods["/chb01/chb01_01.edf"] = ["hold"]
    process = script("dataset=chbmit", f"root={root}", f"url={place.url}", cwd=tmp_path)
    part = part_of(root, "chb01/chb01_01.edf", BIG)
    wait_for(lambda: files.size_of(part) >= HALF - 2 * files.CHUNK)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    line = process.stderr.readline()
    assert time.monotonic() - asked < 10  # at once, though the thread waits 20 s for its next packet
    place.release.set()
    process.communicate(timeout=20)
    assert line == "stopped; what arrived is kept in .part files, the same command continues\n"
    assert process.returncode == 130
    assert part.stat().st_size > 0 and not (root / "chb01/chb01_01.edf").exists()


def wait_for(condition):
    """Until true, or a failure after 20 s."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "nothing arrived"
        time.sleep(0.02)


def keep(root, name, body, kept):
    """``kept`` lies in the part file of ``name``, whose published content is ``body``."""
    part = part_of(root, name, body)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(kept)
    return part


@pytest.mark.parametrize(
    "kept, moods, asked",
    [
        (BIG[:1000], [], ["bytes=1000-"]),  # fits: the rest only
        (BIG[:1000], ["whole"], ["bytes=1000-"]),  # the server ignores Range and sends all
        (BIG, [], []),  # killed between the last byte and the check
        (b"\0" * 1000, [], ["bytes=1000-", None]),  # damaged: once more, from the start
        (b"\0" * len(BIG), [], [None]),
        (BIG + b"more", [], [None]),  # longer than the file
    ],
)
def test_a_part_that_was_kept(place, get, root, kept, moods, asked):
    place.chbmit({"a.edf": BIG})
    place.moods["/a.edf"] = moods
    keep(root, "a.edf", BIG, kept)
    get()
    assert place.gets("/a.edf") == asked
    assert (root / "a.edf").read_bytes() == BIG
    assert not list(root.glob("*.part"))


def test_a_part_of_another_release_is_not_continued(place, get, root):
    place.chbmit({"a.edf": BIG, "a.edf.seizures": BIG[:900]})
    old = keep(root, "a.edf", b"the older release", BIG[:1000])
    keep(root, "a.edf.seizures", BIG[:900], BIG[:500])
    get(workers=1)
    assert place.gets("/a.edf") == [None] and not old.exists()
    assert place.gets("/a.edf.seizures") == ["bytes=500-"]  # a longer name is another file


def test_a_part_is_started_anew_where_the_file_changed_its_length(place, get, root):
    """Planned with the old length, fetched when a longer one lies there: no splice of the two survives."""
    place.chbmit({"a.edf": BIG})
    keep(root, "a.edf", BIG, BIG[:1000])
    download = Download("chbmit", root, url=place.url, backoff_s=0)
    plan = download.plan()
    place.files["/a.edf"] = b"new" + BIG
    with pytest.raises(DataError, match="1048579 bytes offered, 1048576 expected") as caught:
        download.fetch(plan)
    assert caught.value.reason == "download_failed"
    assert place.gets("/a.edf")[:2] == ["bytes=1000-", None]
    assert not (root / "a.edf").exists()


def test_without_sizes_files_are_fetched_and_continued_all_the_same(place, get, root):
    place.chbmit({"a.edf": BIG, "b.edf": BIG[:700], "c.edf": BIG[:900]})
    place.no_head = True
    keep(root, "b.edf", BIG[:700], BIG[:700])  # complete: the server says so with 416
    keep(root, "c.edf", BIG[:900], BIG[:1200])  # too long: 416 as well
    place.moods["/a.edf"] = ["cut"]
    get()
    assert tree(root) == {
        "a.edf": BIG,
        "b.edf": BIG[:700],
        "c.edf": BIG[:900],
        "SHA256SUMS.txt": place.files["/SHA256SUMS.txt"],
    }
    assert place.gets("/b.edf") == ["bytes=700-"] and place.gets("/c.edf") == ["bytes=1200-", None]


# -------------------------------------------------------------------------------------------- checksums


def test_a_wrong_checksum_names_the_file_found_and_expected_and_leaves_nothing(place, get, root):
    place.chbmit(SMALL)
    place.files["/chb01/chb01_01.edf"] = b"two"
    with pytest.raises(DataError) as caught:
        get()
    found, expected = (hashlib.sha256(b).hexdigest() for b in (b"two", b"one"))
    assert caught.value.reason == "checksum_mismatch" and caught.value.exit_code == 3
    assert f"chb01/chb01_01.edf: sha256 {found} found" in str(caught.value)
    assert f"{expected} expected" in str(caught.value)
    assert place.gets("/chb01/chb01_01.edf") == [None]
    left = set(SMALL) - {"chb01/chb01_01.edf"} | {"SHA256SUMS.txt"}
    assert set(tree(root)) == left  # the others arrived, and no .part of this one stays


def test_what_stands_under_the_name_stays_until_the_right_one_is_there(place, get, root):
    place.chbmit({"a.edf": b"right", "b.edf": b"right, too"})
    root.mkdir()
    (root / "a.edf").write_bytes(b"wrong")
    (root / "b.edf").write_bytes(b"right, too")
    before = (root / "b.edf").stat().st_mtime_ns
    place.files["/a.edf"] = b"damaged on the server"
    with pytest.raises(DataError, match="a.edf"):
        get()
    assert (root / "a.edf").read_bytes() == b"wrong"
    place.files["/a.edf"] = b"right"
    get()
    assert (root / "a.edf").read_bytes() == b"right"
    assert (root / "b.edf").stat().st_mtime_ns == before and place.gets("/b.edf") == []


def test_a_missing_file_is_an_error_but_the_others_arrive(place, get, root):
    place.chbmit(SMALL)
    del place.files["/chb01/chb01_01.edf"], place.files["/RECORDS"]
    with pytest.raises(DataError, match=r"404.*\(1 more files failed\)") as caught:
        get()
    assert caught.value.reason == "not_found"
    assert set(tree(root)) == set(SMALL) - {"chb01/chb01_01.edf", "RECORDS"} | {"SHA256SUMS.txt"}


# ------------------------------------------------------------------------------- busy servers and networks


def test_a_busy_server_is_asked_again(place, get, root):
    place.chbmit({"a.edf": BIG})
    place.moods |= {"/a.edf": ["503", "503"], "/SHA256SUMS.txt": ["429"]}
    get()
    assert (root / "a.edf").read_bytes() == BIG
    assert (
        len(place.gets("/a.edf")) == 3 and len(place.gets("/SHA256SUMS.txt")) == 3
    )  # listing twice, and itself


def test_a_server_that_stays_busy_is_one_line_and_keeps_the_part(place, get, root):
    place.chbmit({"a.edf": BIG})
    part = keep(root, "a.edf", BIG, BIG[:1000])
    place.moods["/a.edf"] = ["503"] * 50
    with pytest.raises(DataError, match="too many 503.*the same command continues") as caught:
        get()
    assert caught.value.reason == "download_failed" and "\n" not in str(caught.value)
    assert part.read_bytes() == BIG[:1000] and not (root / "a.edf").exists()


def test_a_file_that_never_brings_a_new_byte_is_given_up(place, get, root):
    record, path = place.zenodo({"a.edf": BIG}), "/api/records/4940267/files/a.edf/content"
    place.moods[path] = ["page"] * 50
    with pytest.raises(DataError, match="26 bytes offered, 1048576 expected"):
        get("zenodo", record)
    assert len(place.gets(path)) == files.ATTEMPTS
    assert tree(root) == {}


def test_a_sign_in_page_now_and_then_does_no_harm(place, get, root):
    record = place.zenodo({"eeg1.edf": BIG})
    place.moods["/api/records/4940267/files/eeg1.edf/content"] = ["page", "cut", "page"]
    get("zenodo", record)
    assert (root / "eeg1.edf").read_bytes() == BIG


def test_a_forbidden_file_ends_the_download(place, get):
    place.chbmit(SMALL)
    place.moods["/RECORDS"] = ["403"]
    with pytest.raises(DataError, match="403") as caught:
        get(workers=1)
    assert caught.value.reason == "download_failed"


def test_no_network_is_one_line(get):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DataError, match="refused.*HTTPS_PROXY") as caught:
        get(url=f"http://127.0.0.1:{port}")
    assert caught.value.reason == "download_failed" and "\n" not in str(caught.value)


def test_the_proxy_of_the_environment_is_used(place, root, monkeypatch):
    place.chbmit(SMALL)
    monkeypatch.setenv("HTTP_PROXY", place.url)
    download = Download("chbmit", root, url="http://physionet.invalid/", backoff_s=0)  # resolves nowhere
    download.fetch(download.plan())
    assert (root / "chb02/chb02_16+.edf").read_bytes() == b"plus"
    assert set(place.hosts) == {"physionet.invalid"}
    assert place.gets("/chb02/chb02_16%2B.edf") == [None]


def test_no_proxy_is_honoured(place, get, root, monkeypatch):
    place.chbmit(SMALL)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    get()
    assert set(place.hosts) == {""}


# ------------------------------------------------------------------------------------------ disk and settings


def test_a_full_disk_is_noticed_before_anything_is_fetched(place, get, root, monkeypatch):
    place.chbmit({"a.edf": BIG})
    usage = shutil.disk_usage(root.parent)._replace(free=10**6)
    monkeypatch.setattr(corpus.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"1\.0 MB to fetch, 1\.0 MB free") as caught:
        get()
    assert caught.value.reason == "no_space"
    assert place.gets("/a.edf") == [] and not root.exists()
    keep(root, "a.edf", BIG, BIG[:HALF])  # what is there already needs no room
    get()
    assert place.gets("/a.edf") == [f"bytes={HALF}-"]


def test_a_root_that_cannot_be_written_is_one_line(place, get, root):
    place.chbmit(SMALL)
    root.write_bytes(b"a file, not a folder")
    with pytest.raises(DataError) as caught:
        get()
    assert caught.value.reason == "write_failed"


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"dataset": "tuh"}, "dataset='tuh' is not one of"),
        ({"workers": 0}, "expected 1 to 16"),
        ({"url": "ftp://x"}, "expected an address"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        Download(**{"dataset": "chbmit", "root": tmp_path, **settings})


def test_sizes_read_as_people_write_them():
    assert [corpus.human(n) for n in (0, 999, 1000, 1_234_567, 42_600_000_000)] == [
        *("0 B", "999 B", "1.0 kB", "1.2 MB", "42.6 GB")
    ]


# -------------------------------------------------------------------------------------------- the command


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(place, tmp_path):
    place.chbmit({"chb01/chb01_01.edf": BIG, "chb02/chb02_01.edf": BIG})
    words = "dataset=chbmit", f"url={place.url}", "cases=chb01", "dry_run=true", "root=here"
    code, out, err = said(*words, cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "to fetch into here: 2 files, 1.0 MB; free on the disk:" in out and "ODC-By 1.0" in out
    assert list(tmp_path.iterdir()) == []
    assert place.gets("/chb01/chb01_01.edf") == []


def test_the_command_fetches_and_says_what_comes_next(place, tmp_path, monkeypatch):
    place.chbmit(SMALL)
    monkeypatch.setenv("DISTILCLIP_EEG_DATA", str(tmp_path / "data"))
    code, out, err = said("dataset=chbmit", f"url={place.url}", "workers=2", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert "there and right: 0 files" in out and "7 files fetched" in out
    assert (tmp_path / "data" / "chbmit" / "chb01" / "chb01_01.edf").read_bytes() == b"one"


def test_tusz_is_explained_and_not_fetched(tmp_path, as_script):
    done = as_script("scripts/download.py", "dataset=tusz", "root=here", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("isip.piconepress.com", "rsync", "USER@HOST", "dataset.root", "redistributed", "sign"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_setting(tmp_path, as_script):
    done = as_script("scripts/download.py", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("dataset", "root", "cases", "workers", "dry_run", "url", "HTTPS_PROXY"):
        assert word in done.stdout


@pytest.mark.parametrize(
    "words, code, text",
    [
        (["dataset=chbmit", "roott=x"], 2, "roott: there is no such setting. Did you mean root?"),
        ([], 2, "dataset: it has no default; expected dataset=... on the command line."),
        (["dataset=tuh"], 2, "dataset='tuh' is not one of 'chbmit', 'zenodo', 'aubmc', 'tusz'."),
        (["dataset=chbmit", "dry_run=maybe"], 2, "dry_run='maybe' is str, expected bool."),
        (["dataset=chbmit", "workers=many"], 2, "workers='many' is str, expected int."),
    ],
)
def test_a_wrong_word_is_one_line(tmp_path, as_script, words, code, text):
    done = as_script("scripts/download.py", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ") and text in done.stderr and done.stderr.count("\n") == 1


def test_a_failed_download_exits_with_three(place, tmp_path):
    place.chbmit(SMALL)
    place.files["/RECORDS"] = b"else"
    code, _, err = said("dataset=chbmit", f"url={place.url}", "root=here", cwd=tmp_path)
    assert code == 3 and err.count("\n") == 1 and "RECORDS: sha256" in err
