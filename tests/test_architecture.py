"""The architecture as a test: who may import whom, and how long a thing may be."""

import ast
import io
import statistics
import tokenize
from pathlib import Path

import pytest

import distilclip_eeg

SRC = Path(distilclip_eeg.__file__).parent
PACKAGE = SRC.name

LAYERS = (
    {"schema", "progress", "endings"},
    {"config", "files", "plausible", "text", "workers"},
    {"corpora", "runs", "signals"},
    {"artefact", "scoring"},
    {"models", "report"},
    {"training"},
    {"deploy", "explain"},
    {"studies"},
    {"commands"},
)
"""The floors of the house, lowest first; a room imports only from floors below its own, or from itself."""

ONLY_IN = {
    "hydra": {"config", "commands"},
    "mne": {"corpora", "signals", "explain", "deploy", "report", "studies"},
    "transformers": {"text", "models", "training"},
    "matplotlib": {"report"},
    "optuna": {"studies"},
}
NO_TORCH = "schema progress endings files plausible config corpora runs signals artefact report scoring"
NEVER_IN = {"torch": set(NO_TORCH.split())}

ROOMS, FLOORS = 26, 9
MODULE_LINES, MEDIAN_LINES = 400, 150
FUNCTION_LINES, LONG_FUNCTIONS = 60, 1
PARAMETERS, MANY_PARAMETERS = 8, 7
"""Constructors whose arguments are the keys of a yaml may have more than eight."""
DOCUMENTED = 0.97


def modules():
    return sorted(p for p in SRC.rglob("*.py"))


def part_of(path):
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(tree):
    """Dotted names of everything imported, wherever it stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield from (f"{node.module}.{a.name}" for a in node.names)


def wrong_imports(part, source, layers=LAYERS):
    """Imports of ``source``, standing in ``part``, that the rules forbid."""
    rank = {name: i for i, names in enumerate(layers) for name in names}
    wrong = []
    for name in imports(ast.parse(source)):
        top, _, rest = name.partition(".")
        if top == PACKAGE:
            target = rest.partition(".")[0]
            if target in rank and target != part and rank[target] >= rank[part]:
                wrong.append(name)
        elif part not in ONLY_IN.get(top, {part}) or part in NEVER_IN.get(top, ()):
            wrong.append(name)
    return wrong


def test_every_part_has_its_place():
    ranked = set().union(*LAYERS)
    found = {part_of(p) for p in modules()} - {"__init__", "__main__"}
    assert found <= ranked, f"no layer yet for {sorted(found - ranked)}"
    assert len(ranked) == sum(len(names) for names in LAYERS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_one_way(path):
    if path.name in ("__init__.py", "__main__.py") and path.parent == SRC:
        return
    assert not wrong_imports(part_of(path), path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "part, line, allowed",
    [
        ("signals", "from distilclip_eeg.schema import Recording", True),
        ("signals", "from distilclip_eeg.signals.windows import cut", True),
        ("signals", "from distilclip_eeg.models.conformer import Conformer", False),
        ("scoring", "from distilclip_eeg.artefact.folder import Folder", False),  # same floor
        ("corpora", "from distilclip_eeg.training import engine", False),
        ("corpora", "import torch", False),
        ("report", "import torch.nn", False),
        ("report", "def f():\n    from torch import nn", False),  # hidden in a function
        ("training", "from hydra.utils import instantiate", False),
        ("config", "from hydra.utils import instantiate", True),
        ("training", "import mne", False),
        ("signals", "from transformers import BertModel", False),
        ("commands", "import distilclip_eeg.training.pipeline", True),
        ("config", "import distilclip_eeg.training.pipeline", False),
    ],
)
def test_the_rules_themselves_catch_what_they_should(part, line, allowed):
    assert (wrong_imports(part, line) == []) == allowed


def functions(tree):
    """Every function with the class it stands in and whether it is public, nested ones as not public."""

    def walk(node, owner, public):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child, owner, public and not child.name.startswith("_")
                yield from walk(child, owner, False)
            elif isinstance(child, ast.ClassDef):
                yield from walk(child, child.name, public and not child.name.startswith("_"))
            else:
                yield from walk(child, owner, public)

    yield from walk(tree, "", True)


def parameters(function):
    """How many a caller may give."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([n for n in names if n not in ("self", "cls")])


def test_the_house_has_few_rooms_and_floors():
    assert len(LAYERS) <= FLOORS and sum(map(len, LAYERS)) <= ROOMS


def test_modules_fit_in_a_head_and_functions_on_a_screen():
    lines, long, many = [], [], []
    for path in modules():
        source = path.read_text(encoding="utf-8")
        lines.append(len(source.splitlines()))
        assert lines[-1] <= MODULE_LINES, path
        for function, owner, _ in functions(ast.parse(source)):
            name = f"{path.relative_to(SRC)}: {owner}.{function.name}".replace(": .", ": ")
            if function.end_lineno - function.lineno + 1 > FUNCTION_LINES:
                long.append(name)
            if parameters(function) > PARAMETERS:
                many.append(name)
    assert statistics.median(lines) <= MEDIAN_LINES
    assert len(long) <= LONG_FUNCTIONS, long
    assert len(many) <= MANY_PARAMETERS, many


def test_nearly_every_public_function_says_what_it_does():
    told = [
        (f"{path.relative_to(SRC)}: {function.name}", bool(ast.get_docstring(function)))
        for path in modules()
        for function, _, public in functions(ast.parse(path.read_text(encoding="utf-8")))
        if public
    ]
    silent = [name for name, said in told if not said]
    assert 1 - len(silent) / len(told) >= DOCUMENTED, silent


def test_nobody_holds_an_untyped_config():
    for path in modules():
        source = path.read_text(encoding="utf-8")
        assert "config: dict" not in source and 'config["' not in source, path


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_every_module_and_every_public_class_says_what_it_is(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body:
        assert ast.get_docstring(tree)
    lacking = [
        n.name
        for n in tree.body
        if isinstance(n, ast.ClassDef) and not n.name.startswith("_") and not ast.get_docstring(n)
    ]
    assert not lacking


def test_nothing_names_a_machine_or_calls_pickle_or_eval():
    for path in modules():
        source = path.read_text(encoding="utf-8")
        strings = [
            t.string
            for t in tokenize.generate_tokens(io.StringIO(source).readline)
            if t.type in (tokenize.STRING, tokenize.COMMENT)
        ]
        assert not [s for s in strings if any(m in s for m in ("/home/", "/work/", "/Users/", "/root/"))], (
            path
        )
        for name in imports(ast.parse(source)):
            assert name.partition(".")[0] not in ("pickle", "dill", "cloudpickle"), path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") not in ("eval", "exec"), path
                for keyword in node.keywords:
                    if keyword.arg in ("allow_pickle", "trust_remote_code"):
                        assert not getattr(keyword.value, "value", True), path
                    if keyword.arg == "weights_only":
                        assert getattr(keyword.value, "value", False) is True, path


def test_the_launchers_only_start_the_package():
    root = SRC.parents[1]
    found = [root / f"{verb}.py" for verb in ("train", "distill", "evaluate")]
    if not all(p.exists() for p in found):
        pytest.skip("installed without its checkout")
    for path in found:
        names = {n.partition(".")[0] for n in imports(ast.parse(path.read_text(encoding="utf-8")))}
        assert names <= {PACKAGE, "hydra"}
        assert len(path.read_text().splitlines()) < 20
