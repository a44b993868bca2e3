"""The text side of an exported teacher: BERT-LP, its map to the shared space, the scale, and the tokenizer.

Everything is in the folder: sizes in ``config.json``, all weights (a frozen body's too) as safetensors, the
tokenizer as JSON. Neither the run nor the pretrained weights it began with are needed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.losses import LOGIT_SCALE_INIT
from distilclip_eeg.models.text_backends import described, rebuilt
from distilclip_eeg.schema import DataError
from distilclip_eeg.text.tokenizer import read_tokenizer, tokenize

MAX_LEN = 64
"""Word pieces of a sentence, as in training."""


class TextSide(nn.Module):
    """Sentences to features in the space shared with EEG.

    Args:
        project: ``nn.Identity``, or the linear map to the EEG side's width.
        tokenizer: as JSON (``text.tokenizer.save_tokenizer``).

    Raises:
        DataError: ``bad_tokenizer``.
    """

    def __init__(self, text: BertLP, project: nn.Module, tokenizer: str):
        super().__init__()
        self.text, self.text_project = text, project
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))
        self.tokenizer = tokenizer
        try:
            self.words = read_tokenizer(tokenizer)
        except Exception as error:  # the Rust library raises Exception itself
            raise DataError(f"tokenizer: {error}. Export the model again.", reason="bad_tokenizer") from error

    @classmethod
    def of(cls, model: DistilCLIP, tokenizer: str) -> "TextSide":
        """The text side of a trained teacher; its modules are shared, not copied."""
        side = cls(model.text, model.text_project, tokenizer)
        side.logit_scale = model.logit_scale
        return side.eval()

    @classmethod
    def empty(cls, about: dict, tokenizer: str) -> "TextSide":
        """One to be filled with weights, by what ``settings`` said."""
        text = rebuilt(about["bert"], about["bert_lp"])
        width = about["width"]
        return cls(text, nn.Identity() if width is None else nn.Linear(text.dim, width), tokenizer)

    def settings(self) -> dict:
        """Plain values for ``empty``; ``width`` is None where the widths agree and nothing maps them."""
        width = getattr(self.text_project, "out_features", None)
        return {**described(self.text), "width": width}

    def encode(self, sentences: Sequence[str]) -> Tensor:
        """Features (U, E), not normalised."""
        tokens = tokenize(self.words, list(sentences), MAX_LEN)
        device = self.logit_scale.device
        return self.text_project(self.text(**{k: v.to(device) for k, v in tokens.items()}))
