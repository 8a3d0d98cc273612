"""The interface of models whose program has other methods than a decoder's ``forward``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from llm_export.models.cache_metadata import CacheMetadata
from llm_export.models.contract import TextReader
from llm_export.models.programs.method import Method

__all__ = ["Constant", "Method", "TaskModel"]

Constant = bool | int | list[int] | str
"""What a constant method of a program returns."""


class TaskModel(TextReader):
    """A model of a task other than text generation.

    Attributes:
        metadata: sizes; see ModelMetadata.
        context_length: most tokens of an input, or slots of the decoder's KV cache.
        head_name: the submodule that quantization rules call the head; empty if there is none.
        attention_kind: the kind of the last ``set_attention`` call.
        all_logits: whether a decoder's method returns the logits of all its tokens [1, S, V], or
            of the last [1, V]. Models may ignore it; then they are verified token by token.
    """

    whole_texts: bool = True
    head_name: str = ""
    attention_kind: str = "plain"
    all_logits: bool = False

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

    def input_embedding(self) -> nn.Module:
        """The table that a head may be tied to."""
        return self.token_tables()[0]

    def cache_metadata(self) -> CacheMetadata:
        """Cache properties that a runtime must know."""
        return CacheMetadata()

    def scale_random(self) -> None:
        """Scale random weights of variance 1 / inputs in place, where the model needs others: one
        that amplifies rounding errors to another answer cannot be verified."""

    def tie(self) -> None:
        """Let modules share the parameters that the architecture ties, after loading."""

    def init_buffers(self) -> None:
        """Compute all buffers that are not loaded, and empty the caches."""
