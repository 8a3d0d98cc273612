"""Gemma 4 (text) in GGUF files: tensor names and metadata.

https://github.com/ggml-org/llama.cpp, ``conversion/gemma.py`` and ``src/models/gemma4.cpp``
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.errors import CheckpointError, excerpt
from llm_export.models.families import gguf_names
from llm_export.models.families.gguf_metadata import Metadata, read_common
from llm_export.models.families.gguf_names import B, D
from llm_export.models.families.keymap import KeyMap

_FULL, _SLIDING = "full_attention", "sliding_attention"

NAMES = KeyMap(
    [
        *gguf_names.COMMON.pairs,
        ("per_layer_token_embd.weight", "layer_inputs.table.weight"),
        ("per_layer_model_proj.weight", "layer_inputs.projection.weight"),
        ("per_layer_proj_norm.weight", "layer_inputs.norm.weight"),
        (f"{B}.inp_gate.weight", f"{D}.layer_input.gate.weight"),
        (f"{B}.proj.weight", f"{D}.layer_input.out.weight"),
        (f"{B}.post_norm.weight", f"{D}.layer_input.norm.weight"),
        (f"{B}.layer_output_scale.weight", f"{D}.scale"),
    ],
    ignored=gguf_names.TABLES,
)


def gemma4(raw: Mapping[str, Any]) -> dict[str, Any]:
    m = Metadata(raw)
    _refuse_experts(m)
    layers = m.count("block_count")
    kinds = [_SLIDING if s else _FULL for s in m.flags("attention.sliding_window_pattern")]
    shared = m.count("attention.shared_kv_layers", before=0)
    sizes = m.per_layer("feed_forward_length")
    heads = m.per_layer("attention.head_count_kv")
    facts = read_common(m, ffn=sizes[0], blocks=layers)
    del facts["hidden_act"]
    facts |= _head_dims(m)
    facts |= {
        "hidden_activation": "gelu_pytorch_tanh",
        "layer_types": kinds,
        "num_kv_shared_layers": shared,
        "use_double_wide_mlp": _double_wide(m, sizes, layers - shared),
        "attention_bias": m.has("blk.0.attn_q.bias"),
        "sliding_window": m.count("attention.sliding_window"),
        # The converter leaves it out of models without; llama.cpp then caps at 30.
        "final_logit_softcapping": m.take("final_logit_softcapping", before=None),
        "hidden_size_per_layer_input": m.count("embedding_length_per_layer_input", before=0),
        "rope_parameters": _ropes(m, facts["head_dim"], facts["global_head_dim"]),
    }
    facts |= _values(m, kinds[: layers - shared]) | _heads(m, kinds, heads)
    if facts["hidden_size_per_layer_input"]:
        facts["vocab_size_per_layer_input"] = m.rows("per_layer_token_embd.weight")
    m.finish()
    return facts


def _refuse_experts(m: Metadata) -> None:
    m.take("expert_feed_forward_length", before=None)
    used, count = m.take("expert_used_count", before=0), m.take("expert_count", before=0)
    if count or used:
        raise CheckpointError(
            "GGUF files of Gemma 4 with a mixture of experts are not read",
            where=f"{m.architecture}.expert_count={count!r}",
            fix="give the model's Hugging Face folder (safetensors): checkpoint.path=FOLDER",
        )


def _head_dims(m: Metadata) -> dict[str, int]:
    """The head sizes of layers with a window and of those without."""
    sizes = {"head_dim": m.count("attention.key_length_swa"),
             "global_head_dim": m.count("attention.key_length")}  # fmt: skip
    m.expect("attention.value_length_swa", sizes["head_dim"])
    m.expect("attention.value_length", sizes["global_head_dim"])
    return sizes


def _double_wide(m: Metadata, sizes: list[int], own: int) -> bool:
    """Whether layers without keys and values of their own are twice as wide."""
    wide = own < len(sizes) and sizes[own] != sizes[0]
    if sizes != [sizes[0]] * own + [sizes[0] * (1 + wide)] * (len(sizes) - own):
        raise CheckpointError(
            f"{m.architecture}.feed_forward_length={excerpt(repr(sizes))} is not implemented",
            where="the GGUF file's metadata",
            fix="implemented: one size, or twice that in the layers that share keys and values",
        )
    return wide


def _values(m: Metadata, kinds: list[str]) -> dict[str, bool]:
    """Whether the values of full attention are its keys: the file then has no projection."""
    without: dict[str, set[bool]] = {_FULL: set(), _SLIDING: set()}
    for index, kind in enumerate(kinds):
        without[kind].add(not m.has(f"blk.{index}.attn_v.weight"))
    if True in without[_SLIDING] or len(without[_FULL]) > 1:
        raise CheckpointError(
            "some layers lack the projection of values",
            where="the GGUF file's tensors blk.N.attn_v.weight",
            fix="implemented: all layers have it, or those with a window alone",
        )
    return {"attention_k_eq_v": True in without[_FULL]}


def _heads(m: Metadata, kinds: list[str], heads: list[int]) -> dict[str, Any]:
    """Key/value heads of layers with a window and of those without."""
    found = {kind: {n for k, n in zip(kinds, heads, strict=True) if k == kind} for kind in kinds}
    if any(len(each) > 1 for each in found.values()):
        raise CheckpointError(
            f"{m.architecture}.attention.head_count_kv={excerpt(repr(heads))} is not implemented",
            where="the GGUF file's metadata",
            fix="implemented: the same heads in all layers with a window, and in all without",
        )
    one = {kind: next(iter(each)) for kind, each in found.items()}
    usual = one.get(_SLIDING, heads[0])
    return {"num_key_value_heads": usual, "num_global_key_value_heads": one.get(_FULL, usual)}


def _ropes(m: Metadata, sliding: int, full: int) -> dict[str, dict[str, Any]]:
    """The converter keeps whole heads, and stops the channels that full attention does not turn by
    a factor of 1e30 on their wavelengths.
    """
    m.expect("rope.dimension_count", full)
    m.expect("rope.dimension_count_swa", sliding)
    m.expect("rope.scaling.type", "none")
    factors = m.values("rope_freqs.weight") if m.has("rope_freqs.weight") else [1.0] * (full // 2)
    turning = sum(factor == 1 for factor in factors)
    still = factors[turning:]
    if len(factors) != full // 2 or factors[:turning] != [1.0] * turning or min(
        still, default=1e30) < 1e29:  # fmt: skip
        raise CheckpointError(
            f"the factors of RoPE are not implemented: {excerpt(repr(factors))}",
            where="the GGUF file's tensor rope_freqs.weight",
            fix="implemented: 1 for the channels that turn, then 1e30",
        )
    return {
        _SLIDING: {"rope_type": "default", "rope_theta": m.take("rope.freq_base_swa", before=1e4)},
        _FULL: {
            "rope_type": "proportional", "partial_rotary_factor": 2 * turning / full,
            "rope_theta": m.take("rope.freq_base", before=1e4),
        },
    }  # fmt: skip
