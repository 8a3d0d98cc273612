"""Read audio as mono samples at the rate that a model takes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime_py.errors import ArgumentError, MissingPackageError, shown
from runtime_py.guard import guarded, reason
from runtime_py.speech.wav import is_wav, read_wav

if TYPE_CHECKING:
    from torch import Tensor

_MOST_CHANNELS = 64
_RATES = 1000, 768_000
AUDIO_EXTRA = "pip install 'llm_export_runtime[audio]'"


def read_audio(
    source: Any, rate: int, *, sample_rate: int | None = None, most: int | None = None
) -> Tensor:
    """Samples [N] float32 at ``rate``, channels mixed.

    Args:
        source: a path, the bytes of a file, or samples: an array or tensor [N] or [channels, N],
            floats in -1 to 1 or integers.
        sample_rate: of an array; None: ``rate``.
        most: samples of all channels, and at ``rate``; a small file can hold days of silence.

    Raises:
        ArgumentError: it cannot be read, has more than ``most`` samples, or they are no numbers.
        MissingPackageError: a package is needed for its format or rate.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        with guarded("the audio cannot be read", where=str(path), kind=ArgumentError):
            data = path.read_bytes()
        channels, own = _decoded(data, str(path), most)
    elif isinstance(source, bytes | bytearray | memoryview):
        channels, own = _decoded(bytes(source), "the bytes given", most)
    else:
        channels, own = _array(source), rate if sample_rate is None else sample_rate
        if type(own) is not int or own < 1:
            raise ArgumentError(f"sample_rate must be a whole number from 1, not {shown(own)}")
    samples = channels.mean(dim=0)
    if not bool(samples.isfinite().all()):
        raise ArgumentError("the audio has samples that are no numbers (NaN or infinity)")
    _limit(len(samples) * rate // own, most)
    return _resampled(samples, own, rate)


def _limit(count: int, most: int | None) -> None:
    if most is not None and count > most:
        raise ArgumentError(
            f"the audio is too long: it has more than {most} samples", fix="send it in parts"
        )


def _decoded(data: bytes, where: str, most: int | None) -> tuple[Tensor, int]:
    if not data:
        raise ArgumentError("the audio is empty", where=where)
    if is_wav(data):
        return read_wav(data, where)
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: without its library
        raise MissingPackageError(
            "this audio is no WAV file, and soundfile, which reads other formats, is not installed",
            where=where,
            fix=f"{AUDIO_EXTRA}; or convert it: ffmpeg -i FILE -ac 1 -ar 16000 OUT.wav",
        ) from None
    import torch

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _limit(file.frames * file.channels, most)
            rate, values = file.samplerate, file.read(dtype="float32", always_2d=True)
    except ArgumentError:
        raise
    except Exception as error:  # soundfile's own, and others for damaged files
        raise ArgumentError(
            # Its whole message names the object that it read, which is not the user's.
            f"the audio cannot be decoded: {getattr(error, 'error_string', '') or reason(error)}",
            where=where,
            fix="convert it: ffmpeg -i FILE -ac 1 -ar 16000 OUT.wav",
        ) from None  # fmt: skip
    return torch.from_numpy(values.T.copy()), int(rate)


def _array(source: Any) -> Tensor:
    import torch

    try:
        given = torch.as_tensor(source)
    except (TypeError, ValueError, RuntimeError):
        raise ArgumentError(
            f"audio must be a path, bytes, or an array of samples, not {type(source).__name__}"
        ) from None
    if given.dim() not in (1, 2) or given.is_complex() or given.dtype == torch.bool:
        raise ArgumentError(
            f"samples must be an array [N] or [channels, N] of numbers, not {given.dtype} of "
            f"shape {tuple(given.shape)}"
        )
    if given.dim() == 2 and not 1 <= len(given) <= _MOST_CHANNELS:
        raise ArgumentError(
            f"samples of shape {tuple(given.shape)} have {len(given)} channels",
            fix="an array [channels, N]: samples.T, where a library has [N, channels]",
        )
    given = given.detach()
    if not given.is_floating_point():
        most = 2 ** (8 * given.element_size() - 1)
        shift = 0 if given.dtype.is_signed else most
        given = (given.to(torch.float64) - shift) / most
    return given.to(torch.float32).reshape(1, -1) if given.dim() == 1 else given.to(torch.float32)


def _resampled(samples: Tensor, own: int, rate: int) -> Tensor:
    """Band-limited, by a polyphase filter (scipy.signal.resample_poly).

    Raises:
        ArgumentError: from this rate it would take gigabytes.
    """
    if own == rate or not len(samples):
        return samples
    if not _RATES[0] <= own <= _RATES[1]:
        raise ArgumentError(
            f"audio of {own} samples a second is not resampled; from {_RATES[0]} to {_RATES[1]} is",
            fix=f"convert it: ffmpeg -i FILE -ac 1 -ar {rate} OUT.wav",
        )
    try:
        from scipy.signal import resample_poly
    except ImportError:
        raise MissingPackageError(
            f"the audio has {own} samples a second and the model takes {rate}; scipy, which "
            "resamples it, is not installed",
            fix=f"{AUDIO_EXTRA}; or convert it: ffmpeg -i FILE -ac 1 -ar {rate} OUT.wav",
        ) from None
    import torch

    made = resample_poly(samples.numpy().astype("float64"), rate, own)
    return torch.from_numpy(made).to(torch.float32)
