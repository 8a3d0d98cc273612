"""Which layers have a window and a RoPE, and configs whose rules are refused."""

from __future__ import annotations

from typing import Any

import pytest
from family_models import settings

from llm_export.errors import CheckpointError
from llm_export.models.families import FAMILIES

FULL, SLIDING = "full_attention", "sliding_attention"
PLAIN = {"rope_theta": 1e4, "rope_parameters": None}


def member(family: str, variant: str, **changes: Any) -> dict[str, Any]:
    act = "xielu" if family == "apertus" else "silu"
    own = {"layer_norm_eps": 1e-5} if family == "cohere2" else {}
    config = {**settings(family, variant), "hidden_act": act, **own, **changes}
    return {key: value for key, value in config.items() if value is not ...}


def layers(family: str, variant: str, **changes: Any) -> list[tuple[int | None, int | None]]:
    """(window, RoPE) of each layer."""
    read = FAMILIES.get(family).read(member(family, variant, **changes))
    return [(attention.window, attention.rope) for attention in read.attentions]


L, G, N = (8, 0), (None, None), (8, None)


@pytest.mark.parametrize(
    ("family", "variant", "changes", "expected"),
    [
        ("exaone4", "local and global", {}, [L, L, L, G, L]),
        ("exaone4", "local and global", {"sliding_window_pattern": 2}, [L, G, L, G, L]),
        ("exaone4", "local and global", {"sliding_window": None}, [(None, 0)] * 5),
        ("cohere2", "local and global", {}, [L, L, L, G, L]),
        ("cohere2", "local and global", {"layer_switch": 4}, [L, L, L, G, L]),
        ("cohere2", "local and global", {"layer_types": [FULL] * 5}, [G] * 5),
        ("olmo3", "yarn", {}, [L, L, L, (None, 1)]),
        ("granite_swa", "local and global", {}, [(None, 0), L, L, L, (None, 0)]),
        ("granite_swa", "bases, NoPE, biases", {}, [(None, 0), N, (8, 1), L]),
        ("granite_swa", "bases, NoPE, biases", {"layer_rope_theta": [0] * 4}, [G, N, N, N]),
        ("granitemoehybrid", "dense", {}, [(None, 0)] * 2),
        ("granitemoehybrid", "NoPE", {"position_embedding_type": "nope"}, [G] * 2),
        ("granitemoehybrid", "dense", {"layer_types": ..., "layers_block_type": [FULL] * 2},
         [(None, 0)] * 2),
    ],
)  # fmt: skip
def test_windows_and_rope(
    family: str, variant: str, changes: dict[str, Any], expected: list[Any]
) -> None:
    assert layers(family, variant, **changes) == expected


def test_a_base_for_each_layer() -> None:
    config = member("granite_swa", "bases, NoPE, biases", rope_theta=3e4)
    read = FAMILIES.get("granite_swa").read(config)
    assert [rope.theta for rope in read.ropes] == [1e4, 5e5]
    usual = FAMILIES.get("granite_swa").read({**config, "layer_rope_theta": None})
    assert [rope.theta for rope in usual.ropes] == [3e4]


def test_only_full_layers_of_olmo3_are_scaled() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    config = member("olmo3", "yarn", rope_parameters=..., rope_scaling=yarn)
    local, full = FAMILIES.get("olmo3").read(config).ropes
    assert (local.scaling, full.scaling) == ("none", "yarn")
    assert local.theta == full.theta == 5e5


@pytest.mark.parametrize(
    ("family", "variant", "changes", "what", "fix"),
    [
        ("exaone4", "local and global", {"sliding_window_pattern": "LLLG"},
         "sliding_window_pattern='LLLG' does not say which layers", "state layer_types"),
        ("exaone4", "local and global", {"sliding_window_pattern": 0},
         "sliding_window_pattern=0 does not say which layers", "state layer_types"),
        ("cohere2", "local and global", {"sliding_window": None},
         "sliding_window=None is not a positive whole number", ""),
        ("cohere2", "local and global", {"use_qk_norm": True},
         "'cohere2' does not implement use_qk_norm=True", "implemented: False"),
        ("cohere2", "local and global", {"layer_switch": 2},
         "does not implement layer_switch=2", "implemented: None, 4"),
        ("olmo3", "yarn", {**PLAIN},
         "rope_theta=10000.0 is not said to be the base of sliding_attention layers",
         "state rope_parameters with a mapping"),
        ("apertus", "llama3 scaling", {"hidden_act": "silu"},
         "does not implement hidden_act='silu'", "implemented: 'xielu'"),
        ("apertus", "llama3 scaling", {"post_norm": True}, "post_norm=True", "implemented: False"),
        ("granite_swa", "local and global", {"layer_rope_theta": [1e4]},
         "layer_rope_theta=[10000.0] is not a base for each of 5 layers", "0 for a layer without"),
        ("granite_swa", "local and global", {"layer_rope_theta": [1e4, -1, 1, 1, 1]},
         "is not a base for each of 5 layers", "0 for a layer without"),
        ("granitemoehybrid", "dense", {"layer_types": ["attention", 3]},
         "does not implement layer_types=['attention', 3]", "for each of 2 layers"),
    ],
)  # fmt: skip
def test_rules_that_are_refused(
    family: str, variant: str, changes: dict[str, Any], what: str, fix: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        layers(family, variant, **changes)
    assert what in str(caught.value)
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize("family", ["olmo3", "gemma3_text"])
def test_a_share_of_the_channels_in_a_kinds_rope(family: str) -> None:
    variant = {"olmo3": "yarn", "gemma3_text": "local and global"}[family]
    config = member(family, variant, hidden_activation="gelu_pytorch_tanh")
    if family == "olmo3":
        del config["hidden_activation"]
    config |= {"query_pre_attn_scalar": 32} if family == "gemma3_text" else {}
    ropes = {kind: {"rope_theta": 1e4, "rope_type": "default"} for kind in (SLIDING, FULL)}
    assert len(FAMILIES.get(family).read({**config, "rope_parameters": ropes}).ropes) == 2
    ropes[FULL]["partial_rotary_factor"] = 0.5
    with pytest.raises(CheckpointError, match="rotate whole heads"):
        FAMILIES.get(family).read({**config, "rope_parameters": ropes})
