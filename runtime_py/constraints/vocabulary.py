"""llguidance's tables of the tokens of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime_py.constraints.library import llguidance
from runtime_py.guard import guarded, is_of_a_library
from runtime_py.tokenizer import TextTokenizer

_PROBE = 'The 1st "é" is a\n\ttest: {"ünï": [😀, 漢字]}'


def tokens_of(tokenizer: TextTokenizer, vocab_size: int | None) -> Any:
    """A ``LLTokenizer`` of at least ``vocab_size`` ids.

    Raises:
        BundleRuntimeError: llguidance is not installed, or cannot use the tokenizer.
    """
    library = llguidance()
    with guarded("llguidance cannot use this tokenizer", where=tokenizer.path):
        made = _of_json(library, tokenizer, vocab_size)
        return _of_texts(library, tokenizer, vocab_size) if made is None else made


def _of_json(library: Any, tokenizer: TextTokenizer, vocab_size: int | None) -> Any:
    """By llguidance's own reading of tokenizer.json; None if it does not know the decoder, or takes
    it for another one."""
    size = max(vocab_size or 0, tokenizer.size)
    ends = sorted(token for token in tokenizer.eos_ids if token < tokenizer.size)
    try:
        made = library.LLTokenizer(tokenizer.json(), n_vocab=size, eos_token=ends or None)
    except BaseException as error:
        if not is_of_a_library(error):
            raise
        return None
    ids = tokenizer.encode(_PROBE, raw=False)
    read = made.decode_bytes(ids).decode("utf-8", errors="replace")
    return made if read.strip() == tokenizer.decode(ids).strip() else None


def _of_texts(library: Any, tokenizer: TextTokenizer, vocab_size: int | None) -> Any:
    """By the text that each token adds to another one's. What must follow in an answer is then
    written with the longest tokens, which need not be the tokenizer's choice."""
    size = max(vocab_size or 0, tokenizer.size)
    texts, special = tokenizer.texts()
    # The last one is an end of llguidance's own.
    listed = [texts.get(token, b"") for token in range(size)] + [b"<end>"]
    without = [token for token, text in enumerate(listed) if not text]
    wrapper = _Wrapper(listed, sorted({*special, *without, size}))
    made = library.LLTokenizer(wrapper, eos_token=size, slices=[])
    wrapper.write = made.greedy_tokenize
    return made


class _Wrapper:
    """What llguidance reads of a tokenizer that is not its own."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens: list[bytes], special: list[int]) -> None:
        self.tokens, self.special_token_ids = tokens, special
        self.eos_token_id = len(tokens) - 1
        self.write: Callable[[str], list[int]] = lambda text: []

    def __call__(self, text: str) -> list[int]:
        return self.write(text)
