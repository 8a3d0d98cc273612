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
    "deepseek_v2": "deepseek:V2",
    "deepseek_v3": "deepseek:V3",
    "gemma": "gemma:GEMMA",
    "gemma2": "gemma:GEMMA2",
    "gemma3_text": "gemma:GEMMA3",
    "gemma4_text": "gemma4:FAMILY",
    "gpt_oss": "gpt_oss:FAMILY",
    "granite": "granite:FAMILY",
    "llama": "llama:FAMILY",
    "mistral": "mistral:FAMILY",
    "mixtral": "mixtral:FAMILY",
    "olmo2": "olmo2:FAMILY",
    "olmoe": "olmoe:FAMILY",
    "phi3": "phi3:FAMILY",
    "qwen2": "qwen2:FAMILY",
    "qwen3": "qwen3:FAMILY",
    "qwen3_moe": "qwen3_moe:FAMILY",
    "smollm3": "smollm3:FAMILY",
    "stablelm": "stablelm:FAMILY",
    "starcoder2": "starcoder2:FAMILY",
}.items():
    FAMILIES.register(_name, f"llm_export.models.families.{_target}")

FAMILIES.take_from_plugins("families")
