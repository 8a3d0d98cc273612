"""Read WAV files (RIFF WAVE, Microsoft's multimedia specification 1.0 and WAVEFORMATEXTENSIBLE)."""

from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

from runtime_py.errors import ArgumentError

if TYPE_CHECKING:
    from torch import Tensor

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN = 0x7FFF0000
"""From this size on a chunk's is that of a file written to a pipe, which does not know it."""
_NAMES = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x55: "MP3"}
_LOG = logging.getLogger("runtime_py")


def is_wav(data: bytes) -> bool:
    return data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE"


def read_wav(data: bytes, where: str) -> tuple[Tensor, int]:
    """(samples [channels, N], float32 in -1 to 1; samples a second). Logs a warning if the file
    ends before its audio does.

    Raises:
        ArgumentError: it is damaged, or compressed.
    """
    form: bytes | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"fmt ":
            form = data[at + 8 : at + 8 + size]
        elif name == b"data" and form is not None:
            body = data[at + 8 : at + 8 + size]
            samples, rate = _samples(body, form, where)
            if len(body) < size < _UNKNOWN:
                _LOG.warning(
                    "%s: the WAV file is cut off: %.1f s of its %.1f s are there",
                    where, samples.shape[1] / rate, size / _frame(form) / rate,
                )  # fmt: skip
            return samples, rate
        at += 8 + size + size % 2
    missing = "audio" if form is not None else "format"
    raise ArgumentError(f"the WAV file has no {missing}", where=where, fix="record it again")


def _samples(body: bytes, form: bytes, where: str) -> tuple[Tensor, int]:
    import torch

    if len(form) < 16:
        raise ArgumentError("the WAV file's format is cut off", where=where)
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        kind = struct.unpack_from("<H", form, 24)[0]
    good = bits in ((8, 16, 24, 32) if kind == _PCM else (32, 64) if kind == _FLOAT else ())
    if not good or not 1 <= channels <= 64 or not 1 <= rate <= 10_000_000:
        what = _NAMES.get(kind, f"format {kind}") if kind not in (_PCM, _FLOAT) else (
            f"{channels} channels of {bits} bits at {rate} Hz")  # fmt: skip
        raise ArgumentError(
            f"the WAV file has {what}, which is not read", where=where,
            fix="convert it: ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav",
        )  # fmt: skip
    width = _frame(form)
    body = body[: len(body) // width * width]
    if not body:
        return torch.zeros(channels, 0), rate
    raw = torch.frombuffer(bytearray(body), dtype=torch.uint8)
    return _scaled(raw, kind, bits).view(-1, channels).T.contiguous(), rate


def _frame(form: bytes) -> int:
    """Bytes of a sample of all channels."""
    channels, bits = struct.unpack_from("<2xH10xH", form)
    return int(bits // 8 * channels)


def _scaled(raw: Tensor, kind: int, bits: int) -> Tensor:
    """Little-endian numbers [bytes] -> float32."""
    import torch

    if kind == _FLOAT:
        return raw.view(torch.float32 if bits == 32 else torch.float64).to(torch.float32)
    if bits == 8:  # the only unsigned one
        return (raw.to(torch.float32) - 128) / 128
    if bits == 24:
        parts = raw.view(-1, 3).to(torch.int32)
        whole = parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24
        return whole.to(torch.float32) / 2**31
    return raw.view(torch.int16 if bits == 16 else torch.int32).to(torch.float32) / 2 ** (bits - 1)
