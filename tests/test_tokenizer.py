import copy
import pickle

import pytest
import torch

from distilclip_eeg.schema import ConfigError
from distilclip_eeg.text.descriptors import Describer
from distilclip_eeg.text.tokenizer import build_wordpiece, tokenize

SENTENCES = ["Rhythmic theta activity of low amplitude.", "Irregular delta activity of high amplitude."]


def test_a_description_is_one_token_per_word():
    tokenizer = build_wordpiece(SENTENCES)
    ids = tokenize(tokenizer, SENTENCES[:1])["input_ids"][0]
    assert tokenizer.convert_ids_to_tokens(ids)[:9] == [
        *("[CLS]", "rhythmic", "theta", "activity", "of", "low", "amplitude", ".", "[SEP]"),
    ]


def test_special_tokens_come_first_and_padding_is_zero():
    tokenizer = build_wordpiece(SENTENCES)
    assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.pad_token_id == 0


@pytest.mark.parametrize("detail", ["coarse", "full"])
def test_no_description_holds_an_unknown_token(detail):
    sentences = Describer(detail).vocabulary_sentences()
    tokenizer = build_wordpiece(sentences)
    batch = tokenize(tokenizer, sentences)
    assert not (batch["input_ids"] == tokenizer.unk_token_id).any()


def test_free_text_splits_into_known_pieces():
    tokenizer = build_wordpiece(SENTENCES)
    ids = tokenize(tokenizer, ["3 Hz rhythm, left temporal?"])["input_ids"][0]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert "[UNK]" not in tokens
    assert tokens[1:4] == ["3", "h", "##z"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "3 hz rhythm, left temporal?"


def test_the_vocabulary_does_not_depend_on_order_or_repeats():
    a = build_wordpiece(SENTENCES)
    b = build_wordpiece([*reversed(SENTENCES), *SENTENCES])
    assert a.get_vocab() == b.get_vocab()
    # Python's sets differ between processes; sorted words do not.
    words = ["activity", "amplitude", "delta", "high", "irregular", "low", "of", "rhythmic", "theta"]
    assert a.convert_ids_to_tokens(range(len(a)))[-9:] == words


def test_case_does_not_matter():
    tokenizer = build_wordpiece(SENTENCES)
    batch = tokenize(tokenizer, [SENTENCES[0].upper(), SENTENCES[0]])["input_ids"]
    assert torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("words, length", [(1, 8), (6, 8), (7, 16), (14, 16), (15, 24), (62, 64), (200, 64)])
def test_lengths_are_the_longest_rounded_up_to_eight_and_at_most_64(words, length):
    # [CLS] and [SEP] are two more tokens than words.
    tokenizer = build_wordpiece(SENTENCES)
    batch = tokenize(tokenizer, ["theta " * words, "theta"])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, length)
    assert batch["attention_mask"].sum(1).tolist() == [min(words + 2, 64), 3]
    assert batch["input_ids"][0].tolist().count(tokenizer.sep_token_id) == 1
    assert batch["input_ids"].dtype == torch.int64


def test_a_batch_holds_ids_and_mask_only():
    assert set(tokenize(build_wordpiece(SENTENCES), SENTENCES)) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize("max_len", [0, 7, 60])
def test_a_length_that_is_no_multiple_of_eight_is_refused(max_len):
    with pytest.raises(ValueError, match="multiple of 8"):
        tokenize(build_wordpiece(SENTENCES), SENTENCES, max_len=max_len)


def test_nothing_to_build_from_is_refused():
    with pytest.raises(ConfigError, match="none were given"):
        build_wordpiece([])
    with pytest.raises(ValueError, match="at least one"):
        tokenize(build_wordpiece(SENTENCES), [])


def test_a_tokenizer_survives_saving_copying_and_pickling(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = build_wordpiece(SENTENCES)
    tokenizer.save_pretrained(tmp_path)
    expected = tokenize(tokenizer, SENTENCES)["input_ids"]
    loaded = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    for other in (loaded, copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        assert torch.equal(tokenize(other, SENTENCES)["input_ids"], expected)
