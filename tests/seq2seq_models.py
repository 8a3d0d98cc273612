"""Random tiny T5 models of transformers, and the same in this project's modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from llm_export.models.seq2seq.t5 import T5
from llm_export.models.seq2seq.t5_family import FAMILY
from runtime_py.seq2seq.program import Call, EncoderDecoder

SIZES: dict[str, Any] = {
    "vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2,
    "num_decoder_layers": 2, "num_heads": 4, "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 20, "decoder_start_token_id": 0,
}  # fmt: skip


def hf_t5(seed: int = 0, *, tied: bool = True, **changes: Any) -> T5ForConditionalGeneration:
    """A random model whose logits are far apart; untied ones have a head of their own."""
    torch.manual_seed(seed)
    untied: dict[str, Any] = {} if tied else {"tie_word_embeddings": False}
    config = T5Config(**{**SIZES, **changes, **untied})
    model = T5ForConditionalGeneration(config).float().eval()
    with torch.no_grad():
        if not tied:
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
        for name, tensor in model.state_dict().items():
            if "norm" in name:
                tensor.add_(0.2 * torch.randn_like(tensor))
            elif "bias" in name:
                tensor.normal_(std=1.0)
            elif name.endswith((".o.weight", ".wo.weight")):
                # What layers add must outweigh the token itself: a tied head would repeat it.
                tensor.normal_(std=4 * tensor.shape[-1] ** -0.5)
            else:
                tensor.normal_(std=tensor.shape[-1] ** -0.5)
        model.shared.weight.normal_(std=1.0)
    return model


def own_t5(model: T5ForConditionalGeneration, context_length: int = 24) -> T5:
    """Its weights in this project's modules, by the family's names."""
    config = FAMILY.from_hf(model.config.to_diff_dict())
    with torch.device("meta"):
        own = FAMILY.build(config, context_length)
    wanted = dict(own.named_parameters(remove_duplicate=False))
    values = {}
    for name, tensor in model.state_dict().items():
        target = FAMILY.keys.to_model(name)
        if target in wanted:
            values[target] = tensor.detach().clone()
        else:
            assert FAMILY.keys.ignores(name), name
    own.load_state_dict(values, assign=True)
    own.tie()
    own.init_buffers()
    assert isinstance(own, T5)
    return own.eval().requires_grad_(False)


def call_of(model: T5) -> Call:
    """Runs the model's methods without a program."""
    methods = {each.name: each.module for each in model.methods(None, dynamic=True)}

    def call(name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return [methods[name](*inputs)]

    return call


def eager(model: T5, step_length: int | None = None) -> EncoderDecoder:
    return EncoderDecoder(call_of(model), model.context_length, step_length or model.context_length)
