"""BERT-LP: BERT with learned prompt tokens in every layer (paper, Sec. III-C and III-D, Fig. 3).

Read as VPT-deep: every layer has P prompt tokens of its own right after [CLS]; what a layer makes of
them is dropped, the next layer gets fresh ones. The Conformer uses the same mechanism.
"""

from functools import partial

import torch
from torch import Tensor, nn
from transformers import BertModel

from distilclip_eeg.schema import ConfigError, check_choice

TRAIN = ("prompts", "prompts+norms", "full")
POOL = ("cls", "mean")


class BertLP(nn.Module):
    """Text features of sentences.

    Only public parts of ``BertModel`` are used: its forward builds the attention mask for whichever
    attention is set (sdpa, eager), and hooks in front of the layers put the prompts in. Nothing depends on
    what a layer returns, and activation checkpointing works: a layer's prompts are part of its input.

    Args:
        bert: taken over; its pooling layer, if any, is removed because nothing here would train it.
        n_prompts: P, prompt tokens per layer; the paper gives no number. 0 is plain BERT.
        prompt_dropout: dropout on the prompt tokens.
        train: ``prompts`` only, with the layer norms, or ``full`` (Algorithm 1 updates E_txt).
        pool: [CLS], or the mean of a sentence's tokens; prompt tokens and padding never count.
    """

    def __init__(
        self,
        bert: BertModel,
        *,
        n_prompts: int = 16,
        prompt_dropout: float = 0.0,
        train: str = "full",
        pool: str = "cls",
    ):
        super().__init__()
        check_choice("text_encoder.train", train, TRAIN)
        check_choice("text_encoder.pool", pool, POOL)
        if n_prompts < 0 or (n_prompts == 0 and train == "prompts"):
            raise ConfigError(
                f"text_encoder.n_prompts={n_prompts} with text_encoder.train={train!r} leaves nothing to "
                "train. Set n_prompts above 0, or train=full."
            )
        bert.pooler = None
        self.bert, self.pool, self.n_prompts = bert, pool, n_prompts
        self.dim: int = bert.config.hidden_size
        n_layers = len(bert.encoder.layer)
        self.prompts = nn.Parameter(torch.empty(n_layers, n_prompts, self.dim)) if n_prompts else None
        self.prompt_dropout = nn.Dropout(prompt_dropout)
        if self.prompts is not None:
            nn.init.normal_(self.prompts, std=0.02)
            for i, layer in enumerate(bert.encoder.layer):
                # A bound method, not a closure: copy.deepcopy then binds the copy's own prompts.
                layer.register_forward_pre_hook(partial(self._insert, i), with_kwargs=True)
        self._freeze(train)

    def _freeze(self, train: str) -> None:
        self.bert.requires_grad_(train == "full")
        if train == "prompts+norms":
            for module in self.bert.modules():
                if isinstance(module, nn.LayerNorm):
                    module.requires_grad_(True)

    def _insert(self, i: int, layer: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Put layer ``i``'s prompts into slots 1..P of its input (U, P + L, hidden)."""
        given_by_name = not args
        hidden = kwargs["hidden_states"] if given_by_name else args[0]
        prompts = self.prompts[i].to(hidden.dtype).expand(len(hidden), -1, -1)
        hidden = torch.cat(
            [hidden[:, :1], self.prompt_dropout(prompts), hidden[:, 1 + self.n_prompts :]], dim=1
        )
        if given_by_name:
            return args, {**kwargs, "hidden_states": hidden}
        return (hidden, *args[1:]), kwargs

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Features (U, hidden) of U sentences; both arguments are (U, L), [CLS] first."""
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
        if self.prompts is None:
            return self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        p, (n, length) = self.n_prompts, input_ids.shape
        embeds = self.bert.get_input_embeddings()(input_ids)
        # Slots for the prompts; the first layer's hook overwrites what the embedding layer makes of them.
        slots = embeds.new_zeros(n, p, embeds.shape[-1])
        # Sentence tokens keep the positions they have without prompts.
        positions = torch.arange(length, device=input_ids.device)
        out = self.bert(
            inputs_embeds=torch.cat([embeds[:, :1], slots, embeds[:, 1:]], dim=1),
            attention_mask=torch.cat([attention_mask.new_ones(n, p), attention_mask], dim=1),
            position_ids=torch.cat([positions[:1], positions.new_zeros(p), positions[1:]])[None],
        ).last_hidden_state
        return torch.cat([out[:, :1], out[:, 1 + p :]], dim=1)
