"""Positions of text and images in three streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import Qwen3VLConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLModel

from runtime_py.errors import ArgumentError
from runtime_py.vision.mrope import TEXT, stream_positions


def offsets_of(spans: list[int | None], grid: tuple[int, int]) -> list[int]:
    """Numbers are lengths of text; None is an image."""
    image = list(range(grid[0] * grid[1]))
    return [x for span in spans for x in (image if span is None else [TEXT] * span)]


class Rules:
    """What ``get_rope_index`` needs of its model."""

    config = Qwen3VLConfig()
    get_vision_position_ids = Qwen3VLModel.get_vision_position_ids


@given(
    spans=st.lists(st.one_of(st.none(), st.integers(1, 6)), min_size=1, max_size=6),
    grid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    cuts=st.sets(st.integers(0, 60)),
)
def test_positions_are_those_of_transformers_in_any_steps(
    spans: list[int | None], grid: tuple[int, int], cuts: set[int]
) -> None:
    # Images that touch would be one to transformers.
    spans = [s for i, s in enumerate(spans) if s is not None or i == 0 or spans[i - 1] is not None]
    offsets = offsets_of(spans, grid)
    images = spans.count(None)
    sizes = torch.tensor([[1, 2 * grid[0], 2 * grid[1]]] * images).reshape(-1, 3)
    ids = torch.zeros(1, len(offsets), dtype=torch.int64)
    kinds = torch.tensor([[int(x != TEXT) for x in offsets]])
    rule: Any = Qwen3VLModel.get_rope_index
    wanted, deltas = rule(Rules(), ids, kinds, image_grid_thw=sizes if images else None)
    made, last = [], 0
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(offsets)], strict=True):
        step = stream_positions(offsets[begin:end], grid, last)
        made.append(step.positions)
        last = int(step.following[-1]) if step.following.size else last
    assert np.array_equal(np.concatenate(made, axis=1), wanted[:, 0].numpy())
    assert last == len(offsets) + int(deltas)


def test_a_truncated_sequence_goes_on_where_it_was() -> None:
    offsets = offsets_of([2, None, 3], (2, 3))
    whole = stream_positions(offsets, (2, 3))
    for kept in range(1, len(offsets)):
        rest = stream_positions(offsets[kept:], (2, 3), int(whole.following[kept - 1]))
        assert np.array_equal(rest.positions, whole.positions[:, kept:])


def test_an_offset_outside_the_grid_is_refused() -> None:
    with pytest.raises(ArgumentError, match="6 is not the index of a token of an image of 2 x 3"):
        stream_positions([TEXT, 0, 6], (2, 3))
