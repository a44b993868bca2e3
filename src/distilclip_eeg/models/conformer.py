"""The EEG encoder: an EEG Conformer with learnable prompt tokens in every layer.

The article's stem and blocks follow Song et al. (EEG Conformer, TNSRE 2023), prompts follow
``models.prompts`` (article, Fig. 2). What comes out at the places of a layer's own prompts is dropped where
the next layer has its own. Outputs that are never read are never computed: such prompts enter a layer as keys
and values only, once a batch. The function and its gradients are the same, at 200 prompts for 11 tokens it
costs about a twentieth.

Shapes: B batch, C channels, T samples, N tokens, P prompts, D width, E embedding, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.band_power import BandPowerStem
from distilclip_eeg.models.contract import EncoderWithHead
from distilclip_eeg.models.prompts import make_prompts
from distilclip_eeg.schema import ConfigError, check_choice

KERNEL_S, POOL_S, STRIDE_S = 25 / 256, 75 / 256, 15 / 256
"""The authors' kernel, pool and stride at 256 Hz."""
STEMS = ("article", "band_power")


class Stem(nn.Module):
    """Temporal convolution, spatial convolution over all electrodes, BN, ELU, mean pool, 1x1 projection.

    Lengths are seconds, so 256 and 500 Hz give the same tokens and the same size downstream.

    Raises:
        ConfigError: a window is shorter than a token.
    """

    electrode_layer = "time"
    """Name of the layer whose output, (B, F, C, T'), still holds every electrode."""

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        dim: int,
        filters: int = 40,
        kernel_s: float = KERNEL_S,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.n_chans = n_chans
        self.kernel, self.window, self.stride = (
            max(1, round(s * sfreq)) for s in (kernel_s, POOL_S, STRIDE_S)
        )
        self.n_tokens = (n_times - self.kernel + 1 - self.window) // self.stride + 1
        if self.n_tokens < 1:
            raise ConfigError(
                f"a window of {n_times} samples at {sfreq:g} Hz is too short for the stem "
                f"({self.kernel} + {self.window} samples). Raise windows.length_s."
            )
        self.time = nn.Conv2d(1, filters, (1, self.kernel))
        self.space = nn.Conv2d(filters, filters, (n_chans, 1))
        self.norm = nn.BatchNorm1d(filters)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(filters, dim)

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight (F, C, K) and bias (F,) of the one convolution that equals time then space.

        Nothing non-linear stands between the two, so their product is exact; it does the work of the
        time convolution once instead of once an electrode.
        """
        time_bias, space_bias = self.time.bias, self.space.bias
        assert time_bias is not None and space_bias is not None  # both convolutions are made with one
        time, space = self.time.weight[:, 0, 0], self.space.weight[..., 0]  # (G, K), (F, G, C)
        weight = torch.einsum("fgc,gk->fck", space, time)
        return weight, space_bias + torch.einsum("fgc,g->f", space, time_bias)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Tokens of windows, (B, N, D)."""
        x = self.pooled(self.norm(F.conv1d(eeg_BCT, *self.merged())))
        return self.project(self.dropout(x).transpose(1, 2))  # (B, N, D)

    def pooled(self, x_BFT: Tensor) -> Tensor:
        """Normalised filters to what a token knows of them, (B, F, N)."""
        return F.avg_pool1d(F.elu(x_BFT), self.window, self.stride)


class Block(nn.Module):
    """Pre-norm transformer block; prompts are extra keys and values."""

    def __init__(self, *, dim: int, heads: int, ffn_mult: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.ffn = nn.Sequential(
            nn.Linear(dim, ffn_mult * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(ffn_mult * dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def split(self, x: Tensor) -> Tensor:
        """Width shared out among the heads: (..., N, D) to (..., H, N, D / H)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)

    def keys_values(self, prompts: Tensor) -> tuple[Tensor, Tensor]:
        """What this layer's attention sees of its prompts, each (H, P, D / H), without a batch."""
        if prompts.dim() == 3:  # a prefix is keys and values already
            keys, values = prompts
            return self.split(keys), self.split(values)
        dim = prompts.shape[-1]
        both = F.linear(self.norm1(prompts), self.qkv.weight[dim:], self.qkv.bias[dim:])
        keys, values = both.chunk(2, dim=-1)
        return self.split(keys), self.split(values)

    def attend(self, x: Tensor, prompts: Tensor | None) -> Tensor:
        """What attention adds to ``x`` (B, N, D), before dropout and the sum.

        Prompts carry no batch axis. Their keys meet the queries of all windows in one product, then one
        softmax runs over prompts and tokens together: as if the prompts stood before the tokens of every
        window. Scores are divided by sqrt(D / H); the softmax is in float32.

        Args:
            prompts: tokens (P, D), a prefix (2, P, D), or None.
        """
        q, k, v = (self.split(part) for part in self.qkv(self.norm1(x)).chunk(3, dim=-1))  # (B, H, N, d)
        if prompts is None:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            n, (extra_k, extra_v) = x.shape[1], self.keys_values(prompts)
            q_hmd = (q * q.shape[-1] ** -0.5).transpose(0, 1).flatten(1, 2)  # (H, B N, d)
            to_extra = (q_hmd @ extra_k.mT).unflatten(1, (x.shape[0], n)).transpose(0, 1)
            scores = torch.cat([to_extra, (q * q.shape[-1] ** -0.5) @ k.mT], dim=-1)
            weight = scores.float().softmax(-1).to(v.dtype)  # (B, H, N, P + N)
            on_extra, on_tokens = weight.split([extra_k.shape[1], n], dim=-1)
            from_extra = (on_extra.transpose(0, 1).flatten(1, 2) @ extra_v).unflatten(1, (x.shape[0], n))
            y = from_extra.transpose(0, 1) + on_tokens @ v
        return self.out(y.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, prompts: Tensor | None = None) -> Tensor:
        """Tokens (B, N, D) in and out.

        Args:
            prompts: tokens (P, D), a prefix (2, P, D), or None; they are attended to, no more.
        """
        x = x + self.dropout(self.attend(x, prompts))
        return x + self.dropout(self.ffn(self.norm2(x)))


@component("network", "conformer")
class Conformer(EncoderWithHead):
    """EEG encoder with classifier: windows to a feature in the shared space and to class logits.

    The article prints rounded sizes only; this reading (width 510, 200 prompts a layer, 40 stem filters,
    flattened tokens to 768) gives 30,797,102 and 17,877,782 parameters at 19 channels, 256 Hz and
    8 classes, classifier included. Initial values: torch's defaults for layers, N(0, 0.02) for prompts.

    Args:
        stem: what makes tokens of a window: ``article``, or ``band_power`` (``BandPowerStem``), which takes
            channels as alike and whose wavelets want a ``kernel_s`` of 0.5.

    Raises:
        ConfigError: ``dim`` cannot be shared out among ``heads``, a window is shorter than a token, or the
            stem or the prompts are refused.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dim: int,
        depth: int,
        heads: int = 10,
        ffn_mult: int = 4,
        dropout: float = 0.3,
        n_prompts: int = 200,
        prompts: str = "deep",
        prompt_layers: int | None = None,
        prompt_init: str = "normal",
        prompt_dropout: float = 0.0,
        embed: int = 768,
        filters: int = 40,
        kernel_s: float = KERNEL_S,
        stem: str = "article",
    ):
        super().__init__()
        if dim % heads:
            raise ConfigError(f"model.net.dim={dim} is not a multiple of model.net.heads={heads}.")
        check_choice("model.net.stem", stem, STEMS)
        made = Stem if stem == "article" else BandPowerStem
        self.stem = made(
            n_chans=n_chans,
            n_times=n_times,
            sfreq=sfreq,
            dim=dim,
            filters=filters,
            kernel_s=kernel_s,
            dropout=dropout,
        )
        self.n_tokens = self.stem.n_tokens
        self.dim = embed
        self.prompts = make_prompts(
            prompts,
            n_prompts,
            depth=depth,
            dim=dim,
            layers=prompt_layers,
            init=prompt_init,
            dropout=prompt_dropout,
        )
        self.blocks = nn.ModuleList(
            Block(dim=dim, heads=heads, ffn_mult=ffn_mult, dropout=dropout) for _ in range(depth)
        )
        self.head = nn.Sequential(
            nn.Flatten(1), nn.Linear(self.n_tokens * dim, embed), nn.GELU(), nn.Linear(embed, embed)
        )
        self.classifier = nn.Linear(embed, n_outputs)

    @property
    def electrode_layer(self) -> str:
        """Name of the last layer that still holds every electrode; some baselines have one."""
        return f"stem.{self.stem.electrode_layer}"

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features in the space shared with text, (B, E), not normalised."""
        x, prompts = self.stem(eeg_BCT), self.prompts
        for i, block in enumerate(self.blocks):
            own = None if prompts is None else prompts.of(i)
            if prompts is not None and own is not None and prompts.last(i):
                # from here on prompts are tokens like the others
                x, own = torch.cat([own.to(x.dtype).expand(x.shape[0], -1, -1), x], dim=1), None
            x = block(x, own)
        return self.head(x[:, -self.n_tokens :])

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.encode(eeg_BCT))


@torch.no_grad()
def take_layers(student: nn.Module, teacher: nn.Module) -> None:
    """Start ``student`` from evenly spaced layers of ``teacher`` (0, 2, 4, 6 of eight) and all the rest.

    Raises:
        ConfigError: the two differ in more than depth.
    """
    if not (isinstance(student, Conformer) and isinstance(teacher, Conformer)):
        kinds = f"{type(student).__name__} and {type(teacher).__name__}"
        raise ConfigError(
            f"distill.init=teacher takes layers of Conformers; these are {kinds}. Use distill.init=random."
        )
    layers = [i * len(teacher.blocks) // len(student.blocks) for i in range(len(student.blocks))]
    theirs, taken = teacher.state_dict(), {}
    for name, own in student.state_dict().items():
        block, _, rest = name.removeprefix("blocks.").partition(".")
        source = f"blocks.{layers[int(block)]}.{rest}" if name.startswith("blocks.") else name
        value = theirs.get(source)
        if name == "prompts.values" and value is not None and len(own) == len(layers) < len(value):
            value = value[layers]
        if value is None or value.shape != own.shape:
            found = "none" if value is None else tuple(value.shape)
            raise ConfigError(
                f"distill.init=teacher: the student's {name} is {tuple(own.shape)}, the teacher's {found}. "
                "They may differ in depth only; use distill.init=random."
            )
        taken[name] = value
    student.load_state_dict(taken)
