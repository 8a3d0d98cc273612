"""Embeddings by an eager model, and how near two sets of them are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.models.programs.task_model import TaskModel

_BATCH = 16
_NOISE = 1e-6
_TIE = 1e-6
NEAREST = 3
"""Sentences that a query is compared by."""


def method_of(model: TaskModel, options: Any) -> nn.Module:
    """The module of the method ``forward``: ids [B, S], mask [B, S] -> [B, D]."""
    return next(m.module for m in model.methods(options, dynamic=True) if m.name == "forward")


def eager_vectors(
    module: nn.Module, rows: Sequence[Sequence[int]], pad: int, progress: Callable[[int], None]
) -> Tensor:
    """[N, D] of N texts as token ids, in batches of similar length.

    Args:
        progress: called with the number of texts of each batch.
    """
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
    found: list[Tensor | None] = [None] * len(rows)
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        length = len(rows[part[-1]])
        ids = torch.full((len(part), length), pad)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(part):
            ids[place, : len(rows[row])] = torch.tensor(rows[row])
            mask[place, : len(rows[row])] = 1
        with torch.no_grad():
            values = module(ids, mask).float()
        for place, row in enumerate(part):
            found[row] = values[place]
        progress(len(part))
    return torch.stack([each for each in found if each is not None])


@contextmanager
def perturbed(model: TaskModel) -> Iterator[None]:
    """Multiply what the token tables give by 1 + 1e-6 * normal noise: as much as the rounding of
    another order of sums, which quantization at run time amplifies."""
    generator = torch.Generator().manual_seed(0)

    def noise(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output * (1 + _NOISE * torch.randn(output.shape, generator=generator))

    handles = [table.register_forward_hook(noise) for table in model.token_tables()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """[N] of [N, D] and [N, D]; NaN counts as -1."""
    found = torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=-1)
    return found.nan_to_num(-1.0)


def same_nearest(found: Tensor, reference: Tensor, count: int = NEAREST) -> float:
    """Share of rows whose ``count`` largest columns are the same, in any order. Columns that the
    reference does not tell apart by more than rounding count as the same.

    Args:
        found, reference: similarities [queries, passages].
    """
    count = min(count, found.shape[1])
    chosen = found.topk(count, dim=1).indices
    least = reference.topk(count, dim=1).values[:, -1]
    same = reference.gather(1, chosen).amin(dim=1) >= least - _TIE
    return float(same.double().mean())
