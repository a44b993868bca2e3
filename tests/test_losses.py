import inspect
import math

import pytest
import torch
import torch.nn.functional as F

from distilclip_eeg.models import losses
from distilclip_eeg.models.losses import (
    LOGIT_SCALE_MAX,
    clamp_logit_scale_,
    classification_loss,
    clip_loss,
    contrastive_loss,
    distillation_loss,
)
from distilclip_eeg.schema import ConfigError

SCALE = torch.tensor(math.log(5.0))


def batch(b=8, u=4, d=6, k=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(b, d, generator=g, requires_grad=True),
        torch.randn(u, d, generator=g, requires_grad=True),
        torch.randint(u, (b,), generator=g),
        torch.randint(k, (b,), generator=g),
    )


def slow_contrastive(eeg, text, text_id, label, sigma, targets):
    """Algorithm 1's L1, one pair at a time, in float64 and plain Python."""
    v = [row / row.norm() for row in eeg.detach().double()]
    u = [text[t].detach().double() for t in text_id.tolist()]
    u = [row / row.norm() for row in u]
    n = len(v)
    belongs = {
        "identity": lambda i, j: i == j,
        "text_identity": lambda i, j: text_id[i] == text_id[j],
        "multi_positive": lambda i, j: label[i] == label[j],
    }[targets]

    def one_way(rows, columns):
        total = 0.0
        for i in range(n):
            scores = [sigma * float(rows[i] @ columns[j]) for j in range(n)]
            log_sum = math.log(sum(math.exp(s) for s in scores))
            positives = [j for j in range(n) if belongs(i, j)]
            total -= sum(scores[j] - log_sum for j in positives) / len(positives)
        return total / n

    return (one_way(v, u) + one_way(u, v)) / 2


def unique_text_contrastive(eeg, text, text_id, label, sigma):
    """The same multi-positive loss against the U distinct texts, without a (B, B) matrix."""
    logits_BU = sigma * F.normalize(eeg, dim=-1) @ F.normalize(text, dim=-1).T
    own_BU = F.one_hot(text_id, len(text)).float()
    same_BB = (label[:, None] == label[None, :]).float()
    weight_BB = same_BB / same_BB.sum(1, keepdim=True)
    log_count_U = own_BU.sum(0).log()  # a text met n times is n columns
    to_text = torch.logsumexp(logits_BU + log_count_U, 1) - (weight_BB @ own_BU * logits_BU).sum(1)
    to_eeg = torch.logsumexp(logits_BU, 0)[text_id] - (weight_BB @ logits_BU).gather(
        1, text_id[:, None]
    ).squeeze(1)
    return (to_text.mean() + to_eeg.mean()) / 2


@pytest.mark.parametrize("targets", ["multi_positive", "identity", "text_identity"])
@pytest.mark.parametrize("seed", range(3))
def test_the_contrastive_loss_equals_a_loop_over_pairs(targets, seed):
    eeg, text, text_id, label = batch(seed=seed)
    out = contrastive_loss(eeg, text, text_id, label, SCALE, targets=targets)
    expected = slow_contrastive(eeg, text, text_id, label, 5.0, targets)
    assert out["loss"].item() == pytest.approx(expected, abs=1e-5)
    assert out["loss"] == (out["eeg_to_text"] + out["text_to_eeg"]) / 2


def test_two_matched_orthogonal_pairs_by_hand():
    # l = [[5, 0], [0, 5]]: each row gives -log(e^5 / (e^5 + 1)) = log(1 + e^-5), both ways.
    eye = torch.eye(2)
    out = contrastive_loss(eye, eye, torch.tensor([0, 1]), torch.tensor([0, 1]), SCALE, targets="identity")
    assert out["loss"].item() == pytest.approx(math.log(1 + math.exp(-5)), rel=1e-5)


def test_two_windows_of_one_class_share_their_texts_by_hand():
    # The same l; targets 1/2 everywhere: -(log p_same + log p_other) / 2 = log(1 + e^-5) + 5/2.
    eye = torch.eye(2)
    out = contrastive_loss(eye, eye, torch.tensor([0, 1]), torch.tensor([0, 0]), SCALE)
    assert out["loss"].item() == pytest.approx(math.log(1 + math.exp(-5)) + 2.5, rel=1e-5)


def test_the_matrix_over_windows_equals_the_form_over_distinct_texts():
    eeg, text, _, label = batch(b=12, u=3)
    text_id = torch.arange(12) % 3
    out = contrastive_loss(eeg, text, text_id, label, SCALE)["loss"]
    other = unique_text_contrastive(eeg, text, text_id, label, 5.0)
    assert out.item() == pytest.approx(other.item(), abs=1e-6)
    for a, b in zip(
        torch.autograd.grad(out, (eeg, text)), torch.autograd.grad(other, (eeg, text)), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_identity_equals_multi_positive_when_texts_of_a_class_are_identical():
    eeg, text, _, label = batch(b=16, u=3)
    values, grads = [], []
    for targets in ("identity", "multi_positive", "text_identity"):
        loss = contrastive_loss(eeg, text, label, label, SCALE, targets=targets)["loss"]
        values.append(loss.item())
        grads.append(torch.cat(torch.autograd.grad(loss, (eeg, text))))
    assert max(values) - min(values) < 1e-6
    assert (grads[0] - grads[1]).abs().max() < 1e-6
    assert (grads[0] - grads[2]).abs().max() < 1e-6


def test_identity_differs_from_multi_positive_when_texts_of_a_class_differ():
    eeg, text, _, label = batch(b=8, u=8)
    a, b = (
        contrastive_loss(eeg, text, torch.arange(8), label, SCALE, targets=t)["loss"].item()
        for t in ("identity", "multi_positive")
    )
    assert abs(a - b) > 0.05


@pytest.mark.parametrize("targets", ["identity", "text_identity"])
def test_labels_do_not_enter_the_label_free_targets(targets):
    eeg, text, text_id, label = batch()
    a = contrastive_loss(eeg, text, text_id, label, SCALE, targets=targets)["loss"]
    b = contrastive_loss(eeg, text, text_id, label.flip(0) * 0, SCALE, targets=targets)["loss"]
    assert a == b


def test_the_order_of_the_batch_does_not_matter():
    eeg, text, text_id, label = batch()
    order = torch.randperm(8)
    a = contrastive_loss(eeg, text, text_id, label, SCALE)["loss"]
    b = contrastive_loss(eeg[order], text, text_id[order], label[order], SCALE)["loss"]
    assert a.item() == pytest.approx(b.item(), abs=1e-6)


def test_feature_lengths_do_not_matter():
    eeg, text, text_id, label = batch()
    a = contrastive_loss(eeg, text, text_id, label, SCALE)["loss"]
    b = contrastive_loss(eeg * 17, text * 0.3, text_id, label, SCALE)["loss"]
    assert a.item() == pytest.approx(b.item(), abs=1e-5)


def test_the_logit_scale_stops_at_one_hundred_and_can_come_back():
    eeg, text, text_id, label = batch()
    at_limit = contrastive_loss(eeg, text, text_id, label, torch.tensor(LOGIT_SCALE_MAX))["loss"]
    beyond = contrastive_loss(eeg, text, text_id, label, torch.tensor(9.0))["loss"]
    assert at_limit == beyond
    scale = torch.nn.Parameter(torch.tensor(9.0))
    clamp_logit_scale_(scale)
    assert scale.item() == pytest.approx(math.log(100))
    contrastive_loss(eeg, text, text_id, label, scale)["loss"].backward()
    assert scale.grad.abs() > 0


@pytest.mark.parametrize("seed", range(3))
def test_class_prompts_equal_a_loop_over_windows_and_the_classes_that_occur(seed):
    eeg, text, _, label = batch(u=4, k=3, seed=seed)  # the fourth class has a prompt and no window
    v, u = (F.normalize(x.detach().double(), dim=-1) for x in (eeg, text))
    scores = [[5.0 * float(v[i] @ u[k]) for k in range(4)] for i in range(8)]
    log_sums = [math.log(sum(math.exp(z) for z in row)) for row in scores]
    to_text = -sum(scores[i][label[i]] - log_sums[i] for i in range(8)) / 8
    to_eeg = []
    for k in sorted(set(label.tolist())):
        log_sum = math.log(sum(math.exp(scores[i][k]) for i in range(8)))
        own = [i for i in range(8) if label[i] == k]
        to_eeg.append(-sum(scores[i][k] - log_sum for i in own) / len(own))
    out = contrastive_loss(eeg, text, None, label, SCALE, targets="class_prompt")
    assert out["eeg_to_text"].item() == pytest.approx(to_text, abs=1e-5)
    assert out["text_to_eeg"].item() == pytest.approx(sum(to_eeg) / len(to_eeg), abs=1e-5)
    assert out["loss"].item() == pytest.approx((to_text + sum(to_eeg) / len(to_eeg)) / 2, abs=1e-5)


def test_class_prompts_of_two_windows_by_hand():
    # l = [[5, 0], [0, 5]], classes 0 and 1: log(1 + e^-5) both ways, as for matched pairs.
    eye = torch.eye(2)
    out = contrastive_loss(eye, eye, None, torch.tensor([0, 1]), SCALE, targets="class_prompt")
    assert out["loss"].item() == pytest.approx(math.log(1 + math.exp(-5)), rel=1e-5)


def test_sigmoid_pairs_by_hand():
    # l = [[5, 0], [0, 5]] and bias -1; own pairs at 4, the two others at -1: softplus(-4), softplus(-1).
    eye, ids = torch.eye(2), torch.tensor([0, 1])
    out = contrastive_loss(eye, eye, ids, ids, SCALE, targets="sigmoid", logit_bias=torch.tensor(-1.0))
    expected = (2 * math.log(1 + math.exp(-4)) + 2 * math.log(1 + math.exp(-1))) / 4
    assert out["loss"].item() == pytest.approx(expected, rel=1e-5)
    # Of one class, all four belong together: the others now cost softplus(1).
    out = contrastive_loss(eye, eye, ids, 0 * ids, SCALE, targets="sigmoid", logit_bias=torch.tensor(-1.0))
    expected = (2 * math.log(1 + math.exp(-4)) + 2 * math.log(1 + math.exp(1))) / 4
    assert out["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_sigmoid_pairs_are_judged_alone():
    # Unlike in a softmax, another window's text changes nothing but its own pairs.
    eeg, text, text_id, label = batch(b=6, u=6)
    bias, text_id = torch.tensor(0.3), torch.arange(6)
    changed = text.detach().clone()
    changed[5] = -changed[5]
    before, after = (
        torch.autograd.grad(
            contrastive_loss(eeg, t, text_id, label, SCALE, targets="sigmoid", logit_bias=bias)["loss"], t
        )[0]
        for t in (text, changed.requires_grad_())
    )
    torch.testing.assert_close(before[:5], after[:5])


def test_the_readings_of_the_targets_differ_but_for_identity_and_text_identity():
    # Windows that carry one text share its column, so each of them is as likely as the other: no difference.
    eeg, text, text_id, label = batch(b=8, u=4, k=4)
    values = {
        targets: contrastive_loss(
            eeg, text, text_id, label, SCALE, targets=targets, logit_bias=torch.tensor(0.0)
        )["loss"].item()
        for targets in losses.TARGETS
    }
    assert values["identity"] == pytest.approx(values["text_identity"], abs=1e-6)
    assert len({round(v, 4) for v in values.values()}) == 4


def test_feature_losses_by_hand():
    # Cosines 1 and 0, squared differences (1, 0) and (1, 1) over four numbers; no gradient to the teacher.
    student = torch.tensor([[2.0, 0.0], [1.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    out = losses.feature_losses(student, teacher)
    assert out["cosine"].item() == pytest.approx(1 - (1 + 0) / 2)
    assert out["mse"].item() == pytest.approx((1 + 0 + 1 + 1) / 4)
    (out["cosine"] + out["mse"]).backward()
    assert teacher.grad is None and student.grad is not None


def test_a_class_weight_enters_the_cross_entropy_of_a_distillation_alone():
    student, teacher, label = torch.tensor([[0.0, math.log(3)]] * 2), torch.zeros(2, 2), torch.tensor([1, 0])
    weighted = distillation_loss(student, teacher, label, class_weight_K=torch.tensor([1.0, 3.0]))
    plain = distillation_loss(student, teacher, label)
    assert weighted["ce"].item() == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)
    assert weighted["kl"] == plain["kl"]


@pytest.mark.parametrize("targets", ["literal", "class_id"])
def test_the_literal_reading_of_algorithm_1_is_refused_with_the_reason(targets):
    with pytest.raises(ConfigError, match="class id as the index of a batch column"):
        contrastive_loss(*batch(), SCALE, targets=targets)


def test_an_unknown_target_names_the_choices():
    with pytest.raises(ConfigError, match="'multi_positive', 'identity', 'text_identity'"):
        contrastive_loss(*batch(), SCALE, targets="clip")


def test_the_classification_loss_is_equation_1():
    # softmax([0, ln 3]) = [1/4, 3/4]: -(log 3/4 + log 1/4) / 2.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    out = classification_loss(logits, torch.tensor([1, 0]))
    assert out["loss"].item() == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)


def test_a_class_weight_counts_its_windows_more():
    # Weights 1 and 3: (3 * -log 3/4 + 1 * -log 1/4) / 4.
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    out = classification_loss(logits, torch.tensor([1, 0]), class_weight_K=torch.tensor([1.0, 3.0]))
    assert out["loss"].item() == pytest.approx(-(3 * math.log(0.75) + math.log(0.25)) / 4)


def test_label_smoothing_keeps_a_share_for_every_class():
    # Smoothing 0.2 over 2 classes: target [0.1, 0.9].
    logits = torch.tensor([[0.0, math.log(3)]])
    out = classification_loss(logits, torch.tensor([1]), label_smoothing=0.2)
    assert out["loss"].item() == pytest.approx(-(0.9 * math.log(0.75) + 0.1 * math.log(0.25)))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_the_total_weighs_the_two_losses_of_algorithm_1(alpha):
    eeg, text, text_id, label = batch()
    logits = torch.randn(8, 3)
    both = classification_loss(logits, label), contrastive_loss(eeg, text, text_id, label, SCALE)
    out = clip_loss(*both, alpha=alpha)
    l1 = contrastive_loss(eeg, text, text_id, label, SCALE)["loss"]
    l2 = F.cross_entropy(logits, label)
    assert out["loss"].item() == pytest.approx((alpha * l1 + (1 - alpha) * l2).item(), abs=1e-6)
    assert out["contrastive"] == l1 and out["ce"] == l2


def test_without_alpha_no_text_is_needed():
    logits, label = torch.randn(8, 3), torch.arange(8) % 3
    out = clip_loss(classification_loss(logits, label), None, alpha=0.0)
    assert out["loss"] == F.cross_entropy(logits, label)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_outside_zero_to_one_is_refused(alpha):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), alpha=alpha)


def test_equal_logits_leave_only_the_cross_entropy():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    out = distillation_loss(logits, logits, torch.tensor([0, 1]), alpha=0.5, temperature=3.0)
    assert out["kl"].item() == pytest.approx(0.0, abs=1e-6)
    assert out["loss"].item() == pytest.approx(0.5 * math.log(1 + math.exp(-2)))


@pytest.mark.parametrize(
    "direction, expected",
    [
        # Student [1/2, 1/2], teacher [3/4, 1/4].
        ("forward", 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)),
        ("reverse", 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)),
        ("jeffreys", 0.25 * (0.75 - 0.5) * 2 * math.log(3)),  # sum (q - p) log(q / p) / 2
    ],
)
def test_the_direction_of_the_divergence_by_hand(direction, expected):
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    out = distillation_loss(student, teacher, torch.tensor([0]), direction=direction)
    assert out["kl"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0, 5.0])
def test_the_distillation_loss_equals_a_loop_over_equation_2(temperature):
    g = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(5, 4, generator=g), torch.randn(5, 4, generator=g)
    label = torch.tensor([0, 1, 2, 3, 0])
    kl = ce = 0.0
    for s, t, y in zip(student.double(), teacher.double(), label.tolist(), strict=True):
        p, q = (torch.exp(z / temperature) / torch.exp(z / temperature).sum() for z in (s, t))
        kl += sum(q[i] * math.log(q[i] / p[i]) for i in range(4)) / 5
        ce -= math.log(torch.exp(s[y]) / torch.exp(s).sum()) / 5
    out = distillation_loss(student, teacher, label, alpha=0.3, temperature=temperature)
    assert out["loss"].item() == pytest.approx(float(0.3 * ce + 0.7 * temperature**2 * kl), abs=1e-5)


def test_temperature_squared_keeps_the_size_of_the_gradient():
    # Hinton et al.: soft gradients shrink as 1 / t**2.
    sizes = []
    for temperature in (20.0, 40.0):
        student = torch.tensor([[0.3, -0.2, 0.1]], requires_grad=True)
        distillation_loss(
            student, torch.tensor([[0.0, 0.5, -0.5]]), torch.tensor([0]), alpha=0.0, temperature=temperature
        )["loss"].backward()
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)


def test_no_gradient_reaches_the_teacher():
    student, teacher = (torch.randn(4, 3, requires_grad=True) for _ in range(2))
    for direction in losses.DIRECTIONS:
        distillation_loss(student, teacher, torch.tensor([0, 1, 2, 0]), direction=direction)[
            "loss"
        ].backward()
    assert teacher.grad is None and student.grad is not None


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ConfigError, match="above 0"):
        distillation_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), temperature=0)


def test_every_loss_is_float32_under_autocast():
    eeg, text, text_id, label = batch()
    logits = torch.randn(8, 3)

    def total():
        l1 = contrastive_loss(eeg, text, text_id, label, SCALE)
        return clip_loss(classification_loss(logits, label), l1)

    outside = total()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = total()
        distilled = distillation_loss(logits.bfloat16(), logits.bfloat16(), label)
    assert all(v.dtype == torch.float32 for v in [*inside.values(), *distilled.values()])
    assert inside["loss"] == outside["loss"]


def test_identical_features_and_one_window_stay_finite():
    one = contrastive_loss(torch.ones(1, 4), torch.ones(1, 4), torch.tensor([0]), torch.tensor([0]), SCALE)
    assert one["loss"] == 0
    zero = contrastive_loss(
        torch.zeros(4, 4), torch.zeros(2, 4), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1, 2, 3]), SCALE
    )
    assert zero["loss"].item() == pytest.approx(math.log(4))


def test_every_loss_says_where_it_comes_from():
    functions = contrastive_loss, classification_loss, clip_loss, distillation_loss, losses.feature_losses
    for function in functions:
        assert "Algorithm" in inspect.getdoc(function)
