"""Feed a prompt and decode token by token, on one KV cache."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from runtime_py.controls import Controls
from runtime_py.program import Program
from runtime_py.program_state import Copied
from runtime_py.request import Request
from runtime_py.sampling import Sampler
from runtime_py.sampling.logprobs import TokenLogprob, token_logprob
from runtime_py.stats import Generation
from runtime_py.stop_strings import StopStrings
from runtime_py.token_ids import checked_ids
from runtime_py.tokenizer import TextStream, TextTokenizer

_CHUNK = 64
"""Most tokens whose logits are held at once."""
_TAIL = 64
"""Most tokens at the end of a prompt that are expected to differ in the next one."""


class Decoder:
    """A program, and ``cached``, the ids whose keys and values its cache holds."""

    def __init__(self, program: Program, tokenizer: TextTokenizer) -> None:
        self._program, self._tokenizer = program, tokenizer
        without = tokenizer.without_text(program.vocab_size) if program.vocab_size else []
        self._never = torch.tensor(without) if without else None
        self.cached: list[int] = []
        self._prompt_length, self._tail = 0, 0

    def reset(self) -> None:
        """Empty the cache."""
        self.cached = []
        self._program.reset()

    def decode(
        self, ids: list[int], result: Generation, request: Request
    ) -> Generator[str, None, None]:
        """Yield pieces of text, which may be empty, and fill ``result`` except for its text.

        Args:
            ids: the whole prompt.
        """
        sampler, controls = self._sampler(ids, request), request.controls
        ends = frozenset() if controls.ignore_eos else frozenset(self._tokenizer.eos_ids)
        text, hold = TextStream(self._tokenizer), StopStrings(request.stop)
        stats = result.stats
        begin = time.perf_counter()
        logits = self._feed_prompt(ids, result)
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
            elif self._program.full:
                finish = "context"
            else:
                logits = self._program.step([token])[0, -1]
                self.cached.append(token)
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
    def _sampled(sampler: Sampler, logits: Tensor, result: Generation, controls: Controls) -> int:
        token = sampler(logits)
        if controls.logprobs is not None:
            result.logprobs.append(token_logprob(logits, token, controls.logprobs))
        return token

    def scores(self, ids: list[int], top: int) -> list[TokenLogprob]:
        """Log-probabilities of ``ids`` but the first, each after those before it."""
        self.reset()
        size = min(self._program.prefill_length, _CHUNK)
        if size > 1 and len(ids) > 1:
            # A program for answers alone returns the logits of a step's last token.
            size = size if self._program.step(ids[:2]).shape[1] == 2 else 1
            self.reset()
        found: list[TokenLogprob] = []
        for start in range(0, len(ids) - 1, size):
            fed = ids[start : min(start + size, len(ids) - 1)]
            logits = self._program.step(fed)[0]
            following = ids[start + 1 : start + 1 + len(fed)]
            found += [token_logprob(x, t, top) for x, t in zip(logits, following, strict=True)]
            self.cached += fed
        return found

    def _feed_prompt(self, ids: list[int], result: Generation) -> Tensor:
        """Feed the part of the prompt that is not in the cache; return the logits [V] of its last
        token.
        """
        shared = 0
        while shared < min(len(self.cached), len(ids) - 1) and self.cached[shared] == ids[shared]:
            shared += 1
        common, shared = shared, self._program.reset(shared)
        if shared < common:
            self._learn_tail(self._prompt_length - common)
        # A failure may leave the cache in an unknown state: count only slots that are certainly
        # valid.
        self.cached = self.cached[:shared]
        begin = time.perf_counter()
        logits = self._prefill(ids, shared)
        result.stats.prefill_seconds = time.perf_counter() - begin
        result.stats.prompt_tokens, result.stats.cached_tokens = len(ids), shared
        self.cached, self._prompt_length = list(ids), len(ids)
        return logits

    def _prefill(self, ids: list[int], start: int) -> Tensor:
        """Feed ids from ``start`` on, and mark where the next prompt may go on from."""
        cut = len(ids) - self._tail
        if start < cut < len(ids):
            self._program.prefill(ids[start:cut])
            self._program.mark()
            start = cut
        logits = self._program.prefill(ids[start:])
        self._program.mark()
        return logits

    def _learn_tail(self, changed: int) -> None:
        """A prompt has differed from the last one in the ``changed`` tokens at its end, such as the
        beginning of an answer that a chat template writes and leaves out of the history.
        """
        if 0 < changed <= _TAIL:
            self._tail = max(self._tail, changed)

    def taken(self) -> tuple[list[int], int, Copied]:
        """(ids, furthest position, copy of the program's state)"""
        self.cached = self.cached[: self._program.reset(len(self.cached))]
        return (list(self.cached), *self._program.copied())

    def put(self, ids: Sequence[int], furthest: int, copied: Copied) -> None:
        """Go on from what ``taken`` has returned."""
        checked = checked_ids(ids, self._program.vocab_size)
        self.cached, self._prompt_length = [], 0
        self._program.put(copied, len(checked), furthest)
        self.cached = list(checked)
