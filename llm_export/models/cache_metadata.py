"""Cache properties that a runtime must know, beyond one slot per position."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL


@dataclass(frozen=True)
class Rewind:
    """How far back a ring-buffer cache can be rewound. Both are 0 for a recurrent state.

    Attributes:
        until: to any position, while at most this many positions were ever written.
        tokens: afterwards, by at most this many tokens.
    """

    until: int
    tokens: int


@dataclass(frozen=True)
class CacheShapes:
    """[1, K, T, E] of a layer's keys and values; None if the values are part of the keys."""

    keys: tuple[int, ...]
    values: tuple[int, ...] | None


@dataclass(frozen=True)
class StateShape:
    """Shape [1, ...] and dtype of a recurrent state."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class CacheInputs:
    """Masks and caches of a program that takes and returns them, in input order; recurrent states
    come last.

    Attributes:
        windows: attention window of each mask, in tokens; None is all.
        hidden: mask value of positions that a token must not attend to.
        dtype: dtype of the caches; None is float32.
        states: each is zero at position 0, and replaced by its output after a step.
    """

    windows: tuple[int | None, ...]
    hidden: float
    layers: tuple[CacheShapes, ...]
    dtype: str | None = field(default=None, metadata=OPTIONAL)
    states: tuple[StateShape, ...] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class CacheMetadata:
    """Entries of the manifest's ``program``; None if the runtime needs no information.

    Attributes:
        attention_sink: True: positions may exceed the context length.
        recurrent: True: each token of a step changes a state, so a step cannot be padded.
    """

    rewind: Rewind | None = field(default=None, metadata=OPTIONAL)
    attention_sink: bool | None = field(default=None, metadata=OPTIONAL)
    recurrent: bool | None = field(default=None, metadata=OPTIONAL)
    cache_io: CacheInputs | None = field(default=None, metadata=OPTIONAL)
