"""What a runtime must know of caches that do more than hold every position."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_export.json_data import OPTIONAL


@dataclass(frozen=True)
class Rewind:
    """How far back a cache that is written in turn may be set.

    Attributes:
        until: any position, while no more than this many were ever written.
        tokens: afterwards, by at most this many tokens.
    """

    until: int
    tokens: int


@dataclass(frozen=True)
class CacheShapes:
    """[1, K, T, E] of a layer's keys and values; None: the values are a part of the keys."""

    keys: tuple[int, ...]
    values: tuple[int, ...] | None


@dataclass(frozen=True)
class CacheInputs:
    """Masks and caches of a program that takes and returns them, in its order.

    Attributes:
        windows: tokens that each mask shows; None is all.
        hidden: value of a mask where a token may not look.
        dtype: of the caches; None is float32.
    """

    windows: tuple[int | None, ...]
    hidden: float
    layers: tuple[CacheShapes, ...]
    dtype: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class CacheMetadata:
    """Entries of the manifest's ``program``; None where a runtime needs to know nothing.

    Attributes:
        attention_sink: True: positions may exceed the context length.
    """

    rewind: Rewind | None = field(default=None, metadata=OPTIONAL)
    attention_sink: bool | None = field(default=None, metadata=OPTIONAL)
    cache_io: CacheInputs | None = field(default=None, metadata=OPTIONAL)
