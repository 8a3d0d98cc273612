"""Mixtures of experts in the layouts and with the settings that configs and checkpoints have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from family_models import MEMBERS, settings
from parity_tools import recipe_for
from safetensors.torch import save_file

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig, MoEConfig
from llm_export.models.families import FAMILIES
from llm_export.models.load_model import load_model


def read(family: str, **changes: Any) -> DecoderConfig:
    config = hf_models.config_of(family, **settings(family, next(iter(MEMBERS[family]))))
    return FAMILIES.get(family).read({**config, **changes})


def sparse(config: DecoderConfig) -> list[int]:
    found = enumerate(config.layers)
    return [i for i, layer in found if isinstance(layer.feed_forward, MoEConfig)]


def test_experts_stacked_as_published_are_those_stored_one_by_one(tmp_path: Path) -> None:
    family = "qwen3_5_moe_text"
    model = hf_models.build(family, **settings(family, "gated network"))
    apart = hf_models.save(model, tmp_path / "apart")
    stacked = hf_models.save(model, tmp_path / "stacked")
    tensors = {name: t.contiguous() for name, t in model.state_dict().items()}
    assert any(name.endswith("experts.gate_up_proj") for name in tensors)
    save_file(tensors, stacked / "model.safetensors")
    loaded = []
    for folder in (apart, stacked):
        recipe = recipe_for(folder, "runtime.context_length=64", "runtime.prefill_length=32")
        read = load_model(recipe, attention="cacheless", context_length=8, all_logits=True).model
        loaded.append(read.state_dict())
    assert all(torch.equal(value, loaded[1][name]) for name, value in loaded[0].items())


@pytest.mark.parametrize(
    ("family", "changes", "layers"),
    [
        ("ernie4_5_moe", {"num_hidden_layers": 5}, [1, 2, 3, 4]),
        ("ernie4_5_moe", {"num_hidden_layers": 6, "moe_layer_start_index": 2,
                          "moe_layer_end_index": 4, "moe_layer_interval": 2}, [3]),
        ("glm4_moe", {"num_hidden_layers": 4, "first_k_dense_replace": 3}, [3]),
        ("glm4_moe_lite", {"num_hidden_layers": 3, "mlp_layer_types": ["dense", "dense",
                                                                       "sparse"]}, [2]),
        ("glm4_moe_lite", {"num_hidden_layers": 3, "mlp_layer_types": None}, [1, 2]),
        ("qwen2_moe", {"num_hidden_layers": 4, "decoder_sparse_step": 2}, [1, 3]),
        ("qwen2_moe", {"num_hidden_layers": 4, "decoder_sparse_step": 1,
                       "mlp_only_layers": [2]}, [0, 1, 3]),
    ],
)  # fmt: skip
def test_which_layers_have_experts(family: str, changes: dict[str, Any], layers: list[int]) -> None:
    changes = {"layer_types": None, **changes}
    if family == "ernie4_5_moe":
        changes = {"moe_layer_end_index": -1, **changes}
    assert sparse(read(family, **changes)) == layers


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("ernie4_5_moe", {"moe_k": 9}, "moe_k=9 of 4 experts"),
        ("ernie4_5_moe", {"moe_gate": "sinkhorn"}, "moe_gate='sinkhorn'"),
        ("glm4_moe", {"num_experts_per_tok": 9}, "num_experts_per_tok=9 of 8 experts"),
        ("glm4_moe", {"first_k_dense_replace": -1}, "first_k_dense_replace=-1"),
        ("glm4_moe_lite", {"mlp_layer_types": ["sparse", "dense"]}, "mlp_layer_types"),
        ("hunyuan_v1_moe", {"moe_topk": [1]}, "fewer entries than 2 layers"),
        ("hunyuan_v1_moe", {"num_shared_expert": [2, 1]}, "num_shared_expert=[2, 1]"),
        ("hunyuan_v1_moe", {"moe_intermediate_size": 7}, "moe_intermediate_size=7"),
        ("qwen3_5_moe_text", {"norm_topk_prob": False}, "norm_topk_prob=False"),
        ("granitemoe", {"mlp_bias": True}, "mlp_bias=True"),
    ],
)
def test_what_is_not_implemented_is_refused(
    family: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(family, **changes)
    assert said in str(caught.value)
