"""Front ends of the generic tier: what a checkpoint's preprocessor_config.json says of how samples
become the input of an encoder, by the feature extractor of transformers that computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from llm_export.compat.transformers_audio import extractor_of
from llm_export.errors import CheckpointError
from llm_export.models.speech.mel import LogMel, MelConfig
from llm_export.models.speech.model import RATE

KEY = "preprocessor"
"""Of a model option: the content of preprocessor_config.json."""
_WHERE = "preprocessor_config.json"
_NAME = "feature_extractor_type"


@dataclass(frozen=True)
class FrontEnd:
    """
    Attributes:
        features: samples [1, N] -> what the encoder takes; None: it takes the samples.
        chunk: samples of the only length that the encoder takes; None: it takes any.
        masked: whether the encoder gets a mask of its input, of ones.
        of_whisper: whether ids of special tokens follow from the size of the vocabulary.
    """

    features: nn.Module | None = None
    chunk: int | None = None
    masked: bool = False
    of_whisper: bool = False


def front_end(hf: Any, stated: Mapping[str, Any]) -> FrontEnd:
    """The front end of a model.

    Args:
        hf: a model of transformers, with or without values.
        stated: config.json, with preprocessor_config.json under ``KEY``.

    Raises:
        CheckpointError: it is none of ours, or has other settings than ours.
    """
    settings = _settings(stated)
    kind = str(hf.config.model_type)
    stated_name = settings.get(_NAME)
    name = str(stated_name) if stated_name else extractor_of(kind)
    if name is None and hf.main_input_name == "input_values":
        name = SAMPLES
    if name not in FRONT_ENDS:
        by = "" if name is None else f" by {name}"
        why = f": {_OTHERS[name]}" if name in _OTHERS else ""
        raise CheckpointError(
            f"'{kind}' turns audio into features{by}, which the generic tier does not compute{why}",
            where=f"{_WHERE}: {_NAME}",
            fix=f"models with one of these can be exported: {', '.join(FRONT_ENDS)}",
        )
    _expect(settings, "sampling_rate", RATE)
    return FRONT_ENDS[name](hf, settings)


def _settings(stated: Mapping[str, Any]) -> Mapping[str, Any]:
    """Older processors keep them among others."""
    found = stated.get(KEY) or {}
    inner = found.get("feature_extractor") if isinstance(found, Mapping) else None
    settings = inner if isinstance(inner, Mapping) else found
    if not isinstance(settings, Mapping):
        raise CheckpointError("it is no mapping of settings", where=_WHERE)
    return settings


def _expect(settings: Mapping[str, Any], key: str, value: Any, before: Any = None) -> None:
    """Raises CheckpointError where a setting, by default ``before`` or ours, is another one."""
    found = settings.get(key, value if before is None else before)
    if found != value:
        raise CheckpointError(
            f"the audio front end has {key}={found!r}; the program computes {key}={value!r}",
            where=f"{_WHERE}: {key}",
        )


def _count(settings: Mapping[str, Any], key: str, usual: int) -> int:
    value = settings.get(key, usual)
    if type(value) is not int or value < 1:
        raise CheckpointError(
            f"{key} is {value!r}, and must be a whole number from 1", where=f"{_WHERE}: {key}"
        )
    return value


def _log_mel(hf: Any, settings: Mapping[str, Any]) -> FrontEnd:
    """That of Whisper, for windows of the length that the encoder has positions for."""
    missing = [
        key for key in ("num_mel_bins", "max_source_positions") if not hasattr(hf.config, key)
    ]
    if missing:
        raise CheckpointError(
            f"the encoder of '{hf.config.model_type}' takes no spectrogram of a fixed length: its "
            f"config has no {missing[0]}", where=f"{_WHERE}: {_NAME}",
        )  # fmt: skip
    _expect(settings, "dither", 0.0)
    bands = _count(settings, "feature_size", int(hf.config.num_mel_bins))
    window, hop = _count(settings, "n_fft", 400), _count(settings, "hop_length", 160)
    if window % 2:
        raise CheckpointError(f"n_fft is {window}, and must be even", where=f"{_WHERE}: n_fft")
    shrink = math.prod(m.stride[0] for m in hf.get_encoder().modules() if isinstance(m, nn.Conv1d))
    chunk = int(hf.config.max_source_positions) * shrink * hop
    _expect(settings, "chunk_length", chunk / RATE)
    return FrontEnd(LogMel(MelConfig(bands, RATE, window, hop)), chunk, of_whisper=True)


def _samples(hf: Any, settings: Mapping[str, Any]) -> FrontEnd:
    """Samples as they are."""
    if settings:
        _expect(settings, "do_normalize", False, before=True)
    return FrontEnd(masked=settings.get("return_attention_mask", False) is True)


SAMPLES = "Wav2Vec2FeatureExtractor"

FRONT_ENDS: dict[str, Callable[[Any, Mapping[str, Any]], FrontEnd]] = {
    "WhisperFeatureExtractor": _log_mel,
    SAMPLES: _samples,
}
"""Feature extractor of transformers -> (model, its settings) -> front end."""

_KALDI = "filter banks of Kaldi, each normalised over the whole audio"
_NEMO = "spectrograms of NeMo, each band normalised over the whole audio"
_OTHERS = {
    "Speech2TextFeatureExtractor": _KALDI,
    "SeamlessM4TFeatureExtractor": _KALDI,
    "ParakeetFeatureExtractor": _NEMO,
    "CohereAsrFeatureExtractor": _NEMO,
    "DiaFeatureExtractor": "its encoder takes text, and its decoder makes audio",
    "Pop2PianoFeatureExtractor": "its answers are notes",
}
"""Feature extractor -> what it computes that the program does not."""
