"""EEG and text encoders in one space, as in CLIP (article, Sec. III-A, Algorithm 1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.losses import LOGIT_SCALE_INIT, similarity
from distilclip_eeg.schema import check_choice

HEAD_INPUTS = ("eeg", "fused", "text")
INFERENCES = ("head", "prompt", "ensemble")


class DistilCLIP(nn.Module):
    """The teacher: an EEG encoder with classifier, a text encoder, and the log of the scale between them.

    Args:
        head_input: what the class logits of L2 are made of. ``eeg``: the EEG feature, so that text shapes
            training only and inference needs none. ``fused``: both features, each at length one; inference
            needs the description. ``text``: the description alone, which shows what the text lets through.
        with_bias: a learned bias on similarities, which ``loss.targets=sigmoid`` needs.
    """

    def __init__(self, eeg: Conformer, text: BertLP, *, head_input: str = "eeg", with_bias: bool = False):
        super().__init__()
        self.eeg = eeg
        self.text = text
        # Widths agree in the article (768 = 768); any other text encoder gets one linear map.
        self.text_project = nn.Identity() if text.dim == eeg.dim else nn.Linear(text.dim, eeg.dim)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))
        self.logit_bias = nn.Parameter(torch.tensor(0.0)) if with_bias else None
        self.head_input, self.head = head_input, None
        if head_input != "eeg":
            width = 2 * eeg.dim if head_input == "fused" else eeg.dim
            self.head = nn.Linear(width, eeg.classifier.out_features)
            self.eeg.classifier.requires_grad_(False)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features of unique texts, (U, E), not normalised."""
        return self.text_project(self.text(input_ids, attention_mask))

    def classify(self, eeg_features_BD: Tensor | None, text_features_BD: Tensor | None) -> Tensor:
        """Class logits (B, K) from what ``head_input`` names; the other may be None."""
        if self.head_input == "eeg":
            return self.eeg.classifier(eeg_features_BD)
        parts = [text_features_BD] if self.head_input == "text" else [eeg_features_BD, text_features_BD]
        return self.head(torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1))


class PromptClassifier(nn.Module):
    """An EEG encoder that classifies by similarity to class prompts; their text features are constants.

    ``prompt``: logits are the similarities of Algorithm 1 to one text a class (zero-shot, if no loss ever saw
    these texts). ``ensemble``: the mean of those probabilities and the head's, as logits. Needs no text at
    inference.

    Args:
        eeg: taken over; for ``prompt`` its own classifier is removed because nothing would use it.
    """

    electrode_layer = "eeg.stem.time"

    def __init__(self, eeg: Conformer, inference: str):
        super().__init__()
        check_choice("head.inference", inference, INFERENCES[1:])
        n_outputs = eeg.classifier.out_features
        self.eeg, self.inference = eeg, inference
        if inference == "prompt":
            eeg.classifier = nn.Identity()
        self.register_buffer("class_features_KE", torch.zeros(n_outputs, eeg.dim))
        self.register_buffer("logit_scale", torch.tensor(LOGIT_SCALE_INIT))

    @torch.no_grad()
    def set_classes(self, class_features_KE: Tensor, logit_scale: Tensor) -> "PromptClassifier":
        """Take the class prompts' features and the scale; returns self."""
        self.class_features_KE.copy_(class_features_KE)
        self.logit_scale.copy_(logit_scale)
        return self

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features in the space shared with text, (B, E)."""
        return self.eeg.encode(eeg_BCT)

    def classifier(self, features_BE: Tensor) -> Tensor:
        """Class logits of features, (B, K)."""
        by_prompt = similarity(features_BE, self.class_features_KE, self.logit_scale)
        return (
            by_prompt
            if self.inference == "prompt"
            else mean_logits(self.eeg.classifier(features_BE), by_prompt)
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.encode(eeg_BCT))


def prompt_classifier(*, inference: str, **encoder) -> PromptClassifier:
    """A ``PromptClassifier`` by the settings of ``Conformer``, as a saved model names it."""
    return PromptClassifier(Conformer(**encoder), inference)


def mean_logits(one_BK: Tensor, other_BK: Tensor) -> Tensor:
    """Logits of the mean of two classifiers' probabilities."""
    logs = torch.stack([one_BK.float().log_softmax(-1), other_BK.float().log_softmax(-1)])
    return logs.logsumexp(0) - torch.log(torch.tensor(2.0))
