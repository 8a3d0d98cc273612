"""Attention of long steps by XNNPACK, with a mask as of a window."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx

from llm_export.backends import attention_scores
from llm_export.backends.attention_scores import HeldScores, most_keys
from llm_export.backends.chunk_attention import CausalChunk, MaskedChunk
from llm_export.backends.xnnpack_prefill import _Call, _lowered, _operator
from llm_export.compat.tensor_specs import spec_of
from llm_export.models.components.attention_cores.planners import additive, causal_mask

HEADS, GROUP, E = 2, 3, 8


def attended(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Of a whole cache, query head by query head."""
    scores = torch.einsum("ksge,kte->kgst", q, keys[:, :, 0]) * scale + mask
    return torch.einsum("kgst,kte->ksge", scores.softmax(-1), values[:, :, 0])


@pytest.mark.parametrize(
    ("start", "length", "window"),
    [(0, 5, 3), (7, 5, 4), (7, 2, 6), (11, 5, 3), (0, 16, 20)],
    ids=["at the start", "longer than the window", "shorter", "at the end", "all in the window"],
)
def test_keys_before_the_first_ones_window_are_not_read(
    start: int, length: int, window: int
) -> None:
    torch.manual_seed(0)
    q = torch.randn(HEADS, length, GROUP, E)
    keys, values = torch.randn(2, HEADS, 16, 1, E)
    positions = torch.arange(start, start + length)
    mask = additive(causal_mask(torch.arange(16), positions, window))
    first = int(mask[0].argmax())
    assert first == max(0, start - window + 1)
    expected = attended(q, keys, values, mask, 0.5)
    for in_turn in (False, True):
        chunk = MaskedChunk(0.5, 16, in_turn)
        made = chunk(q, keys, values, mask, first, start + length - first)
        torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("in_turn", [False, True], ids=["together", "in turn"])
def test_later_keys_are_hidden(in_turn: bool) -> None:
    """Also with scores of hundreds, which random weights may have, and far from the first key."""
    torch.manual_seed(0)
    q = 100 * torch.randn(HEADS, 3, GROUP, E)
    keys, values = torch.randn(2, HEADS, 40, 1, E)
    mask = additive(causal_mask(torch.arange(40), torch.arange(30, 33), None))
    made = CausalChunk(0.5, 40, in_turn)(q, keys, values, 33)
    torch.testing.assert_close(made, attended(q, keys, values, mask, 0.5))


def call(step: int, slots: int) -> _Call:
    """A call with a mask, of up to ``step`` tokens, as a graph has it before memory is planned."""
    graph = fx.Graph()
    shapes = {
        "q": (HEADS, step, GROUP, E), "k": (HEADS, step, 1, E), "v": (HEADS, step, 1, E),
        "k_cache": (HEADS, slots, 1, E), "v_cache": (HEADS, slots, 1, E), "start": (),
        "length": (), "mask": (step, slots), "out": (HEADS, step, GROUP, E),
    }  # fmt: skip
    nodes = {name: graph.placeholder(name) for name in shapes}
    for name, shape in shapes.items():
        nodes[name].meta["spec"] = spec_of(torch.empty(shape))
    args = (*(nodes[name] for name in _Call.NAMES), 0.0, False, None)
    return _Call(graph.call_function(_operator(), args, {"out": nodes["out"]}))


@pytest.mark.slow
def test_a_cache_of_few_slots() -> None:
    from executorch.exir import ExecutorchBackendConfig

    assert not call(3, 3).fits(), "it stays with the fused operator"
    made = call(4, 4)
    assert made.fits()
    assert not made.held.in_turn
    names = {node.name for node in _lowered(made, ExecutorchBackendConfig()).graph.nodes}
    assert {"q", "mask", "first", "keys"} <= names


def test_what_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads are computed in turn where the longest step's scores of all are too many."""
    monkeypatch.setattr(attention_scores, "_TOGETHER", 4 * HEADS * GROUP * 4 * 32)
    assert call(4, 32).held == HeldScores(False, HEADS * GROUP, GROUP)
    assert call(4, 33).held == HeldScores(True, GROUP, GROUP)
    # Scores and a bound of each are held, and a larger workspace beside the former one.
    assert call(4, 33).held.peak(4, 33) == 2 * 4 * (GROUP + GROUP) * 4 * 33
    assert call(4, 32).held.peak(4, 32) == 2 * 4 * (HEADS * GROUP + GROUP) * 4 * 32


def test_keys_are_read_as_far_as_their_copy_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_scores, "_COPY", 4 * HEADS * E * 20 + 1)
    assert [most_keys(HEADS, E, slots) for slots in (19, 20, 21)] == [19, 20, 20]
    assert call(4, 32).longest == 20


@pytest.mark.slow
def test_only_the_filled_part_of_a_head_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    from executorch.exir import ExecutorchBackendConfig, memory

    monkeypatch.setattr(attention_scores, "_TOGETHER", 0)
    graph = _lowered(call(4, 8), ExecutorchBackendConfig()).graph
    cache = next(node for node in graph.nodes if node.name == "k_cache")
    assert {user.target for user in cache.users} == {memory.view}, "no delegate is given all of it"
