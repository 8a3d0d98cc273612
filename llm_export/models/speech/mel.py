"""Log-mel spectrograms, by operators that every backend has: two convolutions and a logarithm.

The arithmetic is that of Whisper (arXiv:2212.04356, section 2.2) and of transformers'
``WhisperFeatureExtractor``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FLOOR = 1e-10
_RANGE = 8.0
"""Powers below the largest by more than this many decades are raised to it."""


@dataclass(frozen=True)
class MelConfig:
    """
    Attributes:
        bands: number of mel bands.
        rate: samples a second.
        window: length of the Fourier transform and of its Hann window, in samples; even.
        hop: samples from one frame to the next.
        highest: frequency where the last band ends, in Hz.
    """

    bands: int
    rate: int = 16000
    window: int = 400
    hop: int = 160
    highest: float = 8000.0

    @property
    def bins(self) -> int:
        return self.window // 2 + 1


class LogMel(nn.Module):
    """samples [1, N] in -1..1 -> [1, bands, N / hop], scaled to about -1..1.

    N is a multiple of ``hop``. A frame is centred on its first sample; at both ends the signal is
    mirrored.
    """

    fourier: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        # Windows overlap in blocks of this many samples, which are the convolution's channels.
        self.block = math.gcd(math.gcd(config.window, config.hop), config.window // 2)
        taps = config.window // self.block
        fourier = (2 * config.bins, self.block, taps)
        # Persistent, because XNNPACK's pass that widens convolutions to two dimensions puts their
        # weights into the state of the program.
        self.register_buffer("fourier", torch.empty(fourier))
        filters = (config.bands, config.bins, 1)
        self.register_buffer("filters", torch.empty(filters))

    def init_buffers(self) -> None:
        c = self.config
        matrix = fourier_matrix(c.window).view(2 * c.bins, -1, self.block).transpose(1, 2)
        self.fourier = matrix.to(self.fourier.dtype).contiguous()
        self.filters = mel_filters(c)[:, :, None].to(self.filters.dtype)

    def forward(self, samples: Tensor) -> Tensor:
        c, half = self.config, self.config.window // 2
        mirrored = F.pad(samples[None], (half, half), mode="reflect")[0]
        # transformers leaves out the last frame, which is centred on the end.
        blocks = mirrored[:, : samples.shape[1] + c.window - c.hop].reshape(1, -1, self.block)
        parts = F.conv1d(blocks.transpose(1, 2), self.fourier, stride=c.hop // self.block)
        power = parts[:, : c.bins].square() + parts[:, c.bins :].square()
        mel = F.conv1d(power, self.filters)
        # log10 by the natural logarithm, which more delegates have.
        decades = torch.log(mel.clamp(min=_FLOOR)) * (1 / math.log(10))
        largest = torch.amax(decades, dim=(1, 2), keepdim=True)
        return torch.maximum(decades, largest - _RANGE) * 0.25 + 1.0


def fourier_matrix(window: int) -> Tensor:
    """[2 * (window / 2 + 1), window]: cosines, then sines, times a periodic Hann window."""
    at = torch.arange(window, dtype=torch.float64, device="cpu")
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * at / window)
    bins = torch.arange(window // 2 + 1, dtype=torch.float64, device="cpu")
    # Whole turns are taken off before the multiplication by pi, which loses them.
    angles = 2 * math.pi * torch.outer(bins, at).remainder(window) / window
    return torch.cat((angles.cos(), angles.sin())) * hann


def mel_filters(config: MelConfig) -> Tensor:
    """[bands, bins]: triangles of equal area, equally spaced on Slaney's mel scale (Auditory
    Toolbox, 1998), which is linear below 1000 Hz and logarithmic above.
    """
    ends = torch.linspace(
        0.0, _mel(config.highest), config.bands + 2, dtype=torch.float64, device="cpu"
    )
    edges = torch.where(ends < _BREAK, ends * 200 / 3, 1000 * torch.exp((ends - _BREAK) / _STEEP))
    at = torch.linspace(0.0, config.rate // 2, config.bins, dtype=torch.float64, device="cpu")
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (at - low) / (middle - low), (high - at) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0) * (2 / (high - low))


_BREAK = 15.0
"""1000 Hz in mel."""
_STEEP = 27 / math.log(6.4)


def _mel(hertz: float) -> float:
    return hertz * 3 / 200 if hertz < 1000 else _BREAK + math.log(hertz / 1000) * _STEEP
