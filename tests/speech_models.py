"""Small speech models of transformers with random weights, and ours with the same weights."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from llm_export.models.programs.definition import build_on_meta
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.speech.front_ends import KEY, front_end
from llm_export.models.speech.library import LibrarySpeech
from llm_export.models.speech.library_probe import lengths_of
from llm_export.models.speech.moonshine import Moonshine
from llm_export.models.speech.whisper import Whisper

IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}

M = TypeVar("M", bound=nn.Module)


def hf_whisper(seed: int = 0, **changes: Any) -> Any:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    values = {**TASK_FAMILIES.get("whisper").tiny, **IDS, "begin_suppress_tokens": None, **changes}
    return _random(WhisperForConditionalGeneration(WhisperConfig(**values)), seed)


def hf_moonshine(seed: int = 0, **changes: Any) -> Any:
    from transformers import MoonshineConfig, MoonshineForConditionalGeneration

    values = {**TASK_FAMILIES.get("moonshine").tiny, **changes}
    return _random(MoonshineForConditionalGeneration(MoonshineConfig(**values)), seed)


def hf_streaming(seed: int = 0, **changes: Any) -> Any:
    """Moonshine Streaming: layers of the encoder have windows, and the decoder
    adds positions to its output.
    """
    from transformers import MoonshineStreamingConfig, MoonshineStreamingForConditionalGeneration

    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    encoder = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, **heads,
        "sliding_windows": [[4, 2], [3, 0]],
    }  # fmt: skip
    values = {
        "encoder_config": encoder, "vocab_size": 320, "hidden_size": 48, "intermediate_size": 64,
        "num_hidden_layers": 1, "max_position_embeddings": 200, "decoder_start_token_id": 1,
        **heads, **changes,
    }  # fmt: skip
    model = MoonshineStreamingForConditionalGeneration(MoonshineStreamingConfig(**values))
    return _random(model, seed)


def own_whisper(theirs: Any, context: int | None = None) -> Whisper:
    made = _own("whisper", theirs, context or theirs.config.max_target_positions)
    assert isinstance(made, Whisper)
    return made


def own_moonshine(theirs: Any, context: int | None = None) -> Moonshine:
    made = _own("moonshine", theirs, context or theirs.config.max_position_embeddings)
    assert isinstance(made, Moonshine)
    return made


def library_speech(theirs: Any, settings: dict[str, Any], context: int = 40) -> LibrarySpeech:
    """The generic tier's model, with a preprocessor_config.json of these settings."""
    stated = {KEY: settings}
    with torch.device("meta"), torch.no_grad():
        outline = type(theirs)(theirs.config).eval()
        lengths = lengths_of(outline, front_end(outline, stated))
    made = LibrarySpeech(theirs, front_end(theirs, stated), lengths, context)
    made.init_buffers()
    return made


def noise(samples: int, seed: int = 0) -> Tensor:
    """[1, samples] of tones, noise and silence in -1..1."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(samples) / 16000
    tones = sum(torch.sin(6.2832 * hertz * at) for hertz in (220, 1330, 3400))
    loud = (torch.sin(3 * 6.2832 * at) > -0.5).float()
    return (loud * (0.2 * tones + 0.05 * torch.randn(samples, generator=generator)))[None]


def _random(model: M, seed: int) -> M:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        middle, spread = (0.0, parameter.shape[-1] ** -0.5) if parameter.dim() > 1 else (0.5, 0.3)
        nn.init.normal_(parameter, middle, spread)
    model.tie_weights()  # type: ignore[operator]
    return model.eval()


def _own(name: str, theirs: Any, context: int) -> Any:
    family = TASK_FAMILIES.get(name)
    model = build_on_meta(family, family.from_hf(theirs.config.to_dict()), context)
    wanted = dict(model.named_parameters())
    parts: dict[str, Tensor] = {}
    for source, tensor in theirs.state_dict().items():
        split = family.keys.split(source, wanted)
        if split is not None:
            rule, targets = split
            parts |= zip(targets, rule.cut(tensor, [wanted[t].shape for t in targets]), strict=True)
        else:
            target = family.keys.to_model(source)
            assert target is not None, source
            parts[target] = tensor
    assert wanted.keys() <= parts.keys()
    for name in wanted:
        parent, _, leaf = name.rpartition(".")
        weight = nn.Parameter(parts[name].clone(), requires_grad=False)
        setattr(model.get_submodule(parent), leaf, weight)
    model.tie()
    model.init_buffers()
    return model
