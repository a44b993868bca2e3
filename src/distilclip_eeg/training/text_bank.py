"""The texts of a corpus as a text encoder reads them, each once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from distilclip_eeg.text.tokenizer import tokenize


class TextBank:
    """Every distinct description of a corpus, tokenised once, and which one each window carries.

    Args:
        description_N: one text a row of the window index; empty where a window has none and may get none.
        class_sentences: class prompts, in the order of the classes, where a task compares with them.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        description_N: Sequence[str],
        class_sentences: Sequence[str] = (),
        max_len: int = 64,
    ):
        self.tokenizer = tokenizer
        written_N = np.asarray(description_N, dtype=str)
        told_N = np.asarray(written_N != "")
        self.sentences, text = np.unique(written_N[told_N], return_inverse=True)
        self.text_N = torch.full((len(told_N),), -1)
        self.text_N[torch.from_numpy(told_N)] = torch.from_numpy(text)
        tokens = tokenize(tokenizer, list(self.sentences), max_len)
        self.input_ids, self.attention_mask = tokens["input_ids"], tokens["attention_mask"]
        self.classes = tokenize(tokenizer, list(class_sentences), max_len) if class_sentences else None

    def text_of(self, row_B: Tensor) -> Tensor:
        """Which of ``sentences`` each window of the batch carries."""
        text_B = self.text_N[row_B.cpu()]
        if (text_B < 0).any():
            raise ValueError(
                "a window outside training has no text: with class_template it would be its label"
            )
        return text_B

    def of(self, row_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The batch's distinct texts (ids, mask, padded to the longest), in the order of ``sentences``, and
        each window's row among them."""
        unique_U, text_id_B = torch.unique(self.text_of(row_B), return_inverse=True)
        mask = self.attention_mask[unique_U]
        longest = int(mask.sum(1).max())
        ids, mask = self.input_ids[unique_U, :longest], mask[:, :longest]
        return ids.to(row_B.device), mask.to(row_B.device), text_id_B.to(row_B.device)
