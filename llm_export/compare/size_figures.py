"""Bytes of a bundle: of its program, and of the weights in it by scheme and by module."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llm_export.compare.figure import SIZE, Figure, Quantity, entry
from llm_export.compare.side import Side
from llm_export.metrics.value import Value

_FORM = "{:,.0f}"
_LAYER = re.compile(r"\.\d+(?=\.|$)")


def _quantity(
    name: str, title: str, *, better: bool | None = False, brief: bool = True
) -> Quantity:
    return Quantity(name, SIZE, Value(name, title, "bytes", better, form=_FORM, brief=brief))


PROGRAM = _quantity("size.program", "program")
BUNDLE = _quantity("size.bundle", "all files", brief=False)


def size_figures(side: Side) -> Iterator[Figure]:
    for quantity, size in ((PROGRAM, side.program_bytes), (BUNDLE, side.bundle_bytes)):
        if size is not None:
            yield Figure(quantity, float(size), exact=True)
    # More bytes of one scheme are fewer of another: neither is better.
    counted = {"count": "of the program" if side.modules else "before lowering"}
    for scheme, size in side.schemes.items():
        name = entry("size.scheme", scheme)
        quantity = _quantity(name, f"weights in {scheme}", better=None)
        yield Figure(quantity, float(size), exact=True, conditions=counted)
    for module, size in by_module(side).items():
        name, title = entry("size.module", module), f"weights of {module}"
        yield Figure(_quantity(name, title, better=None, brief=False), float(size), exact=True)


def by_module(side: Side) -> dict[str, int]:
    """Module -> bytes of its weights, those of all layers as one: layers.*.attention.out."""
    sizes: dict[str, int] = {}
    for module, size in side.modules.items():
        name = _LAYER.sub(".*", module)
        sizes[name] = sizes.get(name, 0) + size
    return sizes


def known_sizes() -> Iterator[Quantity]:
    yield from (PROGRAM, BUNDLE)
