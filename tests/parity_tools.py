"""Comparisons that parity tests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from schema_check import schema_of
from stage_tools import exported_of

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.config.schema import CheckpointConfig, Recipe, filled
from llm_export.models.decoder import Decoder
from llm_export.models.detect import detect_model
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import Lowered, Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load
from llm_export.stages.lower import lower
from llm_export.stages.verification.logits import eager_logits
from llm_export.transforms import active_experts, fuse_projections
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from llm_export.transforms.delegate_forms import forms_for
from llm_export.transforms.smooth import smooth
from runtime_py.program import Program

BAR = 1e-4
"""Largest logit error relative to the largest logit."""

EXACT = ("plain", "ring", "attention_sink", "static_io", "custom_op", "custom_op_by_head")
"""Attention kinds that keep keys and values as they are."""

FORMS = BACKENDS.get("xnnpack").capabilities.forms


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
    steps = [smooth([ids], 0.5)]
    if "custom_op" in resolve(recipe).model_attention:
        steps += [exchange("custom_op"), exchange("custom_op_by_head")]
    for step in fuse_projections.steps(model):
        run_transform(step, model)
        errors["fuse_projections"] = relative_error(stepwise(model, ids, 7), expected)
    # What the forms ask is whether projections are fused.
    steps += forms_for(model, FORMS, kind="custom_op_by_head", dtype=torch.float32)
    for step in steps:
        run_transform(step, model)
        errors[step.name] = relative_error(stepwise(model, ids, 7), expected)
    if "grouped_projections" in errors:
        run_transform(exchange("plain"), model)
        errors["grouped, plain"] = relative_error(stepwise(model, ids, 7), expected)
    if any(active_experts.mixtures(model)):
        run_transform(active_experts.TRANSFORM, model)
        errors["active_experts"] = relative_error(stepwise(model, ids, 7), expected)
    assert isinstance(model, Decoder)
    if model.config.keeping_layers < model.config.num_layers:
        kinds = [k for k in resolve(recipe).model_attention if k in EXACT]
        errors |= last_logits_errors(model, kinds, ids, expected[6:])
    return errors


def last_logits_errors(
    model: Any, kinds: list[str], ids: list[int], expected: torch.Tensor
) -> dict[str, float]:
    """Attention kind -> the error of a model that returns the last position's logits only."""
    errors, model.all_logits = {}, False
    for kind in kinds:
        model.set_attention(kind)
        errors[f"last logits, {kind}"] = relative_error(stepwise(model, ids, 7), expected)
    return errors


def program_error(reference: Any, folder: Path, out: Path, backend: str = "xnnpack") -> float:
    """Largest relative logit error of the .pte: a chunk of prompt, then token by token."""
    length = 40
    ids = sample_ids(length)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0]
    recipe = recipe_for(
        folder, f"backend={backend}", "runtime.context_length=64", "runtime.prefill_length=32"
    )
    program = lowered_program(recipe, out)
    rows = [program.prefill(ids[:7])] + [program.step([i])[0, -1] for i in ids[7:]]
    return relative_error(torch.stack(rows), expected[6:])


def lowered_program(recipe: Recipe, folder: Path) -> Program:
    """Run the stages from load to lower, and open the program."""
    return program_at(lowering_of(recipe, folder)[0].program_file, recipe)


def lowering_of(recipe: Recipe, folder: Path) -> tuple[Lowered, dict[str, Any]]:
    """What the stages from load to lower made, and what lowering has noted."""
    folder.mkdir(parents=True, exist_ok=True)
    ctx = RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))
    loaded = load(Start(), resolve(recipe), ctx)
    return lower(exported_of(recipe, ctx, loaded), resolve(recipe), ctx), ctx.record.facts


def program_at(file: Path, recipe: Recipe, **facts: Any) -> Program:
    """The program of a recipe, which is not in a bundle. It says of its shapes what is true."""
    resolved = resolve(recipe)
    program = Program(
        file,
        context_length=filled(resolved.recipe.runtime.context_length),
        steps=resolved.methods.lengths,
        dynamic=resolved.methods.dynamic,
        token_dtype=resolved.capabilities.token_dtype,
        **facts,
    )
    assert set(schema_of(program._program)) == set(resolved.methods.lengths)
    return program
