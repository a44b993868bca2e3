"""Run folders and exported folders that somebody crafted: nothing outside is touched, nothing is executed."""

import hashlib
import io
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from torture.base import Done, Part, contents, copied, run
from torture.tiny import road

VERBS_AS_TARGETS = (
    *("os.system", "subprocess.run", "builtins.eval", "shutil.rmtree", "pathlib.Path.touch"),
    *("logging.os.system", "distilclip_eeg.commands.cli.main", "distilclip_eeg.commands.cli.run"),
    *("distilclip_eeg.files.digests.write_atomic", "distilclip_eeg.signals.store.shutil.rmtree"),
    *("distilclip_eeg.corpora.invented.layouts.tree.synthesize", "distilclip_eeg.studies.demo.demo"),
    *("distilclip_eeg.commands.recordings.synthesize", "distilclip_eeg.deploy.export.export"),
    "distilclip_eeg.training.crossval.CrossValidation",
)
OUTSIDE = (
    *("../../..", "../../../outside", f"{tempfile.gettempdir()}/outside-of-torture", ".."),
    *("a/../../../outside", "~", "\0", "a\nb"),
)
"""Names that are none."""
PLACES = (
    *("dataset.name", "run.name", "run.root", "store.root", "dataset.corpus.root", "teacher", "init_from"),
    *("model.name", "split.table", "text_encoder.path", "split.name", "augment", "loss.targets"),
)
"""Settings of a run that name a file, a folder or a part."""
READS_RUN = (
    ("evaluate", ["run=runs/synthetic/t"]),
    ("evaluate", []),
    ("report", []),
    ("export", ["run=runs/synthetic/t", "weights=0", "onnx=false", "n_jobs=1"]),
    ("continuous", ["run=runs/synthetic/t", "n_jobs=1"]),
    ("rehearse", ["run=runs/synthetic/t", "n_jobs=1"]),
    ("probe", ["run=runs/synthetic/t", "n_jobs=1"]),
    ("explain", ["run=runs/synthetic/t", "windows=4", "n_jobs=1"]),
    ("distill", ["teacher=runs/synthetic/t", "fold=0", "trainer.max_steps=1", "run.name=mine", "n_jobs=1"]),
)
READS_MODEL = (
    ("detect", ["weights=words", "input=edf", "output=seen", "figure=false"]),
    ("search", ["weights=words", "input=edf", "output=seen", "query=slow", "figure=false"]),
)
MAY_WRITE = (
    "runs/synthetic/t/",
    "runs/synthetic/mine/",
    "runs/report/",
    "runs/evaluation/",
    "runs/synthetic/s/",
    "seen/",
    "store/",
    "data/",
)
"""Where these commands have their places."""


class Canary:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a yaml or JSON file; the hash that an exported folder keeps of itself is made right again."""
    read, write = (yaml.safe_load, yaml.safe_dump) if path.suffix == ".yaml" else (json.loads, json.dumps)
    tree = read(path.read_text())
    change(tree)
    if path.name == "config.json":
        body = {k: v for k, v in tree.items() if k != "sha256"}
        tree["sha256"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(write(tree))


def put(name: str, value: Any) -> Callable[[Any], None]:
    """Sets a dotted key."""

    def change(tree: Any) -> None:
        *above, last = name.split(".")
        for part in above:
            tree = (
                tree.setdefault(part, {})
                if isinstance(tree.get(part), dict) or part not in tree
                else tree[part]
            )
        tree[last] = value

    return change


def pickled(canary: Path) -> bytes:
    """A pickle that writes the canary."""
    return pickle.dumps({"net": Canary(canary), "model": Canary(canary)})


def objects(canary: Path) -> bytes:
    """A .npz with an array of objects that writes the canary."""
    array = np.empty(1, object)
    array[0] = Canary(canary)
    buffer = io.BytesIO()
    np.savez(buffer, part=array, label=array, probability_NK=array, logits_NK=array)
    return buffer.getvalue()


def weights_behind_hash(folder: Path, name: str, body: bytes) -> None:
    """Other bytes behind the right hash: of a fold (``model.json``) or an export (``config.json``)."""
    (folder / name).write_bytes(body)
    digest = hashlib.sha256(body).hexdigest()
    if (folder / "model.json").exists():
        edit(folder / "model.json", put("sha256", digest))
        return

    def change(tree: Any) -> None:
        for entry in (*tree["weights"], tree["text"]["weights"]):
            if entry["file"] == name:
                entry |= {"sha256": digest, "bytes": len(body)}

    edit(folder / "config.json", change)


def run_cases(canary: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What may be wrong with a run: a name, and what makes it so in the folder above ``runs``."""
    told = {"command": f"touch {canary}", "args": ["touch", str(canary)]}
    told |= {"path": str(canary), "root": "outside"}
    for target in VERBS_AS_TARGETS:
        for key in ("dataset.corpus", "model.net", "text_encoder"):
            yield (
                f"{key}={target}",
                lambda top, t=target, k=key: edit(top / CONFIG, put(k, {"_target_": t, **told})),
            )
        yield (
            f"model.json net={target}",
            lambda top, t=target: edit(top / FOLD / "model.json", put("net", {"_target_": t, **told})),
        )
    for name in OUTSIDE:
        for key in PLACES:
            yield (
                f"{key}={name!r}",
                lambda top, n=name, k=key: edit(top / CONFIG, put(k, n)),
            )
        yield (
            f"class {name!r}",
            lambda top, n=name: edit(top / FOLD / "model.json", put("classes", ["bckg", n])),
        )
    body, arrays = pickled(canary), objects(canary)
    yield "pickle as weights", lambda top: weights_behind_hash(top / FOLD, "model.safetensors", body)
    yield "pickle as text weights", lambda top: (top / FOLD / "text.safetensors").write_bytes(body)
    yield "pickle as checkpoint", lambda top: resumes(top, body)
    for name in ("predictions.npz",):
        yield f"objects in {name}", lambda top, n=name: (top / FOLD / n).write_bytes(arrays)
    tag = f"!!python/object/apply:os.system ['touch {canary}']\n"
    yield "yaml tag", lambda top: (top / CONFIG).write_text(f"dataset: {tag}")
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairs
    )
    yield "yaml aliases", lambda top: (top / CONFIG).write_text(bomb)
    yield "deep yaml", lambda top: (top / CONFIG).write_text("[" * 50_000)
    for name in ("metrics.json", "data.json"):
        yield f"deep {name}", lambda top, n=name: (top / "runs/synthetic/t" / n).write_text("[" * 50_000)
    yield "link out of the run", lambda top: linked(top)


CONFIG, FOLD = "runs/synthetic/t/config.yaml", "runs/synthetic/t/fold0"


def resumes(top: Path, body: bytes) -> None:
    """A fold that is not finished, with a pickle for its checkpoint."""
    (top / FOLD / "checkpoint.pt").write_bytes(body)
    (top / FOLD / "metrics.json").unlink()


def linked(top: Path) -> None:
    """A fold that is a link to somebody else's folder."""
    shutil.rmtree(top / FOLD)
    (top / FOLD).symlink_to(top / "outside", target_is_directory=True)


def model_cases(canary: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What may be wrong with an exported folder."""
    config = "words/config.json"
    for target in VERBS_AS_TARGETS:
        net = {"_target_": target, "path": str(canary), "args": ["touch", str(canary)], "root": "outside"}
        yield f"net={target}", lambda top, n=net: edit(top / config, put("model.net", n))
    for name in OUTSIDE:
        yield (
            f"file {name!r}",
            lambda top, n=name: edit(top / config, lambda t: t["weights"][0].update(file=n)),
        )
        yield f"class {name!r}", lambda top, n=name: edit(top / config, put("recipe.classes", ["bckg", n]))
        yield f"name {name!r}", lambda top, n=name: edit(top / config, put("model.name", n))
    body = pickled(canary)
    for name in ("model.safetensors", "text.safetensors"):
        yield f"pickle as {name}", lambda top, n=name: weights_behind_hash(top / "words", n, body)
    claims = (2**40).to_bytes(8, "little") + b"{}"
    yield "a header of 1 TB", lambda top: weights_behind_hash(top / "words", "model.safetensors", claims)
    yield "deep JSON", lambda top: (top / config).write_text("[" * 50_000)
    for key, value in (("n_chans", 10**9), ("n_times", 10**9), ("n_outputs", -1)):
        yield f"{key}={value}", lambda top, k=key, v=value: edit(top / config, put(f"model.{k}", v))
    for key in ("dim", "depth", "embed"):
        yield f"net.{key} huge", lambda top, k=key: edit(top / config, put(f"model.net.{k}", 10**7))


DEPTH = "a/b/c/d/e"
"""So deep that three levels up is still the trial's own."""


def hostile(part: Part) -> None:
    """Every crafted folder met by a command that reads it; the pairs come in a random order."""
    base, canary = road(part.scratch), part.folder / "canary"
    pairs: list[tuple[str, Callable[[Path], None], tuple[str, list[str]]]] = []
    pairs += [(*case, verb) for case in run_cases(canary) for verb in READS_RUN]
    pairs += [(*case, verb) for case in model_cases(canary) for verb in READS_MODEL]
    order = part.rng.permutation(len(pairs))
    for place in order:
        if not part.goes_on():
            break
        name, craft, (verb, words) = pairs[place]
        top = copied(base, part.folder / DEPTH / "top")
        (top / "outside").mkdir()
        (top / "outside" / "precious.txt").write_text("of somebody")
        try:
            craft(top)
        except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
            part.wrong(f"the trial itself: {name}: {error}"[:200])
            continue
        before = contents(part.folder)
        done = run(verb, words, top, lambda: os.environ.update(HOME=str(part.folder / "home")))
        part.judge(
            touched(part, before, canary) or done.fault or hanging(done), f"{verb}: {name}", done.seconds
        )


def hanging(done: Done) -> str:
    """Whether it took longer than any command on data this small."""
    return f"{done.seconds:.0f} s" if done.seconds > 60 else ""


def touched(part: Part, before: dict[str, str], canary: Path) -> str:
    """What was written, changed or deleted outside a command's places; empty where nothing was."""
    if canary.exists():
        canary.unlink()
        return "CANARY: code of the folder ran"
    after = contents(part.folder)
    for name in sorted(before.keys() | after.keys()):
        inside = name.removeprefix(f"{DEPTH}/top/")
        if (
            before.get(name) != after.get(name)
            and not inside.startswith(MAY_WRITE)
            and "/." not in f"/{name}"
        ):
            return f"OUTSIDE: {inside} {'written' if name in after else 'deleted'}"
    return ""
