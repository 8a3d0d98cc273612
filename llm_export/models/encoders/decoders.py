"""Language models as encoders: EmbeddingGemma (bidirectional Gemma 3), Qwen3-Embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig, LayerConfig
from llm_export.models.encoders.checkpoint import task_options, with_sentence_files
from llm_export.models.encoders.config import EncoderConfig
from llm_export.models.encoders.dense_config import KEY, dense_layers
from llm_export.models.encoders.facts import build, check_options, context_limit
from llm_export.models.encoders.names import DENSE, optional_prefix
from llm_export.models.families import gemma, hf_names, qwen3
from llm_export.models.families.keymap import KeyMap
from llm_export.models.programs.family import TaskFamily

_BOTH_WAYS = "use_bidirectional_attention"


def gemma3_from_hf(config: Mapping[str, Any]) -> EncoderConfig:
    """A ``Gemma3TextConfig`` as dict -> EncoderConfig. With ``use_bidirectional_attention`` a
    layer's window reaches half of ``sliding_window`` to either side.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    plain = {key: value for key, value in config.items() if key not in (KEY, _BOTH_WAYS)}
    both = config.get(_BOTH_WAYS)
    if both not in (None, True, False):
        raise CheckpointError(f"{_BOTH_WAYS}={both!r} is not implemented", where="model.config",
                              fix="implemented: true, false")  # fmt: skip
    read = _encoder(gemma.gemma3_from_hf(plain), config, causal=not both)
    return replace(read, layers=tuple(map(_halved, read.layers))) if both else read


def _halved(layer: LayerConfig) -> LayerConfig:
    attention = layer.attention
    if attention is None or attention.window is None:
        return layer
    return replace(layer, attention=replace(attention, window=attention.window // 2 + 1))


def qwen3_from_hf(config: Mapping[str, Any]) -> EncoderConfig:
    """A ``Qwen3Config`` as dict -> EncoderConfig, causal as the language model.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    plain = {key: value for key, value in config.items() if key != KEY}
    return _encoder(qwen3.from_hf(plain), config, causal=True)


def _encoder(d: DecoderConfig, config: Mapping[str, Any], *, causal: bool) -> EncoderConfig:
    pad = config.get("pad_token_id")
    return EncoderConfig(
        family=d.family,
        vocab_size=d.vocab_size,
        hidden_size=d.hidden_size,
        max_positions=d.max_positions,
        layers=d.layers,
        ropes=d.ropes,
        final_norm=d.norm,
        embedding_scale=d.embedding_scale,
        causal=causal,
        pad_id=pad if isinstance(pad, int) else 0,
        dense=dense_layers(config),
    )


def _keys(decoder_keys: KeyMap) -> KeyMap:
    """The names of a language model, with and without the prefix of one with a head."""
    ours = {"embed.weight": "embeddings.tokens.weight"}
    pairs = [
        (theirs.removeprefix("model."), ours.get(name, name))
        for theirs, name in decoder_keys.pairs
        if not name.startswith("head.")
    ]
    names, _ = optional_prefix("model.", pairs)
    return KeyMap([*names, *DENSE], ignored=[r"lm_head\..*", hf_names.ROTARY_TABLES])


GEMMA3 = TaskFamily(
    name="gemma3_text",
    task="embed",
    architectures=("Gemma3TextModel", "Gemma3ForCausalLM"),
    from_hf=gemma3_from_hf,
    build=build,
    keys=_keys(gemma.GEMMA3.keys["hf"]),
    context_limit=context_limit,
    tiny={
        **gemma.GEMMA3.tiny, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 32, "hidden_activation": "gelu_pytorch_tanh", _BOTH_WAYS: True,
        KEY: [
            {"in_features": 64, "out_features": 80, "bias": False, "activation": "identity"},
            {"in_features": 80, "out_features": 48, "bias": False, "activation": "identity"},
        ],
    },
    restore=gemma.one_plus,
    opened=with_sentence_files,
    options=task_options,
    check_options=check_options,
    smoothing_refusal=None,
)  # fmt: skip
QWEN3 = TaskFamily(
    name="qwen3",
    task="embed",
    architectures=("Qwen3Model", "Qwen3ForCausalLM"),
    from_hf=qwen3_from_hf,
    build=build,
    keys=_keys(qwen3.FAMILY.keys["hf"]),
    context_limit=context_limit,
    tiny={
        **qwen3.FAMILY.tiny, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
        "hidden_act": "silu", "rope_theta": 1e6,
    },
    opened=with_sentence_files,
    options=task_options,
    check_options=check_options,
    smoothing_refusal=None,
)  # fmt: skip
