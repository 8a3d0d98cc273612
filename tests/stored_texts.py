"""Snapshots as a program would give them, of any tokens, without a program."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from runtime_py import Snapshot

SLOTS = {"keys": 1, "values": 2}
PROGRAM, OTHER = "a" * 64, "b" * 64


def rows(tokens: Sequence[int]) -> Tensor:
    """[N]: a number for each token that depends on it and on all before it."""
    found, number = [], 1
    for token in tokens:
        number = (number * 31 + token + 1) % 1_000_003
        found.append(number)
    return torch.tensor(found, dtype=torch.int32)


def snapshot(
    tokens: Sequence[int], *, state: bool = False, program: str = PROGRAM, adapter: str = "",
    width: int = 2,
) -> Snapshot:  # fmt: skip
    numbers = rows(tokens)
    keys = numbers.reshape(1, -1, 1).repeat(1, 1, width)
    tensors = {"keys": keys, "values": -keys.transpose(1, 2)}
    if state:
        tensors["state"] = torch.full((1, 3), int(numbers[-1]) if len(tokens) else 0)
    return Snapshot(tuple(tokens), len(tokens), program, adapter, tensors)


def same(found: Snapshot, tokens: Sequence[int], *, state: bool = False) -> bool:
    """Whether it is what ``snapshot`` says of these tokens."""
    expected = snapshot(tokens, state=state, width=found.tensors["keys"].shape[2])
    return (
        found.tokens == expected.tokens
        and found.furthest == expected.furthest
        and set(found.tensors) == set(expected.tensors)
        and all(torch.equal(found.tensors[name], t) for name, t in expected.tensors.items())
    )
