"""Whether a tokenizer encodes texts at all: regular expressions of its own may give up."""

from __future__ import annotations

from tokenizers import Tokenizer

from llm_export.errors import CheckpointError, excerpt
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import corpus
from runtime_py.guard import is_of_a_library

_LONG = ("a" * 64, "a1 " * 32, " " * 64)
"""Backtracking shows on what a pattern nearly matches, many times in a row."""


def require_encoding(assets: TokenizerAssets) -> None:
    """Encode and decode the texts that tokenizers are compared on.

    Raises:
        CheckpointError: the tokenizers library gives up, as it does on a regular expression that
            takes exponential time.
    """
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    try:
        for text in (*_LONG, *corpus(assets)):
            tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids)
    except BaseException as error:
        if not is_of_a_library(error):
            raise
        raise _gives_up(error) from None


def _gives_up(error: BaseException) -> CheckpointError:
    return CheckpointError(
        f"the tokenizer cannot encode a text: {excerpt(str(error), 200)}",
        where="tokenizer.json",
        fix="a regular expression in its normalizer or pre_tokenizer may be at fault",
    )
