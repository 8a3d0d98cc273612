"""Backend capabilities as data, read by the recipe checks before any work starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PRECISION = ("float32", "bfloat16", "float16")
"""Dtypes of matrix products, from most to least precise."""


@dataclass(frozen=True)
class Capabilities:
    """Limits of a backend as data, read by the checks before any work starts.

    Attributes:
        dynamic_shapes: whether one method accepts steps of any length. Without it there are
            methods of fixed shapes: ``forward`` for a token, ``prefill`` for a chunk.
        attention: attention kinds with dynamic shapes, best first; ``auto`` takes the first that
            the model has.
        static_attention: the same for fixed shapes; empty if equal to ``attention``.
        delegates: whether linears and attention are expected to be delegated.
        raw_weights: whether each linear weight is stored unchanged in the file, so that an
            embedding with the same bytes is stored only once.
        prefill_length: default number of tokens of the ``prefill`` method; 1, no such
            method, where delegates hold their weights and would store them twice.
        token_dtype: of the program's inputs.
        followed: whether other partitioners can process the graph after its own.
        computes_in: the dtype of matrix products when the recipe's dtype is float32:
            verification allows for its rounding error.
        repeats: whether lowered layers of one kind have the same graph, so that a few can be
            cloned. False if one delegate takes the whole graph or constants are folded.
        active_experts: whether operators may get a number of rows that depends on the data, down to
            none, so that a mixture of experts computes the selected experts only.
        holds_state: attention kinds whose caches delegates take over, so that a program cannot give
            them out.
        integers_throughout: whether the quantizer of static schemes quantizes every operator, so
            that a product that is computed at run time is rounded, too.
        on_arm: whether the C++ libraries of ExecuTorch's wheel for aarch64 run its programs.
        forms: names from ``transforms.delegate_forms`` that let delegates take more of a layer.
    """

    dynamic_shapes: bool
    attention: tuple[str, ...]
    static_attention: tuple[str, ...] = ()
    delegates: bool = True
    raw_weights: bool = False
    prefill_length: int = 128
    token_dtype: str = "int64"
    followed: bool = True
    computes_in: str = "float32"
    repeats: bool = False
    active_experts: bool = False
    holds_state: tuple[str, ...] = ()
    integers_throughout: bool = False
    on_arm: bool = False
    forms: tuple[str, ...] = ()

    def attention_kinds(self, *, dynamic: bool) -> tuple[str, ...]:
        return self.attention if dynamic else self.static_attention or self.attention


def of_chain(chain: Sequence[Capabilities]) -> Capabilities:
    """The capabilities of a chain: those that all its backends share.

    Any backend may take any part of the graph, so shapes, attention kinds and rewrites must suit
    all of them. Attention kinds keep the order of the first backend, which partitions first. Three
    fields differ: ``delegates`` and ``holds_state`` say what any of the backends does, and
    ``followed`` is that of the last one.
    """
    first, *others = chain
    if not others:
        return first
    attention = _common([c.attention for c in chain])
    static = _common([c.attention_kinds(dynamic=False) for c in chain])
    return Capabilities(
        dynamic_shapes=all(c.dynamic_shapes for c in chain),
        attention=attention,
        static_attention=static if static != attention else (),
        delegates=any(c.delegates for c in chain),
        raw_weights=all(c.raw_weights for c in chain),
        prefill_length=min(c.prefill_length for c in chain),
        token_dtype=first.token_dtype,
        followed=chain[-1].followed,
        computes_in=max((c.computes_in for c in chain), key=_PRECISION.index),
        repeats=all(c.repeats for c in chain),
        active_experts=all(c.active_experts for c in chain),
        holds_state=tuple({kind: None for c in chain for kind in c.holds_state}),
        integers_throughout=any(c.integers_throughout for c in chain),
        on_arm=all(c.on_arm for c in chain),
        forms=_common([c.forms for c in chain]),
    )


def _common(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Entries common to all lists, in the order of the first list."""
    return tuple(entry for entry in lists[0] if all(entry in other for other in lists[1:]))
