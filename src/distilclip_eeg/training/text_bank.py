"""The texts of a corpus as a text encoder reads them, each once."""

from collections.abc import Sequence

import numpy as np
import torch
import transformers
from torch import Tensor

from distilclip_eeg.text.tokenizer import tokenize
from distilclip_eeg.training.loaders import send

LENGTHS = 16
"""In buckets, a batch's texts are as long as the next multiple of it."""


class TextBank:
    """Every distinct description of a corpus, tokenised once, and which one each window carries.

    It lies on the host, and rows are looked up there: nothing is read from a device.

    Args:
        description_N: one text a row of the window index; empty where a window has none and may get none.
        class_sentences: class prompts, in the order of the classes, where a task compares with them.
    """

    def __init__(
        self,
        tokenizer: "transformers.PreTrainedTokenizerBase",
        description_N: Sequence[str],
        class_sentences: Sequence[str] = (),
        max_len: int = 64,
    ):
        self.tokenizer = tokenizer
        written_N = np.asarray(description_N, dtype=str)
        told_N = np.asarray(written_N != "")
        self.sentences, text = np.unique(written_N[told_N], return_inverse=True)
        self.text_N = np.full(len(told_N), -1)
        self.text_N[told_N] = text
        tokens = tokenize(tokenizer, list(self.sentences), max_len)
        self.input_ids, self.attention_mask = tokens["input_ids"], tokens["attention_mask"]
        self.length_U = self.attention_mask.sum(1).numpy()
        self.classes = tokenize(tokenizer, list(class_sentences), max_len) if class_sentences else None

    def text_of(self, row_B: np.ndarray) -> np.ndarray:
        """Which of ``sentences`` each window of the batch carries."""
        text_B = self.text_N[row_B]
        if (text_B < 0).any():
            raise ValueError(
                "a window outside training has no text: with class_template it would be its label"
            )
        return text_B

    def of(
        self, row_B: np.ndarray, device: torch.device | str = "cpu", *, buckets: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The batch's distinct texts (ids, mask, padded to the longest), in the order of ``sentences``, and
        each window's row among them.

        Args:
            buckets: few sizes only, for a network that is compiled for each: the number of texts is the next
                power of two, the last one repeated, their length the next multiple of ``LENGTHS``.
        """
        unique_U, text_id_B = np.unique(self.text_of(row_B), return_inverse=True)
        longest = int(self.length_U[unique_U].max())
        if buckets:
            longest = min(-(-longest // LENGTHS) * LENGTHS, self.input_ids.shape[1])
            more = (1 << (len(unique_U) - 1).bit_length()) - len(unique_U)
            unique_U = np.append(unique_U, np.repeat(unique_U[-1:], more))
        at = torch.from_numpy(unique_U)
        ids, mask = self.input_ids[at, :longest], self.attention_mask[at, :longest]
        return send(ids, device), send(mask, device), send(text_id_B, device)
