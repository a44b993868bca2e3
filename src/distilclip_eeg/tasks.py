"""What is learned: a model, its loss and its batch contract in one module.

The loop calls ``task(batch)`` and minimises ``["loss"]``; ``task.net`` is what inference needs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedTokenizerBase

from distilclip_eeg.loaders import Batch
from distilclip_eeg.losses import (
    clamp_logit_scale_,
    classification_loss,
    clip_loss,
    contrastive_loss,
    distillation_loss,
)
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.text.tokenizer import tokenize


class TextBank:
    """Every distinct description of a corpus, tokenised once, and which one each window carries.

    Args:
        description_N: one text a row of the window index; empty where a window has none and may get none.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, description_N: Sequence[str], max_len: int = 64):
        description_N = np.asarray(description_N, dtype=str)
        told_N = description_N != ""
        self.sentences, text = np.unique(description_N[told_N], return_inverse=True)
        self.text_N = torch.full((len(told_N),), -1)
        self.text_N[torch.from_numpy(told_N)] = torch.from_numpy(text)
        tokens = tokenize(tokenizer, list(self.sentences), max_len)
        self.input_ids, self.attention_mask = tokens["input_ids"], tokens["attention_mask"]

    def text_of(self, row_B: Tensor) -> Tensor:
        """Which of ``sentences`` each window of the batch carries."""
        text_B = self.text_N[row_B.cpu()]
        if (text_B < 0).any():
            raise ValueError(
                "a window outside training has no text: with class_template it would be its label"
            )
        return text_B

    def of(self, row_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The batch's distinct texts (ids, mask, padded to the longest) and each window's row among them."""
        unique_U, text_id_B = torch.unique(self.text_of(row_B), return_inverse=True)
        mask = self.attention_mask[unique_U]
        longest = int(mask.sum(1).max())
        ids, mask = self.input_ids[unique_U, :longest], mask[:, :longest]
        return ids.to(row_B.device), mask.to(row_B.device), text_id_B.to(row_B.device)


class Task(nn.Module):
    """Base of the tasks; ``net`` maps (B, C, T) to logits (B, K)."""

    def after_step(self) -> None:
        """Called after every optimiser step."""


class ClassifyTask(Task):
    """Any network that maps windows to logits, trained by cross-entropy (Eq. 1)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.net(batch.eeg_BCT)
        return {**classification_loss(logits, batch.label_B), "logits": logits}


class MetaTask(Task):
    """First-order meta-learning over subjects (Finn et al. 2017, ICML, its first-order form).

    In every batch, half of each subject's windows take one gradient step away from the shared weights, and
    the other half is classified with the weights so reached; its gradient, as if it stood at the shared
    weights, trains them. A subject with one window in the batch is classified without adapting.

    Args:
        subject_N: the subject of each row of the window index, as whole numbers.
        inner_lr: length of the step taken for a subject.
    """

    def __init__(self, net: nn.Module, subject_N: Tensor, *, inner_lr: float):
        super().__init__()
        if not inner_lr > 0:
            raise ConfigError(f"model.meta_lr={inner_lr} must be above 0, or null for plain training.")
        self.net, self.subject_N, self.inner_lr = net, subject_N, inner_lr

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        subject_B = self.subject_N[batch.row_B.cpu()].to(batch.label_B.device)
        logits_BK, queries = [None] * len(subject_B), []
        for subject in subject_B.unique():
            rows = torch.nonzero(subject_B == subject)[:, 0]
            support, query = rows[: len(rows) // 2], rows[len(rows) // 2 :]
            weights, support_logits = self.adapted(batch, support)
            query_logits = functional_call(self.net, weights, (batch.eeg_BCT[query],))
            for row, logits in zip(rows.tolist(), [*support_logits, *query_logits], strict=True):
                logits_BK[row] = logits
            queries.append(query)
        logits_BK, query = torch.stack(logits_BK), torch.cat(queries)
        return {**classification_loss(logits_BK[query], batch.label_B[query]), "logits": logits_BK}

    def adapted(self, batch: Batch, support: Tensor) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """The weights one step on, and the support windows' logits before it; the step has no gradient."""
        shared = dict(self.net.named_parameters())
        if not len(support):
            return shared, ()
        logits = self.net(batch.eeg_BCT[support])
        loss = classification_loss(logits, batch.label_B[support])["loss"]
        steps = torch.autograd.grad(loss, list(shared.values()), allow_unused=True)
        weights = {
            name: weight if step is None else weight - self.inner_lr * step
            for (name, weight), step in zip(shared.items(), steps, strict=True)
        }
        return weights, logits.detach()


class ClipTask(Task):
    """Algorithm 1: ``alpha * contrast + (1 - alpha) * cross-entropy``."""

    def __init__(self, model: DistilCLIP, bank: TextBank, *, alpha: float, targets: str):
        super().__init__()
        self.model, self.bank, self.alpha, self.targets = model, bank, alpha, targets

    @property
    def net(self) -> Conformer:
        return self.model.eeg

    def after_step(self) -> None:
        clamp_logit_scale_(self.model.logit_scale)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        eeg_features = self.net.encode(batch.eeg_BCT)
        logits = self.net.classifier(eeg_features)
        ids, mask, text_id_B = self.bank.of(batch.row_B)
        text_features = self.model.encode_text(ids, mask)
        terms = clip_loss(
            logits,
            eeg_features,
            text_features,
            text_id_B,
            batch.label_B,
            self.model.logit_scale,
            alpha=self.alpha,
            targets=self.targets,
        )
        return {**terms, "logits": logits, "unique_texts": torch.tensor(float(len(ids)))}


class DistillTask(Task):
    """Algorithm 2: the student's cross-entropy and its divergence from the teacher's cached logits.

    Args:
        teacher_NK: logits of the frozen teacher by row of the window index; NaN where never needed.
        text_UE: the teacher's cached features of ``bank``'s sentences. With ``contrast`` above 0 the
            student's features are aligned with them too (article, Fig. 1); Algorithm 2 has no such term.
    """

    def __init__(
        self,
        net: Conformer,
        teacher_NK: Tensor,
        *,
        alpha: float,
        temperature: float,
        direction: str,
        contrast: float = 0.0,
        text_UE: Tensor | None = None,
        bank: TextBank | None = None,
        logit_scale: Tensor | None = None,
    ):
        super().__init__()
        self.net, self.teacher_NK = net, teacher_NK
        self.settings = {"alpha": alpha, "temperature": temperature, "direction": direction}
        self.contrast, self.text_UE, self.bank, self.logit_scale = contrast, text_UE, bank, logit_scale

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        features = self.net.encode(batch.eeg_BCT)
        logits = self.net.classifier(features)
        teacher = self.teacher_NK[batch.row_B.cpu()].to(logits.device)
        terms = distillation_loss(logits, teacher, batch.label_B, **self.settings)
        if self.contrast > 0:
            text_id_B = self.bank.text_of(batch.row_B).to(logits.device)
            terms["contrastive"] = contrastive_loss(
                features,
                self.text_UE.to(logits.device),
                text_id_B,
                batch.label_B,
                self.logit_scale.to(logits.device),
            )["loss"]
            terms["loss"] = terms["loss"] + self.contrast * terms["contrastive"]
        return {**terms, "logits": logits}
