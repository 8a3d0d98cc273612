"""How many words and bytes of a text each of its tokens covers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer


def covered(tokenizer_file: Path, text: str) -> tuple[list[int], list[int], list[int]]:
    """(ids, words, bytes) of the tokens of ``text``, without special tokens around it.

    A token covers the characters from the end of the token before it to its own end, so that the
    sums are those of the text also where several tokens make one character. A word is a run of
    characters that are no white space, and counts where it begins.
    """
    encoding = Tokenizer.from_file(str(tokenizer_file)).encode(text, add_special_tokens=False)
    ends = _ends(encoding.offsets, len(text))
    starts = [0, *ends][: len(ends)]
    begins = [match.start() for match in re.finditer(r"\S+", text)]
    words, at = [], 0
    for end in ends:
        before = at
        while at < len(begins) and begins[at] < end:
            at += 1
        words.append(at - before)
    sizes = [len(text[a:b].encode()) for a, b in zip(starts, ends, strict=True)]
    return list(encoding.ids), words, sizes


def _ends(offsets: Sequence[tuple[int, int]], length: int) -> list[int]:
    ends, reached = [], 0
    for _, end in offsets:
        reached = max(reached, end)
        ends.append(reached)
    if ends:
        ends[-1] = length  # white space at the end belongs to the last token
    return ends
