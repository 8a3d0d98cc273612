"""The family of Whisper: its config, the names of its tensors, and its generation config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.models.config import FeedForwardConfig
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap
from llm_export.models.families.layers import activation
from llm_export.models.programs.family import TaskFamily
from llm_export.models.speech.check_options import check_whisper
from llm_export.models.speech.config import LAYER_NORM, StackConfig, WhisperConfig
from llm_export.models.speech.whisper_options import options_of

if TYPE_CHECKING:
    from llm_export.models.speech.whisper import Whisper

NAME = "whisper"

_UNUSED = (
    "encoder_layerdrop", "decoder_layerdrop", "dropout", "activation_dropout", "init_std",
    "classifier_proj_size", "apply_spec_augment", "mask_time_prob", "mask_time_length",
    "mask_time_min_masks", "mask_feature_prob", "mask_feature_length", "mask_feature_min_masks",
    "median_filter_width", "num_hidden_layers", "max_length", "forced_decoder_ids",
    "scale_embedding", "is_encoder_decoder",
)  # fmt: skip
"""Of training, of classification, of generation, or of no effect."""


def from_hf(config: Mapping[str, Any]) -> WhisperConfig:
    """A ``WhisperConfig`` of transformers as dict.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    hidden, act = c.count("d_model"), activation(c, "activation_function", before="gelu")

    def stack(part: str) -> StackConfig:
        ffn = FeedForwardConfig(c.count(f"{part}_ffn_dim"), act, bias=True, kind="plain")
        return StackConfig(
            c.count(f"{part}_layers"), hidden, c.count(f"{part}_attention_heads"), ffn, LAYER_NORM,
            bias=True, key_bias=False, out_bias=True,
        )  # fmt: skip

    read = WhisperConfig(
        vocab_size=c.count("vocab_size"),
        mel_bands=c.count("num_mel_bins"),
        source_positions=c.count("max_source_positions"),
        target_positions=c.count("max_target_positions"),
        encoder=stack("encoder"),
        decoder=stack("decoder"),
        tied=c.flag("tie_word_embeddings", before=True),
    )
    c.expect("use_weighted_layer_sum", False, before=False)
    c.take_unused(*_UNUSED)
    c.finish()
    return read


_E, _D = "model.encoder.layers.{i}", "model.decoder.layers.{i}"
_OURS_E, _OURS_D = "encoder.layers.{i}", "decoder.layers.{i}"


def _layer(theirs: str, ours: str) -> list[tuple[str, str]]:
    return [
        *((f"{theirs}.self_attn.{x}_proj.{{leaf}}", f"{ours}.attention.{x}.{{leaf}}")
          for x in ("q", "k", "v", "out")),
        (f"{theirs}.self_attn_layer_norm.{{leaf}}", f"{ours}.attention_norm.{{leaf}}"),
        (f"{theirs}.fc1.{{leaf}}", f"{ours}.feed_forward.up.{{leaf}}"),
        (f"{theirs}.fc2.{{leaf}}", f"{ours}.feed_forward.down.{{leaf}}"),
        (f"{theirs}.final_layer_norm.{{leaf}}", f"{ours}.ffn_norm.{{leaf}}"),
    ]  # fmt: skip


KEYS = KeyMap(
    [
        ("model.encoder.conv1.{leaf}", "encoder.conv1.{leaf}"),
        ("model.encoder.conv2.{leaf}", "encoder.conv2.{leaf}"),
        ("model.encoder.embed_positions.weight", "encoder.positions"),
        *_layer(_E, _OURS_E),
        ("model.encoder.layer_norm.{leaf}", "encoder.norm.{leaf}"),
        ("model.decoder.embed_tokens.weight", "embed.weight"),
        ("model.decoder.embed_positions.weight", "decoder.positions"),
        *_layer(_D, _OURS_D),
        *(
            (f"{_D}.encoder_attn.{theirs}_proj.{{leaf}}", f"{_OURS_D}.cross.{ours}.{{leaf}}")
            for theirs, ours in (("q", "q"), ("k", "k"), ("v", "v"), ("out", "o"))
        ),
        (f"{_D}.encoder_attn_layer_norm.{{leaf}}", f"{_OURS_D}.cross_norm.{{leaf}}"),
        ("model.decoder.layer_norm.{leaf}", "decoder.norm.{leaf}"),
        ("proj_out.weight", "head.weight"),
    ]
)


def _build(config: WhisperConfig, context_length: int) -> Whisper:
    from llm_export.models.speech.whisper import Whisper

    return Whisper(config, context_length)


FAMILY = TaskFamily(
    name=NAME,
    task="transcribe",
    architectures=("WhisperForConditionalGeneration",),
    from_hf=from_hf,
    build=_build,
    keys=KEYS,
    has_head=True,
    options=options_of,
    check_options=check_whisper,
    context_limit=lambda config: (config.target_positions, "its learned positions"),
    attention_kinds=lambda config: ("custom_op_by_head", "custom_op"),
    tiny={
        "vocab_size": 320, "num_mel_bins": 20, "d_model": 32, "encoder_layers": 2,
        "encoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_layers": 2,
        "decoder_attention_heads": 2, "decoder_ffn_dim": 64, "max_source_positions": 50,
        "max_target_positions": 32,
    },
)  # fmt: skip
