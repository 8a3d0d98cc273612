"""Lists of a GGUF file's tokenizer, whose types nothing but the writer guarantees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_export.errors import CheckpointError


def list_of(meta: Mapping[str, Any], name: str, kind: type, where: str) -> list[Any]:
    """The list ``tokenizer.ggml.NAME``.

    Args:
        kind: str, int or float, of all its values; float takes whole numbers too.

    Raises:
        CheckpointError: it is missing, or holds something else.
    """
    key = f"tokenizer.ggml.{name}"
    values = meta.get(key)
    if values is None:
        raise CheckpointError(f"the GGUF file lacks '{key}'", where=where)
    kinds = (int, float) if kind is float else (kind,)
    if not isinstance(values, list) or not all(type(value) in kinds for value in values):
        raise CheckpointError(
            f"'{key}' of the GGUF file is no list of {kind.__name__}",
            where=where,
            fix="convert the model anew, or give its Hugging Face folder",
        )
    return values


def per_token(
    meta: Mapping[str, Any], name: str, kind: type, tokens: Sequence[str], where: str
) -> list[Any]:
    """A list with a value for each token; see ``list_of``.

    Raises:
        CheckpointError: it is missing, too short, or holds something else.
    """
    values = list_of(meta, name, kind, where)
    if len(values) < len(tokens):
        raise CheckpointError(
            f"the GGUF file has {len(tokens)} tokens and {len(values)} values of "
            f"'tokenizer.ggml.{name}'",
            where=where,
            fix="fetch it again, or convert the model anew",
        )
    return values[: len(tokens)]
