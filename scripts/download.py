"""Fetch an open corpus from where its owners publish it; interrupted, the same command continues.

    python scripts/download.py dataset=chbmit [root=data/chbmit] [cases=chb01,chb02] [workers=4]
                               [dry_run=true] [url=MIRROR]

dataset   chbmit (PhysioNet, 42 GB), zenodo (Helsinki, 4 GB), aubmc (Mendeley Data), or tusz: how to apply
root      where to put it; default data/DATASET, or DATASET in $DISTILCLIP_EEG_DATA
cases     only these and the files common to all: chb01, eeg7, p10
workers   files at once, 1 to 16
dry_run   true: say what would be fetched, write nothing
url       a mirror with the same listing, such as https://physionet-open.s3.amazonaws.com/chbmit/1.0.0/

Every file is checked against its published checksum before it gets its name; files that are there and right
are not fetched again. Proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.
"""

import os
import sys
from pathlib import Path

from distilclip_eeg.corpora.download.corpus import Download
from distilclip_eeg.corpora.download.sources import SOURCES, TUSZ
from distilclip_eeg.schema import ConfigError, UserError, check_choice

DEFAULTS = {"dataset": "", "root": "", "cases": "", "workers": "4", "dry_run": "false", "url": ""}


def settings(words: list[str]) -> dict[str, str]:
    """``key=value`` words over the defaults."""
    said = dict(DEFAULTS)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in DEFAULTS:
            known = ", ".join(DEFAULTS)
            raise ConfigError(f"{word}: expected key=value with key one of {known}. --help explains them.")
        said[key] = value
    check_choice("dataset", said["dataset"], (*SOURCES, "tusz"), "Give dataset=NAME; --help explains.")
    check_choice("dry_run", said["dry_run"], ("true", "false"))
    if not said["workers"].isdecimal():
        raise ConfigError(f"workers={said['workers']}: expected a whole number of files at once.")
    data = Path(os.environ.get("DISTILCLIP_EEG_DATA") or "data")
    return said | {"root": said["root"] or str(data / said["dataset"])}


def main(words: list[str]) -> None:
    if {"-h", "--help"} & set(words):
        print(__doc__)
        return
    said = settings(words)
    if said["dataset"] == "tusz":
        print(TUSZ)
        return
    download = Download(said["dataset"], said["root"], url=said["url"], workers=int(said["workers"]))
    plan = download.plan([c for c in said["cases"].split(",") if c])
    print(download.describe(plan), flush=True)
    if said["dry_run"] == "false":
        print(download.fetch(plan))
        print(f"next: python scripts/describe.py dataset={said['dataset']} dataset.root={said['root']}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped; what arrived is kept in .part files, the same command continues", file=sys.stderr)
        sys.exit(130)
