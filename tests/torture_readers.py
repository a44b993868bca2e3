"""Thousands of damaged headers and annotations: every reader answers with a result or a typed error, in time.

``python tests/torture_readers.py [N] [SEED]`` prints a row a kind; the fast tests run a few hundred.
"""

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.aubmc import open_array
from distilclip_eeg.corpora.aubmc_raw import read_table as read_clock_table
from distilclip_eeg.corpora.chbmit_files import read_list, read_seizure_file, read_subject_info, read_summary
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.events_tsv import read_events, read_levels
from distilclip_eeg.corpora.filecheck import Recordings, check_recording, header_of_length
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.corpora.own import person, read_table
from distilclip_eeg.corpora.tusz_files import labels_of, read_csv
from distilclip_eeg.corpora.zenodo_files import read_mat, read_seconds, read_sexes
from distilclip_eeg.schema import DataError

MOST_S = 2.0
"""For one file."""
NAMES = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 FZ CZ PZ".split()
FIELDS = [
    *(
        b"0",
        b"-1",
        b"1",
        b"99991",
        b"99999999",
        b"1e308",
        b"nan",
        b"inf",
        b".0020011",
        b"1.000001",
        b" ",
        b"1,5",
    ),
    *(b"-8388608", b"2.5e-7", b"+1", b"\xff\xff", b"\0\0\0\0", b"uV", b"EDF+D", b"EDF Annotations"),
]
WORDS = [
    *(
        b"1" * 5000,
        b"9" * 400,
        b"1e308",
        b"-1e308",
        b"nan",
        b"inf",
        b"1e-400",
        b"\0",
        b"\x1b[31m",
        b"\xff\xfe",
    ),
    *(b'"', b'"' * 3, b"\t", b",", b";", b"\r", b"\n\n", b"=1+1", b"[" * 2000, b"{" * 2000, b"A" * 200_000),
    *(
        b"../../x",
        b"\xe2\x80\xae",
        b"0x10",
        b"1_000",
        b"-5",
        b"1,5",
        b"# duration = 1e999 secs",
        b"True",
        b"'",
    ),
]


def recording() -> bytes:
    """An EDF of four seconds, 19 electrodes at 256 Hz, with times of its records."""
    rng = np.random.default_rng(0)
    signals = [
        signal_of(name, 40 * rng.standard_normal(1024), 256, physical_range=(-500, 500)) for name in NAMES
    ]
    return edf_bytes(signals, onsets_s=[0.0, 1.0, 2.0, 3.0])


def mutated_header(body: bytes, rng: np.random.Generator) -> bytes:
    """Some fields replaced by what no sane program writes, bytes turned, the file cut or made longer."""
    out = bytearray(body)
    n_signals = len(NAMES) + 1
    edges = [0, 8, 88, 168, 176, 184, 192, 236, 244, 252, 256]
    for width in (16, 80, 8, 8, 8, 8, 8, 80, 8, 32):
        edges += [edges[-1] + width * (k + 1) for k in range(n_signals)]
    for _ in range(rng.integers(1, 5)):
        kind = rng.integers(4)
        if kind < 2:
            field = rng.integers(len(edges) - 1)
            first, last = edges[field], edges[field + 1]
            out[first:last] = FIELDS[rng.integers(len(FIELDS))][: last - first].ljust(last - first)
        elif kind == 2:
            for place in rng.integers(min(len(out), 8000), size=8):
                out[place] ^= 1 << rng.integers(8)
        elif rng.integers(2):
            del out[rng.integers(1, len(out)) :]
        else:
            out += bytes(rng.integers(256, size=500, dtype=np.uint8))
    return bytes(out)


def mutated_text(body: bytes, rng: np.random.Generator) -> bytes:
    """Cells and characters replaced, lines moved or repeated, bytes turned, the file cut."""
    out = bytearray(body)
    for _ in range(rng.integers(1, 6)):
        place, kind = int(rng.integers(len(out) + 1)), rng.integers(5)
        if kind < 2:
            stop = min(len(out), place + int(rng.integers(0, 12)))
            out[place:stop] = WORDS[rng.integers(len(WORDS))]
        elif kind == 2 and out:
            out[min(place, len(out) - 1)] ^= 1 << rng.integers(8)
        elif kind == 3:
            lines = bytes(out).splitlines(keepends=True)
            rng.shuffle(lines)
            out = bytearray(b"".join(lines))
        elif out:
            del out[place : place + int(rng.integers(1, 40))]
    return bytes(out)


def mat_bytes() -> bytes:
    """The experts' MATLAB file of two neonates."""
    import io

    from scipy.io import savemat

    cells = np.empty((1, 2), dtype=object)
    for k in range(2):
        cells[0, k] = np.tile([0.0, 1.0, 1.0, 0.0], (3, 1))
    body = io.BytesIO()
    savemat(body, {"annotat_new": cells}, do_compression=True)
    return body.getvalue()


def npy_bytes() -> bytes:
    """A small array."""
    import io

    body = io.BytesIO()
    np.save(body, np.zeros((2, 19, 500), np.float32))
    return body.getvalue()


TSV = b"onset\tduration\teventType\tconfidence\tchannels\tdateTime\trecordingDuration\n"
TSV += b"2.00\t4.00\tsz_foc\t0.9\tF3,C3\t2016-11-06 13:43:04\t60.00\n20.5\t3\tsz\tn/a\tall\tn/a\t60.00\n"
CSV = b"# version = csv_v1.0.0\n# bname = a\n# duration = 60.00 secs\n#\nchannel,start_time,stop_time,label,"
CSV += b"confidence\nFP1-F7,2.0,9.5,fnsz,1.0\nF7-T3,2.5,9.0,gnsz,1.0\nTERM,20.0,25.0,seiz,1.0\n"
SUMMARY = b"Data Sampling Rate: 256 Hz\n\nFile Name: a_01.edf\nNumber of Seizures in File: 1\n"
SUMMARY += b"Seizure Start Time: 2996 seconds\nSeizure End Time: 3036 seconds\n\n"
SUMMARY += b"File Name: a_02.edf\nNumber of Seizures in File: 0\n"
LEVELS = b'{"onset": {"Units": "s"}, "eventType": {"Levels": {"sz": "any", "impd": ""}, "HED": {"x": "y"}}}'
TABLE = b"recording,onset,duration,label,subject,age,sex\na.edf,10,20,sz,s1,31,f\nb.edf,1,2,bckg,s2,9,M\n"
CLOCKS = b'"""Times."""\nseizures_10 = {1: [(8, 1, 2, 30), (23, 59, 59, 12.5)], 2: []}\n'
CLOCKS += b"p = {11: {1: [(1, 2, 3, 4)]}}\n"
SEIZURES = bytes([4, 128, 20, 132, 0, 0])


def read_people(path: Path) -> None:
    """A table as ``dataset=folder`` and participants.tsv are read."""
    for _, cells in read_table(path, ["recording", "onset", "duration", "label"]).rows:
        person(cells)


def read_tusz(path: Path) -> None:
    """Grammar, and what its rows say of a recording of a minute."""
    for typed in (True, False):
        labels_of(read_csv(path), header_of_length(60.0), typed=typed)


def read_binary(path: Path) -> None:
    """Its reader promises ValueError, which its caller turns into a warning."""
    try:
        read_seizure_file(path)
    except ValueError:
        raise DataError("damaged", reason="bad_annotations") from None


KINDS = {
    "events.tsv": (TSV, lambda path: read_events(path)),
    "events.json": (LEVELS, lambda path: read_levels(path)),
    "table.csv": (TABLE, read_people),
    "table.tsv": (TABLE.replace(b",", b"\t"), read_people),
    "a.csv": (CSV, read_tusz),
    "a-summary.txt": (SUMMARY, read_summary),
    "a.edf.seizures": (SEIZURES, read_binary),
    "SUBJECT-INFO": (b"Case\tGender\tAge\nchb01\tF\t11\nchb02\tM\t3.5\n", read_subject_info),
    "RECORDS": (b"chb01/chb01_01.edf\nchb01/chb01_02.edf\n", read_list),
    "seconds.csv": (b"1,2,3\n0,1,0\n1,1,\n0,,\n", read_seconds),
    "information.csv": (b'ID,EEG file,Gender,Note\n1,eeg1,f,"a\nb"\n2,eeg2,m,x\n', read_sexes),
    "annotations.mat": (mat_bytes(), read_mat),
    "Seizure_times.py": (CLOCKS, read_clock_table),
    "x.npy": (npy_bytes(), open_array),
}
"""Every annotation file of every layout: a sound one, and its reader."""


def try_headers(n: int, seed: int) -> Counter:
    """``n`` mutated EDF headers through the whole reader; how many were read, refused, untyped or slow."""
    rng, found, sound = np.random.default_rng(seed), Counter(), recording()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.edf"
        for _ in range(n):
            path.write_bytes(mutated_header(sound, rng))
            attempt(lambda: (read_header(path), check_recording(path, Recordings({}))), found, "edf")
    return found


def try_annotations(n: int, seed: int) -> Counter:
    """``n`` mutated annotation files of all layouts in turn; counted as by :func:`try_headers`."""
    rng, found = np.random.default_rng(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        for k in range(n):
            name, (sound, read) = [*KINDS.items()][k % len(KINDS)]
            path = Path(folder) / name
            path.write_bytes(mutated_text(sound, rng))
            attempt(lambda read=read, path=path: read(path), found, name)
    return found


def attempt(act, found: Counter, kind: str) -> None:
    """One file: read, refused, or what must not be."""
    start = time.perf_counter()
    try:
        act()
        found["read"] += 1
    except DataError as problem:
        found["refused"] += 1
        assert problem.reason and "\n" not in str(problem), (kind, problem)
    except Exception as problem:
        found[f"untyped {kind} {type(problem).__name__}: {str(problem)[:60]}"] += 1
    if time.perf_counter() - start > MOST_S:
        found[f"slow {kind}"] += 1


def wrong(found: Counter) -> dict[str, int]:
    """What must not be."""
    return {name: n for name, n in found.items() if name not in ("read", "refused")}


def main(n: int = 20_000, seed: int = 0) -> int:
    """Headers, then annotations, ``n`` of each; a row each on standard output; how many were wrong."""
    bad = 0
    for what, act in (("EDF headers", try_headers), ("annotation files", try_annotations)):
        start = time.perf_counter()
        found = act(n, seed)
        bad += sum(wrong(found).values())
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{what}: {n:,} mutated (seed {seed}), {found['read']:,} read, {found['refused']:,} refused, "
            f"{sum(wrong(found).values())} wrong {wrong(found) or ''}, {time.perf_counter() - start:.0f} s, "
            f"{used} MB",
            flush=True,
        )
    return bad


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)
