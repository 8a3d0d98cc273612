"""The engine ``eager``: the float32 model of a bundle's checkpoint, in PyTorch, for comparison.

The checkpoint is read again as the bundle's recipe says, and is not quantized: a program of a float
recipe gives the same tokens, and what a quantized one says differently is what quantization costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llm_export.api.forms import compose
from llm_export.errors import LlmExportError
from llm_export.models.contract import LanguageModel
from llm_export.models.load_model import load_model
from runtime_py.bundle import Bundle
from runtime_py.engines import Engine, PlainEngine
from runtime_py.errors import BundleRuntimeError
from runtime_py.manifest import is_endless

_CHUNK = 256
"""Tokens per step of a long prompt."""


class Eager(PlainEngine):
    """
    Args:
        path: the recipe, for errors.
        facts: the manifest's entry ``program``, whose context the model has.
    """

    name = "eager"

    def __init__(self, path: Path, model: LanguageModel, facts: Mapping[str, Any]) -> None:
        self.path = path
        self.context_length = facts["context_length"]
        self.prefill_length = min(model.step_length or _CHUNK, self.context_length)
        self.vocab_size = facts["vocab_size"]
        self.attention_sink = is_endless(facts)
        self._rewinds = facts.get("rewind") is None and not facts.get("recurrent")
        self._model: LanguageModel | None = model
        model.all_logits = True

    @property
    def closed(self) -> bool:
        return self._model is None

    def reset(self, position: int = 0) -> int:
        if position != self.position and not self._rewinds:
            position = 0
        if position == 0 and self._model is not None:
            self._model.init_buffers()
        self.position = position
        return position

    def step(self, tokens: Sequence[int], *, every: bool = False) -> Tensor:
        ids = self.checked(tokens)
        assert self._model is not None
        with torch.no_grad():
            logits: Tensor = self._model(torch.tensor([ids]), torch.tensor([self.position]))
        self.position += len(ids)
        return logits.float()

    def close(self) -> None:
        self._model = None


def open_eager(bundle: Bundle, data_path: Path | None, threads: int | None) -> Engine:
    """
    Raises:
        BundleRuntimeError: the bundle has no recipe, its checkpoint cannot be read, or an adapter
            was chosen that is not the recipe's.
    """
    recipe, default = bundle.file("recipe"), bundle.adapter_file()
    if recipe is None:
        raise BundleRuntimeError(
            "the eager model is made from the bundle's recipe, and it has none",
            where=str(bundle.path), fix="engine='executorch'",
        )  # fmt: skip
    if data_path != default:
        raise BundleRuntimeError(
            "the eager model has the adapter of the recipe only", where=str(bundle.path),
            fix="leave adapter out",
        )  # fmt: skip
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        loaded = load_model(
            compose(recipe).recipe, attention="plain",
            context_length=bundle.manifest["program"]["context_length"], all_logits=True,
        )  # fmt: skip
    except LlmExportError as error:
        raise BundleRuntimeError(
            f"the eager model cannot be made: {error.what}", where=error.where, fix=error.fix
        ) from None
    return Eager(recipe, loaded.model.eval(), bundle.manifest["program"])


OPENER = open_eager
