"""Texts with images, as the decoder of an eager model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from llm_export.models.vision.config import GRID
from llm_export.models.vision.step_inputs import ATTEND_UNTIL, DEEPSTACK, ROPE_POSITIONS

if TYPE_CHECKING:
    from llm_export.models.vision.seeing_model import SeeingModel

Part = Sequence[int] | Tensor
"""Token ids, or the pixels of an image [1, C, h, w]."""


def sequence_inputs(model: SeeingModel, parts: Sequence[Part]) -> tuple[Tensor, ...]:
    """What ``decode`` takes for the whole sequence: embeddings [1, S, H], and ``step_inputs``."""
    from runtime_py.vision.mrope import TEXT, stream_positions

    embedded, added, offsets, until = [], [], list[int](), list[int]()
    layers = next((each.shape[0] for each in model.step_inputs if each.name == DEEPSTACK), 0) or 0
    for part in parts:
        image = isinstance(part, Tensor)
        if isinstance(part, Tensor):
            encoded = model.encode_image(part)
        else:
            encoded = model.embed_tokens(torch.tensor([list(part)], dtype=torch.int64))
        rows, *more = encoded if isinstance(encoded, tuple) else (encoded,)
        embedded.append(rows)
        added.append(more[0] if more else torch.zeros(layers, *rows.shape))
        count, begin = rows.shape[1], len(offsets)
        offsets += list(range(count)) if image else [TEXT] * count
        until += [begin + count - 1] * count if image else range(begin, begin + count)
    made = {DEEPSTACK: torch.cat(added, dim=2), ATTEND_UNTIL: torch.tensor(until)}
    grid = model.config.settings.get(GRID)
    if grid is not None:
        positions = stream_positions(offsets, tuple(grid)).positions
        made[ROPE_POSITIONS] = torch.from_numpy(positions)
    return (torch.cat(embedded, dim=1), *(made[each.name] for each in model.step_inputs))


def narrowed(
    model: SeeingModel, inputs: Sequence[Tensor], begin: int, end: int
) -> tuple[Tensor, ...]:
    """The part of ``sequence_inputs`` for a step."""
    dims = (1, *(each.token_dim for each in model.step_inputs))
    return tuple(x.narrow(dim, begin, end - begin) for x, dim in zip(inputs, dims, strict=True))


def sequence_logits(model: SeeingModel, inputs: Sequence[Tensor], prefill: int) -> Tensor:
    """[R, V] through the caches: a first step of ``prefill`` tokens, then one by one. R is the
    number of tokens, without those that the first step returns no logits of.
    """
    count = inputs[0].shape[1]
    ends = [prefill, *range(prefill + 1, count + 1)]
    rows = []
    for begin, end in zip([0, *ends], ends, strict=False):
        first, *further = narrowed(model, inputs, begin, end)
        rows.append(model.decode(first, torch.tensor([begin]), *further)[0])
    return torch.cat(rows)
