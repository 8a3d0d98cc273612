"""Model families: how to turn a config and a checkpoint into a decoder.

They have the names of ``model_type`` in config.json.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.registry import Registry

if TYPE_CHECKING:
    from llm_export.models.families.config_values import Family

FAMILIES: Registry[Family] = Registry("model family", needs=("from_hf", "keys"))
for _name, _target in {
    "arcee": "arcee:FAMILY",
    "bitnet": "bitnet:FAMILY",
    "deepseek_v2": "deepseek:V2",
    "deepseek_v3": "deepseek:V3",
    "dots1": "dots1:FAMILY",
    "ernie4_5": "ernie4_5:FAMILY",
    "ernie4_5_moe": "ernie4_5_moe:FAMILY",
    "apertus": "apertus:FAMILY",
    "cohere2": "cohere2:FAMILY",
    "exaone4": "exaone4:FAMILY",
    "bamba": "bamba:FAMILY",
    "falcon_h1": "falcon_h1:FAMILY",
    "gemma": "gemma:GEMMA",
    "gemma2": "gemma:GEMMA2",
    "gemma3_text": "gemma:GEMMA3",
    "glm4": "glm4:FAMILY",
    "glm4_moe": "glm4_moe:FAMILY",
    "glm4_moe_lite": "deepseek:GLM4_LITE",
    "gemma4_text": "gemma4:FAMILY",
    "gpt_oss": "gpt_oss:FAMILY",
    "granite": "granite:FAMILY",
    "granitemoe": "granitemoe:FAMILY",
    "granitemoehybrid": "granite_hybrid:FAMILY",
    "lfm2": "lfm2:FAMILY",
    "lfm2_moe": "lfm2_moe:FAMILY",
    "lfm3": "lfm3:FAMILY",
    "hunyuan_v1_dense": "hunyuan_v1_dense:FAMILY",
    "hunyuan_v1_moe": "hunyuan_v1_moe:FAMILY",
    "granite_swa": "granite_swa:FAMILY",
    "llama": "llama:FAMILY",
    "ministral3": "ministral3:FAMILY",
    "mamba2": "mamba2:FAMILY",
    "mistral": "mistral:FAMILY",
    "mixtral": "mixtral:FAMILY",
    "nemotron_h": "nemotron_h:FAMILY",
    "olmo2": "olmo2:FAMILY",
    "olmo3": "olmo3:FAMILY",
    "olmoe": "olmoe:FAMILY",
    "phi3": "phi3:FAMILY",
    "qwen2": "qwen2:FAMILY",
    "qwen2_moe": "qwen2_moe:FAMILY",
    "qwen3": "qwen3:FAMILY",
    "qwen3_5_text": "qwen3_5:FAMILY",
    "qwen3_5_moe_text": "qwen3_5_moe:FAMILY",
    "qwen3_moe": "qwen3_moe:FAMILY",
    "seed_oss": "seed_oss:FAMILY",
    "smollm3": "smollm3:FAMILY",
    "stablelm": "stablelm:FAMILY",
    "starcoder2": "starcoder2:FAMILY",
}.items():
    FAMILIES.register(_name, f"llm_export.models.families.{_target}")

FAMILIES.take_from_plugins("families")
