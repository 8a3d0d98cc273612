"""Whether a file holds an output head of its own, whatever its config says about tying.

transformers 5 ties embedding and head only if the file holds one of them, or two equal ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import torch

from llm_export.checkpoints.spans import Span, read_into

HEAD = "lm_head.weight"
# Names that families have for the table of tokens; "backbone" is Mamba's and Nemotron's.
_EMBED = re.compile(r"((model|backbone|transformer)\.)?(embed_tokens|embeddings?|wte)\.weight")
_CHUNK = 1 << 20  # elements


def has_own_head(names: Collection[str], plain: Mapping[str, Span]) -> bool:
    """Whether embedding and head are both there, with different values.

    Args:
        names: all tensors.
        plain: those that are stored as they are. A packed one is another tensor than a plain one.
    """
    table = next((name for name in names if _EMBED.fullmatch(name)), None)
    if HEAD not in names or table is None:
        return False
    head, embed = plain.get(HEAD), plain.get(table)
    if head is None or embed is None:
        return True
    return not _equal(head, embed)


def _equal(a: Span, b: Span) -> bool:
    """Compare in pieces: tensors that differ mostly do so in the first one."""
    if a.shape != b.shape or a.stride != b.stride:
        return False
    if (a.path, a.offset, a.dtype) == (b.path, b.offset, b.dtype):
        return True
    for start in range(0, a.extent, _CHUNK):
        count = min(_CHUNK, a.extent - start)
        first, second = (_piece(span, start, count) for span in (a, b))
        if not torch.equal(first, second):
            return False
    return True


def _piece(span: Span, start: int, count: int) -> torch.Tensor:
    flat = torch.empty(count, dtype=span.dtype)
    read_into(span.path, span.offset + start * span.dtype.itemsize, flat)
    return flat.to(torch.float32)
