"""Tiny multimodal models around the text models of our families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import torch
from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, PreTrainedModel

_VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
_QWEN_VISION = {"depth": 1, "num_heads": 2, "out_hidden_size": 64, "embed_dim": 32}
# model_type -> (model type of its text model, changes to the text config, to the vision config)
WRAPPERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "gemma3": ("gemma3_text", {"sliding_window": 8, "query_pre_attn_scalar": 16}, {}),
    "llava": ("llama", {}, {}),
    "llava_next": ("mistral", {"sliding_window": None}, {}),
    "llava_onevision": ("qwen2", {"head_dim": None}, {}),
    "vipllava": ("llama", {}, {"num_hidden_layers": 12}),
    "mistral3": ("mistral", {"sliding_window": None}, {"head_dim": 16}),
    "internvl": ("qwen2", {"head_dim": None}, {"image_size": [28, 28], "patch_size": [14, 14]}),
    "idefics3": ("llama", {}, {}),
    "smolvlm": ("llama", {}, {}),
    "got_ocr2": ("qwen2", {"head_dim": None}, {}),
    "lighton_ocr": ("qwen3", {}, {"head_dim": 16}),
    "qwen2_vl": ("qwen2", {"head_dim": None, "rope_parameters": _MROPE}, _QWEN_VISION),
    "qwen2_5_vl": ("qwen2", {"head_dim": None, "rope_parameters": _MROPE}, _QWEN_VISION),
    "qwen3_vl": ("qwen3", {"rope_parameters": {**_MROPE, "mrope_interleaved": True}}, _QWEN_VISION),
}


def build(model_type: str, seed: int = 0, **text: Any) -> PreTrainedModel:
    """A random model whose text config is stored as transformers stores it: by its differences."""
    kind, changes, vision = WRAPPERS[model_type]
    sizes = {**hf_models.SIZES, **changes, **text, "model_type": kind}
    sizes = {k: v for k, v in sizes.items() if v is not None or k == "sliding_window"}
    made: Any = CONFIG_MAPPING[model_type]
    inner = dict(_VISION) | vision
    default = made().vision_config
    inner["model_type"] = default.model_type
    config = made(text_config=sizes, vision_config=inner)
    torch.manual_seed(seed)
    kinds: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    model: PreTrainedModel = kinds[type(config)](config).float().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "embed_tokens" in name or "lm_head" in name:
                tensor.normal_(std=1.0)
            elif "norm" in name:
                tensor.add_(0.2 * torch.randn_like(tensor))
            elif tensor.is_floating_point() and tensor.dim() >= 2:
                tensor.normal_(std=tensor.shape[-1] ** -0.5)
    return model


def save(model: PreTrainedModel, folder: Path) -> Path:
    return hf_models.save(model, folder)
