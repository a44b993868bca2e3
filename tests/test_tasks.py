"""Tasks: which terms they have, what they train, and that a text is encoded once."""

import copy
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tools import one_run
from torch.nn import functional as F

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import DistillSettings
from distilclip_eeg.config.learning import DistillConfig, OptimConfig, TrainerConfig
from distilclip_eeg.models.clip import DistilCLIP, PromptClassifier
from distilclip_eeg.models.conformer import Conformer, take_layers
from distilclip_eeg.models.losses import (
    LOGIT_SCALE_MAX,
    TARGETS,
    classification_loss,
    clip_loss,
    contrastive_loss,
)
from distilclip_eeg.models.text_backends import random_tiny
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training import distillation as distilling
from distilclip_eeg.training import engine, pipeline
from distilclip_eeg.training.checks import check
from distilclip_eeg.training.data import load_data
from distilclip_eeg.training.descriptions import describe_fold
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop
from distilclip_eeg.training.loaders import Batch
from distilclip_eeg.training.tasks import CachedText, ClassifyTask, ClassLoss, ClipTask, DistillTask, MetaTask
from distilclip_eeg.training.text_bank import TextBank

SENTENCES = ["Slow waves.", "Rhythmic sharp waves of high amplitude on the left side of the head.", "Flat."]
DESCRIPTION = [SENTENCES[k] for k in (0, 1, 0, 2, 1, 0, 0, 1, 2, 2, 1, 0)]
CLASSES = ["A quiet recording.", "A rhythm that grows."]
CHANS, TIMES = 3, 64


class Windows:
    """A source of random windows whose class shows in their size."""

    resident = False

    def __init__(self, n=12, seed=0):
        rng = np.random.default_rng(seed)
        self.label = np.arange(n) % 2
        eeg = rng.standard_normal((n, CHANS, TIMES)) * (1 + 2 * self.label[:, None, None])
        self.eeg = torch.from_numpy(eeg.astype(np.float32))

    def batch(self, rows, device="cpu"):
        rows = np.asarray(rows)
        return Batch(self.eeg[rows], torch.from_numpy(self.label[rows]), rows)


def conformer(seed=0, dropout=0.2, **settings):
    torch.manual_seed(seed)
    sizes = {"dim": 8, "depth": 1, "heads": 2, "n_prompts": 2, "embed": 6, "filters": 4} | settings
    return Conformer(n_chans=CHANS, n_times=TIMES, sfreq=64.0, n_outputs=2, dropout=dropout, **sizes)


def teacher(seed=0, alpha=0.5, dropout=0.2, targets="multi_positive", head_input="eeg", **settings):
    eeg = conformer(seed, dropout)
    backend = random_tiny([*SENTENCES, *CLASSES], dim=8, depth=2, heads=2, n_prompts=2, dropout=dropout)
    model = DistilCLIP(eeg, backend.encoder, head_input=head_input, with_bias=targets == "sigmoid")
    bank = TextBank(backend.tokenizer, DESCRIPTION, CLASSES)
    return ClipTask(model, bank, alpha=alpha, targets=targets, **settings)


def distillation(net, teacher_NK, *, teacher_NE=None, text=None, **settings):
    return DistillTask(net, teacher_NK, DistillConfig(**settings), teacher_NE=teacher_NE, text=text)


def fit(task, folder, epochs=2, **optim):
    source, rows = Windows(), np.arange(12)
    folder.mkdir(parents=True, exist_ok=True)
    return Fit(
        task,
        source,
        rows[:8],
        rows[8:],
        folder,
        Loop(
            TrainerConfig(epochs=epochs, batch_size=3),
            OptimConfig(**({"lr": 1e-2} | optim)),
            seed=5,
            accelerator=make_accelerator("fp32", "cpu"),
        ),
    )


# ------------------------------------------------------------------------------------- terms


def test_a_classifier_has_cross_entropy_alone():
    task, batch = ClassifyTask(conformer(dropout=0.0)), Windows().batch(range(4))
    terms = task(batch)
    assert set(terms) == {"loss", "ce", "logits"}
    torch.testing.assert_close(terms["loss"], F.cross_entropy(terms["logits"], batch.label_B))


def test_the_teachers_loss_is_the_weighted_sum_of_its_terms():
    terms = teacher(alpha=0.25)(Windows().batch(range(6)))
    expected = {"loss", "ce", "contrastive", "eeg_to_text", "text_to_eeg", "logits", "unique_texts"}
    assert set(terms) == expected
    assert terms["loss"].item() == pytest.approx(
        0.25 * terms["contrastive"].item() + 0.75 * terms["ce"].item(), rel=1e-6
    )
    both = (terms["eeg_to_text"] + terms["text_to_eeg"]) / 2
    assert terms["contrastive"].item() == pytest.approx(both.item(), rel=1e-6)
    assert terms["unique_texts"] == 3


def test_a_distillation_with_contrast_adds_that_term():
    model = teacher().eval().model
    bank = TextBank(random_tiny(SENTENCES, dim=8, heads=2).tokenizer, DESCRIPTION)
    text_UE = model.encode_text(bank.input_ids, bank.attention_mask).detach()
    text = CachedText(bank, text_UE, torch.zeros(2, 6), model.logit_scale.detach())
    net, batch, logits = conformer(dropout=0.0), Windows().batch(range(6)), torch.randn(12, 2)
    plain = distillation(net, logits)(batch)
    terms = distillation(net, logits, contrast=0.3, text=text)(batch)
    assert set(plain) == {"loss", "ce", "kl", "logits"}
    assert set(terms) == {"loss", "ce", "kl", "contrastive", "logits"}
    # The running means of batch norm moved in between; in training mode they are not used.
    assert terms["loss"].item() == pytest.approx(
        plain["loss"].item() + 0.3 * terms["contrastive"].item(), rel=1e-5
    )


# --------------------------------------------------------------------------------- the text bank


@pytest.fixture
def bank():
    return TextBank(random_tiny(SENTENCES, dim=8, heads=2).tokenizer, DESCRIPTION)


def test_the_bank_holds_each_distinct_sentence_once(bank):
    assert sorted(bank.sentences) == sorted(SENTENCES)
    assert bank.input_ids.shape == bank.attention_mask.shape and len(bank.input_ids) == 3


@pytest.mark.parametrize("rows", [[0], [0, 2, 5], [1, 0, 3, 1], list(range(12))])
def test_every_window_maps_to_its_own_sentence_padded_to_the_batchs_longest(bank, rows):
    ids, mask, text_id_B = bank.of(np.array(rows))
    assert len(ids) == len({DESCRIPTION[r] for r in rows})
    assert ids.shape[1] == mask.sum(1).max()  # no column of padding alone
    for row, place in zip(rows, text_id_B, strict=True):
        full = list(bank.sentences).index(DESCRIPTION[row])
        n = int(mask[place].sum())
        assert n == int(bank.attention_mask[full].sum())
        assert ids[place, :n].tolist() == bank.input_ids[full, :n].tolist()
        assert not mask[place, n:].any() and not ids[place, n:].any()  # [PAD] is 0


@pytest.mark.parametrize("rows, n_texts", [([0], 1), ([0, 1], 2), ([0, 1, 3], 4)])
def test_texts_in_buckets_have_few_sizes_and_say_the_same(bank, rows, n_texts):
    rows = np.array(rows)
    ids, mask, text_id_B = bank.of(rows, buckets=True)
    own_ids, own_mask, own_id_B = bank.of(rows)
    longest = bank.input_ids.shape[1]
    assert len(ids) == len(mask) == n_texts and ids.shape[1] in (16, longest)
    assert torch.equal(text_id_B, own_id_B)
    n = own_ids.shape[1]
    assert torch.equal(ids[: len(own_ids), :n], own_ids) and torch.equal(mask[: len(own_ids), :n], own_mask)
    assert not mask[:, n:].any()


def test_what_is_compiled_is_what_it_was_afterwards_and_computes_the_same(monkeypatch):
    """Compiling itself needs a GPU to be of use; what is handed to it, and taken back, does not."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **how: asked.append(how) or function)
    for made in (lambda: teacher(dropout=0.0), lambda: ClassifyTask(conformer(dropout=0.0))):
        task, batch = made().eval(), Windows().batch([0, 1, 3])
        before = {id(module): set(vars(module)) for module in task.modules()}
        expected = task(batch)
        with task.compiled():
            found = task(batch)
        torch.testing.assert_close(found["loss"], expected["loss"])
        assert before == {id(module): set(vars(module)) for module in task.modules()}
        assert found.keys() == expected.keys() and not getattr(task, "buckets", False)
    assert len(asked) == 3 and all(how["mode"] == "reduce-overhead" for how in asked)


def test_a_text_is_encoded_once_for_all_windows_that_carry_it():
    task, calls = teacher(), []
    task.model.text.register_forward_hook(lambda module, args, out: calls.append(args[0]))
    terms = task(Windows().batch([0, 2, 5, 6, 1]))  # four windows of one sentence, one of another
    assert [len(ids) for ids in calls] == [2]
    assert terms["unique_texts"] == 2


def test_encoding_once_gives_the_features_and_gradients_of_encoding_every_window():
    task, batch = teacher(dropout=0.0).eval(), Windows().batch(range(12))
    ids, mask, text_id_B = task.bank.of(batch.row_B)
    once = task.model.encode_text(ids, mask)[text_id_B]
    alone = [task.bank.of(row[None])[:2] for row in batch.row_B]
    each = torch.cat([task.model.encode_text(i, m) for i, m in alone])
    torch.testing.assert_close(once, each, atol=1e-5, rtol=1e-5)

    eeg, scale = task.net.encode(batch.eeg_BCT), task.model.logit_scale
    slow = clip_loss(
        classification_loss(task.net.classifier(eeg), batch.label_B),
        contrastive_loss(eeg, each, torch.arange(12), batch.label_B, scale),
    )
    parameters = [p for p in task.parameters() if p.requires_grad]
    fast = torch.autograd.grad(task(batch)["loss"], parameters)
    for mine, theirs in zip(fast, torch.autograd.grad(slow["loss"], parameters), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


# ------------------------------------------------------------------------------------ what is trained


@pytest.mark.parametrize(
    "settings",
    [
        *({"targets": t} for t in TARGETS),
        *({"head_input": h, "alpha": a} for h in ("fused", "text") for a in (0.0, 0.5)),
    ],
)
def test_every_trainable_parameter_of_a_teacher_gets_a_gradient(settings):
    task = teacher(dropout=0.0, **settings)
    task(Windows().batch(range(8)))["loss"].backward()
    missing = [n for n, p in task.named_parameters() if p.requires_grad and p.grad is None]
    zero = [
        n for n, p in task.named_parameters() if p.requires_grad and n not in missing and not p.grad.any()
    ]
    # Adding one vector to all keys shifts every score of a query alike, so key biases never learn.
    assert missing == []
    assert [n for n in zero if not n.endswith("key.bias")] == []
    assert any("text" in n for n, _ in task.named_parameters())
    frozen = {n.split(".")[1] for n, p in task.named_parameters() if not p.requires_grad}
    if settings == {"head_input": "text", "alpha": 0.0}:
        assert frozen == {"eeg", "logit_scale"}  # a classifier of text alone


@pytest.mark.parametrize("head_input", ["fused", "text"])
def test_a_head_that_reads_text_answers_by_a_windows_own_description(head_input):
    task = teacher(head_input=head_input).eval()
    batch = Windows().batch([0, 1])
    same_eeg = Batch(batch.eeg_BCT[[0, 0]], batch.label_B, batch.row_B)  # rows 0 and 1 carry other texts
    logits = task.answer(same_eeg)
    assert not torch.allclose(logits[0], logits[1])
    other_eeg = Batch(batch.eeg_BCT, batch.label_B, np.array([0, 0]))
    logits = task.answer(other_eeg)
    assert torch.allclose(logits[0], logits[1]) == (head_input == "text")


def test_without_contrast_a_teacher_of_text_never_looks_at_the_eeg():
    task = teacher(head_input="text", alpha=0.0)
    task.net.encode = None  # would fail if called
    assert set(task(Windows().batch(range(6)))) == {"loss", "ce", "logits", "unique_texts"}


def test_class_prompts_alone_need_no_description():
    task = teacher(targets="class_prompt")
    task.bank.of = None
    terms = task(Windows().batch(range(6)))
    assert "unique_texts" not in terms and terms["contrastive"] > 0


def test_inference_by_prompt_is_similarity_to_the_class_prompts_and_the_ensemble_their_mean():
    batch = Windows().batch(range(6))
    head, prompt, both = (teacher(inference=i).eval() for i in ("head", "prompt", "ensemble"))
    v = F.normalize(prompt.net.encode(batch.eeg_BCT), dim=-1)
    u = F.normalize(prompt.class_features("cpu"), dim=-1)
    expected = torch.softmax(v @ u.T / 0.07, dim=-1)
    torch.testing.assert_close(prompt.answer(batch).softmax(-1), expected, atol=1e-5, rtol=1e-4)
    mean = (expected + head.answer(batch).softmax(-1)) / 2
    torch.testing.assert_close(both.answer(batch).exp(), mean, atol=1e-5, rtol=1e-4)
    assert torch.equal(head.answer(batch), head.net(batch.eeg_BCT))


@pytest.mark.parametrize("inference", ["prompt", "ensemble"])
def test_what_is_kept_of_a_teacher_answers_as_the_teacher_without_its_text_encoder(inference):
    task, batch = teacher(inference=inference).eval(), Windows().batch(range(6))
    net = task.inference_net()
    torch.testing.assert_close(net(batch.eeg_BCT), task.answer(batch))
    assert not any("text" in name for name in net.state_dict())
    assert any("classifier" in n for n in net.state_dict()) == (inference == "ensemble")


def test_only_the_students_parameters_get_gradients():
    made, source = teacher(), Windows()
    bank = made.bank
    text_UE = made.model.encode_text(bank.input_ids, bank.attention_mask).detach()
    scale = made.model.logit_scale.detach()
    with torch.no_grad():
        logits = made.eval().net(source.eeg)
    student = conformer(1)
    text = CachedText(bank, text_UE, torch.zeros(2, 6), scale)
    task = distillation(student, logits, contrast=0.5, text=text)
    task(source.batch(range(8)))["loss"].backward()
    assert {id(p) for p in task.parameters()} == {id(p) for p in student.parameters()}
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in made.parameters())
    assert not logits.requires_grad and logits.grad is None and text_UE.grad is None and scale.grad is None


def test_the_logit_scale_is_held_at_its_limit_after_a_step(tmp_path):
    task = teacher(alpha=1.0)
    with torch.no_grad():
        task.model.logit_scale.fill_(LOGIT_SCALE_MAX + 1)
    training = fit(task, tmp_path)
    batch = training.prepare_step(training.made(0))
    training.finish_step(training.task(batch), batch)
    assert task.model.logit_scale.item() == pytest.approx(LOGIT_SCALE_MAX)
    with torch.no_grad():
        task.model.logit_scale.fill_(1.0)
    task.after_step()
    assert task.model.logit_scale.item() == 1.0


# ------------------------------------------------------------------------------------- Algorithm 2


def test_alpha_one_and_temperature_one_is_plain_cross_entropy_bit_for_bit(tmp_path):
    plain = fit(ClassifyTask(conformer(3)), tmp_path / "plain").run()
    distilled = fit(
        distillation(conformer(3), 5 * torch.randn(12, 2), alpha=1.0, temperature=1.0), tmp_path / "distilled"
    ).run()
    for (name, a), b in zip(plain.net.state_dict().items(), distilled.net.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(plain.net.state_dict()["classifier.weight"], conformer(3).classifier.weight)


class Two(torch.nn.Module):
    """A network that answers (0.5, 0.5) whatever it is shown."""

    def encode(self, eeg_BCT):
        return eeg_BCT.flatten(1)

    def classifier(self, features):
        return torch.zeros(len(features), 2)


@pytest.mark.parametrize(
    "direction, kl",
    [
        # Teacher (0.8, 0.2), student (0.5, 0.5).
        ("forward", 0.8 * math.log(1.6) + 0.2 * math.log(0.4)),  # 0.1927: the teacher is the target
        ("reverse", 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)),  # 0.2231
        ("jeffreys", (0.19274475702175746 + 0.22314355131420976) / 2),
    ],
)
def test_the_divergence_runs_from_the_student_to_the_teacher(direction, kl):
    logits = torch.full((12, 2), float("nan"))  # rows that are not asked for stay unknown
    logits[[3, 7]] = torch.log(torch.tensor([0.8, 0.2]))
    terms = distillation(Two(), logits, direction=direction, alpha=0.25)(Windows().batch([3, 7]))
    assert terms["kl"].item() == pytest.approx(kl, abs=1e-6)
    assert terms["loss"].item() == pytest.approx(0.25 * math.log(2) + 0.75 * kl, abs=1e-6)


def test_temperature_softens_both_and_scales_by_its_square():
    logits = torch.log(torch.tensor([[0.9, 0.1]])).repeat(12, 1)
    # At temperature 2: (3, 1) / 4 against (0.5, 0.5).
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    terms = distillation(Two(), logits, alpha=0.0, temperature=2.0)(Windows().batch([0]))
    assert terms["kl"].item() == pytest.approx(kl, abs=1e-6)
    assert terms["loss"].item() == pytest.approx(4 * kl, abs=1e-6)


def test_the_optional_terms_on_features_are_added_at_their_weights():
    net, batch, logits = conformer(dropout=0.0).eval(), Windows().batch(range(6)), torch.randn(12, 2)
    theirs = torch.randn(12, 6)
    plain = distillation(net, logits)(batch)
    terms = distillation(net, logits, teacher_NE=theirs, cosine=0.5, mse=2.0)(batch)
    mine = net.encode(batch.eeg_BCT)
    cosine = 1 - F.cosine_similarity(mine, theirs[:6]).mean()
    mse = ((mine - theirs[:6]) ** 2).mean()
    assert terms["loss"].item() == pytest.approx((plain["loss"] + 0.5 * cosine + 2 * mse).item(), rel=1e-5)


def test_a_student_may_classify_by_similarity_to_the_teachers_class_prompts():
    torch.manual_seed(0)
    features = torch.randn(2, 6)
    net = PromptClassifier(conformer(), "prompt").set_classes(features, torch.tensor(2.0))
    batch = Windows().batch(range(6))
    task = distillation(net, torch.randn(12, 2))
    terms = task(batch)
    terms["loss"].backward()
    assert all(p.grad is not None for p in net.parameters())
    assert torch.equal(net.class_features_KE, features)  # the teacher's text side never moves
    v, u = F.normalize(net.eval().encode(batch.eeg_BCT), dim=-1), F.normalize(features, dim=-1)
    torch.testing.assert_close(net(batch.eeg_BCT), math.exp(2.0) * v @ u.T)


def test_a_student_may_start_from_every_other_layer_of_its_teacher():
    made, student = conformer(1, depth=4), conformer(2, depth=2)
    take_layers(student, made)
    for mine, theirs in ((0, 0), (1, 2)):
        for a, b in zip(student.blocks[mine].parameters(), made.blocks[theirs].parameters(), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(student.prompts.values, made.prompts.values[[0, 2]])
    assert torch.equal(student.head[1].weight, made.head[1].weight)
    assert torch.equal(student.stem.time.weight, made.stem.time.weight)


def test_a_student_of_another_width_cannot_start_from_its_teacher():
    with pytest.raises(ConfigError, match="distill.init=teacher: the student's .* use distill.init=random"):
        take_layers(conformer(dim=4, depth=1), conformer(dim=8, depth=2))


@pytest.mark.parametrize(
    "make", [ClassifyTask, lambda net, **k: MetaTask(net, np.arange(12) % 3, inner_lr=0.1, **k)]
)
def test_class_weights_reach_every_task(make):
    batch, weight = Windows().batch(range(6)), torch.tensor([1.0, 9.0])
    plain, weighted = (make(conformer(dropout=0.0).eval(), loss=ClassLoss(w))(batch) for w in (None, weight))
    assert plain["loss"] != weighted["loss"]
    clip = [teacher(dropout=0.0, loss=ClassLoss(w)).eval()(batch) for w in (None, weight)]
    expected = F.cross_entropy(clip[1]["logits"], batch.label_B, weight=weight)
    assert clip[1]["ce"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert clip[0]["contrastive"] == clip[1]["contrastive"] and clip[0]["ce"] != clip[1]["ce"]


# --------------------------------------------------------------- on a real (synthetic) run's pieces


def digests(run: Path):
    return {p.relative_to(run): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def student_of(words, teacher):
    """A student of the run ``teacher``, distilled as ``distill`` does."""
    settings = distilling.with_teacher_data(load(DistillSettings, words), teacher)
    return distilling.distillation(settings, teacher).train()


@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_a_distillation_leaves_the_teacher_bit_equal_in_memory_and_on_disk(
    contrast, tiny, tmp_path, monkeypatch
):
    common = [*tiny, "fold=0", f"run.root={tmp_path}"]
    made = pipeline.training(one_run(common)).train()
    before, nets = digests(made.path), []
    original = pipeline.build_network

    def spy(model, sizes):
        built = original(model, sizes)
        if isinstance(built, Conformer) and built.classifier.weight.device.type == "cpu":
            nets.append(built)
        return built

    loaded = []
    monkeypatch.setattr(pipeline, "build_network", spy)
    freeze = torch.nn.Module.requires_grad_

    def note(module, flag=True):
        if isinstance(module, Conformer) and not flag:
            loaded.append((module, copy.deepcopy(module.state_dict())))
        return freeze(module, flag)

    monkeypatch.setattr(torch.nn.Module, "requires_grad_", note)
    student_of([*common, f"distill.contrast={contrast}"], made)
    assert digests(made.path) == before
    (teacher_net, state), student = loaded[0], nets[-1]
    assert teacher_net is not student and not teacher_net.training
    assert any("running_mean" in name for name in state)
    for name, value in teacher_net.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert all(p.grad is None for p in teacher_net.parameters())
    assert any(p.grad is not None for p in student.parameters())


def answers(run, fold=0):
    """What the kept network says of the test windows, and what the run saved."""
    config, saved = run.settings, run.predictions(fold)
    data = load_data(config.data)
    rows = data.rows(fold, "test")
    net = load_network(run.fold(fold))
    source = data.source(data.rows(fold, "train"))
    found = engine.predict(ClassifyTask(net).eval(), source, rows, make_accelerator("fp32", "cpu"))
    return torch.from_numpy(found).softmax(-1).numpy(), saved["probability_NK"][saved["part"] == "test"]


@pytest.mark.parametrize(
    "words",
    [
        ["head.inference=prompt", "loss.targets=class_prompt"],
        ["head.inference=ensemble", "text.class_prompts=['Quiet.','A rhythm that grows.']"],
        ["loss.targets=sigmoid", "model.net.prompts=shallow", "text_encoder.prompts=prefix"],
    ],
)
def test_the_kept_network_answers_as_the_run_did(words, tiny, tmp_path):
    run = pipeline.training(one_run([*tiny, *words, "fold=0", f"run.root={tmp_path}"]), report=False).train()
    found, saved = answers(run)
    np.testing.assert_allclose(found, saved, atol=1e-5)


def test_a_teacher_at_alpha_zero_is_the_classifier_without_text_bit_for_bit(tiny, tmp_path):
    common = [*tiny, "fold=0", f"run.root={tmp_path}"]
    runs = [
        pipeline.training(one_run([*common, word]), report=False).train()
        for word in ("loss.alpha=0.0", "text.source=none")
    ]
    assert runs[0].path != runs[1].path
    weights = [(run.fold(0) / "model.safetensors").read_bytes() for run in runs]
    answers = [run.predictions(0)["logits_NK"].tobytes() for run in runs]
    assert weights[0] == weights[1] and answers[0] == answers[1]


def test_a_student_may_take_all_that_its_teacher_offers(tiny, tmp_path):
    common = [*tiny, "fold=0", f"run.root={tmp_path}"]
    made = pipeline.training(one_run([*common, "model.net.depth=2"]), report=False).train()
    offers = ["logits=similarity", "init=teacher", "cosine=0.1", "mse=0.1", "contrast=0.1"]
    words = [*common, *(f"distill.{o}" for o in offers), "loss.class_weights=balanced"]
    run = student_of(words, made)
    history = pd.read_csv(run.fold(0) / "history.csv")
    assert {"train_kl", "train_cosine", "train_mse", "train_contrastive"} <= set(history.columns)
    found, saved = answers(run)
    np.testing.assert_allclose(found, saved, atol=1e-5)


def test_a_teacher_whose_head_reads_text_has_no_student(tiny, tmp_path):
    common = [*tiny, "fold=0", "trainer.epochs=1", f"run.root={tmp_path}"]
    made = pipeline.training(one_run([*common, "head.input=text", "loss.alpha=0.0"]), report=False).train()
    with pytest.raises(ConfigError, match="its head reads descriptions .head.input=text."):
        student_of(common, made)
    with pytest.raises(DataError, match="reads descriptions .head.input=text."):
        load_network(made.fold(0))


def test_balanced_weights_make_every_class_count_alike(tiny):
    config = one_run([*tiny, "loss.class_weights=balanced", "windows.balance_train=false"])
    data = load_data(config.data)
    label = data.windows["label"].to_numpy()[data.rows(0, "train")]
    weight = pipeline.class_loss(config.learning, data, 0).weight_K
    by_class = [weight[k].item() * (label == k).sum() for k in (0, 1)]
    assert by_class == pytest.approx([len(label) / 2] * 2)
    assert (label == 0).sum() != (label == 1).sum()
    assert pipeline.class_loss(one_run(tiny).learning, data, 0).weight_K is None


@pytest.mark.parametrize(
    "words, says",
    [
        (["head.input=text", "text.source=none"], "head.input=text needs a teacher trained with text"),
        (
            ["head.inference=prompt", "loss.alpha=0.0"],
            "head.inference=prompt needs a teacher trained with text",
        ),
        (["head.input=fused", "head.inference=prompt"], "class prompts are compared with EEG features alone"),
        (["head.input=text", "text.source=class_template"], "that would be its label"),
        (["model=eegnet", "head.input=text"], "head.input=text needs a teacher"),
        (["loss.class_weights=some"], "loss.class_weights='some' is not one of"),
        (["head.input=both"], "head.input='both' is not one of"),
    ],
)
def test_a_head_that_has_nothing_to_read_is_refused_before_any_data(words, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        config = one_run([*words, f"dataset.root={tmp_path / 'nowhere'}"])
        check(config.data, config.learning)


def test_other_labels_change_no_description(tiny):
    config = one_run(tiny)
    data = load_data(config.data)
    told, _ = describe_fold(config.text, data, 0)
    shuffled = load_data(one_run(tiny).data)
    for column in ("label", "event"):
        values = shuffled.windows[column].to_numpy()
        shuffled.windows[column] = np.random.default_rng(0).permutation(values)
    assert (shuffled.windows["label"] != data.windows["label"]).any()
    again, _ = describe_fold(config.text, shuffled, 0)
    assert again == told and len(set(told)) > 1


# --------------------------------------------------------------------------- meta-learning over subjects


def line(weight=0.5):
    """A classifier of one weight: logits (0, w * x)."""

    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor(weight))

        def forward(self, eeg_BCT):
            x = eeg_BCT[:, 0, 0]
            return torch.stack([torch.zeros_like(x), self.w * x], dim=1)

    return Line()


def one_number(values, labels):
    eeg = torch.tensor(values).reshape(-1, 1, 1)
    return Batch(eeg, torch.tensor(labels), np.arange(len(values)))


def test_meta_learning_takes_the_gradient_where_each_subject_s_step_ends():
    # Rows 0 and 2 are support and query of subject 0, rows 1 and 3 of subject 1.
    batch, subject = one_number([2.0, -1.0, 1.0, 3.0], [1, 0, 0, 1]), np.array([0, 1, 0, 1])
    net, w, step = line(), 0.5, 0.1
    MetaTask(net, subject, inner_lr=step)(batch)["loss"].backward()

    def slope(w, x, y):  # of cross-entropy with logits (0, w x)
        return (1 / (1 + math.exp(-w * x)) - y) * x

    first, second = w - step * slope(w, 2.0, 1), w - step * slope(w, -1.0, 0)
    by_hand = (slope(first, 1.0, 0) + slope(second, 3.0, 1)) / 2
    assert net.w.grad.item() == pytest.approx(by_hand, rel=1e-5)
    assert net.w.item() == 0.5  # the inner steps leave the shared weight as it is


def test_a_subject_with_one_window_is_classified_without_adapting():
    batch, subject = one_number([2.0, -1.0], [1, 0]), np.array([4, 7])
    meta, plain = line(), line()
    terms = MetaTask(meta, subject, inner_lr=0.1)(batch)
    expected = ClassifyTask(plain)(batch)
    terms["loss"].backward()
    expected["loss"].backward()
    assert torch.equal(terms["logits"], expected["logits"]) and torch.equal(meta.w.grad, plain.w.grad)


def test_meta_learning_trains_through_the_same_loop_and_gives_every_window_a_logit(tmp_path):
    net = conformer()
    before = copy.deepcopy(net.state_dict())
    task = MetaTask(net, np.arange(12) % 3, inner_lr=0.05)
    assert task(Windows().batch(np.arange(12)))["logits"].shape == (12, 2)
    fit(task, tmp_path).run()
    assert any(not torch.equal(before[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_an_inner_step_must_go_somewhere(value):
    with pytest.raises(ConfigError, match="model.meta_lr"):
        MetaTask(line(), np.zeros(2, int), inner_lr=value)
