"""Logits that wait in a file come back as they were."""

from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_export.metrics.kept_logits import KeptLogits

SHAPES = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(shapes=SHAPES, order=st.randoms())
def test_in_any_order(tmp_path: Path, shapes: list[tuple[int, int]], order: object) -> None:
    made = [torch.randn(shape) for shape in shapes]
    with KeptLogits(tmp_path) as kept:
        for logits in made:
            kept.add(logits)
        assert len(kept) == len(made)
        places = list(range(len(made)))
        order.shuffle(places)  # type: ignore[attr-defined]
        for place in places:
            assert torch.equal(kept[place], made[place])


def test_a_read_between_two_writes_harms_neither(tmp_path: Path) -> None:
    first, second = torch.randn(2, 3), torch.randn(4, 3)
    with KeptLogits(tmp_path) as kept:
        kept.add(first)
        assert torch.equal(kept[0], first)
        kept.add(second)
        assert torch.equal(kept[0], first)
        assert torch.equal(kept[1], second)


def test_half_precision_and_views_are_kept_in_float32(tmp_path: Path) -> None:
    logits = torch.randn(6, 4).to(torch.bfloat16)[::2].transpose(0, 1)
    with KeptLogits(tmp_path) as kept:
        kept.add(logits)
        assert torch.equal(kept[0], logits.float())


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    with KeptLogits(tmp_path) as kept:
        kept.add(torch.zeros(1, 2))
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
