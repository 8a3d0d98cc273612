"""Open the model at each point of the pipeline."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from llm_export.config.evaluate_schema import EvaluatedLayer
from llm_export.config.schema import Recipe, filled
from llm_export.evaluation.base import Subject
from llm_export.memory import release_memory
from llm_export.models.contract import LanguageModel
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.evaluation.subjects import ProgramSubject, eager_subject
from llm_export.stages.load import load
from llm_export.stages.transform import transform
from runtime_py import LLM

Opener = Callable[[], AbstractContextManager[Subject]]

IN_A_RUN_ONLY = "only a run has the quantized eager model: llm-export run with evaluate=full"


def openers(
    resolved: ResolvedRecipe, bundle: Path, exported: Callable[[], LanguageModel] | None
) -> Mapping[EvaluatedLayer, Opener | str]:
    """Layer -> how to open it, or why it cannot be.

    Args:
        exported: gives the eager model as exported; None where there is no run.
    """
    obstacle = resolved.obstacle_to_running()
    return {
        EvaluatedLayer.float: lambda: float_model(
            resolved.recipe, filled(resolved.recipe.runtime.context_length)
        ),
        EvaluatedLayer.transformed: lambda: _transformed(resolved),
        EvaluatedLayer.quantized: IN_A_RUN_ONLY
        if exported is None
        else lambda: _quantized(resolved, exported),
        EvaluatedLayer.program: obstacle or (lambda: _program(bundle)),
    }


@contextlib.contextmanager
def float_model(recipe: Recipe, context_length: int) -> Iterator[Subject]:
    """The checkpoint in float32, without transforms; with a cache, since it also generates."""
    model = load_model(
        recipe, attention="plain", context_length=context_length, all_logits=True
    ).model
    release_memory()
    with eager_subject(EvaluatedLayer.float.value, model) as subject:
        yield subject


@contextlib.contextmanager
def _transformed(resolved: ResolvedRecipe) -> Iterator[Subject]:
    """As the stage transform leaves it; the search for mixed precision, which changes no weights
    of the model, is left out, and so is the comparison of the checkpoint with transformers."""
    recipe = resolved.recipe
    recipe = replace(
        recipe,
        quant=replace(recipe.quant, auto=None),
        verify=replace(recipe.verify, enabled=False),
    )
    plain = replace(resolved, recipe=recipe)
    reporter = Reporter(1, quiet=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            context = RunContext(Path(folder), reporter, StageRecord("evaluate"))
            model = transform(load(Start(), plain, context), plain, context).model
    finally:
        reporter.close()
    release_memory()
    with eager_subject(EvaluatedLayer.transformed.value, model) as subject:
        yield subject


@contextlib.contextmanager
def _quantized(
    resolved: ResolvedRecipe, exported: Callable[[], LanguageModel]
) -> Iterator[Subject]:
    chunk = resolved.methods.prefill_length
    with eager_subject(EvaluatedLayer.quantized.value, exported(), chunk) as subject:
        yield subject


@contextlib.contextmanager
def _program(bundle: Path) -> Iterator[Subject]:
    with LLM.load(bundle) as llm:
        every = llm.bundle.manifest["program"]["logits"] == "all"
        yield ProgramSubject(EvaluatedLayer.program.value, llm.program, all_logits=every)
