"""Attention of a prompt by XNNPACK: the scores that it holds at once, and the keys that it reads.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_export.backends.base import Resolved, options_of

CHUNK = 256
"""Tokens of a prompt that ``runtime_py`` feeds at once."""
_TOGETHER = 32 << 20
"""Bytes of a chunk's scores over all heads. If a chunk at the end of the context has more, KV heads
are computed in turn, which is as fast from some 500 tokens on.
"""
_MOST = 128 << 20
"""Bytes of the scores that are held at once. Larger steps use the fused operator, which needs none.
"""
_COPY = 128 << 20
"""Bytes of the copy of all keys, and of that of all values, which are planned memory. Steps that
read more use the fused operator.
"""
_FLOAT = 4


@dataclass(frozen=True)
class HeldScores:
    """Of a step of attention.

    Attributes:
        in_turn: whether KV heads are computed in turn.
        rows: of the scores that are held at once, for each token of a step.
        group: query heads of a KV head.
    """

    in_turn: bool
    rows: int
    group: int

    @property
    def most(self) -> int:
        """The largest product of a step's tokens and the keys that it reads."""
        return _MOST // (_FLOAT * self.rows)

    def peak(self, step: int, keys: int) -> int:
        """Bytes at most: the scores, and as much for each KV head's bound that hides later keys;
        XNNPACK allocates a larger workspace before it frees the former one.
        """
        return 2 * _FLOAT * (self.rows + self.group) * min(step * keys, self.most)


def delegates_prefill(resolved: Resolved, kind: type[Any]) -> bool:
    """Whether attention of a step of several tokens is computed in a delegate, as the option
    ``delegated_prefill`` of some backends says, and not by the fused operator, which holds no
    scores. It is not in a chain of backends, because the options belong to its first backend.

    Args:
        kind: the backend's options.
    """
    if resolved.recipe.backend.fallbacks:
        return False
    return bool(getattr(options_of(resolved, kind), "delegated_prefill", False))


def held_scores(heads: int, group: int, step: int, keys: int) -> HeldScores:
    """
    Args:
        heads: KV heads, of ``group`` query heads each.
        step: tokens of the longest step.
        keys: that a step reads at most.
    """
    in_turn = _FLOAT * heads * group * min(step, CHUNK) * keys > _TOGETHER
    return HeldScores(in_turn, group if in_turn else heads * group, group)


def most_keys(heads: int, channels: int, slots: int) -> int:
    """Keys that XNNPACK reads at most of a cache.

    Args:
        heads: KV heads, of ``channels`` each.
        slots: of the cache, for a token each.
    """
    return min(slots, _COPY // (_FLOAT * heads * channels))
