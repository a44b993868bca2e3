"""EEG and text encoders in one space, as in CLIP (article, Sec. III-A, Algorithm 1)."""

import torch
from torch import Tensor, nn

from distilclip_eeg.losses import LOGIT_SCALE_INIT
from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.conformer import Conformer


class DistilCLIP(nn.Module):
    """The teacher: an EEG encoder with classifier, a text encoder, and the log of the scale between them.

    Inference needs ``eeg`` alone; text shapes training only.
    """

    def __init__(self, eeg: Conformer, text: BertLP):
        super().__init__()
        self.eeg = eeg
        self.text = text
        # Widths agree in the article (768 = 768); any other text encoder gets one linear map.
        self.text_project = nn.Identity() if text.dim == eeg.dim else nn.Linear(text.dim, eeg.dim)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features of unique texts, (U, E), not normalised."""
        return self.text_project(self.text(input_ids, attention_mask))
