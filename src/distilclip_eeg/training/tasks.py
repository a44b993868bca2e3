"""What is learned: a model, its loss and its batch contract in one module.

The loop calls ``task(batch)`` and minimises ``["loss"]``; ``task.net`` is what inference needs.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedTokenizerBase

from distilclip_eeg.models.clip import DistilCLIP, PromptClassifier, mean_logits
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.losses import (
    clamp_logit_scale_,
    classification_loss,
    clip_loss,
    contrastive_loss,
    distillation_loss,
    feature_losses,
    similarity,
)
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.text.tokenizer import tokenize
from distilclip_eeg.training.gather import gather_rows, gather_texts, several_processes
from distilclip_eeg.training.loaders import Batch


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
        description_N = np.asarray(description_N, dtype=str)
        told_N = description_N != ""
        self.sentences, text = np.unique(description_N[told_N], return_inverse=True)
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


class Task(nn.Module):
    """Base of the tasks; ``net`` maps (B, C, T) to logits (B, K)."""

    def after_step(self) -> None:
        """Called after every optimiser step."""

    def logits(self, batch: Batch) -> Tensor:
        """The answer to a batch that is not trained on, (B, K)."""
        return self.net(batch.eeg_BCT)

    def inference_net(self) -> nn.Module:
        """The network to keep: (B, C, T) to logits (B, K)."""
        return self.net


class ClassifyTask(Task):
    """Any network that maps windows to logits, trained by cross-entropy (Eq. 1).

    Args:
        class_weight_K: see ``losses.classification_loss``.
    """

    def __init__(self, net: nn.Module, *, class_weight_K: Tensor | None = None):
        super().__init__()
        self.net = net
        self.register_buffer("class_weight_K", class_weight_K, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        logits = self.net(batch.eeg_BCT)
        loss = classification_loss(logits, batch.label_B, class_weight_K=self.class_weight_K)
        return {**loss, "logits": logits}


class FeatureTask(Task):
    """An encoder whose features are the answer; nothing to train."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def logits(self, batch: Batch) -> Tensor:
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
    """

    def __init__(
        self, net: nn.Module, subject_N: Tensor, *, inner_lr: float, class_weight_K: Tensor | None = None
    ):
        super().__init__()
        if not inner_lr > 0:
            raise ConfigError(f"model.meta_lr={inner_lr} must be above 0, or null for plain training.")
        self.net, self.subject_N, self.inner_lr = net, subject_N, inner_lr
        self.register_buffer("class_weight_K", class_weight_K, persistent=False)

    def loss(self, logits_BK: Tensor, label_B: Tensor) -> dict[str, Tensor]:
        return classification_loss(logits_BK, label_B, class_weight_K=self.class_weight_K)

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
        return {**self.loss(logits_BK[query], batch.label_B[query]), "logits": logits_BK}

    def adapted(self, batch: Batch, support: Tensor) -> tuple[dict[str, Tensor], Sequence[Tensor]]:
        """The weights one step on, and the support windows' logits before it; the step has no gradient."""
        shared = dict(self.net.named_parameters())
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
        targets: what belongs together in the contrast; see ``losses.contrastive_loss``.
        inference: ``head``: the class logits of L2. ``prompt``: similarity to the bank's class prompts, as
            CLIP classifies; ``ensemble``: the mean of both probabilities.
        class_weight_K: weights of the cross-entropy.
    """

    def __init__(
        self,
        model: DistilCLIP,
        bank: TextBank,
        *,
        alpha: float,
        targets: str,
        inference: str = "head",
        class_weight_K: Tensor | None = None,
    ):
        super().__init__()
        self.model, self.bank, self.alpha, self.targets, self.inference = (
            model,
            bank,
            alpha,
            targets,
            inference,
        )
        self.register_buffer("class_weight_K", class_weight_K, persistent=False)
        if alpha == 0:  # nothing is contrasted
            model.logit_scale.requires_grad_(False)
            if model.head_input == "text":
                model.eeg.requires_grad_(False)

    @property
    def net(self) -> Conformer:
        return self.model.eeg

    def after_step(self) -> None:
        clamp_logit_scale_(self.model.logit_scale)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        eeg = text = text_id_B = None
        logged = {}
        if self.alpha > 0 or self.model.head_input != "text":
            eeg = self.net.encode(batch.eeg_BCT)
        if self.targets != "class_prompt" or self.model.head_input != "eeg":
            ids, mask, text_id_B = self.bank.of(batch.row_B)
            text = self.model.encode_text(ids, mask)
            logged["unique_texts"] = torch.tensor(float(len(ids)))
        logits = self.model.classify(eeg, None if text is None else text[text_id_B])
        if self.alpha > 0 and self.targets == "class_prompt":
            text, text_id_B = self.class_features(eeg.device), batch.label_B
        terms = clip_loss(
            *self.whole_batch(batch, logits, eeg, text, text_id_B),
            self.model.logit_scale,
            alpha=self.alpha,
            targets=self.targets,
            logit_bias=self.model.logit_bias,
            class_weight_K=self.class_weight_K,
        )
        return {**terms, **logged, "logits": logits}

    def whole_batch(
        self, batch: Batch, logits: Tensor, eeg: Tensor, text: Tensor, text_id_B: Tensor
    ) -> tuple:
        """Logits, features, texts and labels of the step's windows, whichever process holds them."""
        if not several_processes():
            return logits, eeg, text, text_id_B, batch.label_B
        if self.alpha > 0 and self.targets != "class_prompt":  # class prompts are the same everywhere
            key_U = self.bank.text_of(batch.row_B).unique().to(text.device)
            text, text_id_B = gather_texts(text, key_U, text_id_B)
        eeg = None if eeg is None else gather_rows(eeg)
        return gather_rows(logits), eeg, text, text_id_B, gather_rows(batch.label_B)

    @torch.no_grad()
    def inference_net(self) -> Conformer | PromptClassifier:
        """What answers without the text encoder; with a head that reads text, the EEG encoder alone."""
        if self.inference == "head":
            return self.net
        features = self.class_features(self.model.logit_scale.device)
        return PromptClassifier(copy.deepcopy(self.net), self.inference).set_classes(
            features, self.model.logit_scale
        )

    def class_features(self, device: torch.device) -> Tensor:
        """Features of the class prompts, (K, E)."""
        tokens = self.bank.classes
        return self.model.encode_text(tokens["input_ids"].to(device), tokens["attention_mask"].to(device))

    def logits(self, batch: Batch) -> Tensor:
        text, features = None, self.net.encode(batch.eeg_BCT)
        if self.model.head_input != "eeg":
            ids, mask, text_id_B = self.bank.of(batch.row_B)
            text = self.model.encode_text(ids, mask)[text_id_B]
        by_head = self.model.classify(features, text) if self.inference != "prompt" else None
        if self.inference == "head":
            return by_head
        by_prompt = similarity(features, self.class_features(features.device), self.model.logit_scale)
        return by_prompt if self.inference == "prompt" else mean_logits(by_head, by_prompt)


class DistillTask(Task):
    """Algorithm 2: the student's cross-entropy and its divergence from the teacher's cached logits.

    Args:
        net: the student; its logits are its head's, or similarities to class prompts (``PromptClassifier``).
        teacher_NK: logits of the frozen teacher by row of the window index; NaN where never needed.
        teacher_NE: its features likewise, for the two optional terms on features.
        contrast, cosine, mse: weights of optional terms, none of which Algorithm 2 has: alignment with
            ``text_UE``, the teacher's cached features of ``bank``'s sentences (article, Fig. 1);
            ``feature_losses``.
    """

    def __init__(
        self,
        net: Conformer | PromptClassifier,
        teacher_NK: Tensor,
        *,
        alpha: float,
        temperature: float,
        direction: str,
        contrast: float = 0.0,
        cosine: float = 0.0,
        mse: float = 0.0,
        teacher_NE: Tensor | None = None,
        text_UE: Tensor | None = None,
        bank: TextBank | None = None,
        logit_scale: Tensor | None = None,
        class_weight_K: Tensor | None = None,
    ):
        super().__init__()
        self.net, self.teacher_NK, self.teacher_NE = net, teacher_NK, teacher_NE
        self.settings = {"alpha": alpha, "temperature": temperature, "direction": direction}
        self.weights = {"contrastive": contrast, "cosine": cosine, "mse": mse}
        self.text_UE, self.bank, self.logit_scale = text_UE, bank, logit_scale
        self.register_buffer("class_weight_K", class_weight_K, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        features = self.net.encode(batch.eeg_BCT)
        logits, rows = self.net.classifier(features), batch.row_B.cpu()
        teacher = self.teacher_NK[rows].to(logits.device)
        weight = self.class_weight_K
        terms = distillation_loss(logits, teacher, batch.label_B, **self.settings, class_weight_K=weight)
        extra = {}
        if self.weights["contrastive"] > 0:
            text_id_B = self.bank.text_of(rows).to(logits.device)
            text_UE, scale = self.text_UE.to(logits.device), self.logit_scale.to(logits.device)
            contrast = contrastive_loss(features, text_UE, text_id_B, batch.label_B, scale)
            extra["contrastive"] = contrast["loss"]
        if self.teacher_NE is not None:
            extra |= feature_losses(features, self.teacher_NE[rows].to(logits.device))
        for name, value in extra.items():
            terms["loss"] = terms["loss"] + self.weights[name] * value
        return {**terms, **extra, "logits": logits}
