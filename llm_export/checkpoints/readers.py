"""Formats of checkpoints, by name. Importing this module imports no torch."""

from __future__ import annotations

from llm_export.checkpoints.base import Reader
from llm_export.registry import Registry

READERS: Registry[Reader] = Registry("checkpoint reader", needs=("files", "fits", "open"))
"""The first that fits opens the checkpoint, in the order of registration. Hub repositories often
carry the same weights several times; safetensors first, and what is marked more narrowly before
what is not. A plugin's come last: they open what nothing else does."""

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
