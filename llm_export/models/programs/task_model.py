"""The interface of models whose program has other methods than a decoder's ``forward``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from llm_export.models.cache_metadata import CacheMetadata
from llm_export.models.contract import ModelMetadata

Constant = bool | int | list[int] | str
"""What a constant method of a program returns."""


@dataclass(frozen=True)
class Method:
    """One method of a program.

    Attributes:
        module: what is traced. Modules of several methods hold the model as their attribute
            ``model``, so that parameters and buffers have one name in all of them: only then do
            the methods share them.
        inputs: example tensors. Sizes of dynamic dimensions are at least 2.
        dynamic: for each input, dimension -> ``torch.export.Dim``; None where all are fixed.
            Inputs with the same ``Dim`` have the same size there.
        input_names, output_names: what the tensors are, for people and for runtimes.
        repeated_layers: name in ``module`` of a ModuleList whose items are called in order and may
            be left out of the graph; empty if there is none.
    """

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    dynamic: tuple[Mapping[int, Any] | None, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    repeated_layers: str = ""


class TaskModel(nn.Module):
    """A model of a task other than text generation.

    Attributes:
        metadata: sizes; see ModelMetadata.
        context_length: most tokens of an input, or slots of the decoder's KV cache.
        head_name: the submodule that quantization rules call the head; empty if there is none.
        attention_kind: the kind of the last ``set_attention`` call.
    """

    metadata: ModelMetadata
    context_length: int
    head_name: str = ""
    attention_kind: str = "plain"

    def methods(self, options: Any, *, dynamic: bool) -> tuple[Method, ...]:
        """The methods to export.

        Args:
            options: the task's options, an instance of its options dataclass.
            dynamic: whether dimensions may vary; if not, each has the size that the options or
                the model's limits give.
        """
        raise NotImplementedError

    def settings(self, options: Any) -> dict[str, Any]:
        """What the manifest tells a runtime: JSON values, under ``task.settings``."""
        return {}

    def constants(self, options: Any) -> dict[str, Constant]:
        """Further constant methods of the program."""
        return {}

    def set_attention(self, kind: str) -> int:
        """Replace the kind of attention in place; returns the number of changed layers."""
        return 0

    def token_tables(self) -> Sequence[nn.Module]:
        """All modules that look up tokens."""
        raise NotImplementedError

    def cache_metadata(self) -> CacheMetadata:
        """Cache properties that a runtime must know."""
        return CacheMetadata()

    def tie(self) -> None:
        """Let modules share the parameters that the architecture ties, after loading."""

    def init_buffers(self) -> None:
        """Compute all buffers that are not loaded, and empty the caches."""
