"""A tokenizer whose texts are token ids.

ExecuTorch's C++ runner takes and gives text alone: token ids that no text encodes to cannot be fed,
and a token with a part of a character cannot be returned, since its binding decodes each token as
UTF-8. With this tokenizer.json in the model's place, each token id is a word of four characters of
ASCII, so that ids go in and out exactly, and the model's own tokenizer does the rest.
"""

from __future__ import annotations

from typing import Any

_BASE = 23
_ALPHABETS = [[chr(33 + place * _BASE + digit) for digit in range(_BASE)] for place in range(4)]
"""One for each place, so that nothing but the two halves of a word can be merged."""

MOST = _BASE**4
"""Token ids that there are words for."""


def word(token: int) -> str:
    """The text of a token id."""
    found = ""
    for alphabet in _ALPHABETS:
        token, digit = divmod(token, _BASE)
        found += alphabet[digit]
    return found


def token_of(text: str) -> int:
    """The token id of a word.

    Raises:
        ValueError: it is none.
    """
    if len(text) != len(_ALPHABETS):
        raise ValueError(f"'{text}' is no token id")
    found = 0
    for alphabet, character in zip(reversed(_ALPHABETS), reversed(text), strict=True):
        found = found * _BASE + alphabet.index(character)
    return found


def id_tokenizer(size: int) -> dict[str, Any]:
    """The content of tokenizer.json for ``size`` token ids, at most ``MOST``."""
    vocabulary = {word(token): token for token in range(size)}
    merges: list[list[str]] = []

    def add(text: str) -> None:
        vocabulary[text] = len(vocabulary)

    for alphabet in _ALPHABETS:
        for character in alphabet:
            add(character)
    for first, second in (_ALPHABETS[:2], _ALPHABETS[2:]):
        for one in first:
            for other in second:
                merges.append([one, other])
                add(one + other)
    merges += [[word(token)[:2], word(token)[2:]] for token in range(size)]
    pieces = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "pre_tokenizer": {**pieces, "use_regex": False},
        "post_processor": None, "decoder": {**pieces, "use_regex": False},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": vocabulary, "merges": merges,
        },
    }  # fmt: skip
