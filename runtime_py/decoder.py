"""Generate an answer token by token."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from runtime_py.answer_parser import AnswerParser
from runtime_py.answer_text import AnswerText
from runtime_py.constraints.compiler import Compiler
from runtime_py.controls import Controls
from runtime_py.request import Request
from runtime_py.sampling import Sampler
from runtime_py.sampling.logprobs import token_logprob
from runtime_py.speculation.look_ahead import LookAhead
from runtime_py.stats import Generation
from runtime_py.steering import Steering
from runtime_py.text_cache import TextCache
from runtime_py.token_ids import FIRST_ROW
from runtime_py.tokenizer import TextTokenizer


class Decoder:
    """Generates answers with a tokenizer's text.

    Args:
        vocab_size: number of token ids of the program; None: unknown.
    """

    def __init__(self, tokenizer: TextTokenizer, vocab_size: int | None) -> None:
        self._tokenizer = tokenizer
        without = tokenizer.without_text(vocab_size) if vocab_size else []
        self.constraints = Compiler(tokenizer, vocab_size)
        self._never = torch.tensor(without) if without else None

    def check(self, controls: Controls) -> None:
        """Raises BundleRuntimeError if the constraint does not fit this tokenizer."""
        if controls.constraint is not None:
            self.constraints.start(controls.constraint)

    def decode(
        self, cache: TextCache, ids: list[int], result: Generation, request: Request,
        parser: AnswerParser,
    ) -> Generator[str, None, None]:  # fmt: skip
        """Yield pieces of text, which may be empty, and fill ``result`` except for its text.

        Args:
            cache: of the conversation; it is fed what it does not hold of the prompt.
            ids: the whole prompt.
            parser: what parses the yielded text; by its state reasoning ends and calls begin.

        Raises:
            BundleRuntimeError: tokens are to be proposed, and the program cannot check them.
        """
        proposer = request.controls.speculate
        if proposer is None:
            yield from self._decode(cache, ids, result, request, parser)
            return
        most = request.sampling.max_new_tokens
        with LookAhead(cache, proposer, self._tokenizer, most) as ahead:
            yield from self._decode(ahead, ids, result, request, parser)

    def _decode(
        self, cache: TextCache | LookAhead, ids: list[int], result: Generation, request: Request,
        parser: AnswerParser,
    ) -> Generator[str, None, None]:  # fmt: skip
        controls, stats = request.controls, result.stats
        sampler = Steering(self._tokenizer, controls, parser, stats, self._sampler(ids, request))
        asked, unfed = controls.logprobs is not None, list[int]()
        text = AnswerText(self._tokenizer, request, result)
        token = self._sampled(sampler, cache.feed(ids, stats), result, controls)
        while not result.finish:
            yield text.push(token)
            if result.finish:
                return
            if sampler.finished:
                yield text.end("eos")
            elif len(result.tokens) >= request.sampling.max_new_tokens:
                yield text.end("length")
            elif cache.full:
                yield text.end("context")
            else:
                unfed.append(token)
                forced = sampler.forced() if len(unfed) < cache.chunk and not asked else None
                if forced is not None:
                    token = forced
                    continue
                logits, unfed = cache.extend(unfed), []
                token = self._sampled(sampler, logits, result, controls)

    def _sampler(self, ids: list[int], request: Request) -> Sampler:
        controls = request.controls
        rules = controls.constraint
        ids = [token for token in ids if token < FIRST_ROW]
        follows = None if rules is None else self.constraints.start(
            rules, controls.stop_ids, controls.ignore_eos
        )  # fmt: skip
        return Sampler(
            request.sampling, request.seed, ids, self._never,
            controls.logit_bias, controls.logits_processor, follows,
        )  # fmt: skip

    @staticmethod
    def _sampled(sampler: Steering, logits: Tensor, result: Generation, controls: Controls) -> int:
        token = sampler(logits)
        if controls.logprobs is not None:
            result.logprobs.append(token_logprob(logits, token, controls.logprobs))
        return token
