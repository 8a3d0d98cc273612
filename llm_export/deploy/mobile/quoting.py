"""Texts as literals of the languages of the projects: any text, whoever wrote it."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

_ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SHORT, _LONGEST = 0x20, 12_000
"""A constant of a class file has at most 65,535 bytes, and a character up to 6 of them."""


def kotlin(text: str) -> str:
    """A Kotlin string: ASCII, with ``$`` escaped; a long one in parts."""
    parts = [text[at : at + _LONGEST] for at in range(0, len(text), _LONGEST)] or [""]
    if len(parts) == 1:
        return f'"{_kotlin(text)}"'
    return "listOf(" + ", ".join(f'"{_kotlin(part)}"' for part in parts) + ').joinToString("")'


def _kotlin(text: str) -> str:
    units = text.encode("utf-16-be", errors="surrogatepass")
    numbers = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(_kotlin_unit(number) for number in numbers)


def _kotlin_unit(number: int) -> str:
    character = chr(number)
    if character == "$":
        return "\\$"
    if character in _ESCAPED:
        return _ESCAPED[character]
    return character if _SHORT <= number < 0x7F else f"\\u{number:04X}"


def swift(text: str) -> str:
    """A Swift string: ASCII; ``\\(``, which interpolates, cannot arise."""
    return '"' + "".join(_swift_scalar(character) for character in text) + '"'


def _swift_scalar(character: str) -> str:
    if character in _ESCAPED:
        return _ESCAPED[character]
    if 0xD800 <= ord(character) < 0xE000:
        return "\\u{FFFD}"  # half a character: Swift has no such scalar
    return character if _SHORT <= ord(character) < 0x7F else f"\\u{{{ord(character):X}}}"


def xml(text: str) -> str:
    """Text of an XML element or attribute; control characters, which XML lacks, are dropped."""
    kept = "".join(c for c in text if c in "\t\n\r" or (c >= " " and not _not_xml(c)))
    return escape(kept, {'"': "&quot;", "'": "&apos;"})


def _not_xml(character: str) -> bool:
    return 0xD800 <= ord(character) < 0xE000 or character in "\ufffe\uffff"


def android_text(text: str) -> str:
    """A string resource of Android, in which quotes, backslashes and a leading @ or ? mean
    something."""
    marked = "".join(f"\\{c}" if c in "\\'\"" else c for c in text)
    marked = marked.replace("\n", "\\n")
    return xml(f"\\{marked}" if marked[:1] in ("@", "?") else marked)


def toml(text: str) -> str:
    """A basic string of TOML."""
    whole = text.encode("utf-8", errors="replace").decode("utf-8")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


FILTERS = {
    "kotlin": kotlin, "swift": swift, "xml": xml, "android_text": android_text, "toml": toml,
}  # fmt: skip
