"""A BPE tokenizer.json as a table that the project's ``tokenizer.cpp`` reads without JSON, regular
expressions or Unicode properties: numbers, and bytes in hex.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_export.deploy.cpp.nfc_table import nfc_lines
from llm_export.deploy.cpp.tokenizer_steps import (
    Patterns,
    Unsupported,
    decoder_of,
    hexed,
    normalizer_lines,
    pretokenizer_lines,
)
from runtime_py.byte_level import byte_level_bytes

SPECIAL, NO_WORD = 1, 2
"""Flags of a token: its text is not shown; it is not in the vocabulary of the merges."""


def tokenizer_table(file: Path, never: Sequence[int] = (), *, nfc: bool = False) -> str:
    """
    Args:
        file: tokenizer.json.
        never: ids that are not sampled.
        nfc: text is brought to Unicode's form NFC first.

    Raises:
        Unsupported: it does something that ``tokenizer.cpp`` does not; the message names it.
    """
    body = json.loads(file.read_text(encoding="utf-8"))
    try:
        return "\n".join((*_lines(body, file, never), *_nfc_section(nfc))) + "\n"
    except (KeyError, TypeError, AttributeError) as error:
        raise Unsupported(f"an entry that is not of a known form ({error})") from None


def _lines(body: dict[str, Any], file: Path, never: Sequence[int]) -> Iterator[str]:
    model = body["model"]
    _require_plain(model)
    vocab: dict[str, int] = model["vocab"]
    patterns = Patterns()
    normalizers = normalizer_lines(body.get("normalizer"), patterns)
    splits, of_bytes = pretokenizer_lines(body.get("pre_tokenizer"), patterns)
    added = body.get("added_tokens") or []
    yield "llm_export_tokenizer 1"
    yield from _section("classes", _class_lines(patterns))
    yield from _pattern_lines(patterns)
    yield from _section("normalizers", normalizers)
    yield from _section("pretokenizers", splits)
    yield from _section("added", list(_added_lines(added, file)))
    yield f"bytes {int(of_bytes)}"
    yield from _piece_lines(body, vocab, added, whole=of_bytes)
    yield from _section("units", [f"{hexed(u)} {i}" for u, i in _units(vocab, of_bytes)])
    yield from _section("merges", list(_merge_lines(model, vocab)))
    fallback = [vocab.get(f"<0x{byte:02X}>", -1) for byte in range(256)]
    has = bool(model.get("byte_fallback"))
    yield from _section("fallback", [" ".join(map(str, fallback))] if has else [])
    unknown = model.get("unk_token")
    yield f"unknown {vocab.get(unknown, -1) if unknown else -1} {int(bool(model.get('fuse_unk')))}"
    if model.get("ignore_merges") and not of_bytes:
        raise Unsupported("ignore_merges without ByteLevel")
    yield f"words {int(bool(model.get('ignore_merges')))}"
    yield from _section("never", [str(i) for i in never])


def _nfc_section(wanted: bool) -> Iterator[str]:
    yield f"nfc {int(wanted)}"
    if wanted:
        yield from nfc_lines()


def _require_plain(model: dict[str, Any]) -> None:
    if model.get("type", "BPE") != "BPE":
        raise Unsupported(f"a model of the kind {model['type']}")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise Unsupported(key)


def _section(name: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"{name} {len(lines)}"
    yield from lines


def _class_lines(patterns: Patterns) -> list[str]:
    return [
        f"{len(ranges)} " + " ".join(f"{low} {high}" for low, high in ranges)
        for ranges in patterns.classes
    ]


def _pattern_lines(patterns: Patterns) -> Iterator[str]:
    yield f"patterns {len(patterns.programs)}"
    for program in patterns.programs:
        yield str(len(program))
        for word, *numbers in program:
            yield f"{word} {' '.join(str(n) for n in (*numbers, 0, 0)[:2])}"


def _added_lines(added: Sequence[dict[str, Any]], file: Path) -> Iterator[str]:
    from tokenizers import Tokenizer

    normalizer = Tokenizer.from_file(str(file)).normalizer
    for token in added:
        if token.get("single_word"):
            raise Unsupported(f"the token {token['content']!r}, which must be a word of its own")
        text, normalized = token["content"], bool(token.get("normalized"))
        if normalized and normalizer is not None:
            text = normalizer.normalize_str(text)
        flags = (normalized, token.get("lstrip"), token.get("rstrip"))
        yield f"{token['id']} {hexed(text)} {' '.join(str(int(bool(flag))) for flag in flags)}"


def _piece_lines(
    body: dict[str, Any], vocab: dict[str, int], added: Sequence[dict[str, Any]], whole: bool
) -> Iterator[str]:
    decode, strip = decoder_of(body.get("decoder"))
    texts = {number: text for text, number in vocab.items()}
    special = {token["id"] for token in added if token.get("special")}
    words = set(texts)
    texts.update({token["id"]: token["content"] for token in added})
    count = max(texts, default=-1) + 1
    yield f"strip {strip}"
    yield f"pieces {count}"
    for number in range(count):
        if number not in texts:
            yield f"- {SPECIAL | NO_WORD}"
            continue
        flags = SPECIAL * (number in special)
        if number not in words or (whole and byte_level_bytes(texts[number]) is None):
            flags |= NO_WORD
        yield f"{hexed(decode(texts[number]))} {flags}"


def _units(vocab: dict[str, int], of_bytes: bool) -> Iterator[tuple[bytes, int]]:
    """Bytes, or characters, with which merging begins."""
    for text, number in vocab.items():
        if len(text) == 1:
            unit = byte_level_bytes(text) if of_bytes else text.encode()
            if unit is not None:
                yield unit, number


def _merge_lines(model: dict[str, Any], vocab: dict[str, int]) -> Iterator[str]:
    """Ids of left, right and result; the first line is merged first."""
    for merge in model["merges"]:
        left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
        yield f"{vocab[left]} {vocab[right]} {vocab[left + right]}"
