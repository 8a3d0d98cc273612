"""Regular expressions of tokenizers, compiled: a small matcher in Python runs the programs."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import hypothesis
import pytest
import regex
from hypothesis import strategies as st

from llm_export.deploy.cpp.code_points import Ranges
from llm_export.deploy.cpp.regex_parse import parse
from llm_export.deploy.cpp.regex_program import Classes, Instruction, compiled
from llm_export.tokenizers.pretokenizer_regexes import LLAMA3, LLAMA4, QWEN2

ALPHABET = "aB zZ'sStTreE019.,!-\n\r\t é日Σ\u0301\u00a0ſ"


def _run(
    program: Sequence[Instruction], classes: Sequence[Ranges], text: str, at: int, start: int = 0
) -> int | None:
    """Where a match ends that begins at ``at``; as ``pattern.cpp``."""
    others = []
    step = start
    while True:
        word, *numbers = program[step]
        a, b = (*map(int, numbers), 0, 0)[:2]
        good, after = True, step + 1
        if word == "match":
            return at
        if word == "char":
            good = at < len(text) and _in(classes[a], ord(text[at]))
            at += 1
        elif word == "jump":
            after = a
        elif word == "split":
            others.append((b, at))
            after = a
        elif word in ("look", "avoid"):
            found = _run(program, classes, text, at, step + 1)
            good, after = (found is not None) == (word == "look"), a
        elif word == "atomic":
            found = _run(program, classes, text, at, step + 1)
            good, at, after = found is not None, found or 0, a
        else:
            good = at == (len(text) if word == "end" else 0)
        if good:
            step = after
        elif not others:
            return None
        else:
            step, at = others.pop()


def _in(ranges: Ranges, code: int) -> bool:
    index = bisect.bisect(ranges, (code, 0x110000)) - 1
    return index >= 0 and ranges[index][0] <= code <= ranges[index][1]


PATTERNS = (
    LLAMA3,
    QWEN2,
    LLAMA4,
    r"(?:a|ab)(?>e|es)?[a-z]?",
    r"\s+?(?=\S)|.+?z",
    r"[^\W\d]{2,3}+|(?i:ST|re)++|\x41|\u{e9}|[\[\]a-c-]",
    r"\A +|[ .]+\z|\n$",
    r"[^\r\n\p{L}]*+\p{^N}",
)
# As Python's regex spells what Oniguruma means: there {n,m}+ is not possessive.
SPELLED = {"[^\\W\\d]{2,3}+": "(?:[^\\W\\d]{2,3})+", r"\z": r"\Z", r"\u{e9}": "é"}


@pytest.mark.parametrize("pattern", PATTERNS)
@hypothesis.given(text=st.text(ALPHABET, max_size=12))
@hypothesis.settings(max_examples=15)
def test_a_program_matches_what_the_expression_does(pattern: str, text: str) -> None:
    classes = Classes()
    program = compiled(parse(pattern), classes)
    ranges = list(classes)
    spelled = pattern
    for ours, theirs in SPELLED.items():
        spelled = spelled.replace(ours, theirs)
    expected = regex.compile(spelled)
    for at in range(len(text)):
        found = expected.match(text, at)
        assert _run(program, ranges, text, at) == (found.end() if found else None)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"(?<=a)b", r"'\(\?<='"), (r"^a", "lines"), (r"a\b", r"'\\b'"), (r"(a", "without its end"),
        (r"[a", "ends too early"), (r"a{2000}", "repetitions"), (r"(?:a*)+", "may be empty"),
        (r"\p{Greek}", "property 'Greek'"), (r"[[:alpha:]]", r"'\[:'"), (r"a)", r"'\)'"),
        (r"(?i:é)", "case of 'é'"), (r"*", "behind nothing"), ("a\\", "ends too early"),
        (r"[z-a]", "range of characters"), (r"\p{L", "'{' without"), (r"\x{41", "'{' without"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(pattern: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        compiled(parse(pattern), Classes())
