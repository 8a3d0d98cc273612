"""Hugging Face folders with quantized weights, as stated in their config.json.

Weights are dequantized while they are streamed, under the names and in the layout of the
unquantized model. The stored settings for activations are ignored; the recipe sets them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.checkpoints import bitnet, block_fp8, mxfp4
from llm_export.checkpoints.base import Reader, TensorInfo
from llm_export.checkpoints.packed import Contents
from llm_export.checkpoints.safetensors import LAYOUT
from llm_export.checkpoints.shards import ShardedCheckpoint, layout_fits
from llm_export.checkpoints.spans import Span, in_reading_order, read_span
from llm_export.checkpoints.torch_file import LAYOUT as BIN_LAYOUT
from llm_export.errors import CheckpointError
from llm_export.files import read_json

KEY = "quantization_config"
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
METHODS: Mapping[str, Callable[[Mapping[str, Span], Mapping[str, Any], Path], Contents]] = {
    "mxfp4": mxfp4.contents,
    "fp8": block_fp8.contents,
    "bitnet": bitnet.contents,
}
"""``quant_method`` -> the storage format."""


def without_quantization(
    config: Mapping[str, Any], where: str, *elsewhere: str
) -> dict[str, object]:
    """The config.json of the unquantized model, for weights that a reader dequantizes.

    Args:
        where: location of the config, for messages.
        elsewhere: methods that other readers support.

    Raises:
        CheckpointError: the weights are quantized by a method that none knows.
    """
    settings = config.get(KEY)
    if settings:
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        if method not in (*METHODS, *elsewhere):
            by = "" if method is None else f", by '{method}'"
            raise CheckpointError(
                f"the weights are quantized already{by}, and cannot be made float here",
                where=f"{where}: {KEY}",
                fix="use the checkpoint before quantization, and a quant option; "
                f"read are {', '.join(METHODS)}, and what torchao saves as safetensors",
            )
    return {key: value for key, value in config.items() if key != KEY}


class QuantizedCheckpoint(ShardedCheckpoint):
    """A checkpoint with quantized weights: unquantized names, dequantized tensors.

    With an unknown quantization method the tensors can be listed, but config() and tensors()
    raise.
    """

    def __init__(self, path: Path, config_path: Path | None = None) -> None:
        super().__init__(LAYOUT if layout_fits(LAYOUT, path) else BIN_LAYOUT, path, config_path)
        settings = _settings(path) or {}
        method = str(settings.get("quant_method"))
        stored = METHODS.get(method)
        found = Contents({}) if stored is None else stored(self.spans, settings, self.folder)
        self._packed = found.packed
        # Of an already dequantized or merged model, whose config.json was not cleaned up.
        self._left_over = not found.packed and all(s.dtype in _FLOATS for s in self.spans.values())
        if not self._left_over:
            self.format = f"{self.format}, quantized ({method})"
        self._method = method
        hidden = found.dropped.union(*(p.parts for p in found.packed.values()))
        # A packed tensor is yielded at the position of its first part.
        first = {packed.parts[0]: name for name, packed in found.packed.items()}
        self._names = {
            first.get(name, name): span
            for name, span in in_reading_order(self.spans)
            if name in first or name not in hidden
        }

    def config(self) -> Mapping[str, Any]:
        """The config without its quantization key, because the yielded weights are float.

        Raises:
            CheckpointError: the method is unknown.
        """
        config = super().config()
        if self._left_over:
            return {key: value for key, value in config.items() if key != KEY}
        return without_quantization(config, str(self._config_path))

    def remarks(self) -> tuple[str, ...]:
        if not self._left_over:
            return super().remarks()
        return (
            *super().remarks(),
            f"{KEY} of {self._config_path.name} ({self._method}) is left over: the weights of "
            f"{self.files[0].name} are plain floats, and the key may be removed",
        )

    def names(self) -> list[str]:
        return list(self._names)

    def infos(self) -> Mapping[str, TensorInfo]:
        return {n: self._packed[n].info if n in self._packed else span.info
                for n, span in self._names.items()}  # fmt: skip

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        self.config()
        for name, span in self._names.items():
            packed = self._packed.get(name)
            if packed is None:
                yield name, read_span(span)
            else:
                yield name, packed.unpack(*(read_span(self.spans[part]) for part in packed.parts))


def _settings(path: Path) -> dict[str, object] | None:
    config = (path if path.is_dir() else path.parent) / "config.json"
    settings = read_json(config).get(KEY) if config.is_file() else None
    return settings if isinstance(settings, dict) else None


def fits(path: Path) -> bool:
    if not (layout_fits(LAYOUT, path) or layout_fits(BIN_LAYOUT, path)):
        return False
    try:
        return bool(_settings(path))
    except CheckpointError:
        return False  # damaged: the code that parses it as a config reports this


READER = Reader(
    "safetensors published in MXFP4, block FP8 or ternary (BitNet)", fits, QuantizedCheckpoint
)
