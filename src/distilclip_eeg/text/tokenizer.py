"""Sentences to token ids, with a tokenizer that needs no download.

The vocabulary is the words of the sentences plus single characters: a description is one token per
word, and any other plain English text (a search query) still splits into known pieces.
"""

import string
from collections.abc import Iterable, Sequence

import transformers  # loads its parts when they are asked for: BERT alone takes seconds
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from distilclip_eeg.schema import ConfigError

SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
PAD_MULTIPLE = 8
"""Lengths are rounded up to this: tensor cores like it, and few distinct shapes are met."""


def build_wordpiece(sentences: Iterable[str]) -> "transformers.PreTrainedTokenizerFast":
    """A BERT-style lower-case WordPiece tokenizer for the words of ``sentences``.

    The ids depend on the set of words only, not on the order or number of the sentences. [PAD] is 0.

    Raises:
        ConfigError: no word in any of the sentences.
    """
    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    words: set[str] = set()
    for sentence in sentences:
        words.update(w for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(sentence)))
    if not words:
        raise ConfigError("The text encoder needs sentences to build its vocabulary from; none were given.")
    letters = string.ascii_lowercase + string.digits
    alone = [*letters, *string.punctuation]
    tail = [f"##{c}" for c in letters]
    tokens = dict.fromkeys([*SPECIAL.values(), *alone, *tail, *sorted(words)])
    vocab = {token: i for i, token in enumerate(tokens)}

    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)


def save_tokenizer(tokenizer: "transformers.PreTrainedTokenizerBase") -> str:
    """A fast tokenizer as JSON, as it cuts words, without what its last call padded or truncated to."""
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    return plain.to_str()


def read_tokenizer(text: str) -> "transformers.PreTrainedTokenizerFast":
    """What ``save_tokenizer`` gave; BERT's special tokens are called as in ``SPECIAL``."""
    return transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **SPECIAL)


def tokenize(
    tokenizer: "transformers.PreTrainedTokenizerBase", sentences: Sequence[str], max_len: int = 64
) -> dict[str, Tensor]:
    """``input_ids`` and ``attention_mask``, int64 of shape (U, L), for U sentences.

    L is the longest sentence with [CLS] and [SEP], rounded up to a multiple of 8 and cut at ``max_len``
    (64 fits the paper's FLOPs): short descriptions cost a quarter of a batch padded to 64.

    Raises:
        ValueError: ``max_len`` is no multiple of 8.
        ValueError: no sentence.
    """
    if max_len < PAD_MULTIPLE or max_len % PAD_MULTIPLE:
        raise ValueError(f"max_len={max_len} must be a multiple of {PAD_MULTIPLE}, such as 64")
    if not len(sentences):
        raise ValueError("tokenize() needs at least one sentence")
    batch = tokenizer(
        [str(s) for s in sentences],
        padding="longest",
        pad_to_multiple_of=PAD_MULTIPLE,
        truncation=True,
        max_length=max_len,
        return_tensors="pt",
    )
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
