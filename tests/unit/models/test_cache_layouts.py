"""Slots and masks of caches against a simulation that remembers what it wrote where."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export.models.components.attention_cores import CacheLimits, layout
from llm_export.models.components.attention_cores.layout import Ring, rewind_limits
from llm_export.models.components.attention_cores.planners import SlotPlanner


class Simulation:
    """One cache by brute force."""

    def __init__(self, ring: Ring, window: int | None) -> None:
        self.planner = SlotPlanner({window: ring})
        self.planner.init_buffers()
        self.window = window
        self.contents: list[int | None] = [None] * ring.slots

    def step(self, start: int, count: int) -> list[set[int]]:
        """Write ``count`` positions; the positions that each of the tokens then sees."""
        positions = torch.arange(start, start + count)
        plan = self.planner(positions[:1], positions).plans[self.window]
        assert len(set(plan.slots.tolist())) == count, "a step writes a slot twice"
        for slot, position in zip(plan.slots.tolist(), positions.tolist(), strict=True):
            self.contents[slot] = position
        assert plan.mask is not None
        seen = []
        for row in plan.mask.tolist():
            visible = [c for c, m in zip(self.contents, row, strict=True) if m == 0]
            assert None not in visible, "an empty slot is visible"
            assert len(set(visible)) == len(visible)
            seen.append({c for c in visible if c is not None})
        return seen


@settings(max_examples=60, deadline=None)
@given(data=st.data(), window=st.integers(1, 20), step=st.integers(1, 9))
def test_a_ring_shows_each_token_its_window(data: st.DataObject, window: int, step: int) -> None:
    """Also after going back as far as the manifest allows."""
    context = data.draw(st.integers(max(window, step), 80))
    ring = layout.ring(CacheLimits(context, step))(window)
    assert ring.slots <= context
    limits = rewind_limits({window: ring})
    cache, start, furthest = Simulation(ring, window), 0, 0
    while start < context:
        count = min(data.draw(st.integers(1, step)), context - start)
        seen = cache.step(start, count)
        for position, visible in zip(range(start, start + count), seen, strict=True):
            assert visible == set(range(max(0, position - window + 1), position + 1))
        start += count
        furthest = max(furthest, start)
        if limits is not None and data.draw(st.integers(0, 5)) == 0:
            back = furthest if furthest <= limits[0] else limits[1]
            start = data.draw(st.integers(min(start, max(0, furthest - back)), start))


def test_a_ring_is_shorter_than_the_context_only_with_a_window() -> None:
    of = layout.ring(CacheLimits(context=2048, step=512))
    assert of(None) == Ring(2048)
    assert of(512) == Ring(1024, wraps=True)
    assert of(100) == Ring(616, wraps=True), "611 slots, rounded up"
    assert of(4096) == Ring(2048)
    assert rewind_limits({None: of(None), 4096: of(4096)}) is None
    assert rewind_limits({None: of(None), 512: of(512)}) == (1024, 513)


def test_going_back_further_than_allowed_would_show_wrong_tokens() -> None:
    """The limit is not too careful: one token more and a window misses its beginning."""
    ring = layout.ring(CacheLimits(context=64, step=4))(5)
    limits = rewind_limits({5: ring})
    assert limits is not None
    for back, right in ((limits[1], True), (limits[1] + 1, False)):
        cache = Simulation(ring, 5)
        for position in range(40):
            cache.step(position, 1)
        start = 40 - back
        assert (cache.step(start, 1)[0] == set(range(start - 4, start + 1))) is right


@pytest.mark.parametrize("window", [None, 5])
def test_a_static_cache_has_a_slot_for_each_position(window: int | None) -> None:
    cache = Simulation(layout.static(CacheLimits(12, 12))(window), window)
    for start, count in ((0, 5), (5, 1), (6, 6)):
        for position, visible in enumerate(cache.step(start, count), start):
            first = 0 if window is None else max(0, position - window + 1)
            assert visible == set(range(first, position + 1))
    assert cache.contents == list(range(12))
