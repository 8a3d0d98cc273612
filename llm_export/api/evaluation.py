"""Evaluate an existing bundle."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.api.bundles import runtime_errors
from llm_export.api.forms import compose
from llm_export.config.evaluate_schema import EvaluateConfig, EvaluatedLayer
from llm_export.errors import BundleError, RecipeError, did_you_mean

if TYPE_CHECKING:
    from llm_export.evaluation.results import Evaluation
    from llm_export.pipeline.console import Progress


def evaluate(
    bundle: str | Path,
    *,
    tasks: Sequence[str] = ("text",),
    layers: Sequence[str] = ("float", "program"),
    text: str | Path | None = None,
    positions: int = 1000,
    window: int | None = None,
    task_paths: Sequence[str | Path] = (),
    max_examples: int | None = None,
    few_shot: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a bundle's program, and the float model that its recipe names, if its checkpoint is
    still there. The bundle is not changed. Arguments are the keys of the group ``evaluate``.

    Args:
        progress: called with ("evaluate", done, total).

    Returns:
        What was measured; ``missing`` says what could not be, and why.

    Raises:
        RecipeError: there is no such task or layer, or a number is wrong.
        MissingDependencyError: a task needs a package that is not installed.
        LlmExportError: nothing could be evaluated.
    """
    settings = _settings(
        tasks=list(tasks), layers=[_layer(name) for name in layers],
        text=None if text is None else str(text), positions=positions, window=window,
        task_paths=[str(path) for path in task_paths], max_examples=max_examples,
        few_shot=few_shot,
    )  # fmt: skip
    from llm_export.checks.evaluation import settings_findings
    from llm_export.checks.problem import raise_problems

    raise_problems(list(settings_findings(settings)))
    from dataclasses import replace

    from llm_export.resolve.recipe import resolve
    from llm_export.stages.evaluation.layers import openers
    from llm_export.stages.evaluation.run import evaluate_layers

    with runtime_errors():
        from runtime_py.bundle import Bundle
        from runtime_py.bundle_task import GENERATE, SEE, task_name

        opened = Bundle.open(bundle)
        folder = opened.path
        if (task := task_name(opened)) not in (GENERATE, SEE):
            raise BundleError(
                f"the tasks of evaluation are of text generation, and this bundle is for {task}",
                where=str(bundle), fix="score it with examples of your own: --data FILE.jsonl; "
                "verification has its figures: llm-export report "
                f"{shlex.quote(str(bundle))} --md",
            )  # fmt: skip
    recipe = compose(str(folder / "recipe.yaml")).recipe
    resolved = resolve(replace(recipe, evaluate=settings))
    report = progress or (lambda stage, done, total: None)
    with tempfile.TemporaryDirectory() as scratch, runtime_errors():
        return evaluate_layers(
            resolved.recipe.evaluate, folder, Path(scratch), openers(resolved, folder, None),
            lambda done, total: report("evaluate", done, total),
        )  # fmt: skip


def _layer(name: str) -> EvaluatedLayer:
    if name not in EvaluatedLayer.__members__:
        raise RecipeError(
            f"there is no layer '{name}'", where="layers",
            fix=did_you_mean(name, list(EvaluatedLayer.__members__)),
        )  # fmt: skip
    return EvaluatedLayer[name]


def _settings(**values: object) -> EvaluateConfig:
    try:
        return EvaluateConfig(name="evaluate", enabled=True, **values)  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise RecipeError(str(error), where="evaluate", fix="another value") from None
