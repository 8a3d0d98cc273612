"""Generate an answer token by token."""

from __future__ import annotations

import time
from collections.abc import Generator

import torch
from torch import Tensor

from runtime_py.answer_parser import AnswerParser
from runtime_py.controls import Controls
from runtime_py.request import Request
from runtime_py.sampling import Sampler
from runtime_py.sampling.logprobs import token_logprob
from runtime_py.stats import Generation
from runtime_py.steering import Steering
from runtime_py.stop_strings import StopStrings
from runtime_py.text_cache import TextCache
from runtime_py.tokenizer import TextStream, TextTokenizer


class Decoder:
    """Generates answers with a tokenizer's text.

    Args:
        vocab_size: number of token ids of the program; None: unknown.
    """

    def __init__(self, tokenizer: TextTokenizer, vocab_size: int | None) -> None:
        self._tokenizer = tokenizer
        without = tokenizer.without_text(vocab_size) if vocab_size else []
        self._never = torch.tensor(without) if without else None

    def decode(
        self, cache: TextCache, ids: list[int], result: Generation, request: Request,
        parser: AnswerParser,
    ) -> Generator[str, None, None]:  # fmt: skip
        """Yield pieces of text, which may be empty, and fill ``result`` except for its text.

        Args:
            cache: of the conversation; it is fed what it does not hold of the prompt.
            ids: the whole prompt.
            parser: of the text that is yielded; it tells what has to follow.
        """
        controls, stats = request.controls, result.stats
        sampler = Steering(self._tokenizer, controls, parser, stats, self._sampler(ids, request))
        ends = frozenset() if controls.ignore_eos else frozenset(self._tokenizer.eos_ids)
        shown = self._tokenizer.special_in(controls.answer_format.markers)
        text, hold = TextStream(self._tokenizer, shown), StopStrings(request.stop)
        begin = time.perf_counter()
        logits = cache.feed(ids, stats)
        token = self._sampled(sampler, logits, result, controls)
        stats.time_to_first_token = time.perf_counter() - begin
        after = time.perf_counter()
        finish = ""
        while not finish:
            result.tokens.append(token)
            stats.generated_tokens = len(result.tokens)
            stats.decode_seconds = time.perf_counter() - after
            if token in ends or token in controls.stop_ids:
                finish = "eos" if token in ends else "stop"
                break
            piece, stopped = hold.push(text.push(token))
            if stopped:
                result.finish = "stop"
                yield piece
                return
            yield piece
            if len(result.tokens) >= request.sampling.max_new_tokens:
                finish = "length"
            elif cache.full:
                finish = "context"
            else:
                logits = cache.step(token)
                token = self._sampled(sampler, logits, result, controls)
        piece, stopped = hold.push(text.flush())
        result.finish = "stop" if stopped else finish
        yield piece if stopped else piece + hold.flush()

    def _sampler(self, ids: list[int], request: Request) -> Sampler:
        controls = request.controls
        return Sampler(
            request.sampling, request.seed, ids, self._never,
            controls.logit_bias, controls.logits_processor,
        )  # fmt: skip

    @staticmethod
    def _sampled(sampler: Steering, logits: Tensor, result: Generation, controls: Controls) -> int:
        token = sampler(logits)
        if controls.logprobs is not None:
            result.logprobs.append(token_logprob(logits, token, controls.logprobs))
        return token
