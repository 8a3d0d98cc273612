"""The llama family against transformers, and one assertion up the ladder of forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.config.schema import CheckpointConfig, ModelConfig, Recipe
from llm_export.models.build import build_on_meta
from llm_export.models.components.rope import SCALINGS, inverse_frequencies
from llm_export.models.config import ROPE_SCALINGS
from llm_export.models.detect import detect_model
from llm_export.models.families.llama import FAMILY, from_hf
from llm_export.models.load import load_model
from llm_export.stages.verify import eager_logits
from llm_export.transforms import fuse_projections
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from llm_export.transforms.smooth import smooth

BAR = 1e-4
"""Largest logit error relative to the largest logit."""

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}  # fmt: skip

VARIANTS: dict[str, dict[str, Any]] = {
    "grouped": {},
    "tied": {"tie_word_embeddings": True},
    "one kv head": {"num_key_value_heads": 1},
    "no grouping": {"num_key_value_heads": 4},
    "wide heads": {"head_dim": 32},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "linear scaling": {"rope_scaling": {"rope_type": "linear", "factor": 2.0}},
    "llama3 scaling": {"rope_scaling": LLAMA3},
}


def recipe_for(folder: Path) -> Recipe:
    source = CheckpointConfig(path=str(folder))
    base = api.compose_recipe(None, ["model=tiny"]).recipe
    return replace(base, model=detect_model(source, 512), checkpoint=source)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def stepwise(model: torch.nn.Module, ids: list[int], prefill: int) -> torch.Tensor:
    """Logits of the last positions: a chunk, then one token at a time, through the cache."""
    rows = []
    with torch.no_grad():
        rows.append(model(torch.tensor([ids[:prefill]]), torch.tensor([0]))[0])
        for i in range(prefill, len(ids)):
            rows.append(model(torch.tensor([[ids[i]]]), torch.tensor([i]))[0])
    return torch.cat(rows)


def check_all_forms(reference: Any, folder: Path) -> None:
    ids = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0]
    recipe = recipe_for(folder)
    for kind in ("cacheless", "plain"):
        model = load_model(recipe, attention=kind, context_length=64, all_logits=True).model
        assert relative_error(eager_logits(model, ids), expected) < BAR, kind
    assert relative_error(stepwise(model, ids, 7), expected) < BAR, "decode through the cache"
    for step in (fuse_projections.TRANSFORM, smooth([ids], 0.5), exchange("custom_op")):
        run_transform(step, model)
        assert relative_error(stepwise(model, ids, 7), expected) < BAR, step.name


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_form_agrees_with_transformers(variant: str, tmp_path: Path) -> None:
    reference = hf_models.llama(**VARIANTS[variant])
    check_all_forms(reference, hf_models.save(reference, tmp_path / "m"))


@settings(max_examples=8, deadline=None)
@given(
    kv=st.sampled_from([1, 2, 3]), group=st.sampled_from([1, 2, 3]),
    head_dim=st.sampled_from([8, 16, 24]), hidden=st.sampled_from([36, 72]),
    tied=st.booleans(), bias=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_odd_members_agree_too(
    tmp_path_factory: pytest.TempPathFactory,
    kv: int, group: int, head_dim: int, hidden: int, tied: bool, bias: bool, seed: int,
) -> None:  # fmt: skip
    reference = hf_models.llama(
        seed, hidden_size=hidden, num_attention_heads=kv * group, num_key_value_heads=kv,
        head_dim=head_dim, tie_word_embeddings=tied, attention_bias=bias,
    )  # fmt: skip
    folder = hf_models.save(reference, tmp_path_factory.mktemp("m") / "m")
    check_all_forms(reference, folder)


def test_rope_tables_know_every_scaling() -> None:
    assert set(SCALINGS) == set(ROPE_SCALINGS)


@pytest.mark.parametrize("scaling", [None, {"rope_type": "linear", "factor": 4.0}, LLAMA3])
def test_inverse_frequencies_are_those_of_transformers(scaling: dict[str, Any] | None) -> None:
    model = hf_models.llama(rope_scaling=scaling, head_dim=64)
    config = from_hf({k: v for k, v in model.config.to_dict().items() if k in (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "head_dim", "intermediate_size", "max_position_embeddings",
        "rms_norm_eps", "rope_parameters", "hidden_act", "tie_word_embeddings",
    )})  # fmt: skip
    ours, theirs = inverse_frequencies(config.rope), model.model.rotary_emb.inv_freq
    assert torch.allclose(ours, theirs, rtol=1e-6)


def test_the_model_type_of_the_shipped_options_is_complete() -> None:
    for option in ("tiny", "smollm2_135m", "llama3_2_1b"):
        model: ModelConfig = api.compose_recipe(None, [f"model={option}"]).recipe.model
        assert from_hf(model.config).num_layers == model.config["num_hidden_layers"]


@pytest.mark.parametrize("option", ["smollm2_135m", "llama3_2_1b"])
def test_the_familys_tiny_shrinks_a_real_config(option: str) -> None:
    real = api.compose_recipe(None, [f"model={option}"]).recipe.model.config
    config = from_hf({**real, **FAMILY.tiny})
    assert config.rope.theta == real["rope_theta"]
    model = build_on_meta(config, 64, "plain", False)
    assert sum(p.numel() for p in model.parameters()) < 200_000
