"""Leakage probes: how much of the class, and of the person, the text of a teacher run gives away.

``python scripts/probe.py run=RUN`` describes the run's windows again, fold by fold, and asks:

- ``class from text``: a logistic regression reads only the text of the run's training windows and names the
  class of the test windows. Text made of the signal may tell something of the class, as the numbers behind
  it do (reader ``measurements``; linear, so no upper bound); near 1 it would be the label in other words.
- ``class from model``: the model itself. A head that reads text (``head.input=fused`` or ``text``) answers
  with each of the texts below; the default one reads none, so no text at test time can change its answers.
- ``agreement``: whether a text fits its window: how often a test window is nearer to its text than to that
  of another test window, ties counting half. A constant text has no chance level: it says how much the
  encoders like this sentence with any window.
- ``search``: mean average precision of the test windows ranked by nearness to each sentence, where those
  that are described by just this sentence are right; chance is their mean share.
- ``person from text``: a logistic regression names the person; fitted on one half of the fold's training
  windows, drawn at random, and scored on the other. Where windows of a person stand on both sides of a split,
  whatever names the person may name the class.
- ``label terms``: the share of sentences that hold a word of the deny list or the name of a class.

Each is asked with the window's own text, with the texts of the test windows shuffled among them (what is left
is chance, or a mistake in the probe), and with one constant text, the most frequent one of training.

Shapes: N windows, U distinct sentences, E features.
"""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from scipy import sparse

from distilclip_eeg.config.data import HERE, Places
from distilclip_eeg.config.learning import Learning, TextConfig
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.files.writing import csv_bytes
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.report.columns import aligned
from distilclip_eeg.report.tables import cell
from distilclip_eeg.runs import Run, commit, provenance
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.studies.readers import (
    Row,
    agreement,
    named,
    numbers_of,
    regression,
    retrieval,
    scored,
    standardised,
    texts,
)
from distilclip_eeg.text.descriptors import denied
from distilclip_eeg.training.data import Data, reopen, test_rows, train_rows
from distilclip_eeg.training.descriptions import describe_fold
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.pipeline import frozen_teacher
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import ClipTask, FeatureTask
from distilclip_eeg.training.text_bank import TextBank

TABLE = "probes.csv"
ORDER = ["probe", "reader", "text"]


def probe(run: Run, places: Places = HERE) -> pd.DataFrame:
    """One row a fold, probe, reader and text; also written to the run's ``probes.csv``.

    Columns: fold, probe, reader (what reads the text), text, score, chance, n (windows or sentences scored),
    sentences (distinct ones in the corpus), protocol. Scores are balanced accuracies (chance is one over the
    classes, or persons, that occur), shares of pairs (chance 0.5) or of sentences (expected 0).

    Args:
        places: where data and store are now, if not where the run had them, and what may be used here.

    Raises:
        ConfigError: the run has no finished fold, or its windows carry no text at test time.
        DataError: the data are not the run's, or a sentence holds a label term.
    """
    check_probed(run, run.settings.learning)
    settings, data = reopen(run, places)
    accelerator = make_accelerator("fp32", settings.device)
    rows = [row for fold in run.folds_done() for row in probe_fold(run, data, fold, accelerator)]
    table = pd.DataFrame(rows).assign(protocol=f"split={data.split.name}: {run.data['leak_note']}")
    write_atomic(run.path / TABLE, csv_bytes(table))
    return table


def add(table: pd.DataFrame, run: Run, path: Path) -> None:
    """Put the rows, with what they are of and how they were made, into ``path`` in place of older ones."""
    dataset = run.settings.dataset.name
    rows = table.assign(
        dataset=dataset,
        run=run.path.name,
        seed=run.settings.seed,
        minutes=round(run.seconds / 60, 2),  # of the training that was probed
        hardware=provenance()["machine"],
        commit=commit(),
        command=f"python scripts/probe.py run=runs/{dataset}/{run.path.name}",
    )
    before = (
        read_csv(path, "run", "probe", again="Give table=ANOTHER.")
        if path.exists()
        else pd.DataFrame(columns=["run"])
    )
    rows = pd.concat([before[before["run"] != run.path.name], rows], ignore_index=True)
    write_atomic(path, csv_bytes(rows))


def check_probed(run: Run, learning: Learning) -> None:
    """Refuse a run that has nothing to probe.

    Raises:
        ConfigError: it was trained without text, its test windows carry none, or no fold is finished.
    """
    source = learning.text.source
    if not learning.uses_text:
        raise ConfigError(
            f"run={run.path}: {learning.model.name} was trained without text (text.source={source}); "
            "give a teacher's run with text."
        )
    if source == "class_template":
        raise ConfigError(
            f"run={run.path}: text.source=class_template names the class in training and gives a test "
            "window no text, so there is none to probe."
        )
    if not run.folds_done():
        raise ConfigError(f"run={run.path}: no fold is finished. Run the command that made it again.")


def probe_fold(run: Run, data: Data, fold: int, accelerator: Accelerator) -> list[Row]:
    """All rows of one fold."""
    text = run.settings.text
    _, writer = describe_fold(text, data, fold)
    model, bank = frozen_teacher(run, fold, data)
    sentences = list(dict.fromkeys([*bank.sentences, *writer.vocabulary_sentences()]))
    refuse_label_terms(run, sentences, data.store.classes)
    with torch.no_grad():
        text_UE = model.encode_text(bank.input_ids, bank.attention_mask).numpy()
    model.to(accelerator.device)
    rng = np.random.default_rng([data.seed, fold])
    train, test = train_rows(data, fold), test_rows(data, fold)
    half, other = np.array_split(rng.permutation(train), 2)
    text_N, label_N = bank.text_N, data.windows["label"].to_numpy()
    person_N = np.unique(data.windows["subject"], return_inverse=True)[1]
    readers = {
        "sentence": sparse.eye_array(len(text_UE), format="csr"),
        "text encoder": standardised(text_UE, text_N[train]),
    }
    given = texts(text_N[train], text_N[test], rng)
    rows = class_from_model(run, data, fold, model, bank, test, given, accelerator)
    rows += class_from_numbers(text, data, train, test)
    rows += named("class from text", readers, text_N, label_N, train, test, rng)
    eeg_NE = predict(FeatureTask(model.eeg).eval(), data.source(train), test, accelerator)
    for kind, given_N in given.items():
        row = {"probe": "agreement", "reader": "EEG and text encoders", "text": kind, "n": len(test)}
        chance = np.nan if kind == "constant" else 0.5
        rows.append({**row, "score": agreement(eeg_NE, text_UE, given_N, text_N[test]), "chance": chance})
    for kind in ("own", "shuffled"):
        precision, chance = retrieval(eeg_NE, text_UE, given[kind])
        row = {"probe": "search", "reader": "EEG and text encoders", "text": kind, "n": len(test)}
        rows.append({**row, "score": precision, "chance": chance})
    rows += named("person from text", readers, text_N, person_N, half, other, rng)
    terms = {"probe": "label terms", "reader": "deny list", "text": "own", "n": len(sentences)}
    rows.append({**terms, "score": 0.0, "chance": 0.0})  # else it would have been refused
    return [{"fold": fold, **row, "sentences": len(text_UE)} for row in rows]


def class_from_model(
    run: Run,
    data: Data,
    fold: int,
    model: DistilCLIP,
    bank: TextBank,
    test: np.ndarray,
    given: dict[str, np.ndarray],
    accelerator: Accelerator,
) -> list[Row]:
    """The model's own answers: as saved where it reads no text, with each of the texts where it does."""
    row, label_N = {"probe": "class from model", "reader": "the model"}, data.windows["label"].to_numpy()
    if model.head_input == "eeg":
        saved = run.predictions(fold)
        tested = saved["part"] == "test"
        answer = saved["probability_NK"][tested].argmax(1)
        return [{**row, "text": "none", **scored(saved["label"][tested], answer)}]
    source = data.source(train_rows(data, fold))
    rows = []
    for text, given_N in given.items():
        other = copy.copy(bank)
        other.text_N = bank.text_N.copy()
        other.text_N[test] = given_N
        task = ClipTask(model, other, alpha=0.0, targets="identity")  # nothing is trained
        answer = predict(task.eval(), source, test, accelerator).argmax(1)
        rows.append({**row, "text": text, **scored(label_N[test], answer)})
    return rows


def class_from_numbers(text: TextConfig, data: Data, train: np.ndarray, test: np.ndarray) -> list[Row]:
    """A regression on the numbers behind the words, where words are made of numbers."""
    label_N = data.windows["label"].to_numpy()
    if text.source not in ("descriptors", "handcrafted"):
        return []
    numbers = numbers_of(data.measures(text.context_s), train)
    answer = regression(numbers[train], label_N[train]).predict(numbers[test])
    row = {"probe": "class from text", "reader": "measurements", "text": "own"}
    return [{**row, **scored(label_N[test], answer)}]


def refuse_label_terms(run: Run, sentences: list[str], classes: tuple[str, ...]) -> None:
    """Stop at the first sentence that names a class or an annotation."""
    for sentence in sentences:
        if terms := denied(sentence, classes):
            raise DataError(
                f"run={run.path}: a description holds label terms ({', '.join(terms)}): {sentence!r}. "
                "Nothing made with it is label-free; mend the writer, or rename the class.",
                reason="label_terms",
            )


def page(table: pd.DataFrame) -> str:
    """The table for a reader: mean and SD over folds in per cent, with chance and protocol."""
    groups = table.groupby(ORDER, sort=False)
    mean, sd = groups.mean(numeric_only=True), groups["score"].std(ddof=1)
    body = [
        [*key, cell(row["score"], sd[key]), cell(row["chance"], np.nan), f"{row['n']:.0f}"]
        for key, row in mean.iterrows()
    ]
    folds, distinct = table["fold"].nunique(), table["sentences"].max()
    return "\n".join(
        [
            table["protocol"].iloc[0],
            f"{distinct} distinct sentences; balanced accuracy (agreement: share of pairs; search: mean "
            f"average precision; label terms: share of sentences), mean ± SD of {folds} folds",
            aligned(["probe", "reader", "text", "score %", "chance %", "n"], body, 3),
        ]
    )
