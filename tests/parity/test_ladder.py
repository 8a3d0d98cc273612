"""One assertion over eager, transformed, exported, lowered and the program on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from parity_tools import program_at
from stage_tools import transformed_of

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.config.schema import Recipe
from llm_export.models.load_model import load_model
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.lower import lower
from llm_export.stages.verification.logits import eager_logits

IDS = [5, 77, 200, 3, 3, 141, 9, 250, 31, 64]


def context(folder: Path) -> RunContext:
    return RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))


def last_logits(program: object, recipe: Recipe) -> torch.Tensor:
    """Logits of the last of IDS, fed in two steps (or one by one) to a callable."""
    cut = 4 if recipe.runtime.dynamic_shapes else 1
    pieces = [IDS[:cut], *([i] for i in IDS[cut:])]
    position = 0
    for piece in pieces:
        out = program(torch.tensor([piece]), torch.tensor([position]))  # type: ignore[operator]
        position += len(piece)
    return out.view(-1, out.shape[-1])[-1]


def require_few_delegates(found: dict[str, Any], config: dict[str, Any]) -> None:
    """XNNPACK takes a layer in three parts, around the operator of attention."""
    layers = config["num_hidden_layers"]
    assert found["subgraphs"] <= 3 * layers + 2, "and one for the head, one for RoPE's tables"
    assert found["outside"]["llama.sdpa_with_kv_cache"] == layers
    assert not {"aten.mean", "aten.cat", "llama.update_cache"} & set(found["outside"])


@pytest.mark.parametrize(
    ("backend", "runtime"),
    [pytest.param("xnnpack", "default", marks=pytest.mark.slow),
     pytest.param("portable", "static", marks=pytest.mark.slow),
     pytest.param("portable", "default", marks=pytest.mark.release),
     pytest.param("xnnpack", "static", marks=pytest.mark.release)],
)  # fmt: skip
def test_float32_is_the_same_on_every_rung(backend: str, runtime: str, tmp_path: Path) -> None:
    assert backend in BACKENDS
    recipe = api.compose_recipe(
        None, ["model=tiny", f"backend={backend}", f"runtime={runtime}",
               "runtime.context_length=64", "runtime.prefill_length="
               + ("32" if runtime == "default" else "1")],
    ).recipe  # fmt: skip
    ctx = context(tmp_path)
    reference = load_model(recipe, attention="cacheless", context_length=64, all_logits=True).model
    expected = eager_logits(reference, IDS)[-1]

    def agrees(actual: torch.Tensor, rung: str) -> None:
        error = float((actual - expected).abs().max() / expected.abs().max())
        assert error < 1e-4, f"{rung}: {error}"

    with torch.no_grad():
        transformed = transformed_of(recipe, ctx)
        agrees(last_logits(transformed.model, recipe), "transformed")
        exported = export(transformed, resolve(recipe), ctx)
        agrees(last_logits(exported.program.module(), recipe), "exported")
    lowered = lower(exported, resolve(recipe), ctx)
    if (backend, runtime) == ("xnnpack", "default"):
        require_few_delegates(ctx.record.facts["delegation"], recipe.model.config)
    program = program_at(lowered.program_file, recipe)

    def run(tokens: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        assert program.position == int(position)
        return program.step(tokens[0].tolist())

    agrees(last_logits(run, recipe), "on disk")
