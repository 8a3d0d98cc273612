"""Transcribe audio of any length, window after window (OpenAI's whisper/transcribe.py).

A window's answer is decoded again at higher temperatures while it repeats itself or is improbable;
one that is improbable where nobody seems to speak is dropped. Timestamps say where the next window
begins, and what was said is put before it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from runtime_py.errors import Cancelled
from runtime_py.seq2seq.answer import Searched, search_text
from runtime_py.seq2seq.rules import Rule, Suppress
from runtime_py.seq2seq.search import Search
from runtime_py.speech.settings import SpeechSettings
from runtime_py.speech.timestamps import Span, TimestampRule, spans
from runtime_py.speech.transcript import Segment
from runtime_py.speech.windows import Listener
from runtime_py.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Decoding:
    """How a window is decoded.

    Attributes:
        search: of the first attempt.
        temperatures: one attempt after the other; the first is of ``search``.
        max_compression: an answer whose text compresses better than this repeats itself (zlib).
        min_logprob: a mean log-probability below is improbable.
        no_speech: a probability above says that nobody speaks; None: not asked.
        condition: whether the text so far is put before a window.
        timestamps: whether the model is asked for them.
        most: most tokens of a window's answer; None: half the decoder's positions.
    """

    search: Search
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    max_compression: float | None = 2.4
    min_logprob: float | None = -1.0
    no_speech: float | None = 0.6
    condition: bool = True
    timestamps: bool = True
    most: int | None = None


@dataclass(frozen=True)
class _Answer:
    """``tokens`` are without the one that ends it."""

    tokens: tuple[int, ...]
    logprob: float
    no_speech: float | None
    temperature: float
    silent: bool


class LongForm:
    """Windows of one audio.

    Args:
        initial: the decoder's first tokens of each window.
        prompt: ids of a text before the audio.
    """

    def __init__(
        self,
        listener: Listener,
        tokenizer: TextTokenizer,
        decoding: Decoding,
        initial: Sequence[int],
        prompt: Sequence[int] = (),
        never: Tensor | None = None,
    ) -> None:
        self._listener, self._tokenizer, self._decoding = listener, tokenizer, decoding
        self._settings: SpeechSettings = listener.settings
        self._initial, self._before = tuple(initial), list(prompt)
        self._never = never
        self.rules = _rules(self._settings, decoding)

    def segments(self) -> Iterator[tuple[Segment, int]]:
        """(what was said, samples done). A window without speech gives none.

        Raises:
            Cancelled: the model's ``stopped`` is set.
        """
        start, rate = 0, self._settings.sample_rate
        step = self._settings.time_precision * rate
        stamped = self._decoding.timestamps and self._settings.timestamp_begin is not None
        while start < self._listener.total:
            left = self._listener.total - start
            count = min(self._listener.window, left) if stamped else self._listener.quiet_cut(start)
            self._listener.encode(start, count)
            answer = self._answer(count)
            if answer.silent:
                start += count
                continue
            found, ahead = self._spans(answer, count / step)
            after = start + (count if ahead >= count / step else max(1, round(ahead * step)))
            end = self._listener.total / rate
            for span in found:
                # A model may place words behind the end of the audio.
                bounds = [min((start + at * step) / rate, end) for at in (span.start, span.end)]
                segment = Segment(
                    bounds[0], bounds[1], self._text(span), span.tokens, answer.logprob,
                    answer.no_speech, answer.temperature,
                )  # fmt: skip
                yield segment, after
            self._remember(found, answer.temperature)
            start = after

    def _spans(self, answer: _Answer, steps: float) -> tuple[list[Span], float]:
        begin = self._settings.timestamp_begin
        if begin is None or not self._decoding.timestamps:
            return [Span(0.0, steps, answer.tokens)], steps
        found, ahead = spans(answer.tokens, begin, steps)
        return found, ahead if ahead > 0 else steps

    def _text(self, span: Span) -> str:
        begin = self._settings.timestamp_begin
        return self._tokenizer.decode([t for t in span.tokens if begin is None or t < begin])

    def _remember(self, found: Sequence[Span], temperature: float) -> None:
        for span in found:
            self._before += span.tokens
        # No more than this is put before a window.
        del self._before[: -self._settings.target_length]
        if not self._decoding.condition or temperature > 0.5:
            # What was sampled wildly would mislead the next window.
            self._before.clear()

    def _prompt(self) -> list[int]:
        s = self._settings
        if not self._before or s.previous_id is None:
            return list(self._initial)
        kept = self._before[-(s.target_length // 2 - 1) :]
        return [s.previous_id, *kept, *self._initial]

    def _answer(self, samples: int) -> _Answer:
        """Decode the encoded window, again and again until an answer is good."""
        d, prompt = self._decoding, self._prompt()
        quiet = self._no_speech(prompt)
        answer: _Answer | None = None
        for number, temperature in enumerate(d.temperatures):
            found = self._search(prompt, number, temperature, samples)
            mean = found.total / max(1, len(found.tokens))
            improbable = d.min_logprob is not None and mean < d.min_logprob
            silent = quiet is not None and d.no_speech is not None and quiet > d.no_speech
            silent = silent and improbable
            ended = found.finish == "eos"
            tokens = tuple(found.tokens[:-1] if ended else found.tokens)
            answer = _Answer(tokens, mean, quiet, temperature, silent)
            if silent or not (improbable or self._repeats(found.text)):
                break
        assert answer is not None
        return answer

    def _search(
        self, prompt: Sequence[int], number: int, temperature: float, samples: int
    ) -> Searched:
        d, s = self._decoding, self._settings
        most = d.most or max(1, s.target_length // 2)
        if s.tokens_per_second is not None:
            most = min(most, max(1, round(samples / s.sample_rate * s.tokens_per_second)))
        sampling = replace(d.search.sampling, max_new_tokens=most, temperature=temperature)
        beams = d.search.beams if temperature == 0 else 1
        seed = None if d.search.seed is None else d.search.seed + number
        search = replace(d.search, sampling=sampling, beams=beams, seed=seed)
        found, model = Searched(), self._listener.model
        for _ in search_text(
            model, self._tokenizer, prompt, self.rules, s.eos_ids, search, found, self._never
        ):
            pass
        if found.finish == "cancelled":
            raise Cancelled
        stats = self._listener.stats
        stats.decodes += 1
        stats.generated_tokens += len(found.tokens)
        return found

    def _no_speech(self, prompt: Sequence[int]) -> float | None:
        """Probability after the first of ``initial`` that nobody speaks."""
        s = self._settings
        if self._decoding.no_speech is None or s.no_speech_id is None:
            return None
        upto = len(prompt) - len(self._initial) + len(s.start_ids)
        logits = self._listener.model.logits(prompt[:upto])
        return float(torch.softmax(logits, dim=-1)[s.no_speech_id])

    def _repeats(self, text: str) -> bool:
        most, data = self._decoding.max_compression, text.encode("utf-8", "replace")
        return most is not None and bool(data) and len(data) / len(zlib.compress(data)) > most


def _rules(settings: SpeechSettings, decoding: Decoding) -> tuple[Rule, ...]:
    rules: list[Rule] = [
        Suppress(settings.begin_suppress_ids, first=True),
        Suppress(settings.suppress_ids),
    ]
    if settings.timestamp_begin is not None and decoding.timestamps:
        rules.append(
                TimestampRule(
                    settings.timestamp_begin, settings.no_timestamps_id, min(settings.eos_ids),
                    settings.max_initial_timestamp,
                )
            )  # fmt: skip
    return tuple(rules)
