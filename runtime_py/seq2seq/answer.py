"""The text of an answer of an encoder–decoder program, as it is searched for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from runtime_py.errors import Cancelled
from runtime_py.seq2seq.beams import beam_search
from runtime_py.seq2seq.program import EncoderDecoder
from runtime_py.seq2seq.rules import Rule
from runtime_py.seq2seq.search import Search, tokens
from runtime_py.stats import Generation
from runtime_py.tokenizer import TextStream, TextTokenizer


@dataclass
class Searched(Generation):
    """
    Attributes:
        each: the log-probability of each token, before temperature and truncation; with beams
            only ``total``.
        total: the sum of all of them.
        fed: tokens that the decoder was fed.
    """

    each: list[float] = field(default_factory=list)
    total: float = 0.0
    fed: int = 0


def search_text(
    model: EncoderDecoder,
    tokenizer: TextTokenizer,
    prompt: Sequence[int],
    rules: Iterable[Rule],
    eos_ids: Iterable[int],
    search: Search,
    result: Searched,
    never: Tensor | None = None,
) -> Iterator[str]:
    """Pieces of text, which may be empty, while ``result`` is filled, its text included. Beams
    give one piece, at the end.

    Args:
        model: with a source encoded.
        prompt: the decoder's first tokens.
    """
    ends, begin = frozenset(eos_ids), time.perf_counter()
    text, stats = TextStream(tokenizer), result.stats
    first = begin

    def push(token: int) -> str:
        result.tokens.append(token)
        stats.generated_tokens = len(result.tokens)
        return "" if token in ends else text.push(token)

    try:
        if search.beams > 1:
            found = beam_search(model, prompt, rules, ends, search, never)
            first = time.perf_counter()
            if found:
                result.total, result.finish = found[0].logprob, found[0].finish
                piece = "".join([push(token) for token in found[0].tokens]) + text.flush()
                result.text += piece
                yield piece
            result.finish = result.finish or "length"
            return
        for token in tokens(model, prompt, rules, ends, search, never):
            if not result.tokens:
                first = time.perf_counter()
                stats.time_to_first_token = first - begin
            result.each.append(token.logprob)
            result.total += token.logprob
            piece = push(token.id)
            result.text += piece
            yield piece
        result.finish = "eos" if result.tokens and result.tokens[-1] in ends else "length"
    except Cancelled:
        result.finish = "cancelled"
    finally:
        stats.decode_seconds = time.perf_counter() - (begin if search.beams > 1 else first)
        result.fed = model.tokens
    rest = text.flush()
    result.text += rest
    yield rest
