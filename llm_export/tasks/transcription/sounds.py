"""Sounds to compare programs with: the same on every machine, and no recordings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def sounds(count: int, samples: int, rate: int) -> list[Tensor]:
    """Mono audio [N] in -1 to 1: chirps, harmonic tones with a syllable's rhythm, noise and
    silence, each with another pitch and length of silence at its end."""
    return [_sound(number, samples, rate) for number in range(count)]


def _sound(number: int, samples: int, rate: int) -> Tensor:
    import torch

    at = torch.arange(samples, dtype=torch.float64) / rate
    seconds = samples / rate
    low, high = 90.0 + 40 * (number % 5), 400.0 + 700 * (number % 7)
    kind = number % 4
    if kind == 0:  # a chirp
        wave = torch.sin(2 * math.pi * (low * at + (high - low) / (2 * seconds) * at * at))
    elif kind == 1:  # a voiced sound: harmonics of a gliding pitch
        pitch = 2 * math.pi * (low * at + 8 * torch.sin(2 * at))
        wave = sum((torch.sin(n * pitch) / n for n in range(1, 12)), torch.zeros_like(at))
    elif kind == 2:  # noise
        wave = torch.randn(samples, generator=torch.Generator().manual_seed(number)).double()
    else:  # two tones
        wave = torch.sin(2 * math.pi * high * at) + torch.sin(2 * math.pi * 1.31 * low * at)
    loud = 0.5 + 0.5 * torch.sin(2 * math.pi * (2.5 + number % 3) * at)
    heard = (at < seconds * (0.4 + 0.6 * ((number * 37) % 11) / 10)).double()
    made = wave * loud * heard
    return (0.3 * made / made.abs().max().clamp(min=1e-9)).to(torch.float32)
