"""Comparisons that parity tests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from llm_export import api
from llm_export.config.schema import CheckpointConfig, Recipe
from llm_export.models.definitions import DEFINITIONS
from llm_export.models.detect import detect_model
from llm_export.models.load import load_model
from llm_export.stages.verify import eager_logits
from llm_export.transforms import fuse_projections
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from llm_export.transforms.smooth import smooth

BAR = 1e-4
"""Largest logit error relative to the largest logit."""


def recipe_for(folder: Path, *overrides: str) -> Recipe:
    source = CheckpointConfig(path=str(folder))
    base = api.compose_recipe(None, ["model=tiny", *overrides]).recipe
    return replace(base, model=detect_model(source, 512), checkpoint=source)


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def stepwise(model: Any, ids: list[int], prefill: int) -> torch.Tensor:
    """Logits of the last positions: a chunk, then one token at a time, through the cache."""
    with torch.no_grad():
        rows = [model(torch.tensor([ids[:prefill]]), torch.tensor([0]))[0]]
        for i in range(prefill, len(ids)):
            rows.append(model(torch.tensor([[ids[i]]]), torch.tensor([i]))[0])
    return torch.cat(rows)


def sample_ids(length: int) -> list[int]:
    return torch.randint(0, 300, (length,), generator=torch.Generator().manual_seed(1)).tolist()


def check_all_forms(reference: Any, folder: Path, length: int = 40) -> dict[str, float]:
    """form -> largest relative logit error against ``reference``'s whole forward pass.

    The context is longer than the trained one of the members with LongRoPE, and the tokens
    go past every window.
    """
    ids = sample_ids(length)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0]
    recipe = recipe_for(folder, "runtime.context_length=64", "runtime.prefill_length=32")
    errors = {}
    for kind in ("cacheless", "plain"):
        model = load_model(recipe, attention=kind, context_length=64, all_logits=True).model
        errors[kind] = relative_error(eager_logits(model, ids), expected)
    errors["decode"] = relative_error(stepwise(model, ids, 7), expected)
    steps = [fuse_projections.TRANSFORM, smooth([ids], 0.5)]
    if "custom_op" in DEFINITIONS.get("composable").attention_kinds(recipe):
        steps.append(exchange("custom_op"))
    for step in steps:
        run_transform(step, model)
        errors[step.name] = relative_error(stepwise(model, ids, 7), expected)
    return errors
