"""Which runs a report shows, and what it calls them: of each corpus, protocol and model the newest."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.report.comparison import in_order
from distilclip_eeg.report.published import TABLE_2
from distilclip_eeg.report.tables import ORDER
from distilclip_eeg.runs import Run

FULL = "base_lp"
WHOLE: dict[str, object] = {
    "text.source": "descriptors",
    "text.detail": "coarse",
    "loss.targets": "multi_positive",
    "loss.alpha": 0.5,
    "loss.class_weights": "none",
    "head.input": "eeg",
    "head.inference": "head",
    "model.net.prompts": "deep",
    "text_encoder.prompts": "deep",
    "augment": "none",
}
"""What a teacher is without being told otherwise; a run that differs is another model of the same name."""
OF_A_STUDENT = ("model.net.prompts", "augment")
ABLATED = ("text.source", "loss.alpha", "head.input", "model.net.prompts", "text_encoder.prompts")
ROWS: dict[str, dict[str, object]] = {
    "eeg_lp": {"text.source": "none", "loss.alpha": 0.0},
    "text_wp": {"text_encoder.prompts": "none"},
    "text_lp": {"model.net.prompts": "none"},
    "text_hp": {"text.source": "handcrafted", "model.net.prompts": "none", "text_encoder.prompts": "none"},
    "base_wp": {"model.net.prompts": "none", "text_encoder.prompts": "none"},
    FULL: {},
}
"""What each row of Table II changes of the whole teacher; ``ablation_reading=unimodal`` adds ``ALONE``."""
ALONE: dict[str, object] = {"head.input": "text", "loss.alpha": 0.0}


@dataclass(frozen=True)
class Entry:
    """A run as the report shows it."""

    run: Run

    @property
    def settings(self) -> RunSettings:
        """What the run was told."""
        return self.run.settings

    @property
    def dataset(self) -> str:
        """Name of the corpus it was tested on."""
        return self.settings.dataset.name

    @property
    def split(self) -> str:
        """The protocol."""
        return self.settings.split.name

    @property
    def model(self) -> str:
        """The model's key, whatever was changed of it."""
        return self.settings.model.name

    @property
    def kind(self) -> str:
        """teacher, student, baseline or floor."""
        return self.settings.model.kind

    @cached_property
    def changed(self) -> dict[str, object]:
        """Settings in which it is not the whole model of its name."""
        if self.kind not in ("teacher", "student"):
            return {}
        names = WHOLE if self.kind == "teacher" else OF_A_STUDENT
        found = {name: setting(self.settings, name, WHOLE[name]) for name in names}
        found = {name: value for name, value in found.items() if value != WHOLE[name]}
        alone = self.kind == "student" and self.settings.distill is None
        return {**found, "distilled": False} if alone else found

    @property
    def row(self) -> str:
        """The row of Table II that a teacher is, whatever else all of its table's rows share; or nothing."""
        if self.kind != "teacher":
            return ""
        changes = {name: value for name, value in self.changed.items() if name in ABLATED}
        for name in TABLE_2:
            unimodal = name.startswith("text_") and changes == ROWS[name] | ALONE
            if changes == ROWS[name] or unimodal:
                return name
        return ""

    @property
    def family(self) -> str:
        """Equal for the rows of one Table II: the model and what they all share beside its name."""
        return named(self.model, {k: v for k, v in self.changed.items() if k not in ABLATED})

    @property
    def ablated(self) -> bool:
        """Whether it is a teacher of Table II that lacks a part."""
        return self.row not in ("", FULL)

    @property
    def label(self) -> str:
        """The model's name, and in what it is not the whole of it."""
        return f"{self.family}, {self.row}" if self.ablated else named(self.model, self.changed)

    @property
    def name(self) -> str:
        """The label with the protocol: one run of a corpus."""
        return f"{self.label}, split={self.split}"

    @property
    def data(self) -> dict:
        """``data.json``: the audit of its folds and how windows were cut."""
        return self.run.data

    @property
    def audit(self) -> dict[str, float | None]:
        """What its test windows share with training; nothing is known of a model on another corpus."""
        return self.data["audit"] or {}

    @property
    def leak_note(self) -> str:
        """The audit in a line, as ``signals.audit.audit_line`` worded it."""
        return self.data["leak_note"]

    @property
    def folds(self) -> str:
        """How many folds are finished, and of how many where not all are: ``5`` or ``2 of 5``."""
        return self.run.part.removesuffix(" folds") or str(len(self.run.folds_done()))

    @property
    def setting(self) -> str:
        """In a few words: the split, its folds, and how common seizures are in its test windows."""
        folds = f"{self.folds} folds"
        balance = "balanced" if self.settings.windows.balance_test else "natural prevalence"
        return f"split={self.split}, {folds}, test windows: {balance}"

    @property
    def protocol(self) -> str:
        """One line: the setting, and what it lets through."""
        return f"{self.setting}; {self.leak_note}"


def setting(settings: RunSettings, name: str, default: object) -> object:
    """The value at a dotted name; ``default`` where a part's argument is not given."""
    node: Any = settings
    for key in name.split("."):
        node = node.get(key, default) if isinstance(node, Component) else getattr(node, key)
    return node


def named(model: str, changes: dict[str, object]) -> str:
    """A model's key with what was changed of it: ``teacher, augment=all``."""
    return ", ".join([model, *(f"{name}={value}" for name, value in changes.items())])


def choose(runs: Iterable[Run], dataset: str | None = None) -> list[Entry]:
    """The newest run of each corpus, protocol and label, as tables order them.

    A run counts with any fold of it, and says so; one that is finished goes before it. Of an ablation the
    newest counts either way, since ``ablations.py fold=0`` is enough for a table.

    Args:
        runs: oldest first.
        dataset: only this corpus.
    """
    newest: dict[tuple[str, str, str], Entry] = {}
    for run in runs:
        entry = Entry(run)
        if dataset not in (None, entry.dataset) or not run.folds_done():
            continue
        key = entry.dataset, entry.split, entry.label
        if run.finished or entry.ablated or not (key in newest and newest[key].run.finished):
            newest[key] = entry
    models = in_order({entry.model for entry in newest.values()})
    rank = {name: i for i, name in enumerate(models)}
    rows = list(ROWS)
    return sorted(
        newest.values(),
        key=lambda e: (
            *(e.dataset, ORDER.index(e.split), rank[e.model], e.family),
            *(rows.index(e.row) if e.ablated else -1, e.label),
        ),
    )
