"""Tiny models of the families that torchtune has: transformers' model and its torchtune files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from llm_export.checkpoints.random import CHAT_TEMPLATE, RandomCheckpoint
from llm_export.checkpoints.torchtune_names import converter

SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5, "bos_token_id": 318, "eos_token_id": 319, "pad_token_id": 0,
}  # fmt: skip

LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama3_2": ("llama", {"tie_word_embeddings": True, "rope_parameters": LLAMA3}),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2_untied": ("qwen2", {}),
    "phi3": ("phi3", {}),
    "gemma2": ("gemma2", {"head_dim": 32, "query_pre_attn_scalar": 24, "sliding_window": 9,
                          "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}),
}  # fmt: skip


def reference(variant: str, seed: int = 0) -> Any:
    """transformers' model, random, with logits far apart."""
    family, changes = VARIANTS[variant]
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **{**SIZES, **changes})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif parameter.dim() == 2:
                parameter.normal_(std=1.0 if "embed" in name else parameter.shape[1] ** -0.5)
            else:
                parameter.normal_(std=0.2)
    return model


def save_hf(model: Any, folder: Path) -> Path:
    """A Hugging Face folder with a byte tokenizer."""
    model.save_pretrained(folder)
    assets = RandomCheckpoint(0, {"embed.weight": (SIZES["vocab_size"], 8)}).tokenizer()
    (folder / "tokenizer.json").write_text(assets.tokenizer_json)
    settings = {**assets.special_tokens, "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def tune_state(model: Any) -> dict[str, torch.Tensor]:
    """The model's weights as torchtune holds them, by torchtune's own conversion."""
    config = model.config.to_dict()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    if config["tie_word_embeddings"]:
        del state["lm_head.weight"]
    return converter(config["model_type"], "test").to_tune(state, config)


def save_tune(model: Any, folder: Path, name: str = "model-00001-of-00001.bin") -> Path:
    """A folder as torchtune's FullModelTorchTuneCheckpointer leaves it."""
    save_hf(model, folder)
    (folder / "model.safetensors").unlink()
    torch.save(tune_state(model), folder / name)
    return folder
