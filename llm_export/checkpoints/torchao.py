"""Safetensors written by torchao: quantized weights, flattened into plain tensors.

``torchao.prototype.safetensors`` stores ``layer.weight`` as ``layer._weight_qdata``,
``layer._weight_scale``, ..., and describes in the header's metadata how to rebuild it;
transformers' ``save_pretrained`` uses it. Weights are dequantized while they are streamed. The
stored settings for activations are ignored; the recipe sets them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints.base import Reader, TensorInfo
from llm_export.checkpoints.safetensors import LAYOUT, read_header
from llm_export.checkpoints.shards import ShardedCheckpoint, layout_fits, weight_files
from llm_export.checkpoints.spans import Span, read_span
from llm_export.compat.torchao_tensors import rebuilt
from llm_export.errors import CheckpointError

_PLAIN = "Tensor"


class TorchAOCheckpoint(ShardedCheckpoint):
    """Unquantized names, dequantized tensors. The parts of a tensor may be in different shards."""

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        super().__init__(LAYOUT, path, config_path)
        self.format = "safetensors, quantized by torchao"
        metadata: dict[str, str] = {}
        for file in self.files:
            metadata |= read_header(file)[1]
        try:
            names = json.loads(metadata["tensor_names"])
            self._recipes = {name: json.loads(metadata[name]) for name in names}
            self._parts = {n: self._parts_of(n, r) for n, r in self._recipes.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"torchao's metadata is damaged: {type(error).__name__}: {error}",
                where=str(self.folder),
            ) from None
        claimed = {span for parts in self._parts.values() for span in parts.values()}
        if stray := [n for n, span in self.spans.items() if span not in claimed]:
            raise CheckpointError(
                f"torchao's metadata does not account for {', '.join(stray[:4])}",
                where=str(self.folder),
            )

    def config(self) -> Mapping[str, Any]:
        """The config without its quantization key, because the yielded weights are float."""
        config = dict(super().config())
        if (config.get("quantization_config") or {}).get("quant_method") == "torchao":
            del config["quantization_config"]
        return config

    def names(self) -> list[str]:
        return list(self._recipes)

    def infos(self) -> Mapping[str, TensorInfo]:
        return {n: self._info(n, recipe["_type"]) for n, recipe in self._recipes.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, recipe in self._recipes.items():
            parts = {key: read_span(span) for key, span in self._parts[name].items()}
            if recipe["_type"] == _PLAIN:
                yield name, parts[""]
            else:
                yield name, _dequantized(name, _rebuilt(name, recipe, parts, self.folder))

    def _parts_of(self, name: str, recipe: Mapping[str, Any]) -> dict[str, Span]:
        if recipe["_type"] == _PLAIN:
            wanted = {"": name}
        else:
            module, _, leaf = name.rpartition(".")
            prefix = f"{module}._{leaf}_" if module else f"_{leaf}_"
            wanted = {key: prefix + key for key in recipe["_tensor_data_names"]}
        for stored in wanted.values():
            if stored not in self.spans:
                raise CheckpointError(
                    f"'{stored}', a part of '{name}', is missing", where=str(self.folder)
                )
        return {key: self.spans[stored] for key, stored in wanted.items()}

    def _info(self, name: str, kind: str) -> TensorInfo:
        parts = self._parts[name]
        if kind == _PLAIN:
            return parts[""].info
        # A meta instance of the class gives the logical shape of packed data.
        empty = {
            key: torch.empty(span.shape, dtype=span.dtype, device="meta")
            for key, span in parts.items()
        }
        return TensorInfo(
            tuple(_rebuilt(name, self._recipes[name], empty, self.folder).shape), kind
        )


def _rebuilt(
    name: str, recipe: Mapping[str, Any], parts: Mapping[str, Tensor], folder: Path
) -> Tensor:
    try:
        return rebuilt(recipe, parts)
    except ValueError as error:
        raise CheckpointError(
            f"torchao cannot rebuild '{name}': {error}", where=str(folder)
        ) from None


def _dequantized(name: str, tensor: Tensor) -> Tensor:
    kind = type(tensor).__name__
    try:
        # Called on the class: Tensor has a method of the same name for other kinds of quantization.
        method = type(tensor).dequantize
        value = None if method is Tensor.dequantize else method(tensor)
    except (NotImplementedError, RuntimeError, ImportError, AssertionError) as error:
        raise _not_float(name, f"{kind}: {str(error).splitlines()[0]}") from None
    if value is None or type(value) is not Tensor:
        raise _not_float(name, kind)
    return value


def _not_float(name: str, kind: str) -> CheckpointError:
    return CheckpointError(
        f"'{name}' is a torchao {kind}, which cannot be made float here",
        fix="give the float checkpoint, and quantize with quant=...",
    )


def fits(path: Path) -> bool:
    if not layout_fits(LAYOUT, path):
        return False
    files = weight_files(LAYOUT, path)
    return "tensor_names" in read_header(files[0])[1]


READER = Reader("safetensors quantized by torchao", fits, TorchAOCheckpoint)
