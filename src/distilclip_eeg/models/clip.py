"""EEG and text encoders in one space, as in CLIP (article, Sec. III-A, Algorithm 1)."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.registry import component
from distilclip_eeg.models import conformer  # noqa: F401  # registers the usual encoder's short name
from distilclip_eeg.models.bert_lp import BertLP
from distilclip_eeg.models.contract import EncoderWithHead, with_classifier
from distilclip_eeg.models.losses import LOGIT_SCALE_INIT, similarity
from distilclip_eeg.schema import check_choice

HEAD_INPUTS = ("eeg", "fused", "text")
INFERENCES = ("head", "prompt", "ensemble")


class DistilCLIP(nn.Module):
    """The teacher: an EEG encoder with classifier, a text encoder, and the log of the scale between them.

    Args:
        eeg: any encoder with a classifier, which is frozen where another head takes its place.
        head_input: what the class logits of L2 are made of. ``eeg``: the EEG feature, so that text shapes
            training only and inference needs none. ``fused``: both features, each at length one; inference
            needs the description. ``text``: the description alone, which shows what the text lets through.
        with_bias: a learned bias on similarities, which ``loss.targets=sigmoid`` needs.
    """

    def __init__(
        self, eeg: EncoderWithHead, text: BertLP, *, head_input: str = "eeg", with_bias: bool = False
    ):
        super().__init__()
        self.eeg = eeg
        self.text = text
        # Widths agree in the article (768 = 768); any other text encoder gets one linear map.
        self.text_project: nn.Module = nn.Identity() if text.dim == eeg.dim else nn.Linear(text.dim, eeg.dim)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE_INIT))
        self.logit_bias = nn.Parameter(torch.tensor(0.0)) if with_bias else None
        self.head_input = head_input
        self.head: nn.Linear | None = None
        if head_input != "eeg":
            width = 2 * eeg.dim if head_input == "fused" else eeg.dim
            self.head = nn.Linear(width, eeg.classifier.out_features)
            self.eeg.classifier.requires_grad_(False)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features of unique texts, (U, E), not normalised."""
        return self.text_project(self.text(input_ids, attention_mask))

    def classify(self, eeg_features_BD: Tensor | None, text_features_BD: Tensor | None) -> Tensor:
        """Class logits (B, K) from what ``head_input`` names; the other may be None.

        Raises:
            ValueError: a feature that ``head_input`` names is None.
        """
        if self.head is None:
            return self.eeg.classifier(eeg_features_BD)
        parts = [text_features_BD] if self.head_input == "text" else [eeg_features_BD, text_features_BD]
        given = [F.normalize(part, dim=-1) for part in parts if part is not None]
        if len(given) < len(parts):
            raise ValueError(f"classify: head_input={self.head_input} needs a feature that is None")
        return self.head(torch.cat(given, dim=-1))


class PromptClassifier(nn.Module):
    """An EEG encoder that classifies by similarity to class prompts; their text features are constants.

    ``prompt``: logits are the similarities of Algorithm 1 to one text a class (zero-shot, if no loss ever saw
    these texts). ``ensemble``: the mean of those probabilities and the head's, as logits. Needs no text at
    inference.

    Args:
        eeg: taken over; for ``prompt`` its own classifier is removed because nothing would use it.

    Raises:
        ConfigError: ``inference`` is unknown, or ``head``, for which the encoder alone will do.
    """

    class_features_KE: Tensor
    logit_scale: Tensor

    def __init__(self, eeg: EncoderWithHead, inference: str):
        super().__init__()
        check_choice("head.inference", inference, INFERENCES[1:])
        n_outputs = eeg.classifier.out_features
        self.eeg, self.inference = eeg, inference
        if inference == "prompt":
            eeg.add_module("classifier", nn.Identity())  # in its place
        self.register_buffer("class_features_KE", torch.zeros(n_outputs, eeg.dim))
        self.register_buffer("logit_scale", torch.tensor(LOGIT_SCALE_INIT))

    @property
    def electrode_layer(self) -> str:
        """Name of the last layer that still holds every electrode, if the encoder has one."""
        return f"eeg.{self.eeg.electrode_layer}"

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


@component("network")
def prompt_classifier(
    *, inference: str, encoder: str = "distilclip_eeg.models.conformer.Conformer", **settings: Any
) -> PromptClassifier:
    """A ``PromptClassifier`` as a saved model names it.

    Args:
        encoder: the registered network inside.
        settings: of that network, sizes included.
    """
    sizes = {k: settings.pop(k) for k in ("n_chans", "n_times", "sfreq", "n_outputs")}
    eeg = cast(EncoderWithHead, with_classifier(Component(encoder, settings), sizes))  # as it was saved
    return PromptClassifier(eeg, inference)


def mean_logits(one_BK: Tensor, other_BK: Tensor) -> Tensor:
    """Logits of the mean of two classifiers' probabilities, (B, K), in float32."""
    logs = torch.stack([one_BK.float().log_softmax(-1), other_BK.float().log_softmax(-1)])
    return logs.logsumexp(0) - torch.log(torch.tensor(2.0))
