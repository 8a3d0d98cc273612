"""Families of vision-language models, by ``model_type`` of config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.registry import Registry

if TYPE_CHECKING:
    from llm_export.models.vision.families.base import VisionFamily

VISION_FAMILIES: Registry[VisionFamily] = Registry(
    "vision-language family", needs=("from_hf", "keys")
)
for _name, _target in {
    "gemma3": "gemma3:GEMMA3",
    "idefics3": "idefics3:IDEFICS3",
    "internvl": "internvl:INTERNVL",
    "lfm2_vl": "lfm2_vl:LFM2_VL",
    "llava": "llava:LLAVA",
    "qwen3_5": "qwen3_vl:QWEN3_5",
    "qwen3_vl": "qwen3_vl:QWEN3_VL",
    "smolvlm": "idefics3:SMOLVLM",
}.items():
    VISION_FAMILIES.register(_name, f"llm_export.models.vision.families.{_target}")
