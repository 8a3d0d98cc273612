"""What ``/metrics`` says, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from runtime_py.server.serving import Serving
    from runtime_py.stats import Generation

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SPEEDS = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000)


class Metrics:
    """Of one server: two in a process do not share them."""

    def __init__(self, serving: Serving) -> None:
        disable_created_metrics()  # of this process: a line beside each counter, of no use here
        self._registry = own = CollectorRegistry()
        self.requests = Counter(
            "llm_requests", "Requests by route and status of HTTP", ["route", "status"],
            registry=own,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "llm_request_seconds", "Time of a request for an answer, with its wait",
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.first_token = Histogram(
            "llm_time_to_first_token_seconds", "From the arrival of a request, with its wait",
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._speed = Histogram(
            "llm_decode_tokens_per_second", "Speed of an answer after its first token",
            buckets=_SPEEDS, registry=own,
        )  # fmt: skip
        self._prompt = Counter("llm_prompt_tokens", "Tokens of prompts", registry=own)
        self._cached = Counter(
            "llm_cached_tokens", "Tokens of prompts that were in a KV cache", registry=own
        )
        self._generated = Counter("llm_generated_tokens", "Tokens of answers", registry=own)
        self._cancelled = Counter(
            "llm_answers_cancelled", "Answers that were ended because nobody waits for them",
            registry=own,
        )  # fmt: skip
        self._texts = Counter("llm_embedded_texts", "Texts that were embedded", registry=own)
        self._audio = Counter(
            "llm_transcribed_audio_seconds", "Seconds of audio that was transcribed", registry=own
        )
        waiting = Gauge("llm_requests_waiting", "Requests in the queue", registry=own)
        waiting.set_function(lambda: len(serving.queue))
        running = Gauge("llm_requests_running", "Requests that are being answered", registry=own)
        running.set_function(lambda: len(serving.running))

    def answered(self, answer: Generation) -> None:
        """Count an answer, complete or not."""
        stats = answer.stats
        self._prompt.inc(stats.prompt_tokens)
        self._cached.inc(stats.cached_tokens)
        self._generated.inc(stats.generated_tokens)
        if stats.decode_tokens_per_second:
            self._speed.observe(stats.decode_tokens_per_second)
        if not answer.finish or answer.finish == "cancelled":
            self._cancelled.inc()

    def embedded(self, texts: int, tokens: int) -> None:
        """Count texts that were embedded."""
        self._texts.inc(texts)
        self._prompt.inc(tokens)

    def transcribed(self, seconds: float, tokens: int) -> None:
        """Count an audio that was transcribed."""
        self._audio.inc(seconds)
        self._generated.inc(tokens)

    def text(self) -> bytes:
        return generate_latest(self._registry)
