"""The characters with which byte-level tokenizers, such as GPT-2's, write bytes."""

from __future__ import annotations


def _alphabet() -> dict[str, int]:
    """Character -> byte, of GPT-2's ``bytes_to_unicode``: printable ones stand for themselves, the
    others, in their order, for U+0100 and so on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


_ALPHABET = _alphabet()


def byte_level_bytes(text: str) -> bytes | None:
    """The bytes of a token in ByteLevel's alphabet; None if it is not all in it."""
    try:
        return bytes(_ALPHABET[character] for character in text)
    except KeyError:
        return None
