"""Check token ids."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from runtime_py.errors import ArgumentError, shown

FIRST_ROW = 1 << 31
"""Ids from here to 2**32 stand for rows that an encoder has computed, such as of an image; see
``runtime_py.vision.rows``. A vocabulary is smaller."""


def checked_ids(prompt: Any, vocab_size: int | None) -> list[int]:
    """Token ids of a list, an array or a tensor of one dimension.

    Args:
        vocab_size: number of ids; None: any that 64 bits hold.

    Raises:
        ArgumentError: it is no list of whole numbers, or an id is not in the vocabulary.
    """
    if prompt is None or isinstance(prompt, bytes | Mapping | set | frozenset):
        raise _no_prompt(prompt)
    try:
        items = list(prompt)
        if any(isinstance(item, bool | str) for item in items):
            raise TypeError
        ids = [operator.index(item) for item in items]
    except Exception:  # of whatever the caller's object does
        raise _no_prompt(prompt) from None
    for each in ids:
        if not 0 <= each < (vocab_size or 2**63):
            size = f" of {vocab_size}" if vocab_size else ""
            raise ArgumentError(f"token id {shown(each)} is not in the vocabulary{size}")
    return ids


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Tokens that both begin with."""
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return count


def before_rows(ids: Sequence[int], count: int) -> int:
    """``count``, or less if the text would be cut within the rows of an image: some models let
    these attend to each other, and take them in one step only."""
    while 0 < count < len(ids) and ids[count] >= FIRST_ROW and ids[count - 1] >= FIRST_ROW:
        count -= 1
    return count


def _no_prompt(prompt: Any) -> ArgumentError:
    kind = type(prompt).__name__
    if isinstance(prompt, Sequence) and not isinstance(prompt, bytes) and prompt:
        kind = f"a {kind} of {type(prompt[0]).__name__}"
    return ArgumentError(
        f"a prompt must be a text or a list of token ids, not {kind}",
        fix="a list of messages goes to chat",
    )
