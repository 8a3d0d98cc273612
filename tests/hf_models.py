"""Tiny Hugging Face checkpoints, made with transformers: the reference of parity tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM, PreTrainedModel

from llm_export.checkpoints.random import CHAT_TEMPLATE, RandomCheckpoint

SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "bos_token_id": 318,
    "eos_token_id": 319, "pad_token_id": None,
}  # fmt: skip


def build(model_type: str, seed: int = 0, **config: Any) -> PreTrainedModel:
    """A random model whose logits are far apart, so that top-1 agreement means something."""
    torch.manual_seed(seed)
    settings = AutoConfig.for_model(model_type, attn_implementation="eager", **config)
    model = AutoModelForCausalLM.from_config(settings, attn_implementation="eager")
    model = model.float().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            # A number without a dimension is a constant of the architecture.
            if not tensor.is_floating_point() or tensor.dim() == 0:
                continue
            if "norm" in name or "scalar" in name:
                tensor.add_(0.2 * torch.randn_like(tensor))
            elif "embed" in name:
                tensor.normal_(std=1.0)
            elif tensor.dim() >= 2:
                tensor.normal_(std=tensor.shape[-1] ** -0.5)
            else:
                tensor.normal_(std=0.2)
    return model


def config_of(model_type: str, **config: Any) -> dict[str, Any]:
    """The config.json of a model, as transformers writes it."""
    return dict(AutoConfig.for_model(model_type, **config).to_diff_dict())


def llama(seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    model = build("llama", seed, **{**SIZES, **changes})
    assert isinstance(model, LlamaForCausalLM)
    return model


def save(model: PreTrainedModel, folder: Path, **options: Any) -> Path:
    """Save weights, config and a byte tokenizer as a Hugging Face folder."""
    model.save_pretrained(folder, **options)
    assets = RandomCheckpoint(0, {"embed.weight": (SIZES["vocab_size"], 8)}).tokenizer()
    (folder / "tokenizer.json").write_text(assets.tokenizer_json)
    settings = {**assets.special_tokens, "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
