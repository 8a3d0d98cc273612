"""Registry of checkpoint formats, by name. Importing this module does not import torch."""

from __future__ import annotations

from llm_export.checkpoints.base import Reader
from llm_export.registry import Registry

READERS: Registry[Reader] = Registry("checkpoint reader", needs=("files", "fits", "open"))
"""Readers are tried in order of registration, and the first that fits opens the checkpoint. Hub
repositories often contain the same weights in several formats: safetensors comes first, specific
formats before general ones, and plugins last, for files that no built-in reader opens.
"""

for _name, _module in {
    "torchtune": "torchtune_file",
    "torchao": "torchao",
    "quantized": "quantized",
    "safetensors": "safetensors",
    "torch": "torch_file",
    "gguf": "gguf",
    "meta": "meta",
    "adapter": "adapter",
}.items():
    READERS.register(_name, f"llm_export.checkpoints.{_module}:READER")

READERS.take_from_plugins("checkpoint_readers")
