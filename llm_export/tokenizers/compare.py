"""Check that the bundle's tokenizer gives the checkpoint's ids, in Python and in C++."""

from __future__ import annotations

import json
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from tokenizers import Tokenizer

from llm_export.errors import CheckpointError, VerificationError
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.common_start import common_start
from llm_export.tokenizers.cpp import cpp_ids
from llm_export.tokenizers.cpp_compatible import to_cpp_compatible
from runtime_py.tokenizer import TextTokenizer, row_name

_SHOWN = 3


def corpus(source: TokenizerAssets) -> list[str]:
    """Test strings with Unicode, code, unusual spaces, and all special tokens."""
    text = resources.files("llm_export.data").joinpath("tokenizer_corpus.json").read_text("utf-8")
    added = json.loads(source.tokenizer_json).get("added_tokens") or []
    # Names of rows without a token are this project's, and unknown to the checkpoint's tokenizer.
    own = [t["content"] for t in added if t["content"] != row_name(t["id"])]
    named = list(dict.fromkeys([*source.special_tokens.values(), *own]))
    special = [f"{t}a{t}\n{t} b  {t}" for t in named[:_SPECIALS_APART]]
    # The other special tokens, hundreds in some vocabularies, in one string.
    return [*json.loads(text), *special, "a".join(named[_SPECIALS_APART:]) or "a"]


_SPECIALS_APART = 32
"""Special tokens that get a string each."""


def check_conversion(source: TokenizerAssets) -> None:
    """Compare a converted tokenizer.json with the original, encoded by the original's own library.
    Does nothing if tokenizer.json is the original.

    Raises:
        CheckpointError: some strings differ; the message shows them.
    """
    if source.source is None:
        return
    texts = corpus(source)
    expected = [source.source.encode(t) for t in texts]
    converted = Tokenizer.from_str(source.tokenizer_json)
    actual = [converted.encode(t, add_special_tokens=False).ids for t in texts]
    if problem := _difference(texts, expected, actual, source.source.library, "tokenizer.json"):
        raise CheckpointError(
            f"the conversion to tokenizer.json {problem}",
            where="the checkpoint's tokenizer",
            fix="put the tokenizer.json that was published for this model into the folder",
        )


def compare_with_cpp(source: TokenizerAssets) -> None:
    """Run the C++ part of :func:`compare_tokenizers` before lowering, which takes minutes.

    Raises:
        VerificationError: the C++ tokenizer refuses this one or gives other ids.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.json"
        phone = to_cpp_compatible(source.tokenizer_json)
        file.write_text(phone.text, encoding="utf-8")
        bundled = TextTokenizer(file, bos_id=None, eos_ids=(), add_bos=False, nfc=phone.nfc)
        compare_tokenizers(source, bundled, file)


@dataclass(frozen=True)
class TokenizerComparison:
    """
    Attributes:
        ids: over all strings.
        source: library of the checkpoint's tokenizer.
        needs_regex_lookahead: see ``CppIds.needs_lookahead``.
    """

    strings: int
    ids: int
    equal: bool
    source: str
    needs_regex_lookahead: bool


def compare_tokenizers(
    source: TokenizerAssets, bundled: TextTokenizer, file: Path
) -> TokenizerComparison:
    """Encode the test strings with the checkpoint's tokenizer (by its own library, if it has one),
    with the runtime's, and with the C++ tokenizer that apps link.

    Args:
        file: the bundle's tokenizer.json.

    Raises:
        VerificationError: some strings differ; the message shows them.
    """
    texts = corpus(source)
    if source.source is None:
        library = "tokenizers"
        reference = Tokenizer.from_str(source.tokenizer_json)
        expected = [reference.encode(t, add_special_tokens=False).ids for t in texts]
    else:
        library = source.source.library
        expected = [source.source.encode(t) for t in texts]
    _require_equal("runtime", texts, expected, [bundled.encode(t, raw=False) for t in texts])
    # The normalization that the manifest requires of apps, if any.
    given = [unicodedata.normalize("NFC", t) for t in texts] if bundled.nfc else texts
    cpp = cpp_ids(file, given)
    _require_equal("C++", texts, expected, cpp.ids)
    return TokenizerComparison(
        len(texts), sum(map(len, expected)), True, library, cpp.needs_lookahead
    )


def compare_with_special_tokens(
    source: TokenizerAssets, encode: Callable[[Sequence[str]], list[list[int]]]
) -> int:
    """Compare what a runtime makes of the test strings with the checkpoint's tokenizer, the special
    tokens that its post-processor adds included.

    Returns:
        The number of strings.

    Raises:
        VerificationError: some strings differ; the message shows them.
    """
    texts = corpus(source)
    reference = Tokenizer.from_str(source.tokenizer_json)
    reference.no_truncation()
    reference.no_padding()
    expected = [reference.encode(text).ids for text in texts]
    _require_equal("runtime", texts, expected, encode(texts))
    return len(texts)


def token_difference(
    texts: Sequence[str], expected: list[list[int]], assets: TokenizerAssets, a: str, b: str
) -> str | None:
    """Where ``assets`` gives other ids than ``expected``, in words; None if nowhere."""
    own = Tokenizer.from_str(assets.tokenizer_json)
    actual = [own.encode(text, add_special_tokens=False).ids for text in texts]
    return _difference(texts, expected, actual, a, b)


def _require_equal(
    which: str, texts: Sequence[str], expected: list[list[int]], actual: list[list[int]]
) -> None:
    if problem := _difference(texts, expected, actual, "checkpoint", which):
        raise VerificationError(
            f"the {which} tokenizer {problem}",
            where="tokenizer.json",
            fix="verify.tokenizer=false accepts it, if your app has a tokenizer of its own",
        )


def _difference(
    texts: Sequence[str], expected: list[list[int]], actual: list[list[int]], a: str, b: str
) -> str | None:
    rows = zip(texts, expected, actual, strict=True)
    differing = [(t, e, found) for t, e, found in rows if e != found]
    if not differing:
        return None
    lines = [f"differs from the checkpoint's on {len(differing)} of {len(texts)} strings:"]
    for text, source_ids, other_ids in differing[:_SHOWN]:
        first = common_start(source_ids, other_ids)
        lines.append(f"  {_clipped(text)}, from token {first}:")
        lines.append(f"    {a}: {_some(source_ids, first)}")
        lines.append(f"    {b}: {_some(other_ids, first)}")
    return "\n".join(lines)


def _clipped(text: str, width: int = 60) -> str:
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def _some(ids: list[int], start: int, count: int = 8) -> str:
    shown = ", ".join(map(str, ids[start : start + count]))
    return f"{shown}, …" if len(ids) > start + count else shown or "(nothing more)"
