"""Configs of models with Mamba-2 mixers: forms of their keys, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from family_models import settings

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig, FeedForwardConfig, Mamba2Config, MoEConfig
from llm_export.models.families import FAMILIES

FIRST = {
    "mamba2": "groups", "bamba": "partial rotary", "granitemoehybrid": "mixers, no rope",
    "falcon_h1": "multipliers", "nemotron_h": "one sublayer each",
}  # fmt: skip


def read(family: str, **changes: Any) -> DecoderConfig:
    kept = {"hidden_act": "silu"} if family != "nemotron_h" else {}
    config = {**settings(family, FIRST[family]), **kept, **changes}
    return FAMILIES.get(family).read({k: v for k, v in config.items() if v is not ...})


def mixer(config: DecoderConfig) -> Mamba2Config:
    found = config.mixers[0]
    assert isinstance(found, Mamba2Config)
    return found


@pytest.mark.parametrize("stated", [
    None, [0.0, math.inf], (0, math.inf), [0.0, {"__float__": "Infinity"}],
])  # fmt: skip
def test_steps_without_limits_are_written_in_several_ways(stated: Any) -> None:
    assert mixer(read("mamba2", time_step_limit=stated)).step_limits == (0.0, math.inf)


@pytest.mark.parametrize("stated", [[0.1], [0.5, 0.1], [-1.0, 1.0], ["low", "high"], 3])
def test_other_limits_are_refused(stated: Any) -> None:
    with pytest.raises(CheckpointError):
        read("mamba2", time_step_limit=stated)


@pytest.mark.parametrize(("family", "key", "value", "says"), [
    ("mamba2", "num_heads", 7, "7 Mamba heads of 16 channels do not make up"),
    ("bamba", "mamba_d_head", 12, "8 Mamba heads of 12 channels do not make up"),
    ("granitemoehybrid", "layer_types", ["mamba", "mlp", "mamba"], "layer_types"),
    ("granitemoehybrid", "layer_types", ["mamba"], "for each of 3 layers"),
    ("granitemoehybrid", "position_embedding_type", "alibi", "position_embedding_type='alibi'"),
    ("falcon_h1", "ssm_multipliers", [1.0, 1.0], "is not 5 positive numbers"),
    ("falcon_h1", "mlp_multipliers", [1.0, -1.0], "is not 2 positive numbers"),
    ("nemotron_h", "attention_bias", True, "attention_bias=True"),
    ("nemotron_h", "layers_block_type", ["mamba", "conv"], "layers_block_type"),
    ("nemotron_h", "residual_gate", 0.5, "residual_gate"),
])  # fmt: skip
def test_what_is_not_implemented_is_named(family: str, key: str, value: Any, says: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(family, **{key: value})
    assert says in str(caught.value)


def test_latent_projections_are_of_layers_with_experts() -> None:
    assert read("nemotron_h", moe_latent_size=32).num_layers == 5
    mixture = read("nemotron_h", moe_latent_size=32, layers_block_type=["mamba", "moe"]).layers[1]
    assert isinstance(mixture.feed_forward, MoEConfig)
    assert mixture.feed_forward.latent == 32
    with pytest.raises(CheckpointError, match="moe_latent_size=0"):
        read("nemotron_h", moe_latent_size=0, layers_block_type=["mamba", "moe"])


def test_a_pattern_of_letters_is_a_list_of_kinds() -> None:
    listed = read("nemotron_h")
    assert read("nemotron_h", layers_block_type=..., hybrid_override_pattern="M-*-M") == listed
    later = ["linear_attention", "mlp", "full_attention", "mlp", "linear_attention"]
    assert read("nemotron_h", layers_block_type=later) == listed
    with pytest.raises(CheckpointError, match="one of M"):
        read("nemotron_h", layers_block_type=..., hybrid_override_pattern="M?")


def test_layers_of_nemotron_h_have_one_sublayer() -> None:
    kinds = [
        (layer.mixer is not None, layer.attention is not None, layer.feed_forward is not None)
        for layer in read("nemotron_h").layers
    ]
    assert all(sum(kind) == 1 for kind in kinds)
    assert [kind.index(True) for kind in kinds] == [0, 2, 1, 2, 0]


def test_former_keys_of_nemotron_h_precede() -> None:
    found = mixer(read("nemotron_h", mamba_n_groups=4, mamba_d_conv=3, mamba_dt_min=0.01))
    assert (found.groups, found.kernel, found.step_limits[0]) == (4, 3, 0.01)


def test_experts_of_granite_are_beside_a_dense_network() -> None:
    ffn = read("granitemoehybrid", num_local_experts=4, num_experts_per_tok=2).layers[0]
    assert isinstance(ffn.feed_forward, MoEConfig)
    assert ffn.feed_forward.shared == FeedForwardConfig(80, "silu")
    assert ffn.feed_forward.expert.size == 96
    with pytest.raises(CheckpointError, match="num_experts_per_tok=9 of 4"):
        read("granitemoehybrid", num_local_experts=4, num_experts_per_tok=9)


def test_multipliers_of_falcon_are_folded_and_come_out_again() -> None:
    family, config = FAMILIES.get("falcon_h1"), read("falcon_h1")
    found = mixer(config)
    assert family.store is not None
    rows = {"gate": found.inner, "xbc": found.conv_channels, "dt": found.heads}
    for name, count in rows.items():
        place = f"layers.0.mixer.{name}.weight"
        weight = torch.ones(count, 3)
        folded = family.restore["hf"](place, weight, config)
        assert torch.allclose(family.store(place, folded, config), weight)
        assert not torch.equal(folded, weight)
    xbc = family.restore["hf"]("layers.1.mixer.xbc.bias", torch.ones(found.conv_channels), config)
    assert xbc[[0, found.inner, -1]].tolist() == pytest.approx([0.25, 0.4, 0.5])
    other = torch.ones(found.heads)
    assert torch.equal(family.restore["hf"]("layers.0.mixer.A_log", other, config), other)
