"""What backends can do, as data; read by the checks before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_PRECISION = ("float32", "bfloat16", "float16")
"""Dtypes of products, the most precise first."""


@dataclass(frozen=True)
class Capabilities:
    """Limits as data; read by the checks before any work.

    Attributes:
        dynamic_shapes: whether one program may serve steps of any length. Without it there are
            methods of fixed shapes: ``forward`` for a token, ``prefill`` for a chunk.
        attention: attention kinds with dynamic shapes, best first; ``auto`` takes the first that
            the model has.
        static_attention: the same with fixed shapes; empty if it is as with dynamic ones.
        delegates: whether linears and attention are expected in delegates at all.
        raw_weights: whether matrices are stored as they are, one piece of the file each, so that
            a table of the same bytes is stored once.
        prefill_length: tokens of the ``prefill`` method if the recipe does not say; 1, no such
            method, where delegates hold their weights and would store them twice.
        token_dtype: of the program's inputs.
        followed: whether other partitioners can read the graph that its own leave.
        computes_in: the dtype that products are computed in where the recipe asks for float32:
            verification leaves room for its rounding.
        repeats: whether lowered layers of one kind look alike, so that a few of them can stand
            for all. Not where a delegate takes the whole graph, or where constants are folded.
        forms: of ``transforms.delegate_forms``, those by which its delegates take more of a layer.
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
    forms: tuple[str, ...] = ()

    def attention_kinds(self, *, dynamic: bool) -> tuple[str, ...]:
        return self.attention if dynamic else self.static_attention or self.attention


def of_chain(chain: Sequence[Capabilities]) -> Capabilities:
    """What a chain of backends promises: what each of them does, and no more.

    A part of the graph may land in any of them, so a shape, an attention kind or a rewrite of
    the graph has to suit all. The order of attention kinds is the first backend's, which takes
    nodes first. Two fields are of the chain as a whole: something is delegated if any backend
    delegates, and other backends may follow if they may follow the last one.
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
        forms=_common([c.forms for c in chain]),
    )


def _common(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Entries that all lists have, in the order of the first."""
    return tuple(entry for entry in lists[0] if all(entry in other for other in lists[1:]))
