"""Rotations and searched scales over families: the float model stays what it was, or is refused
by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import pytest
from family_models import MEMBERS, members, settings
from parity_tools import BAR, recipe_for, relative_error, sample_ids

from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import QuantRule, RotateConfig
from llm_export.errors import PostConditionError
from llm_export.models.components.norm import LayerNorm
from llm_export.models.load_model import load_model
from llm_export.models.rotation import rotation_refusals
from llm_export.quant.rules import resolve_rules
from llm_export.stages.verification.logits import eager_logits
from llm_export.transforms import fuse_projections
from llm_export.transforms.awq import awq
from llm_export.transforms.base import run_transform
from llm_export.transforms.rotate import rotate

FUSED = {member for at, member in enumerate((f, v) for f in MEMBERS for v in MEMBERS[f]) if at % 2}
"""Every other member: rotated after its projections were joined."""
PRE_NORMS = {"pre", "parallel"}
"""Blocks that add to the residual stream what no norm has changed."""


def member(family: str, variant: str, folder: Path) -> tuple[Any, Any]:
    """(recipe, decoder with random weights, norms and biases)."""
    reference = hf_models.build(family, **settings(family, variant))
    sizes = ("runtime.context_length=64", "runtime.prefill_length=32")
    recipe = recipe_for(hf_models.save(reference, folder / "m"), *sizes)
    recipe.quant.rotate = RotateConfig()
    return recipe, load_model(recipe, attention="plain", context_length=64, all_logits=True).model


def _has_networks(model: Any) -> bool:
    return not rotation_refusals(model.config, r1=False, r4=8)


@pytest.mark.parametrize(("family", "variant"), members())
def test_rotations_keep_logits(family: str, variant: str, tmp_path: Path) -> None:
    recipe, model = member(family, variant, tmp_path)
    ids = sample_ids(40)
    before = eager_logits(model, ids)
    if (family, variant) in FUSED:
        for step in fuse_projections.steps(model):
            run_transform(step, model)
    refused = not {layer.kind for layer in model.config.layers} <= PRE_NORMS
    if refused:
        with pytest.raises(PostConditionError, match="norms after attention and feed-forward"):
            rotate(True, False, 0).apply(model)
    # Those with joined projections also at run time.
    joined = (family, variant) in FUSED
    r4 = 8 if joined and _has_networks(model) else None
    run_transform(rotate(not refused, True, seed=7, r4=r4, tied=joined), model)
    assert relative_error(eager_logits(model, ids), before) < BAR
    assert not any(isinstance(m, LayerNorm) for m in model.modules())
    problems = [p for p in find_problems(recipe) if p.key.startswith("quant.rotate")]
    assert bool(problems) == refused
    assert all("cannot be rotated" in str(p) and "r1=false" in str(p) for p in problems)


@pytest.mark.parametrize(
    ("family", "variant"),
    [("qwen2", "tied, upper layers slide"), ("stablelm", "parallel, biases"),
     ("starcoder2", "window"), ("olmo2", "plain"), ("gpt_oss", "sinks"),
     ("deepseek_v2", "groups"), ("gemma4_text", "shared layers"), ("bitnet", "biases, tied"),
     ("falcon_h1", "norm after the gate, biases")],
)  # fmt: skip
def test_searched_scales_keep_logits(family: str, variant: str, tmp_path: Path) -> None:
    _, model = member(family, variant, tmp_path)
    ids = sample_ids(40)
    before = eager_logits(model, ids)
    run_transform(fuse_projections.TRANSFORM, model)
    choices = resolve_rules(model, [QuantRule(scheme="8da4w")], "xnnpack")
    powers: dict[str, float] = {}
    run_transform(awq([ids, ids[:9]], choices, steps=2, found=powers), model)
    assert relative_error(eager_logits(model, ids), before) < BAR
    assert set(powers.values()) > {0.5}
