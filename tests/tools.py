"""What tests of corpora and files share: codes of warnings, and material that is not always there."""

import functools
import importlib.util
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import RunSettings, TrainSettings
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.writing import write_yaml

SHARED = os.environ.get("DISTILCLIP_EEG_SHARED")
"""Folder of the shared material; None where it is not set."""
needs_shared = pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set")


def one_run(words) -> RunSettings:
    """The settings of the one run that ``train`` is told of."""
    [settings] = load(TrainSettings, list(words)).each_seed()
    return settings


def write_config(folder: Path, words=(), **sections) -> None:
    """A run's ``config.yaml``: whole, with ``sections`` changed; the split is by subject unless said."""
    made = plain(one_run(["split=subject", *words]))
    for name, change in sections.items():
        made[name] = {**(made[name] or {}), **change} if isinstance(change, dict) else change
    write_yaml(folder / "config.yaml", made)


def codes(warnings):
    """What stands before the colon of each warning."""
    return [warning.partition(":")[0] for warning in warnings]


def bad_module():
    """The module that makes the shared corpus of bad files, fresh; None where it is absent."""
    if not SHARED:
        return None
    path = Path(SHARED) / "spec" / "bad_inputs.py"
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location("bad_inputs", path))
    module.__spec__.loader.exec_module(module)
    drawn = functools.cache(module.noise)  # it is asked 20,000 times for a hundred signals
    module.noise = lambda *which: drawn(*which).copy()
    return module


def unrendered(patch: pytest.MonkeyPatch) -> list:
    """Saves one pixel for every figure from now on; the figures themselves, as they come."""
    from matplotlib.figure import Figure
    from PIL import Image

    seen, pixel = [], io.BytesIO()
    Image.new("RGB", (1, 1)).save(pixel, "png")

    def keep(figure, target, **_):
        seen.append(figure)
        target.write(pixel.getvalue())

    patch.setattr(Figure, "savefig", keep)
    return seen


def without_pdf(patch: pytest.MonkeyPatch) -> None:
    """Figures are saved as PNG alone from now on, as a page shows them."""
    from matplotlib.figure import Figure

    whole = Figure.savefig

    def keep(figure, target, **how):
        if how["format"] != "pdf":
            whole(figure, target, **how)

    patch.setattr(Figure, "savefig", keep)


@contextmanager
def served(answer: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Address of a server on this machine that answers so."""
    here = ThreadingHTTPServer(("127.0.0.1", 0), answer)
    threading.Thread(target=here.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{here.server_port}"
    finally:
        here.shutdown()
        here.server_close()


def scores_of(windows: pd.DataFrame) -> pd.DataFrame:
    """A file of scores of a detector that knows the labels of these windows, a row a second."""
    rows = pd.DataFrame({"recording": windows["recording_name"], "subject": windows["subject"], "piece": 0})
    rows = rows.assign(second=np.floor(windows["start_s"]), label=(windows["label"] != 0).astype(int))
    after = rows.assign(second=rows["second"] + 1)  # a window may reach into the next one
    rows = pd.concat([rows, after]).groupby(["recording", "second"], as_index=False).max()
    return rows.assign(score=rows["label"], decision=rows["label"])
