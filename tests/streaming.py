"""StreamingLLM (arXiv:2309.17453) by its definition, over a transformers Llama.

Each layer keeps its keys, before RoPE, and values as lists. After a step's tokens have been
added, all but the first ``sinks`` and the most recent ones are thrown away; what is left is
numbered anew from 0, and keys and queries are rotated by these numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv


class StreamingLlama:
    def __init__(self, model: Any, context: int, sinks: int) -> None:
        self.model, self.context, self.sinks = model, context, sinks
        self.kept: list[tuple[Tensor, Tensor] | None] = [None] * len(model.model.layers)

    def step(self, ids: list[int]) -> Tensor:
        """Logits [S, V]."""
        with torch.no_grad():
            x = self.model.model.embed_tokens(torch.tensor([ids]))
            for index, layer in enumerate(self.model.model.layers):
                x = x + self.attention(index, layer.self_attn, layer.input_layernorm(x))
                x = x + layer.mlp(layer.post_attention_layernorm(x))
            return self.model.lm_head(self.model.model.norm(x))[0]

    def attention(self, index: int, module: Any, x: Tensor) -> Tensor:
        count, shape = x.shape[1], (1, x.shape[1], -1, module.head_dim)
        q, k, v = (
            p(x).view(shape).transpose(1, 2) for p in (module.q_proj, module.k_proj, module.v_proj)
        )
        past = self.kept[index]
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        k, v = self.evict(k), self.evict(v)
        self.kept[index] = (k, v)
        total = k.shape[2]
        cos, sin = self.model.model.rotary_emb(x, torch.arange(total)[None])
        _, k = apply_rotary_pos_emb(k, k, cos, sin)
        q, _ = apply_rotary_pos_emb(q, q, cos[:, -count:], sin[:, -count:])
        groups = module.num_key_value_groups
        scores = q @ repeat_kv(k, groups).transpose(2, 3) * module.scaling
        later = torch.ones(count, total).triu(total - count + 1).bool()
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        y = (weights @ repeat_kv(v, groups)).transpose(1, 2).reshape(1, count, -1)
        return module.o_proj(y)

    def evict(self, x: Tensor) -> Tensor:
        if x.shape[2] <= self.context:
            return x
        recent = self.context - self.sinks
        return torch.cat((x[:, :, : self.sinks], x[:, :, -recent:]), 2)
