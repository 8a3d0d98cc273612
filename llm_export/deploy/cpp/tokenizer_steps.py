"""What a tokenizer.json does to text before its merges, as lines of a tokenizer table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from llm_export.deploy.cpp.code_points import category
from llm_export.deploy.cpp.regex_parse import Chars, Node, Repeat, literal, parse
from llm_export.deploy.cpp.regex_program import Classes, Instruction, compiled
from runtime_py.byte_level import byte_level_bytes

META = "▁"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""ByteLevel's own regular expression, of OpenAI's GPT-2 (encoder.py)."""
_BEHAVIORS = ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext")


class Unsupported(Exception):
    """The tokenizer has something that the project's C++ does not do; the message names it."""


class Patterns:
    """Programs of the tokenizer's regular expressions."""

    def __init__(self) -> None:
        self.classes = Classes()
        self.programs: list[Sequence[Instruction]] = []

    def add(self, node: Node) -> int:
        try:
            self.programs.append(compiled(node, self.classes))
        except ValueError as error:
            raise Unsupported(f"a regular expression: {error}") from None
        return len(self.programs) - 1

    def of(self, entry: Mapping[str, Any]) -> int:
        """Of ``{"String": ..}`` or ``{"Regex": ..}``."""
        if "String" in entry:
            return self.add(literal(entry["String"]))
        try:
            return self.add(parse(entry["Regex"]))
        except ValueError as error:
            raise Unsupported(f"a regular expression with {error}") from None

    def of_regex(self, pattern: str) -> int:
        return self.of({"Regex": pattern})


def hexed(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return data.hex() or "-"


def normalizer_lines(entry: Mapping[str, Any] | None, patterns: Patterns) -> list[str]:
    """
    Raises:
        Unsupported: it has a step that is not Prepend or Replace.
    """
    lines = []
    for step in _flat(entry, "normalizers"):
        if step["type"] == "Prepend":
            lines.append(f"prepend {hexed(step['prepend'])}")
        elif step["type"] == "Replace":
            lines.append(f"replace {patterns.of(step['pattern'])} {hexed(step['content'])}")
        else:
            raise Unsupported(f"the normalizer {step['type']}")
    return lines


def pretokenizer_lines(
    entry: Mapping[str, Any] | None, patterns: Patterns
) -> tuple[list[str], bool]:
    """(lines, whether tokens are strings of bytes)

    Raises:
        Unsupported: it has a step of an unknown kind.
    """
    lines: list[str] = []
    of_bytes = False
    for step in _flat(entry, "pretokenizers"):
        if of_bytes:
            raise Unsupported(f"the pre-tokenizer {step['type']} behind ByteLevel")
        if step["type"] not in _PRETOKENIZERS:
            raise Unsupported(f"the pre-tokenizer {step['type']}")
        lines += _PRETOKENIZERS[step["type"]](step, patterns)
        of_bytes = step["type"] == "ByteLevel"
    return lines, of_bytes


def _split(step: Mapping[str, Any], patterns: Patterns) -> Iterator[str]:
    if step["behavior"] not in _BEHAVIORS:
        raise Unsupported(f"the behavior {step['behavior']} of a Split")
    yield _split_line(patterns.of(step["pattern"]), step["behavior"], bool(step["invert"]))


def _split_line(pattern: int, behavior: str, invert: bool = False) -> str:
    return f"split {pattern} {_BEHAVIORS.index(behavior)} {int(invert)}"


def _byte_level(step: Mapping[str, Any], patterns: Patterns) -> Iterator[str]:
    if step.get("add_prefix_space", True):
        yield f"lead {hexed(' ')} 0"
    if step.get("use_regex", True):
        yield _split_line(patterns.of_regex(_GPT2), "Isolated")


def _digits(step: Mapping[str, Any], patterns: Patterns) -> Iterator[str]:
    one: Node = Chars(category("N"))
    node = one if step["individual_digits"] else Repeat(one, 1, None, "greedy")
    yield _split_line(patterns.add(node), "Isolated")


def _metaspace(step: Mapping[str, Any], patterns: Patterns) -> Iterator[str]:
    mark = step.get("replacement", META)
    scheme = step.get("prepend_scheme") or ("always" if step.get("add_prefix_space") else "never")
    yield f"swap {patterns.add(literal(' '))} {hexed(mark)}"
    if scheme != "never":
        yield f"lead {hexed(mark)} {int(scheme == 'first')}"
    if step.get("split", True):
        yield _split_line(patterns.add(literal(mark)), "MergedWithNext")


_PRETOKENIZERS: Mapping[str, Callable[[Mapping[str, Any], Patterns], Iterator[str]]] = {
    "Split": _split,
    "ByteLevel": _byte_level,
    "Digits": _digits,
    "Metaspace": _metaspace,
}


def _flat(entry: Mapping[str, Any] | None, inside: str) -> Iterator[Mapping[str, Any]]:
    if entry is None:
        return
    if entry["type"] == "Sequence":
        for each in entry[inside]:
            yield from _flat(each, inside)
    else:
        yield entry


def decoder_of(entry: Mapping[str, Any] | None) -> tuple[Callable[[str], bytes], int]:
    """(bytes that a token's text stands for, spaces to remove at the start of a text)

    Raises:
        Unsupported: it has a step of an unknown kind.
    """
    swaps: list[tuple[str, str]] = []
    fallback, of_bytes, strip = False, False, 0
    for step in _flat(entry, "decoders"):
        kind = step["type"]
        if kind == "Replace" and "String" in step["pattern"] and not of_bytes:
            swaps.append((step["pattern"]["String"], step["content"]))
        elif kind == "ByteFallback":
            fallback = True
        elif kind == "ByteLevel":
            of_bytes = True
        elif kind == "Strip" and step["content"] == " " and not step["stop"]:
            strip += step["start"]
        elif kind == "Metaspace":
            swaps.append((step.get("replacement", META), " "))
            strip += step.get("prepend_scheme", "always") != "never"
        elif kind != "Fuse":
            raise Unsupported(f"the decoder {kind}")
    if entry is None:
        raise Unsupported("no decoder")

    def decode(text: str) -> bytes:
        if of_bytes:
            return byte_level_bytes(text) or text.encode()
        for old, new in swaps:
            text = text.replace(old, new)
        if fallback and len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            try:
                return bytes([int(text[3:5], 16)])
            except ValueError:
                pass
        return text.encode()

    return decode, strip
