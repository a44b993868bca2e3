"""BERT-LP: BERT with learned prompt tokens in every layer (paper, Sec. III-C and III-D, Fig. 3).

The kinds of prompts are those of ``models.prompts``, as in the Conformer. They stand right after [CLS].
"""

from functools import partial

import torch
import transformers
from torch import Tensor, nn

from distilclip_eeg.models.prompts import Prompts, make_prompts
from distilclip_eeg.schema import ConfigError, check_choice

TRAIN = ("prompts", "prompts+norms", "full")
POOL = ("cls", "mean")


class BertLP(nn.Module):
    """Text features of sentences.

    Only public parts of ``BertModel`` are used: its forward takes the attention mask as it is added to the
    scores, by sdpa and eager alike (of a mask of zeros and ones it would read from the device whether any
    token is padding), and hooks in front of the layers put the prompts in (a prefix: behind the maps to keys
    and values). Nothing depends on what a layer returns, and activation checkpointing works: a layer's
    prompts are part of its input.

    Args:
        bert: taken over; its pooling layer, if any, is removed because nothing here would train it.
        n_prompts: P, prompt tokens per layer; the paper gives no number. 0 is plain BERT.
        prompts, prompt_layers, prompt_init, prompt_dropout: see ``models.prompts``.
        train: ``prompts`` only, with the layer norms, or ``full`` (Algorithm 1 updates E_txt).
        pool: [CLS], or the mean of a sentence's tokens; prompt tokens and padding never count.

    Raises:
        ConfigError: a setting is unknown, or ``train=prompts`` leaves nothing to train.
    """

    def __init__(
        self,
        bert: "transformers.BertModel",
        *,
        n_prompts: int = 16,
        prompts: str = "deep",
        prompt_layers: int | None = None,
        prompt_init: str = "normal",
        prompt_dropout: float = 0.0,
        train: str = "full",
        pool: str = "cls",
    ):
        super().__init__()
        check_choice("text_encoder.train", train, TRAIN)
        check_choice("text_encoder.pool", pool, POOL)
        bert.pooler = None
        self.bert, self.pool = bert, pool
        self.dim: int = bert.config.hidden_size
        self.prompts = make_prompts(
            prompts,
            n_prompts,
            depth=len(bert.encoder.layer),
            dim=self.dim,
            layers=prompt_layers,
            init=prompt_init,
            dropout=prompt_dropout,
        )
        if self.prompts is None and train == "prompts":
            raise ConfigError(
                "text_encoder.train='prompts' without prompts leaves nothing to train. Set "
                "text_encoder.n_prompts above 0 and another text_encoder.prompts, or train=full."
            )
        if self.prompts is not None:
            self._hook(bert, self.prompts)
        self._freeze(train)

    def _hook(self, bert: "transformers.BertModel", prompts: Prompts) -> None:
        """Let every layer meet its prompts."""
        # Bound methods, not closures: copy.deepcopy then binds the copy's own prompts.
        for i, layer in enumerate(bert.encoder.layer[: prompts.layers]):
            if prompts.prefix:
                for which, name in enumerate(("key", "value")):
                    linear = layer.get_submodule(f"attention.self.{name}")
                    linear.register_forward_hook(partial(self._overwrite, i, which))
            else:
                layer.register_forward_pre_hook(partial(self._insert, i), with_kwargs=True)

    def _freeze(self, train: str) -> None:
        self.bert.requires_grad_(train == "full")
        if train == "prompts+norms":
            for module in self.bert.modules():
                if isinstance(module, nn.LayerNorm):
                    module.requires_grad_(True)

    def _own(self, i: int) -> Tensor:
        """The prompts of layer ``i``, one of those that ``_hook`` let meet theirs."""
        found = None if self.prompts is None else self.prompts.of(i)
        assert found is not None  # no other layer has a hook
        return found

    def _in_slots(self, tokens: Tensor, prompts_PD: Tensor) -> Tensor:
        """``tokens`` (U, P + L, hidden) with ``prompts_PD`` in slots 1..P."""
        prompts = prompts_PD.to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([tokens[:, :1], prompts, tokens[:, 1 + len(prompts_PD) :]], dim=1)

    def _insert(self, i: int, layer: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Layer ``i``'s input with its own prompt tokens."""
        if args:
            return (self._in_slots(args[0], self._own(i)), *args[1:]), kwargs
        hidden = self._in_slots(kwargs["hidden_states"], self._own(i))
        return args, {**kwargs, "hidden_states": hidden}

    def _overwrite(self, i: int, which: int, linear: nn.Module, args: tuple, out: Tensor) -> Tensor:
        """Layer ``i``'s keys (0) or values (1) with its prefix in the slots, whose tokens nobody sees."""
        return self._in_slots(out, self._own(i)[which])

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features (U, hidden) of U sentences; both arguments are (U, L), [CLS] first.

        Raises:
            ConfigError: the sentences are longer than this BERT has positions for.
        """
        if input_ids.shape[1] > self.bert.config.max_position_embeddings:
            raise ConfigError(
                f"text_encoder.max_len: {input_ids.shape[1]} tokens, but this BERT has positions for "
                f"{self.bert.config.max_position_embeddings}. Set a smaller text_encoder.max_len."
            )
        hidden = self._tokens(input_ids, attention_mask)
        if self.pool == "cls":
            return hidden[:, 0]
        weight = attention_mask[..., None].to(hidden.dtype)
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1)

    def _tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states (U, L, hidden) of the sentence's own tokens."""
        embeds = self.bert.get_input_embeddings()(input_ids)
        if self.prompts is None:
            added = added_mask(attention_mask, embeds.dtype)
            return self.bert(inputs_embeds=embeds, attention_mask=added).last_hidden_state
        p, (n, length) = self.prompts.n, input_ids.shape
        # Slots for the prompts; the first layer's hook overwrites what the embedding layer makes of them.
        slots = embeds.new_zeros(n, p, embeds.shape[-1])
        # Sentence tokens keep the positions they have without prompts.
        positions = torch.arange(length, device=input_ids.device)
        out = self.bert(
            inputs_embeds=torch.cat([embeds[:, :1], slots, embeds[:, 1:]], dim=1),
            attention_mask=added_mask(
                torch.cat([attention_mask.new_ones(n, p), attention_mask], dim=1), embeds.dtype
            ),
            position_ids=torch.cat([positions[:1], positions.new_zeros(p), positions[1:]])[None],
        ).last_hidden_state
        return torch.cat([out[:, :1], out[:, 1 + p :]], dim=1)


def added_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to the scores of attention, (U, 1, L, L), so that padding (0 in the mask) is not seen."""
    length = attention_mask.shape[1]
    hidden = (attention_mask == 0)[:, None, None, :].expand(-1, 1, length, -1)
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(
        hidden, torch.finfo(dtype).min
    )
