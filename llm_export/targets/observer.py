"""The statistics that ExecuTorch's LLM runners print after a generation.

``PyTorchObserver {"prompt_tokens":...}`` is a line of standard output; times are in units of
``SCALING_FACTOR_UNITS_PER_SECOND`` (extension/llm/runner/stats.h of ExecuTorch).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

_MARK = "PyTorchObserver "


class TooShortError(ValueError):
    """A part of the generation took less than the clock tells."""


@dataclass(frozen=True)
class Observed:
    """One generation. Rates are computed as ExecuTorch prints them: the prompt's includes its
    encoding by the tokenizer."""

    prompt_tokens: int
    generated_tokens: int
    load_seconds: float
    prefill_seconds: float
    decode_seconds: float
    first_token_seconds: float

    @property
    def prefill_rate(self) -> float:
        """Tokens per second."""
        return self.prompt_tokens / self.prefill_seconds

    @property
    def decode_rate(self) -> float:
        """Tokens per second."""
        return self.generated_tokens / self.decode_seconds


def parse_observed(printed: str) -> Observed:
    """The last generation that a runner has printed.

    Raises:
        ValueError: there is none, or it has no rate; the message says which.
    """
    lines = [line for line in printed.splitlines() if _MARK in line]
    if not lines:
        raise ValueError(f"no line with '{_MARK.strip()}'")
    try:
        body = json.loads(lines[-1].partition(_MARK)[2])
        unit = float(body.get("SCALING_FACTOR_UNITS_PER_SECOND", 1000))
        times = {
            name: float(body[name]) / unit
            for name in ("model_load_start_ms", "model_load_end_ms", "inference_start_ms",
                         "prompt_eval_end_ms", "first_token_ms", "inference_end_ms")
        }  # fmt: skip
        tokens = int(body["prompt_tokens"]), int(body["generated_tokens"])
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(f"statistics that cannot be read: {error}") from None
    found = Observed(
        *tokens,
        load_seconds=times["model_load_end_ms"] - times["model_load_start_ms"],
        prefill_seconds=times["prompt_eval_end_ms"] - times["inference_start_ms"],
        decode_seconds=times["inference_end_ms"] - times["prompt_eval_end_ms"],
        first_token_seconds=times["first_token_ms"] - times["inference_start_ms"],
    )
    if found.generated_tokens < 1 or found.prompt_tokens < 1:
        raise ValueError(f"{found.prompt_tokens} tokens of prompt and "
                         f"{found.generated_tokens} generated ones")  # fmt: skip
    if found.prefill_seconds <= 0 or found.decode_seconds <= 0:
        raise TooShortError("times that are too short for its clock of milliseconds")
    return found
