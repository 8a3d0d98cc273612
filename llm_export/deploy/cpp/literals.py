"""Values as C++ writes them."""

from __future__ import annotations

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "?": "\\?"}


def quoted(text: str) -> str:
    """A string literal. Bytes outside ASCII are octal escapes, whose three digits end them: a
    hexadecimal one would go on into the next character."""
    parts = []
    for byte in text.encode():
        character = chr(byte)
        if character in _ESCAPES:
            parts.append(_ESCAPES[character])
        elif 32 <= byte < 127:
            parts.append(character)
        else:
            parts.append(f"\\{byte:03o}")
    return '"' + "".join(parts) + '"'


def truth(value: object) -> str:
    return "true" if value else "false"


def comment(text: str) -> str:
    """Text that stays within a line of a comment."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip("\\ ")


FILTERS = {"quoted": quoted, "truth": truth, "comment": comment}
"""Filters of templates."""
