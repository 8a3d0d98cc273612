"""Unicode's normalization form NFC (UAX 15) as lines of a tokenizer table. Hangul syllables are
left out: they are computed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

_SYLLABLES = range(0xAC00, 0xAC00 + 11172)
_LAST = 0x323AF
"""Of the assigned characters below the private and tag planes, none of which NFC changes."""


@cache
def nfc_lines() -> Sequence[str]:
    decompositions, classes, compositions = [], [], []
    for code in range(0x300, _LAST + 1):
        character = chr(code)
        if kind := unicodedata.combining(character):
            classes.append(f"{code} {kind}")
    for code in range(0xC0, _LAST + 1):
        character = chr(code)
        if code in _SYLLABLES:
            continue
        parts = unicodedata.normalize("NFD", character)
        if parts == character:
            continue
        decompositions.append(" ".join(map(str, [code, len(parts), *map(ord, parts)])))
        pair = unicodedata.decomposition(character).split()
        # Some are never composed (CompositionExclusions.txt).
        if len(pair) == 2 and unicodedata.normalize("NFC", character) == character:
            compositions.append(f"{int(pair[0], 16)} {int(pair[1], 16)} {code}")
    return [
        f"decompositions {len(decompositions)}", *decompositions,
        f"classes {len(classes)}", *classes,
        f"compositions {len(compositions)}", *compositions,
    ]  # fmt: skip
