"""What is learned: a model, its loss and its batch contract in one module.

The loop calls ``task(batch)`` and minimises ``["loss"]``; ``task.net`` is what inference needs. Where several
processes share a step, each encodes its part of the windows and of the texts; behind ``gather_rows`` all have
the same features, and compute the loss of the whole step. Nothing of a step is read from its device.
"""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from distilclip_eeg.config.learning import DistillConfig
from distilclip_eeg.models.clip import DistilCLIP, PromptClassifier, mean_logits
from distilclip_eeg.models.contract import EncoderWithHead
from distilclip_eeg.models.losses import (
    CROSS_ENTROPY,
    clamp_logit_scale_,
    classification_loss,
    clip_loss,
    contrastive_loss,
    distillation_loss,
    feature_losses,
    similarity,
)
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.training import processes
from distilclip_eeg.training.gather import gather_rows
from distilclip_eeg.training.loaders import Batch, send
from distilclip_eeg.training.text_bank import TextBank


class Task(nn.Module):
    """Base of the tasks: called with a batch it gives ``loss`` and its terms, ``logits`` among them."""

    net: nn.Module
    """What inference needs: (B, C, T) to logits (B, K)."""

    def after_step(self) -> None:
        """Called after every optimiser step."""

    def answer(self, batch: Batch) -> Tensor:
        """The answer to a batch that is not trained on: class logits, (B, K)."""
        return self.net(batch.eeg_BCT)

    def inference_net(self) -> nn.Module:
        """The network to keep: (B, C, T) to logits (B, K)."""
        return self.net

    def text_parameters(self) -> list[nn.Parameter]:
        """Parameters of the text encoder itself, which have a learning rate of their own."""
        return []

    def costly(self) -> list[tuple[nn.Module, str]]:
        """The methods in which a step's time goes, each of a network of fixed shapes."""
        return [(self.net, "forward")]

    @contextmanager
    def compiled(self) -> Iterator[None]:
        """Inside, they are compiled for each shape that comes, and run as CUDA graphs."""
        for module, name in self.costly():
            setattr(module, name, torch.compile(getattr(module, name), mode="reduce-overhead", dynamic=False))
        try:
            yield
        finally:
            for module, name in self.costly():
                delattr(module, name)

    def text_state(self) -> dict[str, Tensor]:
        """What training changed beside the network that is kept; empty where there is no text side."""
        return {}


class ClassLoss(nn.Module):
    """L2 of Algorithm 1 with its settings; see ``losses.classification_loss``.

    Args:
        weight_K: of each class; None: all alike.
        kind: cross-entropy, or a registered loss.
    """

    weight_K: Tensor | None

    def __init__(self, weight_K: Tensor | None = None, kind: str = CROSS_ENTROPY):
        super().__init__()
        self.kind = kind
        self.register_buffer("weight_K", weight_K, persistent=False)

    def forward(self, logits_BK: Tensor, label_B: Tensor) -> dict[str, Tensor]:
        """``loss`` and its terms, means over windows."""
        return classification_loss(logits_BK, label_B, class_weight_K=self.weight_K, kind=self.kind)


class ClassifyTask(Task):
    """Any network that maps windows to logits, trained by cross-entropy (Eq. 1).

    Args:
        loss: of the class logits; by default the article's.
    """

    def __init__(self, net: nn.Module, loss: ClassLoss | None = None):
        super().__init__()
        self.net, self.loss = net, loss or ClassLoss()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss and logits (B, K) of a batch."""
        logits = gather_rows(self.net(batch.eeg_BCT), len(batch.row_B))
        return {**self.loss(logits, batch.label_B), "logits": logits}


class FeatureTask(Task):
    """An encoder whose features are the answer; nothing to train."""

    net: EncoderWithHead

    def __init__(self, net: EncoderWithHead):
        super().__init__()
        self.net = net

    def answer(self, batch: Batch) -> Tensor:
        """Features (B, E)."""
        return self.net.encode(batch.eeg_BCT)


class MetaTask(Task):
    """First-order meta-learning over subjects (Finn et al. 2017, ICML, its first-order form).

    In every batch, half of each subject's windows take one gradient step away from the shared weights, and
    the other half is classified with the weights so reached; its gradient, as if it stood at the shared
    weights, trains them. A subject with one window in the batch is classified without adapting.

    Args:
        subject_N: the subject of each row of the window index, as whole numbers.
        inner_lr: length of the step taken for a subject.

    Raises:
        ConfigError: ``inner_lr`` is not above 0, or several processes would each hold a part of a subject.
    """

    def __init__(
        self, net: nn.Module, subject_N: np.ndarray, *, inner_lr: float, loss: ClassLoss | None = None
    ):
        super().__init__()
        if not inner_lr > 0:
            raise ConfigError(f"model.meta_lr={inner_lr} must be above 0, or null for plain training.")
        if processes.several():
            raise ConfigError(
                f"model.meta_lr={inner_lr} adapts to a batch's subjects, whose windows one process must "
                "hold. Start one process, or set model.meta_lr=null."
            )
        self.net, self.subject_N, self.inner_lr, self.loss = net, subject_N, inner_lr, loss or ClassLoss()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss of the query windows, and logits (B, K) of all."""
        subject_B, device = self.subject_N[batch.row_B], batch.label_B.device
        logits_B: dict[int, Tensor] = {}
        queries = []
        for subject in np.unique(subject_B):
            here = np.flatnonzero(subject_B == subject)
            support, query = (send(half, device) for half in (here[: len(here) // 2], here[len(here) // 2 :]))
            weights, support_logits = self.adapted(batch, support)
            query_logits = functional_call(self.net, weights, (batch.eeg_BCT[query],))
            logits_B |= dict(zip(here.tolist(), [*support_logits, *query_logits], strict=True))
            queries.append(query)
        logits_BK, query = torch.stack([logits_B[row] for row in range(len(subject_B))]), torch.cat(queries)
        return {**self.loss(logits_BK[query], batch.label_B[query]), "logits": logits_BK}

    def adapted(self, batch: Batch, support: Tensor) -> tuple[dict[str, Tensor], Iterable[Tensor]]:
        """The weights one step on, and the support windows' logits before it; the step has no gradient."""
        shared: dict[str, Tensor] = dict(self.net.named_parameters())
        if not len(support):
            return shared, ()
        logits = self.net(batch.eeg_BCT[support])
        loss = self.loss(logits, batch.label_B[support])["loss"]
        steps = torch.autograd.grad(loss, list(shared.values()), allow_unused=True)
        weights = {
            name: weight if step is None else weight - self.inner_lr * step
            for (name, weight), step in zip(shared.items(), steps, strict=True)
        }
        return weights, logits.detach()


class ClipTask(Task):
    """Algorithm 1: ``alpha * contrast + (1 - alpha) * cross-entropy``.

    Args:
        alpha: weight of the contrast.
        targets: what belongs together in the contrast; see ``losses.contrastive_loss``.
        inference: ``head``: the class logits of L2. ``prompt``: similarity to the bank's class prompts, as
            CLIP classifies; ``ensemble``: the mean of both probabilities.
        loss: of the class logits.
    """

    def __init__(
        self,
        model: DistilCLIP,
        bank: TextBank,
        *,
        alpha: float,
        targets: str,
        inference: str = "head",
        loss: ClassLoss | None = None,
    ):
        super().__init__()
        self.model, self.bank, self.loss = model, bank, loss or ClassLoss()
        self.alpha, self.targets, self.inference = alpha, targets, inference
        self.buckets = False
        """Whether texts come in few sizes."""
        if alpha == 0:  # nothing is contrasted
            model.logit_scale.requires_grad_(False)
            if model.head_input == "text":
                model.eeg.requires_grad_(False)

    @property
    def net(self) -> EncoderWithHead:  # type: ignore[override]  # one module under two names would be saved twice
        """The EEG side."""
        return self.model.eeg

    def after_step(self) -> None:
        """Hold the scale at its limit."""
        clamp_logit_scale_(self.model.logit_scale)

    def text_parameters(self) -> list[nn.Parameter]:
        """Those of BERT-LP; its map to the shared space learns at the rate of the EEG side."""
        return list(self.model.text.parameters())

    def text_state(self) -> dict[str, Tensor]:
        """The trained tensors of everything but the EEG encoder, on the CPU."""
        module = self.model
        state = {k: v for k, v in module.named_parameters() if v.requires_grad} | dict(module.named_buffers())
        return {k: v.detach().cpu().clone() for k, v in state.items() if not k.startswith("eeg.")}

    def costly(self) -> list[tuple[nn.Module, str]]:
        """Both encoders."""
        return [(self.net, "encode"), (self.model.text, "forward")]

    @contextmanager
    def compiled(self) -> Iterator[None]:
        """The same, with texts in few sizes."""
        self.buckets = True
        with super().compiled():
            yield
        self.buckets = False

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss, its terms and class logits (B, K) of a batch."""
        eeg = text = text_id_B = None
        logged, device = {}, batch.label_B.device
        if self.alpha > 0 or self.model.head_input != "text":
            eeg = gather_rows(self.net.encode(batch.eeg_BCT), len(batch.row_B))
        if self.targets != "class_prompt" or self.model.head_input != "eeg":
            text, text_id_B = self.texts(batch)
            logged["unique_texts"] = torch.full(
                (), float(len(np.unique(self.bank.text_of(batch.row_B)))), device=device
            )
        logits = self.model.classify(eeg, None if text is None else text[text_id_B])
        if self.alpha > 0 and self.targets == "class_prompt":
            text, text_id_B = self.class_features(device), batch.label_B
        l1, l2 = None, self.loss(logits, batch.label_B)
        if self.alpha > 0:
            assert eeg is not None and text is not None, "a contrast without EEG or text"
            l1 = contrastive_loss(
                eeg, text, text_id_B, batch.label_B, targets=self.targets,
                logit_scale=self.model.logit_scale, logit_bias=self.model.logit_bias,
            )  # fmt: skip
        return {**clip_loss(l2, l1, alpha=self.alpha), **logged, "logits": logits}

    def texts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of the batch's distinct texts (U, E), and which of them each window carries."""
        ids, mask, text_id_B = self.bank.of(batch.row_B, batch.label_B.device, buckets=self.buckets)
        return self.encode_text(ids, mask), text_id_B

    def encode_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Features of texts; several processes that train share them out, at least one each."""
        n = len(ids)
        if not (self.training and processes.several()):
            return self.model.encode_text(ids, mask)
        more = max(processes.count() - n, 0)
        ids, mask = (torch.cat([values, values[:1].expand(more, -1)]) for values in (ids, mask))
        own = processes.part(len(ids))
        return gather_rows(self.model.encode_text(ids[own], mask[own]), len(ids))[:n]

    @torch.no_grad()
    def inference_net(self) -> nn.Module:
        """What answers without the text encoder; with a head that reads text, the EEG encoder alone."""
        if self.inference == "head":
            return self.net
        features = self.class_features(self.model.logit_scale.device)
        return PromptClassifier(copy.deepcopy(self.net), self.inference).set_classes(
            features, self.model.logit_scale
        )

    def class_features(self, device: torch.device) -> Tensor:
        """Features of the class prompts, (K, E)."""
        assert self.bank.classes is not None, "a bank without class prompts"
        ids, mask = (send(self.bank.classes[name], device) for name in ("input_ids", "attention_mask"))
        return self.encode_text(ids, mask)

    def answer(self, batch: Batch) -> Tensor:
        """Class logits (B, K) as ``inference`` says; a head that reads text gets the windows' own."""
        text, features = None, self.net.encode(batch.eeg_BCT)
        if self.model.head_input != "eeg":
            of_text, text_id_B = self.texts(batch)
            text = of_text[text_id_B]
        if self.inference == "head":
            return self.model.classify(features, text)
        by_prompt = similarity(features, self.class_features(features.device), self.model.logit_scale)
        if self.inference == "prompt":
            return by_prompt
        return mean_logits(self.model.classify(features, text), by_prompt)


class DistillTask(Task):
    """Algorithm 2: the student's cross-entropy and its divergence from the teacher's cached logits.

    Args:
        net: the student; its logits are its head's, or similarities to class prompts (``PromptClassifier``).
        teacher_NK: logits of the frozen teacher by row of the window index; NaN where never needed.
        wanted: temperature, direction and the weights of the terms.
        teacher_NE: its features likewise, for the two optional terms on features.
        text: of the optional contrast with the teacher's texts (article, Fig. 1).
        loss: of the class logits.
    """

    net: EncoderWithHead | PromptClassifier

    def __init__(
        self,
        net: EncoderWithHead | PromptClassifier,
        teacher_NK: Tensor,
        wanted: DistillConfig,
        *,
        teacher_NE: Tensor | None = None,
        text: "CachedText | None" = None,
        loss: ClassLoss | None = None,
    ):
        super().__init__()
        self.net, self.teacher_NK, self.teacher_NE = net, teacher_NK, teacher_NE
        self.wanted, self.text, self.loss = wanted, text, loss or ClassLoss()

    def costly(self) -> list[tuple[nn.Module, str]]:
        """The student's encoder."""
        return [(self.net, "encode")]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Loss, its terms and the student's logits (B, K) of a batch."""
        features = gather_rows(self.net.encode(batch.eeg_BCT), len(batch.row_B))
        logits, rows, wanted = self.net.classifier(features), torch.from_numpy(batch.row_B), self.wanted
        terms = distillation_loss(
            logits,
            send(self.teacher_NK[rows], logits.device),
            batch.label_B,
            alpha=wanted.alpha,
            temperature=wanted.temperature,
            direction=wanted.direction,
            class_weight_K=self.loss.weight_K,
            kind=self.loss.kind,
        )
        extra = {}
        if wanted.contrast > 0 and self.text is not None:
            extra["contrastive"] = self.text.contrast(features, batch.row_B, batch.label_B)
        if self.teacher_NE is not None:
            extra |= feature_losses(features, send(self.teacher_NE[rows], logits.device))
        weights = {"contrastive": wanted.contrast, "cosine": wanted.cosine, "mse": wanted.mse}
        for name, value in extra.items():
            terms["loss"] = terms["loss"] + weights[name] * value
        return {**terms, **extra, "logits": logits}


@dataclass(frozen=True)
class CachedText:
    """The text side of a frozen teacher, computed once."""

    bank: TextBank
    text_UE: Tensor
    """Features of ``bank``'s sentences."""
    class_features_KE: Tensor
    """Features of the class prompts."""
    logit_scale: Tensor

    def contrast(self, features_BE: Tensor, row_B: np.ndarray, label_B: Tensor) -> Tensor:
        """L1 of a student's features with the texts of the windows ``row_B``."""
        device = features_BE.device
        text_id_B = send(self.bank.text_of(row_B), device)
        text_UE, scale = send(self.text_UE, device), send(self.logit_scale, device)
        return contrastive_loss(features_BE, text_UE, text_id_B, label_B, scale)["loss"]
