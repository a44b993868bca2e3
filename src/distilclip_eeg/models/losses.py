"""Every equation that is minimised, one function each, returning named terms.

Shapes: B windows in the batch, D shared dimension, U distinct texts in the batch, K classes.
``"loss"`` is the value to minimise; the other keys are its parts, for the log. Everything is computed
in float32, also under autocast: exponentials of similarities times 100 overflow in half precision.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distilclip_eeg.config import registry
from distilclip_eeg.schema import ConfigError, check_choice

LOGIT_SCALE_INIT = math.log(1 / 0.07)
"""Start of the learned log of sigma (CLIP)."""
LOGIT_SCALE_MAX = math.log(100.0)
"""CLIP's limit on it."""

CROSS_ENTROPY = "cross_entropy"
TARGETS = ("multi_positive", "identity", "text_identity", "class_prompt", "sigmoid")
DIRECTIONS = ("forward", "reverse", "jeffreys")


@torch.no_grad()
def clamp_logit_scale_(logit_scale: nn.Parameter) -> None:
    """Hold the parameter at its limit after an optimiser step; beyond it no gradient would bring it back."""
    logit_scale.clamp_(max=LOGIT_SCALE_MAX)


def check_targets(targets: str) -> None:
    """Refuse what is not a reading of Algorithm 1, with the reason.

    Raises:
        ConfigError: ``targets`` is unknown, or takes Algorithm 1 at its word.
    """
    if targets in ("literal", "class_id"):
        raise ConfigError(
            f"loss.targets={targets!r}: Algorithm 1 taken literally uses the class id as the index of a "
            "batch column. It runs whenever there are fewer classes than windows, but rewards pairing a "
            "window with whichever text stands at that place, which means nothing. "
            "Use loss.targets=multi_positive."
        )
    if targets not in TARGETS:
        others = registry.registered("contrast")
        check_choice(
            "loss.targets", targets, (*TARGETS, *others), f"Others: a plug-in ({registry.VARIABLE})."
        )


def check_classification(kind: str) -> None:
    """Refuse a loss of class logits that is neither cross-entropy nor registered.

    Raises:
        ConfigError: it is unknown.
    """
    if kind != CROSS_ENTROPY:
        check_choice("loss.classification", kind, (CROSS_ENTROPY, *registry.registered("loss")))


def contrastive_targets(text_id_B: Tensor, label_B: Tensor, targets: str) -> Tensor:
    """Rows of the (B, B) target distribution of the softmax over pairs; all three kinds are symmetric.

    ``multi_positive``: every window and text of one class belong together (UniCL, SupCon).
    ``identity``: window i and its own text only (CLIP). ``text_identity``: all windows that carry
    the same text; like ``identity``, it never looks at a label.
    """
    if targets == "identity":
        return torch.eye(len(text_id_B), device=text_id_B.device)
    group_B = label_B if targets == "multi_positive" else text_id_B
    same_BB = (group_B[:, None] == group_B[None, :]).float()
    return same_BB / same_BB.sum(dim=1, keepdim=True)


def contrastive_loss(
    eeg_features_BD: Tensor,
    text_features_UD: Tensor,
    text_id_B: Tensor | None,
    label_B: Tensor,
    logit_scale: Tensor,
    *,
    targets: str = "multi_positive",
    logit_bias: Tensor | None = None,
) -> dict[str, Tensor]:
    """L1 of Algorithm 1: ``(CE(l_eeg, y) + CE(l_txt, y)) / 2`` with ``l = sigma * V @ U.T``.

    Each distinct text is encoded once and its column repeated for the windows that carry it, so the matrix is
    the (B, B) one of CLIP without noise between copies. ``identity`` and ``text_identity`` therefore have the
    same value and gradient, and ``multi_positive`` too where texts of one class are identical. With
    ``multi_positive``, ``class_prompt`` and ``sigmoid`` the label enters L1 too; the other two leave it to
    L2.

    ``class_prompt`` compares windows with one text a class (CoOp, MaPLe): the one reading in which class ids
    are indices. ``sigmoid`` judges every pair alone (SigLIP): window and text belong together when their
    windows are of one class. Its mean is over pairs, where SigLIP sums over a row, so that alpha weighs as in
    the others.

    Args:
        text_features_UD: for ``class_prompt`` the K class prompts, in the order of the classes.
        text_id_B: row of ``text_features_UD`` that describes each window; for ``class_prompt`` not read.
        logit_scale: the learned ln(sigma), used up to ``LOGIT_SCALE_MAX``.
        logit_bias: the learned bias of ``sigmoid``.

    Returns:
        ``loss`` and its halves ``eeg_to_text`` and ``text_to_eeg``, one number each.

    Raises:
        ConfigError: ``targets`` is unknown, or takes Algorithm 1 at its word.
        ValueError: what these targets need, ``text_id_B`` or ``logit_bias``, is None.
    """
    check_targets(targets)
    if targets not in TARGETS:
        own = registry.find(targets, "contrast")
        return own(eeg_features_BD, text_features_UD, text_id_B, label_B, logit_scale)
    with torch.autocast(eeg_features_BD.device.type, enabled=False):
        logits_BU = similarity(eeg_features_BD, text_features_UD, logit_scale)
        if targets == "class_prompt":
            eeg_to_text, text_to_eeg = _class_prompt(logits_BU, label_B)
        elif text_id_B is None:
            raise ValueError(f"contrastive_loss: targets={targets} needs text_id_B")
        elif targets == "sigmoid":
            if logit_bias is None:
                raise ValueError("contrastive_loss: targets=sigmoid needs logit_bias")
            eeg_to_text = text_to_eeg = _sigmoid(logits_BU[:, text_id_B] + logit_bias, label_B)
        else:
            target_BB = contrastive_targets(text_id_B, label_B, targets)
            logits_BB = logits_BU[:, text_id_B]
            eeg_to_text = F.cross_entropy(logits_BB, target_BB)
            text_to_eeg = F.cross_entropy(logits_BB.T, target_BB)
    return {
        "loss": (eeg_to_text + text_to_eeg) / 2,
        "eeg_to_text": eeg_to_text,
        "text_to_eeg": text_to_eeg,
    }


def similarity(eeg_features_BD: Tensor, text_features_UD: Tensor, logit_scale: Tensor) -> Tensor:
    """``l = sigma * V @ U.T`` of Algorithm 1, (B, U), in float32; V and U are the features at length one."""
    with torch.autocast(eeg_features_BD.device.type, enabled=False):
        eeg_BD = F.normalize(eeg_features_BD.float(), dim=-1)
        text_UD = F.normalize(text_features_UD.float(), dim=-1)
        return logit_scale.float().clamp(max=LOGIT_SCALE_MAX).exp() * eeg_BD @ text_UD.T


def _sigmoid(logits_BB: Tensor, label_B: Tensor) -> Tensor:
    """Binary cross-entropy of every pair alone: is it of one class (SigLIP); mean over pairs."""
    sign_BB = 2.0 * (label_B[:, None] == label_B[None, :]) - 1
    return F.softplus(-sign_BB * logits_BB).mean()


def _class_prompt(logits_BK: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of windows over classes, and of the batch's classes over their windows."""
    # Over all classes, absent ones with no weight: which are present would have to be read from the device.
    class_K = torch.arange(logits_BK.shape[1], device=label_B.device)
    own_KB = (class_K[:, None] == label_B[None, :]).float()
    count_K = own_KB.sum(dim=1)
    each_K = -(own_KB * logits_BK.T.log_softmax(1)).sum(dim=1) / count_K.clamp(min=1)
    return F.cross_entropy(logits_BK, label_B), each_K.sum() / (count_K > 0).sum()


def classification_loss(
    logits_BK: Tensor,
    label_B: Tensor,
    *,
    class_weight_K: Tensor | None = None,
    label_smoothing: float = 0.0,
    kind: str = CROSS_ENTROPY,
) -> dict[str, Tensor]:
    """Eq. (1), L2 of Algorithm 1: cross-entropy of the class head, mean over windows.

    The paper weighs no class and smooths nothing; both are offered for unbalanced training sets.

    Args:
        kind: ``cross_entropy``, or a registered loss, called as ``kind(logits_BK, label_B, class_weight_K)``.

    Returns:
        ``loss`` and the same as ``ce``, the term of the log whatever its kind.
    """
    with torch.autocast(logits_BK.device.type, enabled=False):
        weight_K = None if class_weight_K is None else class_weight_K.float()
        if kind == CROSS_ENTROPY:
            ce = F.cross_entropy(logits_BK.float(), label_B, weight=weight_K, label_smoothing=label_smoothing)
        else:
            ce = registry.find(kind, "loss")(logits_BK.float(), label_B, weight_K)
    return {"loss": ce, "ce": ce}


def clip_loss(
    l2: dict[str, Tensor], l1: dict[str, Tensor] | None, *, alpha: float = 0.5
) -> dict[str, Tensor]:
    """L_total of Algorithm 1: ``alpha * L1 + (1 - alpha) * L2``; the paper does not state alpha.

    Args:
        l2: what ``classification_loss`` gave.
        l1: what ``contrastive_loss`` gave; None where ``alpha`` is 0, the classifier without text.

    Returns:
        ``loss`` and the terms of L2; where alpha is above 0 also ``contrastive`` (L1) and its other terms.

    Raises:
        ConfigError: alpha is no fraction.
        ValueError: alpha is above 0 and there is no L1.
    """
    check_alpha("loss.alpha", alpha)
    terms = {name: value for name, value in l2.items() if name != "loss"}
    if alpha == 0:
        return {"loss": l2["loss"], **terms}
    if l1 is None:
        raise ValueError("clip_loss: alpha above 0 needs the contrastive loss")
    contrast = {name: value for name, value in l1.items() if name != "loss"}
    total = alpha * l1["loss"] + (1 - alpha) * l2["loss"]
    return {"loss": total, **terms, "contrastive": l1["loss"], **contrast}


def distillation_loss(
    student_BK: Tensor,
    teacher_BK: Tensor,
    label_B: Tensor,
    *,
    alpha: float = 0.5,
    temperature: float = 1.0,
    direction: str = "forward",
    class_weight_K: Tensor | None = None,
    kind: str = CROSS_ENTROPY,
) -> dict[str, Tensor]:
    """L_total of Algorithm 2: ``alpha * CE + (1 - alpha) * t**2 * KL``.

    Eq. (2) sums Q log(Q / P) with P the student and Q the teacher: KL(teacher || student), the teacher
    being the target, as in Hinton et al. (2015). The text under Eqs. (3)-(4) names the two the other way
    round; ``forward`` follows Eq. (2). ``reverse`` is KL(student || teacher), ``jeffreys`` the mean of both,
    so that alpha weighs the same in all three. No gradient reaches the teacher.

    Raises:
        ConfigError: alpha is no fraction, the temperature is not above 0, or ``direction`` is unknown.
    """
    check_alpha("distill.alpha", alpha)
    check_choice("distill.direction", direction, DIRECTIONS)
    if not temperature > 0:
        raise ConfigError(f"distill.temperature={temperature} must be above 0; the paper chose 1 of 1, 3, 5.")
    with torch.autocast(student_BK.device.type, enabled=False):
        log_s_BK = F.log_softmax(student_BK.float() / temperature, dim=-1)
        log_t_BK = F.log_softmax(teacher_BK.detach().float() / temperature, dim=-1)
        forward = F.kl_div(log_s_BK, log_t_BK, reduction="batchmean", log_target=True)
        reverse = F.kl_div(log_t_BK, log_s_BK, reduction="batchmean", log_target=True)
        kl = {"forward": forward, "reverse": reverse, "jeffreys": (forward + reverse) / 2}[direction]
        ce = classification_loss(student_BK, label_B, class_weight_K=class_weight_K, kind=kind)["ce"]
        return {"loss": alpha * ce + (1 - alpha) * temperature**2 * kl, "ce": ce, "kl": kl}


def feature_losses(student_BD: Tensor, teacher_BD: Tensor) -> dict[str, Tensor]:
    """Optional terms of Algorithm 2 on features: one minus ``cosine``, and ``mse``; means over windows.

    The article aligns logits only ("a projection layer to match the teacher" names no such term).
    """
    with torch.autocast(student_BD.device.type, enabled=False):
        student_BD, teacher_BD = student_BD.float(), teacher_BD.detach().float()
        cosine = 1 - F.cosine_similarity(student_BD, teacher_BD, dim=-1).mean()
        return {"cosine": cosine, "mse": F.mse_loss(student_BD, teacher_BD)}


def check_alpha(name: str, alpha: float) -> None:
    """Alpha weighs two losses against each other, so it is a fraction.

    Raises:
        ConfigError: it lies outside [0, 1].
    """
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"{name}={alpha} must lie between 0 and 1.")
