"""The family of Moonshine: its config and the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.config import FeedForwardConfig, NormConfig, RopeConfig
from llm_export.models.families.config_values import ConfigReader
from llm_export.models.families.keymap import KeyMap, Split
from llm_export.models.families.layers import activation
from llm_export.models.families.rope_config import read_rope
from llm_export.models.programs.family import TaskFamily
from llm_export.models.speech.check_options import check_moonshine
from llm_export.models.speech.config import MoonshineConfig, StackConfig

if TYPE_CHECKING:
    from llm_export.models.speech.moonshine import Moonshine

NAME = "moonshine"

_UNLIMITED = 1 << 20
"""Of the encoder, whose positions are outputs of up to minutes of audio."""

_NORM = NormConfig(1e-5, kind="layer", bias=False)


def from_hf(config: Mapping[str, Any]) -> MoonshineConfig:
    """A ``MoonshineConfig`` of transformers as dict.

    Raises:
        CheckpointError: a key is missing, unknown, or has a value that is not implemented.
    """
    c = ConfigReader(NAME, config)
    hidden, size = c.count("hidden_size"), c.count("intermediate_size")
    heads = {part: _heads(c, part) for part in ("encoder", "decoder")}
    if heads["encoder"] != heads["decoder"]:
        # transformers builds the decoder with the encoder's heads.
        raise CheckpointError(
            f"family '{NAME}' does not implement {heads['encoder']} heads in the encoder and "
            f"{heads['decoder']} in the decoder",
            where="config key decoder_num_attention_heads",
        )
    rope = _rope(c, hidden // heads["encoder"])
    c.expect("attention_bias", False, before=False)

    def stack(part: str, kind: str, usual: str) -> StackConfig:
        act = activation(c, f"{part}_hidden_act", before=usual)
        ffn = FeedForwardConfig(size, act, bias=True, kind=kind)
        layers = c.count(f"{part}_num_hidden_layers")
        return StackConfig(
            layers, hidden, heads[part], ffn, _NORM,
            bias=False, key_bias=False, out_bias=False, rope=rope,
        )  # fmt: skip

    eos = c.peek("eos_token_id")
    several = isinstance(eos, list) and all(type(each) is int for each in eos)
    read = MoonshineConfig(
        vocab_size=c.count("vocab_size"),
        target_positions=c.count("max_position_embeddings"),
        encoder=stack("encoder", "plain", "gelu"),
        decoder=stack("decoder", "gated", "silu"),
        tied=c.flag("tie_word_embeddings", before=True),
        start_id=c.token("decoder_start_token_id", before=1),
        eos_ids=tuple(c.take("eos_token_id")) if several else (c.token("eos_token_id", before=2),),
    )
    c.take_unused("pad_head_dim_to_multiple_of", "is_encoder_decoder")  # of kernels
    c.finish()
    return read


def _heads(c: ConfigReader, part: str) -> int:
    heads = c.count(f"{part}_num_attention_heads")
    c.expect(f"{part}_num_key_value_heads", heads, None, before=None)
    return heads


def _rope(c: ConfigReader, head_dim: int) -> RopeConfig:
    """RoPE of a share of a head's channels."""
    rope = read_rope(c, head_dim, _UNLIMITED, partial=0.9)
    if rope.scaling != "none":
        raise CheckpointError(
            f"family '{NAME}' does not implement the RoPE scaling '{rope.scaling}'",
            where="config key rope_parameters", fix="implemented: 'default'",
        )  # fmt: skip
    return rope


_E, _D = "model.encoder.layers.{i}", "model.decoder.layers.{i}"
_OURS_E, _OURS_D = "encoder.layers.{i}", "decoder.layers.{i}"


def _attention(theirs: str, ours: str, out: str) -> list[tuple[str, str]]:
    names = (("q", "q"), ("k", "k"), ("v", "v"), ("o", out))
    return [(f"{theirs}.{a}_proj.weight", f"{ours}.{b}.weight") for a, b in names]


KEYS = KeyMap(
    [
        *(
            (f"model.encoder.conv{i + 1}.{{leaf}}", f"encoder.convolutions.{i}.{{leaf}}")
            for i in range(3)
        ),
        ("model.encoder.groupnorm.{leaf}", "encoder.stem_norm.{leaf}"),
        *_attention(f"{_E}.self_attn", f"{_OURS_E}.attention", "out"),
        (f"{_E}.mlp.fc1.{{leaf}}", f"{_OURS_E}.feed_forward.up.{{leaf}}"),
        (f"{_E}.mlp.fc2.{{leaf}}", f"{_OURS_E}.feed_forward.down.{{leaf}}"),
        (f"{_E}.input_layernorm.weight", f"{_OURS_E}.attention_norm.weight"),
        (f"{_E}.post_attention_layernorm.weight", f"{_OURS_E}.ffn_norm.weight"),
        ("model.encoder.layer_norm.weight", "encoder.norm.weight"),
        ("model.decoder.embed_tokens.weight", "embed.weight"),
        *_attention(f"{_D}.self_attn", f"{_OURS_D}.attention", "out"),
        *_attention(f"{_D}.encoder_attn", f"{_OURS_D}.cross", "o"),
        (f"{_D}.mlp.fc2.{{leaf}}", f"{_OURS_D}.feed_forward.down.{{leaf}}"),
        (f"{_D}.input_layernorm.weight", f"{_OURS_D}.attention_norm.weight"),
        (f"{_D}.post_attention_layernorm.weight", f"{_OURS_D}.cross_norm.weight"),
        (f"{_D}.final_layernorm.weight", f"{_OURS_D}.ffn_norm.weight"),
        ("model.decoder.norm.weight", "decoder.norm.weight"),
        ("proj_out.weight", "head.weight"),
    ],
    splits=[
        Split(
            f"{_D}.mlp.fc1.{{leaf}}",
            tuple(f"{_OURS_D}.feed_forward.gate_up.{x}.{{leaf}}" for x in ("up", "gate")),
        )
    ],
    ignored=[r".*\.rotary_emb\.inv_freq"],
)


def _build(config: MoonshineConfig, context_length: int) -> Moonshine:
    from llm_export.models.speech.moonshine import Moonshine

    return Moonshine(config, context_length)


FAMILY = TaskFamily(
    name=NAME,
    task="transcribe",
    architectures=("MoonshineForConditionalGeneration",),
    from_hf=from_hf,
    build=_build,
    keys=KEYS,
    has_head=True,
    check_options=check_moonshine,
    context_limit=lambda config: (config.target_positions, "its positions in training"),
    attention_kinds=lambda config: ("custom_op_by_head", "custom_op"),
    tiny={
        "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64,
        "encoder_num_hidden_layers": 2, "decoder_num_hidden_layers": 2,
        "encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2,
        "max_position_embeddings": 64,
    },
)  # fmt: skip
