"""Backend chains: the short form ``backend=coreml+xnnpack``."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CHAIN = re.compile(r"backend=([A-Za-z]\w*)\+([A-Za-z]\w*(?:\+[A-Za-z]\w*)*)")


def with_chains(overrides: Iterable[str]) -> list[str]:
    """Expand a backend chain in the overrides to the option of the first backend and
    ``backend.fallbacks``."""
    words = []
    for word in overrides:
        found = _CHAIN.fullmatch(word)
        if found is None:
            words.append(word)
        else:
            fallbacks = ",".join(found[2].split("+"))
            words += [f"backend={found[1]}", f"backend.fallbacks=[{fallbacks}]"]
    return words
