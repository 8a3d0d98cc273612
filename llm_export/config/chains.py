"""``backend=coreml+xnnpack``: more than one backend in a word."""

from __future__ import annotations

import re
from collections.abc import Iterable

_CHAIN = re.compile(r"backend=([A-Za-z]\w*)\+([A-Za-z]\w*(?:\+[A-Za-z]\w*)*)")


def with_chains(overrides: Iterable[str]) -> list[str]:
    """The overrides, a chain of backends spelled out as the first one's option and
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
