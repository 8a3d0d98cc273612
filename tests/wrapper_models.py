"""Tiny composed models (vision or audio and language) of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import torch
from transformers import CONFIG_MAPPING, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
)

# For whichever of these keys the config of another part has.
_SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14, "depth": 1, "num_heads": 2, "embed_dim": 32,
    "out_hidden_size": 64, "encoder_layers": 1, "d_model": 32, "encoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "num_layers": 1, "hidden_dim": 32, "mm_hidden_size": 32,
}  # fmt: skip
_DELTA = {
    "head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_hidden_layers": 4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.25,
                        "mrope_section": [2, 1, 1], "mrope_interleaved": True},
}  # fmt: skip
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
# model_type -> (family of its text model, changes to the text config, to the other configs)
WRAPPERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "gemma3": ("gemma3_text", {"sliding_window": 8, "query_pre_attn_scalar": 16}, {}),
    "llava": ("llama", {}, {}),
    "llava_next": ("mistral", {"sliding_window": None}, {}),
    "llava_onevision": ("qwen2", {"head_dim": None}, {}),
    "vipllava": ("llama", {}, {"num_hidden_layers": 12}),
    "mistral3": ("mistral", {"sliding_window": None}, {"head_dim": 16}),
    "internvl": ("qwen2", {"head_dim": None}, {"image_size": [28, 28], "patch_size": [14, 14]}),
    "idefics2": ("mistral", {"sliding_window": None}, {}),
    "idefics3": ("llama", {}, {}),
    "smolvlm": ("llama", {}, {}),
    "got_ocr2": ("qwen2", {"head_dim": None}, {}),
    "lighton_ocr": ("qwen3", {}, {"head_dim": 16}),
    "qwen2_vl": ("qwen2", {"head_dim": None, "rope_parameters": _MROPE}, {}),
    "qwen2_5_vl": ("qwen2", {"head_dim": None, "rope_parameters": _MROPE}, {}),
    "qwen2_5_omni_thinker": ("qwen2", {"head_dim": None, "rope_parameters": _MROPE}, {}),
    "qwen3_vl": ("qwen3", {"rope_parameters": {**_MROPE, "mrope_interleaved": True}}, {}),
    "video_llama_3": ("qwen2", {"head_dim": None}, {}),
    "video_llava": ("llama", {}, {}),
    "deepseek_vl": ("llama", {}, {}),
    "granite_speech": ("granite", {"head_dim": None}, {"input_dim": 80}),
    "voxtral": ("llama", {}, {}),
    "qwen2_audio": ("qwen2", {"head_dim": None}, {}),
    "qwen3_asr": ("qwen3", {}, {}),
    "glmasr": ("llama", {}, {}),
    "qwen3_5": ("qwen3_5_text", _DELTA, {}),
    "minicpmv4_6": ("qwen3_5_text", _DELTA, {}),
    "minicpmv4_7": ("qwen3_5_text", _DELTA, {}),
    "lfm3_vl": (
        "lfm3",
        {
            "rms_norm_eps": None,
            "norm_eps": 1e-5,
            "sliding_window": 8,
            "num_hidden_layers": 5,
            "pad_token_id": 0,
        },
        {},
    ),
    # These families may have no fast tier.
    "lfm2_vl": ("lfm2", {"head_dim": None, "rms_norm_eps": None}, {}),
    "llama4": ("llama4_text", {}, {}),
    "aria": ("aria_text", {}, {}),
    "exaone4_5": ("exaone4", {}, {}),
    "cohere2_vision": ("cohere2", {"rms_norm_eps": None}, {}),
}


def build(model_type: str, seed: int = 0, **text: Any) -> PreTrainedModel:
    """A random model whose text config is stored as transformers stores it: by its differences."""
    kind, changes, other = WRAPPERS[model_type]
    made: Any = CONFIG_MAPPING[model_type]
    default = made()
    own = default.get_text_config(decoder=True).model_type
    inner = own if own in _OF_THEIR_OWN else kind
    sizes = {**hf_models.SIZES, **changes, **text, "model_type": inner}
    sizes = {k: v for k, v in sizes.items() if v is not None or k == "sliding_window"}
    parts = {
        name: _small(getattr(default, name)) | other
        for name in made.sub_configs if name != "text_config" and hasattr(default, name)
    }  # fmt: skip
    config = made(text_config=sizes, **parts)
    torch.manual_seed(seed)
    kinds = (MODEL_FOR_MULTIMODAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING)
    build_as: Any = next(kind[made] for kind in kinds if made in kind)
    model: PreTrainedModel = build_as(config).float().eval()
    scatter(model)
    return model


@torch.no_grad()
def scatter(model: PreTrainedModel) -> None:
    """Random values with which logits are far apart."""
    for name, tensor in model.state_dict().items():
        if "embed_tokens" in name or "lm_head" in name:
            tensor.normal_(std=1.0)
        elif "norm" in name and tensor.is_floating_point():
            tensor.add_(0.2 * torch.randn_like(tensor))
        elif tensor.is_floating_point() and tensor.dim() >= 2:
            tensor.normal_(std=tensor.shape[-1] ** -0.5)


_OF_THEIR_OWN = frozenset(
    {"qwen2_vl_text", "qwen2_5_vl_text", "qwen3_vl_text", "qwen2_5_omni_text"}
)


def _small(config: Any) -> dict[str, Any]:
    sizes = {key: value for key, value in _SMALL.items() if hasattr(config, key)}
    return {**sizes, "model_type": config.model_type}


def save(model: PreTrainedModel, folder: Path) -> Path:
    return hf_models.save(model, folder)
