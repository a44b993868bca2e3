"""What the text encoder reads, source by source, and that no label and no other piece of signal enters it."""

import dataclasses
import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from tools import one_run

from distilclip_eeg import text
from distilclip_eeg.config.data import SignalConfig, SplitConfig, View, WindowConfig
from distilclip_eeg.config.learning import TextConfig
from distilclip_eeg.config.older import digest_of, read_settings
from distilclip_eeg.config.rules import hints, plain
from distilclip_eeg.corpora.aubmc import AubmcWindows
from distilclip_eeg.corpora.events_tsv import SZCORE
from distilclip_eeg.corpora.tusz_files import TYPES
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.store import Store
from distilclip_eeg.text.classes import class_sentences
from distilclip_eeg.text.descriptors import denied
from distilclip_eeg.text.metadata import MetadataWriter
from distilclip_eeg.text.tokenizer import build_wordpiece, tokenize
from distilclip_eeg.training import data as loading
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.data import Data, load_data
from distilclip_eeg.training.descriptions import AGES, APART, describe_fold
from distilclip_eeg.training.text_bank import TextBank

EVERY_CLASS = ("bckg", "seiz", *TYPES, *AubmcWindows.classes[1:], *SZCORE[1:])
SETTINGS = {
    "descriptors": [],
    "full": ["text.detail=full"],
    "context": ["text.detail=full", "text.context_s=4"],
    "handcrafted": ["text.source=handcrafted", "text.context_s=2.5"],
    "metadata": ["text.source=metadata"],
}
"""Every label-free source."""


@pytest.fixture(scope="module")
def corpus(tiny):
    return load_data(one_run(tiny).data)


def fresh(corpus: Data, **changed) -> Data:
    """The corpus with nothing measured yet."""
    return dataclasses.replace(corpus, **changed, _measures={})


# ------------------------------------------------------------------------------------- no label enters


@pytest.mark.parametrize("source", SETTINGS)
def test_swapping_labels_changes_no_description(source, corpus, tiny):
    config = one_run([*tiny, *SETTINGS[source]])
    told, writer = describe_fold(config.text, fresh(corpus), 0)
    order = np.random.default_rng(0).permutation(len(corpus.windows))
    swapped = corpus.windows.assign(**{c: corpus.windows[c].to_numpy()[order] for c in ("label", "event")})
    assert (swapped["label"] != corpus.windows["label"]).sum() > 50
    again, same = describe_fold(config.text, fresh(corpus, windows=swapped), 0)
    assert again == told and same.to_json() == writer.to_json()


def test_no_function_that_writes_a_description_has_a_parameter_for_a_label():
    names = set()
    for module in pkgutil.iter_modules(text.__path__):
        found = importlib.import_module(f"{text.__name__}.{module.name}")
        functions = [f for _, f in inspect.getmembers(found, inspect.isfunction)]
        for _, kind in inspect.getmembers(found, inspect.isclass):
            functions += [f for _, f in inspect.getmembers(kind, inspect.isfunction)]
        for function in functions:
            if function.__module__ == found.__name__:
                names |= set(inspect.signature(function).parameters)
    assert "measures" in names and "facts" in names
    assert not [n for n in names if any(w in n for w in ("label", "event", "target", "truth", "annot"))]
    # The measurements come from here; these two take nothing of the index but where windows stand.
    assert list(inspect.signature(Data.measures).parameters) == ["self", "context_s"]
    assert list(inspect.signature(Data.metadata).parameters) == ["self"]


@pytest.mark.parametrize("source", ["descriptors", "full", "context"])
def test_other_test_data_change_no_bin_edge_and_no_training_description(source, corpus, tiny):
    config = one_run([*tiny, *SETTINGS[source]])
    told, writer = describe_fold(config.text, fresh(corpus), 0)
    test, train = corpus.rows(0, "test"), corpus.rows(0, "train")
    tested = corpus.windows["recording"].iloc[test].unique()
    louder = corpus.store.gain_RC.copy()
    louder[tested] *= 20
    other = fresh(corpus, store=dataclasses.replace(corpus.store, gain_RC=louder, path=Path("nowhere")))
    again, same = describe_fold(config.text, other, 0)
    assert same.edges == writer.edges and same.to_json() == writer.to_json()
    assert [again[k] for k in train] == [told[k] for k in train]
    assert [again[k] for k in test] != [told[k] for k in test]


@pytest.mark.parametrize("source", SETTINGS)
def test_the_whole_vocabulary_of_a_label_free_source_passes_the_deny_list(source, corpus, tiny):
    config = one_run([*tiny, *SETTINGS[source]])
    told, writer = describe_fold(config.text, corpus, 0)
    vocabulary = writer.vocabulary_sentences()
    for sentence in {*vocabulary, *told}:
        assert denied(sentence, EVERY_CLASS) == [], sentence
    assert denied(f"{vocabulary[0]} Ictal.", EVERY_CLASS) == ["ictal"]
    assert denied(f"{vocabulary[0]} FNSZ.", EVERY_CLASS)


@pytest.mark.parametrize("source", [s for s in get_args(hints(TextConfig)["source"]) if s != "none"])
def test_coarse_text_has_at_most_24_distinct_descriptions(source, corpus, tiny):
    told, writer = describe_fold(one_run([*tiny, f"text.source={source}"]).text, corpus, 0)
    assert 1 <= len(set(told) - {""}) <= 24 and len(set(writer.vocabulary_sentences())) <= 24


# ---------------------------------------------------------------------------- the stretch around a window


def built(pieces: list[np.ndarray], length=64, sfreq=64.0) -> Data:
    """One recording whose ``pieces`` are samples of one channel, cut into windows side by side."""
    uv = np.concatenate(pieces)
    first = np.cumsum([0, *map(len, pieces[:-1])])
    cuts = zip(first, pieces, strict=True)
    starts = np.concatenate([np.arange(a, a + len(p) - length + 1, length) for a, p in cuts])
    table = pd.DataFrame(
        {"recording": 0, "start_s": 0.0, "first": first, "n_samples": list(map(len, pieces))}
    )
    one = np.ones((1, 1), np.float32)
    store = Store(
        **{"path": Path("nowhere"), "manifest": {"sfreq": sfreq, "ch_names": ["C3"]}, "pieces": table},
        **{"signal_TC": np.rint(uv * 10).astype("<i2")[:, None], "gain_RC": 0.1 * one, "mean_RC": 0 * one},
        **{"sd_RC": one, "filled_RC": one < 0, "recordings": None, "events": None, "excluded": None},
    )
    windows = pd.DataFrame({"recording": 0, "first": starts, "label": 0})
    return Data(store, windows, View(length), SignalConfig(), WindowConfig(), SplitConfig(), 0, {}, "")


def test_a_description_never_sees_across_a_gap():
    rhythm = 50 * np.sin(2 * np.pi * 8 * np.arange(5 * 64) / 64)
    noise = np.random.default_rng(0).normal(0, 100, 5 * 64)
    quiet, loud = built([rhythm, noise]), built([rhythm, 4 * noise])
    for context_s in (None, 2.0, 4.0, 60.0):
        a, b = (data.measures(context_s) for data in (quiet, loud))
        pd.testing.assert_frame_equal(a[:5], b[:5])  # what lies behind the gap is of no account
        assert a["amplitude_uv"][:5].to_numpy() == pytest.approx(50 / np.sqrt(2), rel=1e-2)
        assert (b["amplitude_uv"][5:] > 3 * a["amplitude_uv"][5:]).all()


def test_the_context_reaches_as_far_as_it_says_and_no_farther():
    # Seconds of 10, 20, ... uV: 3 s around the third window are seconds 2 to 4.
    wave = np.sin(2 * np.pi * 8 * np.arange(64) / 64)
    data = built([np.concatenate([10 * k * wave for k in (1, 2, 3, 4, 5)])])
    expected = [np.sqrt(np.mean(np.square(k)) / 2) for k in ([10, 20, 30], [10, 20, 30], [20, 30, 40])]
    expected += [np.sqrt(np.mean(np.square(k)) / 2) for k in ([30, 40, 50], [30, 40, 50])]
    assert data.measures(3.0)["amplitude_uv"].to_numpy() == pytest.approx(np.array(expected), rel=1e-2)
    alone = data.measures()["amplitude_uv"].to_numpy()
    assert alone == pytest.approx(np.array([10, 20, 30, 40, 50]) / np.sqrt(2), rel=1e-2)


def test_measures_get_their_digest_although_a_start_ended_before_it_was_written(tmp_path):
    def kept():
        data = built([50 * np.sin(2 * np.pi * 8 * np.arange(5 * 64) / 64)])
        return dataclasses.replace(data, store=dataclasses.replace(data.store, path=tmp_path))

    kept().measures()
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(whole) == 2
    (tmp_path / "sha256.json").unlink()
    kept().measures()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole
    (made,) = tmp_path.glob("measures-*")
    made.unlink()  # as advised where they were changed; whoever makes them again may write other bytes
    (tmp_path / "sha256.json").write_text(json.dumps({made.name: 64 * "0"}))
    kept().measures()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_pieces_of_different_lengths_keep_the_order_of_the_windows():
    rng = np.random.default_rng(1)
    pieces = [(k + 1) * 20 * rng.standard_normal(64 * n) for k, n in enumerate((1, 6, 2, 7, 1))]
    data = built(pieces)
    found = data.measures(4.0)
    assert list(found.index) == list(range(17))
    for row, piece, start, n in ((0, 0, 0, 1), (4, 1, 96, 4), (7, 2, 0, 2), (16, 4, 0, 1)):
        alone = built([pieces[piece][start : start + 64 * n]], length=64 * n).measures()
        assert found["amplitude_uv"][row] == pytest.approx(alone["amplitude_uv"][0], rel=1e-3), row


def test_measurements_are_kept_in_the_store_and_read_again_bit_by_bit(corpus, tiny, monkeypatch):
    first = load_data(one_run(tiny).data)
    made = first._measure(first.windows["first"].to_numpy(), np.full(len(first.windows), first.length))
    pd.testing.assert_frame_equal(first.measures(), made, check_exact=True)
    again = load_data(one_run(tiny).data)
    with monkeypatch.context() as patch:
        patch.setattr(Data, "_measure", lambda *a: pytest.fail("measured again"))
        pd.testing.assert_frame_equal(again.measures(), made, check_exact=True)
    other = load_data(one_run([*tiny, "windows.length_s=2"]).data)
    assert len(other.measures()) < len(made)  # other windows are other measurements
    monkeypatch.setattr(loading, "MEASURES_VERSION", -1)
    monkeypatch.setattr(Data, "_measure", lambda *a: made.head(3))
    assert len(load_data(one_run(tiny).data).measures()) == 3
    for path in first.store.path.glob("measures-*"):
        path.unlink()  # one of them is invented


# ----------------------------------------------------------------------------------------- metadata

PEOPLE = pd.DataFrame(
    {"age_band": ["child", "", "older adult", "MRN0012345"], "sex": ["F", "M", "", "Harry"]}
)


def writer(person, names=("FP1-F7", "F7-T7"), montage="native"):
    return MetadataWriter(montage, names, 256.0, AGES, person=person)


def test_metadata_is_told_in_one_sentence_and_an_unknown_word_never():
    assert writer(True).describe(PEOPLE) == [
        "Scalp EEG, child, female; 2 channels, bipolar montage, 256 Hz.",
        "Scalp EEG, male; 2 channels, bipolar montage, 256 Hz.",
        "Scalp EEG, older adult; 2 channels, bipolar montage, 256 Hz.",
        "Scalp EEG; 2 channels, bipolar montage, 256 Hz.",
    ]
    assert set(writer(True).describe(PEOPLE)) <= set(writer(True).vocabulary_sentences())
    assert len(writer(True).vocabulary_sentences()) == 21


def test_age_and_sex_are_left_out_where_persons_stand_on_both_sides():
    assert set(writer(False).describe(PEOPLE)) == {"Scalp EEG; 2 channels, bipolar montage, 256 Hz."}
    assert len(writer(False).vocabulary_sentences()) == 1


@pytest.mark.parametrize(
    "montage, names, kind",
    [
        ("native", ("FP1", "O2"), "referential"),
        ("native", ("FP1-F3", "P4-O2"), "bipolar"),
        ("bipolar18", ("FP1-F3", "P4-O2"), "bipolar"),
        ("car19", ("FP1", "O2"), "common average"),
    ],
)
def test_the_montage_is_called_by_its_kind(montage, names, kind):
    assert f"2 channels, {kind} montage" in writer(False, names, montage).describe(PEOPLE)[0]


@pytest.mark.parametrize(
    "split, person",
    [
        *(("subject", True), ("leave_one_subject_out", True), ("official", True)),
        *(("recording", False), ("time", False), ("event", False), ("window", False)),
    ],
)
def test_a_split_that_shares_persons_hides_who_they_are(split, person, corpus, tiny):
    n_folds = 1 if split == "official" else 5
    dealt = fresh(corpus, split=SplitConfig(name=split, n_folds=n_folds))
    told, _ = describe_fold(one_run([*tiny, "text.source=metadata"]).text, dealt, 0)
    assert any(", male" in t or ", female" in t for t in told) == person
    assert len(set(told)) == 1 or person
    assert (split in APART) == person


# ----------------------------------------------------------------------------------- class sentences


def test_every_class_of_every_corpus_has_a_sentence_of_its_own_that_fits():
    assert set(EVERY_CLASS) >= {"bckg", "seiz", "absz", "complex_partial", "sz_foc_ia_nm_behavior"}
    for classes in (("bckg", "seiz"), ("bckg", *TYPES), AubmcWindows.classes, ("bckg", *SZCORE[1:])):
        sentences = class_sentences(classes)
        assert len(set(sentences)) == len(classes)
        assert tokenize(build_wordpiece(sentences), sentences, max_len=512)["input_ids"].shape[1] <= 64
        assert all(denied(s) for s in sentences)  # none may ever describe a window
    assert class_sentences(["LPDs_left"]) == ["Scalp EEG of the class LPDs left."]
    assert (
        "focal, with impaired awareness, motor, automatisms"
        in class_sentences(["sz_foc_ia_m_automatisms"])[0]
    )


def test_the_user_s_own_sentences_replace_ours():
    assert class_sentences(("bckg", "seiz"), ["Rest.", " Fit. "]) == ["Rest.", "Fit."]


@pytest.mark.parametrize(
    "own", [["Rest."], ["Rest.", "Rest."], ["Rest.", ""], ["Rest.", None], ["a", "b", "c"], []]
)
def test_one_distinct_sentence_a_class_is_expected(own):
    with pytest.raises(ConfigError, match="expected one for each of bckg, seiz") as caught:
        class_sentences(("bckg", "seiz"), own)
    assert "\n" not in str(caught.value)


def test_a_class_template_is_paired_with_training_windows_alone(corpus, tiny):
    config = one_run([*tiny, "text.source=class_template", "text.class_prompts=[Rest.,Fit.]"])
    told, template = describe_fold(config.text, corpus, 1)
    train = corpus.rows(1, "train")
    label = corpus.windows["label"].to_numpy()
    assert [told[k] for k in train] == [("Rest.", "Fit.")[label[k]] for k in train]
    assert {told[k] for k in range(len(told)) if k not in set(train)} == {""}
    bank = TextBank(build_wordpiece(template.vocabulary_sentences()), told)
    assert bank.sentences.tolist() == ["Fit.", "Rest."]
    with pytest.raises(ValueError, match="no text"):
        bank.of(torch.from_numpy(corpus.rows(1, "test")[:3]))


def test_a_teacher_trains_on_class_templates(tiny, tmp_path):
    words = [*tiny, "text.source=class_template", "fold=0", "trainer.epochs=1", f"run.root={tmp_path}"]
    run = pipeline.training(one_run(words), report=False).train()
    assert run.folds_done() == [0]
    assert "seizure" in (run.fold(0) / "model.json").read_text(encoding="utf-8")


# ----------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "values, words",
    [
        ({"source": "labels"}, "text.source='labels'"),
        ({"source": "report"}, "text.source='report'"),
        ({"detail": "poem"}, "text.detail='poem'"),
        ({"context_s": 0.0}, "text.context_s=0.0"),
        ({"context_s": -1.0}, "text.context_s=-1.0"),
        ({"context_s": 600.0}, "text.context_s=600.0"),
    ],
)
def test_a_wrong_text_setting_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        TextConfig(**values)


def test_a_run_without_the_newer_settings_keeps_its_folder():
    settings = one_run(["split=subject"])
    older = plain(settings)
    older["text"] = {k: older["text"][k] for k in ("source", "detail")}
    assert digest_of(read_settings(older, Path("runs/older"))) == digest_of(settings)
    assert digest_of(one_run(["split=subject", "text.context_s=4"])) != digest_of(settings)
