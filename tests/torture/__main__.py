"""``python -m tests.torture seed=0 minutes=60 results=FILE parts=kill,signal,…``."""

import datetime
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from distilclip_eeg.runs import commit  # noqa: E402
from torture.base import Part, Row, table  # noqa: E402
from torture.crafted import hostile  # noqa: E402
from torture.damage import damage  # noqa: E402
from torture.ending import interrupted, killed, terminated  # noqa: E402
from torture.inputs import annotations, headers, known  # noqa: E402
from torture.places import full, hosts, sockets  # noqa: E402

PARTS = {
    "kill": (killed, 12),
    "sigterm": (terminated, 6),
    "sigint": (interrupted, 6),
    "damage": (damage, 12),
    "headers": (headers, 6),
    "annotations": (annotations, 6),
    "known": (known, 1),
    "hostile": (hostile, 4),
    "hosts": (hosts, 2),
    "full": (full, 3),
    "sockets": (sockets, 2),
}
"""Each part and its share of the minutes; what one leaves over, the later ones have."""


def main(words: list[str]) -> None:
    """Run the parts that are asked for, print a row each and the table."""
    said = dict(word.partition("=")[::2] for word in words)
    if unknown := set(said) - {"seed", "minutes", "results", "parts"}:
        sys.exit(f"error: {', '.join(unknown)}: expected seed=, minutes=, results=, parts=.")
    names = said.get("parts", ",".join(PARTS)).split(",")
    if unknown := set(names) - set(PARTS):
        sys.exit(f"error: parts={', '.join(unknown)}: there is {', '.join(PARTS)}.")
    seed, end = int(said.get("seed", 0)), time.monotonic() + 60 * float(said.get("minutes", 60))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="torture.") as scratch:
        for number, name in enumerate(names):
            left = sum(PARTS[later][1] for later in names[number:])
            seconds = (end - time.monotonic()) * PARTS[name][1] / left
            part = Part(name, seed, Path(scratch), seconds)
            try:
                PARTS[name][0](part)
            except Exception as error:  # the harness itself; the others go on
                part.wrong(f"the trial itself ended: {type(error).__name__}: {error}"[:300])
            rows.append(part.row())
            print(rows[-1].line(), flush=True)
    head = f"torture: seed {seed}, {datetime.date.today()}, commit {commit()}"
    text = f"{head}\n\n{table(rows)}\n"
    print(f"\n{text}", end="")
    if where := said.get("results"):
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        Path(where).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
