"""Qwen3.5 (text) in GGUF files: tensor names, the order of heads, and metadata.

https://github.com/ggml-org/llama.cpp, ``conversion/qwen.py`` and ``src/models/qwen35.cpp``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.config import DecoderConfig, GatedDeltaConfig
from llm_export.models.families import gguf_names
from llm_export.models.families.conv_names import flat_taps
from llm_export.models.families.gguf_layers import decoder_layers, first
from llm_export.models.families.gguf_metadata import Metadata, read_common, read_head_dim
from llm_export.models.families.gguf_mixers import decays, read_heads
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.gguf_rope import read_rope
from llm_export.models.families.keymap import Split

if TYPE_CHECKING:
    from torch import Tensor

_PAIRS = [
    (f"{B}.attn_norm.weight", f"{D}.attention_norm.weight"),
    (f"{B}.post_attention_norm.weight", f"{D}.ffn_norm.weight"),
    *((f"{B}.attn_{x}.{{leaf}}", f"{D}.attention.qkv.{x}.{{leaf}}") for x in "kv"),
    (f"{B}.attn_qkv.weight", f"{D}.mixer.qkv.weight"),
    (f"{B}.attn_gate.weight", f"{D}.mixer.gate.weight"),
    (f"{B}.ssm_beta.weight", f"{D}.mixer.beta.weight"),
    (f"{B}.ssm_alpha.weight", f"{D}.mixer.decay.weight"),
    (f"{B}.ssm_dt.bias", f"{D}.mixer.dt_bias"),
    (f"{B}.ssm_norm.weight", f"{D}.mixer.norm.weight"),
    (f"{B}.ssm_out.weight", f"{D}.mixer.out.weight"),
]

NAMES = gguf_names.keys(
    [*gguf_names.QK_NORM, *gguf_names.GATED, *_PAIRS],
    [
        Split(f"{B}.attn_q.{{leaf}}",
              (f"{D}.attention.qkv.q.{{leaf}}", f"{D}.attention.gate.{{leaf}}")),
        flat_taps(f"{B}.ssm_conv1d.weight", f"{D}.mixer.conv.weight"),
        decays(f"{B}.ssm_a", f"{D}.mixer.A_log", dims=1),
    ],
)  # fmt: skip

_VALUES: Mapping[str, tuple[int, bool, bool]] = {
    "qkv.weight": (0, True, True), "conv.weight": (1, True, True), "gate.weight": (0, False, True),
    "out.weight": (1, False, True), "beta.weight": (0, False, False),
    "decay.weight": (0, False, False), "A_log": (0, False, False), "dt_bias": (0, False, False),
}  # fmt: skip
"""Parameters of a mixer with an entry for each value head: the dimension that counts them, whether
queries and keys precede them there, and whether a head has several.
"""


def grouped(name: str, tensor: Tensor, config: DecoderConfig) -> Tensor:
    """Put value heads of one key head next to each other, as checkpoints have them.

    With K key heads and K * R value heads, llama.cpp's head ``r * K + k`` belongs to key head k.
    """
    place, _, part = name.partition(".mixer.")
    if part not in _VALUES:
        return tensor
    mixer = config.layers[int(place.removeprefix("layers."))].mixer
    assert isinstance(mixer, GatedDeltaConfig)
    import torch

    dim, follows, wide = _VALUES[part]
    before = 2 * mixer.key_heads * mixer.key_dim if follows else 0
    heads = (mixer.value_heads // mixer.key_heads, mixer.key_heads)
    shape = (*heads, mixer.value_dim if wide else 1)
    fixed, values = tensor.split([before, tensor.shape[dim] - before], dim)
    turned = values.unflatten(dim, shape).transpose(dim, dim + 1).flatten(dim, dim + 2)
    return torch.cat([fixed, turned], dim)


def qwen3_5(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of architecture ``qwen35`` as config.json keys."""
    m = Metadata(raw)
    layers = decoder_layers(m)
    kinds = _kinds(m, layers)
    facts = read_common(m, blocks=layers)
    facts["layer_types"] = kinds
    facts["head_dim"] = read_head_dim(m, facts)
    facts |= read_rope(m, facts["head_dim"])
    facts.setdefault("partial_rotary_factor", 1.0)
    _expect_text_positions(m)
    heads, head_dim = read_heads(m)
    facts |= {
        "linear_num_value_heads": heads,
        "linear_value_head_dim": head_dim,
        "linear_num_key_heads": m.count("ssm.group_count"),
        "linear_key_head_dim": m.count("ssm.state_size"),
        "linear_conv_kernel_dim": m.count("ssm.conv_kernel"),
        "attention_bias": m.has(f"blk.{first(kinds, 'full_attention')}.attn_k.bias"),
    }
    m.finish()
    return facts


def _kinds(m: Metadata, layers: int) -> list[str]:
    every = m.count("full_attention_interval", before=4)
    if m.states("attention.recurrent_layers"):
        recurrent = m.flags("attention.recurrent_layers")
    else:
        recurrent = [(i + 1) % every != 0 for i in range(layers)]
    return ["linear_attention" if r else "full_attention" for r in recurrent[:layers]]


def _expect_text_positions(m: Metadata) -> None:
    """Three of the four kinds of positions are the same in text; the fourth is zero there."""
    sections = m.take("rope.dimension_sections", before=[])
    if not isinstance(sections, list) or any(sections[3:]):
        raise CheckpointError(
            f"{m.architecture}.rope.dimension_sections={excerpt(repr(sections))} is not "
            "implemented",
            where="the GGUF file's metadata",
            fix="implemented: sections for time, height and width alone",
        )
