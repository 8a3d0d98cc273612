"""Parts of answers that several routes write alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from runtime_py.byte_level import byte_level_bytes

if TYPE_CHECKING:
    from runtime_py.sampling.logprobs import TokenLogprob
    from runtime_py.server.job import Job
    from runtime_py.stats import Generation, Stats

_BYTE_PIECE = re.compile("<0x([0-9A-Fa-f]{2})>")
_FINISH = {"eos": "stop", "stop": "stop", "length": "length", "context": "length"}


def finish_reason(answer: Generation) -> str:
    """stop, length or tool_calls."""
    if answer.tool_calls:
        return "tool_calls"
    return _FINISH.get(answer.finish, answer.finish or "stop")


def usage(job: Job) -> dict[str, Any]:
    """Tokens of a job whose answers are complete. A prompt with several answers counts once."""
    answers = job.answers
    first = [answers[i] for i in range(0, len(answers), max(job.ask.n, 1)) if i in answers]
    prompt = sum(map(len, job.ids))
    generated = sum(answer.stats.generated_tokens for answer in answers.values())
    thought = sum(answer.stats.reasoning_tokens for answer in answers.values())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": {
            "cached_tokens": sum(answer.stats.cached_tokens for answer in first)
        },
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def timings(stats: Stats) -> dict[str, float]:
    """As llama.cpp's server writes them."""
    fed = stats.prompt_tokens - stats.cached_tokens
    return {
        "cache_n": stats.cached_tokens,
        "prompt_n": fed,
        "prompt_ms": round(stats.prefill_seconds * 1000, 3),
        "prompt_per_second": round(stats.prefill_tokens_per_second, 3),
        "predicted_n": stats.generated_tokens,
        "predicted_ms": round(stats.decode_seconds * 1000, 3),
        "predicted_per_second": round(stats.decode_tokens_per_second, 3),
    }


def logprobs(found: Iterable[TokenLogprob], tokens: TokenTexts) -> list[dict[str, Any]]:
    """As chat completions and responses write them."""

    def one(token: int, logprob: float) -> dict[str, Any]:
        raw = tokens.raw(token)
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}

    return [
        {**one(each.token, each.logprob), "top_logprobs": [one(*pair) for pair in each.top]}
        for each in found
    ]


class TokenTexts:
    """The bytes of single tokens.

    Args:
        vocabulary: token id -> the token as the tokenizer writes it.
        byte_level: the tokenizer writes each byte as a character, as GPT-2's.
    """

    def __init__(self, vocabulary: Mapping[int, str], byte_level: bool) -> None:
        self._vocabulary, self._byte_level = vocabulary, byte_level

    @cached_property
    def longest(self) -> int:
        """Most bytes of a token."""
        return max(map(len, map(self.raw, self._vocabulary)), default=1)

    def raw(self, token: int) -> bytes:
        written = self._vocabulary.get(token, "")
        if self._byte_level and (raw := byte_level_bytes(written)) is not None:
            return raw
        if piece := _BYTE_PIECE.fullmatch(written):
            return bytes.fromhex(piece[1])
        return written.replace("\u2581", " ").encode()
