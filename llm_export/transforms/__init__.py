"""Transforms, by name. Importing this package imports no torch."""

from llm_export.registry import Registry
from llm_export.transforms.base import NamedTransform

TRANSFORMS: Registry[NamedTransform] = Registry("transform", needs=("make", "options"))
"""Transforms available under ``runtime.transforms``; built-in transforms have their own keys."""

ASKED_BY: dict[str, str] = {
    "fuse_projections": "runtime.fuse_projections=true",
    "lora": "checkpoint.adapter_mode=separate",
    "rotate": "quant.rotate={}",
    "split_head": "quant.head_split=8192",
    "smooth": "quant.smooth={}",
    "awq": "quant.awq={}",
    "quantize": "quant.rules",
    "cast": "a rule with the scheme fp16 or bf16",
    "attention": "runtime.attention",
    "delegate_forms": "the backend, which says what it wants",
}
"""Built-in transform -> the recipe key that enables it."""

for _name in ASKED_BY:
    TRANSFORMS.register(_name, f"llm_export.transforms.{_name}:")

TRANSFORMS.take_from_plugins("transforms")
