"""Settings of what is learned and how: model, text, loss, optimiser, loop, distillation."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.data import Device
from distilclip_eeg.config.ranges import (
    Batch,
    Count,
    LearningRate,
    NotNegative,
    Range,
    Seed,
    Share,
    Text,
    Weight,
)
from distilclip_eeg.config.rules import Settings, check_name
from distilclip_eeg.schema import ConfigError

Kind = Literal["teacher", "student", "baseline", "floor", "transfer"]
"""``transfer`` is written by ``evaluate dataset=OTHER``, never trained."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Settings):
    """The network; ``configs/model/NAME.yaml``."""

    where: ClassVar[str] = "model"

    name: str
    """What runs and tables call it."""
    kind: Kind
    """teacher (with text), student (may be distilled), baseline (any other network), floor (no network)."""
    net: Component
    """Class of the network and its arguments; model.net.NAME=VALUE sets any of them."""
    student: str | None = None
    """Of a teacher: the preset that distill takes where none is named."""
    meta_lr: LearningRate | None = None
    """A number: first-order meta-learning over subjects with this inner step; null: plain training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("model.name", self.name)
        if self.student is not None:
            check_name("model.student", self.student)


@dataclass(frozen=True, kw_only=True)
class TextConfig(Settings):
    """What the text encoder reads; article, Sec. III-C, which shows no text of its own."""

    where: ClassVar[str] = "text"

    source: Literal["none", "descriptors", "handcrafted", "metadata", "class_template"] = "descriptors"
    """none: the classifier without text. descriptors: a line of an EEG report, worded from the window's own
    signal. handcrafted: the same in fuller sentences behind a fixed preamble. metadata: montage, channels and
    rate of the recording, and age band and sex where no person stands on both sides of the split.
    class_template: each training window is paired with the sentence of its class, the reading of CoOp (Zhou
    et al. 2022); the sentence names the class, so this one source is not label-free, and a window outside
    training carries no text at all."""
    detail: Literal["coarse", "full"] = "coarse"
    """coarse: at most 24 distinct descriptions, so that a batch repeats them and each is encoded once. full:
    everything that is measured."""
    context_s: Annotated[float, Range(above=0, most=60)] | None = None
    """Describe this many seconds around the window, from the same piece, instead of the window alone: slow
    rhythms cannot be seen in one second. The stretch is made of signal alone. It reaches into neighbouring
    windows, so under split=window a training window's text may describe a test window's signal; under the
    other splits it never leaves the recording, and so never its side of the split."""
    class_prompts: tuple[str, ...] | None = None
    """Your sentence for each class, in the order of the classes; null: text/classes.py."""


@dataclass(frozen=True, kw_only=True)
class LossConfig(Settings):
    """Algorithm 1's loss."""

    where: ClassVar[str] = "loss"

    targets: str = "multi_positive"
    """What belongs together in the contrast: multi_positive, identity, text_identity, class_prompt, sigmoid,
    or a registered contrast."""
    alpha: Share = 0.5
    """Weight of the contrast against cross-entropy."""
    classification: str = "cross_entropy"
    """Loss of the class logits: cross_entropy (Eq. 1), or a registered loss."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: the cross-entropy weighs each class alike."""


@dataclass(frozen=True, kw_only=True)
class HeadConfig(Settings):
    """How a teacher answers."""

    where: ClassVar[str] = "head"

    input: Literal["eeg", "fused", "text"] = "eeg"
    """Class logits from the EEG feature; fused with the text's; or text alone."""
    inference: Literal["head", "prompt", "ensemble"] = "head"
    """prompt: by similarity to class prompts; ensemble: the mean of both."""


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(Settings):
    """The loop."""

    where: ClassVar[str] = "trainer"

    epochs: Count = 30
    """Passes over the training windows."""
    steps_per_epoch: Count | None = None
    """An epoch ends, and is judged, after this many steps, wherever in a pass over the training windows that
    is; null: after a pass. Every window still comes once a pass."""
    max_steps: Count | None = None
    """Stop after this many steps in all, whatever epochs says."""
    max_train_windows: Count | None = None
    """Train on this many windows at most, drawn once a fold by the seed; a smaller draw is part of a larger
    one. null: on all."""
    batch_size: Batch = 32
    """Windows a step, however many processes share it."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """fp32, bf16 (CPU too) or fp16 (CUDA only)."""
    patience: Count | None = None
    """Stop after this many epochs without a better one."""
    judge: Literal["macro_f1", "auroc", "loss"] = "macro_f1"
    """What an epoch is judged by, on validation windows, in patience and in the choice of the weights that
    are kept: macro F1, AUROC (of more than two classes each against the rest), or the loss. Between equals
    the lower loss decides."""
    log_every: Count = 20
    """Read loss and accuracy from the device after this many steps; a loss that is no number is found then.
    Never changes a number."""
    log_with: Literal["tensorboard", "wandb", "mlflow", "aim", "none"] = "tensorboard"
    """Where learning rate, losses, validation, settings and the confusion figure of each fold go, beside
    history.csv, by accelerate's own trackers; a library that is not installed is told with the line that
    brings it. Never changes a number."""
    compile: Literal["auto", "off"] = "off"
    """auto: on a CUDA GPU the encoders are compiled and run as CUDA graphs; elsewhere as off."""

    def steps(self, windows: int) -> int:
        """Steps of a training where there are so many windows, if patience does not end it."""
        steps = self.steps_of_epoch(windows) * self.epochs
        return min(steps, self.max_steps or steps)

    def steps_of_epoch(self, windows: int) -> int:
        """Steps until an epoch is judged, where there are so many windows."""
        windows = min(windows, self.max_train_windows or windows)
        return self.steps_per_epoch or -(-windows // self.batch_size)


@dataclass(frozen=True, kw_only=True)
class OptimConfig(Settings):
    """The optimiser; the article: Adam with weight decay, betas (0.9, 0.999), 1e-5."""

    where: ClassVar[str] = "optim"

    name: Literal["adam", "adamw"] = "adam"
    """Kind of optimiser."""
    lr: LearningRate = 1e-3
    """Learning rate, reached after warmup_steps."""
    text_lr: LearningRate | None = None
    """Rate of the text encoder; null: lr."""
    weight_decay: Weight = 1e-4
    """L2 penalty of adam, decoupled decay of adamw."""
    grad_clip: NotNegative | None = 1.0
    """Largest norm of the gradient; null or 0: not clipped."""
    warmup_steps: Annotated[int, Range(least=0)] = 0
    """Steps over which the rate rises to lr."""
    ema: Annotated[float, Range(least=0, below=1)] = 0.0
    """Decay of the running mean of weights that is evaluated and kept, reached gradually; 0: the weights
    themselves."""


@dataclass(frozen=True, kw_only=True)
class DistillConfig(Settings):
    """A student's loss; the article's values (Algorithm 2, Sec. IV-C)."""

    where: ClassVar[str] = "distill"

    alpha: Share = 0.5
    """Weight of cross-entropy against KL."""
    temperature: Annotated[float, Range(least=1e-3, most=1e4)] = 1.0
    """Both sides' logits are divided by it in KL."""
    direction: Literal["forward", "reverse", "jeffreys"] = "forward"
    """forward: KL(teacher || student) as Eq. (2) is written."""
    logits: Literal["head", "similarity"] = "head"
    """similarity: to the teacher's class prompts, as CLIP classifies."""
    init: Literal["random", "teacher"] = "random"
    """teacher: from every other of the teacher's layers, where the widths agree."""
    cosine: Weight = 0.0
    """Weight of one less the cosine to the teacher's features."""
    mse: Weight = 0.0
    """Weight of the squared difference from the teacher's features."""
    contrast: Weight = 0.0
    """Weight of aligning student features with the teacher's cached text features."""
    teacher_sha256: str | None = None
    """Written by distill, for the run's identity: stands for the teacher's weights."""


@dataclass(frozen=True, kw_only=True)
class Learning(Settings):
    """Everything that says which network is trained on given windows, and how."""

    model: ModelConfig
    text_encoder: Component
    """Class of the text encoder and its arguments, of a teacher; text_encoder.NAME=VALUE sets any of them."""
    text: TextConfig = field(default_factory=TextConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    augment: str = "none"
    init_from: Text | None = None
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    distill: DistillConfig | None = None
    seed: Seed = 0
    device: Device = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.head.input != "eeg" and self.head.inference != "head":
            raise ConfigError(
                f"head.input={self.head.input} with head.inference={self.head.inference}: class prompts are "
                "compared with EEG features alone. Use head.input=eeg, or head.inference=head."
            )

    @property
    def uses_text(self) -> bool:
        """Whether training takes text."""
        with_text = self.model.kind == "teacher" and self.text.source != "none"
        return with_text and (self.loss.alpha > 0 or self.head.input != "eeg")
