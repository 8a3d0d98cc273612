"""Configs of Gemma 4: what transformers writes, what is published, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoConfig

from llm_export.errors import CheckpointError
from llm_export.models.families.gemma4 import FAMILY, from_hf

SLIDING, FULL = "sliding_attention", "full_attention"
PUBLISHED: dict[str, Any] = {
    "vocab_size": 64, "vocab_size_per_layer_input": 64, "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 5, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "global_head_dim": 16, "rms_norm_eps": 1e-6,
    "hidden_size_per_layer_input": 4, "num_kv_shared_layers": 2, "sliding_window": 8,
    "layer_types": [SLIDING, FULL, SLIDING, FULL, FULL], "max_position_embeddings": 64,
    "hidden_activation": "gelu_pytorch_tanh", "final_logit_softcapping": 30.0,
    "use_double_wide_mlp": True,
}  # fmt: skip


def test_layers_borrow_from_the_last_of_their_kind_that_has_keys() -> None:
    read = from_hf(PUBLISHED)
    layers, attentions = read.layers, read.attentions
    assert [attention.borrows for attention in attentions] == [None, None, None, 1, 1]
    assert [attention.lends for attention in attentions] == [None, 1, None, None, None]
    assert [attention.head_dim for attention in attentions] == [8, 16, 8, 16, 16]
    sizes = [layer.feed_forward.size for layer in layers]  # type: ignore[union-attr]
    assert sizes == [48, 48, 48, 96, 96]


@pytest.mark.parametrize("changes", [
    {}, {"attention_k_eq_v": True, "num_global_key_value_heads": 1},
    {"num_global_key_value_heads": 1},
])  # fmt: skip
def test_what_transformers_writes_is_the_published_model(changes: dict[str, Any]) -> None:
    published = {**PUBLISHED, **changes}
    written = AutoConfig.for_model("gemma4_text", **published).to_dict()
    assert "per_layer_config" in written
    assert from_hf(written) == from_hf(published)
    deep = {**published, "num_hidden_layers": 12, "layer_types": [SLIDING, FULL] * 6}
    written = AutoConfig.for_model("gemma4_text", **deep).to_dict()
    assert "01" in written["per_layer_config"]
    assert from_hf(written) == from_hf(deep)


@pytest.mark.parametrize(("changes", "message"), [
    ({"enable_moe_block": True}, "num_experts"),
    ({"enable_moe_block": True, "num_experts": 2, "top_k_experts": 3}, "top_k_experts=3 of 2"),
    ({"vocab_size_per_layer_input": 63}, "fewer than the 64 tokens"),
    ({"num_kv_shared_layers": 5}, "num_kv_shared_layers=5 of 5 layers"),
    ({"num_kv_shared_layers": 4}, f"no layer below has {FULL}"),
    ({"per_layer_config": {"1": {"sliding_window": 3}}}, "does not implement per_layer_config"),
    ({"per_layer_config": {FULL: {"head_dim": 16}}}, "does not implement per_layer_config"),
    ({"per_layer_config": {"1": {"head_dim": 16}}}, "the same heads in all layers"),
    ({"rope_parameters": {"rope_type": "default"}}, f"needs a RoPE for {SLIDING}"),
    ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
    ({"layer_scalars": [1]}, "does not know the config key"),
])  # fmt: skip
def test_what_is_not_implemented_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        from_hf({**PUBLISHED, **changes})


def test_projections_that_a_checkpoint_holds_in_vain_are_left_out() -> None:
    config = from_hf(PUBLISHED)
    for part in ("k_proj", "v_proj", "k_norm"):
        assert FAMILY.ignored(f"model.layers.3.self_attn.{part}.weight", config)
        assert not FAMILY.ignored(f"model.layers.1.self_attn.{part}.weight", config)
    assert not FAMILY.ignored("model.layers.3.self_attn.q_proj.weight", config)
