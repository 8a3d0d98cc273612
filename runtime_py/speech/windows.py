"""The program of a bundle that transcribes, fed with windows of audio."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from runtime_py.seq2seq.program import Call, EncoderDecoder
from runtime_py.speech.settings import SpeechSettings
from runtime_py.speech.transcript import SpeechStats

_LOOK = 0.25
"""Share of a window at whose end a quiet place is looked for."""
_QUIET = 0.1
"""Seconds over which loudness is taken."""


class Listener:
    """Encodes windows of one audio.

    Args:
        call: runs the program's methods.
        methods: that it has; ``features`` turns samples into what the encoder takes, if it is one.
    """

    def __init__(
        self,
        call: Call,
        methods: Sequence[str],
        model: EncoderDecoder,
        settings: SpeechSettings,
        samples: Tensor,
        stats: SpeechStats,
    ) -> None:
        self._call, self._front = call, "features" in methods
        self.model, self.settings, self.samples, self.stats = model, settings, samples, stats
        self._at: tuple[int, int] | None = None

    @property
    def total(self) -> int:
        """Samples of the audio."""
        return len(self.samples)

    @property
    def window(self) -> int:
        """Samples of the longest window."""
        return round(self.settings.window_seconds * self.settings.sample_rate)

    def encode(self, start: int, count: int) -> None:
        """Let the decoder attend to ``count`` samples; nothing is done where it does."""
        if self._at == (start, count):
            return
        begin = time.perf_counter()
        part = self.samples[start : start + count]
        if self.settings.chunk_seconds is not None:
            part = torch.nn.functional.pad(part, (0, self.window - len(part)))
        else:
            least = int(self.settings.min_seconds * self.settings.sample_rate) + 1
            wanted = self.settings.fitting(max(least, len(part)))
            part = torch.nn.functional.pad(part, (0, wanted - len(part)))
        inputs = [part[None].contiguous()]
        if self._front:
            inputs = [self._call("features", inputs)[0]]
        self.model.encode(inputs)
        self._at = (start, count)
        self.stats.windows += 1
        self.stats.encode_seconds += time.perf_counter() - begin

    def quiet_cut(self, start: int) -> int:
        """Samples of a window from ``start`` on that ends at a quiet place, or with the audio."""
        left = self.total - start
        if left <= self.window:
            return left
        size = int(_QUIET * self.settings.sample_rate)
        first = int(self.window * (1 - _LOOK))
        tail = self.samples[start + first : start + self.window]
        tail = tail[: len(tail) // size * size]
        if not len(tail):
            return self.window
        quietest = int(tail.view(-1, size).pow(2).mean(dim=1).argmin())
        return first + quietest * size + size // 2
