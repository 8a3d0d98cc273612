"""Statistics of a generation."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime_py.delta import Delta
    from runtime_py.sampling.logprobs import TokenLogprob
    from runtime_py.tool_calls import ToolCall


@dataclass
class Stats:
    """Times are in seconds. ``cached_tokens`` of the prompt were already in the KV cache;
    ``reasoning_tokens`` are those of the generated ones that are no part of the answer itself.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    prefill_seconds: float = 0.0
    time_to_first_token: float = 0.0
    decode_seconds: float = 0.0
    reasoning_tokens: int = 0

    @property
    def prefill_tokens_per_second(self) -> float:
        fed = self.prompt_tokens - self.cached_tokens
        return fed / self.prefill_seconds if self.prefill_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Speed for the tokens after the first, which prefill produces."""
        return (self.generated_tokens - 1) / self.decode_seconds if self.decode_seconds else 0.0

    def as_dict(self) -> dict[str, float]:
        return {
            **asdict(self),
            "prefill_tokens_per_second": self.prefill_tokens_per_second,
            "decode_tokens_per_second": self.decode_tokens_per_second,
        }


@dataclass
class Generation:
    """A generated answer. ``finish`` is eos, tool_calls (eos after calls of tools), stop, length
    (max_new_tokens), context (cache full) or cancelled; empty while it is generated, and if a
    stream was closed before its end.

    Attributes:
        text: of the answer, without its reasoning and calls of tools.
        logprobs: of each of ``tokens``, if the caller asked for them.
        tool_errors: why the text of a call could not be read; it is part of ``text``.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    finish: str = ""
    stats: Stats = field(default_factory=Stats)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_errors: list[str] = field(default_factory=list)

    @property
    def message(self) -> dict[str, Any]:
        """The answer as a message of the assistant, to append to the conversation."""
        made: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.reasoning:
            made["reasoning_content"] = self.reasoning
        if self.tool_calls:
            made["tool_calls"] = [call.as_dict() for call in self.tool_calls]
        return made

    def add(self, delta: Delta) -> None:
        """Add a piece."""
        if delta.call is not None:
            self.tool_calls.append(delta.call)
        elif delta.kind == "reasoning":
            self.reasoning += delta.text
        else:
            self.text += delta.text

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability of a token of the answer; 0 without ``logprobs``."""
        each = [token.logprob for token in self.logprobs]
        return sum(each) / len(each) if each else 0.0
