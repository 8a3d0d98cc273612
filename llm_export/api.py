"""The Python surface; the command line uses it too.

from llm_export import api
composed = api.compose_recipe("smollm2_135m_xnnpack_8da8w", ["quant=8da4w"])
result = api.run_recipe(composed)
print(result.bundle)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import llm_export.plugins_registration  # noqa: F401 - registries that plugins add to
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.config.schema import Recipe
from llm_export.resolve.auto_model import resolve_model
from llm_export.resolve.recipe import resolve as resolve_recipe

if TYPE_CHECKING:
    from llm_export.checks.preflight import Preflight
    from llm_export.checks.problem import Problem
    from llm_export.predict.cost import Prediction
    from llm_export.runner.run import RunResult
    from llm_export.sweep.run import SweepResult

OUTPUTS = Path("outputs")


def compose_recipe(
    source: str | None = None, overrides: Sequence[str] = (), config_dir: str | None = None
) -> Composed:
    """Compose a shipped recipe, a YAML file, or the defaults, with Hydra overrides.

    With model=auto the checkpoint is read (and fetched if need be), and the recipe returned
    spells out what it says.

    Raises:
        RecipeError: what is wrong, where, and the nearest name.
        InputError, MissingDependencyError: with model=auto, what is wrong with the checkpoint.
    """
    return resolve(Composer(source, config_dir).compose(overrides))


def resolve(composed: Composed) -> Composed:
    """The same with model=auto resolved; nothing changes where it was not chosen."""
    return replace(composed, recipe=resolve_model(composed.recipe))


def check_recipe(recipe: Recipe) -> list[Problem]:
    """All problems across groups; empty if the recipe is sound."""
    from llm_export.checks.rules import find_problems

    return find_problems(recipe)


def validate_recipe(recipe: Recipe, *, build: bool = True) -> Preflight:
    """All that can be said of a recipe on this machine without starting any work; see
    ``llm_export.checks.preflight``."""
    from llm_export.checks.preflight import preflight

    return preflight(recipe, output_folder(recipe), build=build)


def predict_cost(recipe: Recipe) -> Prediction | None:
    """Time, memory and disk that a run would need, from shapes alone; None where those are not
    known before the model is loaded (the generic tier)."""
    from llm_export.predict.cost import predict

    return predict(resolve_recipe(recipe))


def output_folder(recipe: Recipe) -> Path:
    """``out``, or outputs/<name>."""
    return Path(recipe.out) if recipe.out else OUTPUTS / recipe.name


def adapt_bundle(bundle: str | Path, adapter: str | Path, name: str | None = None) -> str:
    """Add a LoRA adapter to a bundle that keeps adapters separate; returns its name there.

    Args:
        adapter: folder of PEFT or torchtune.
        name: None makes one from the folder's.

    Raises:
        LlmExportError: the adapter does not fit the program, or the name is taken.
    """
    from llm_export.bundle.add_adapter import adapt

    recipe = compose_recipe(str(Path(bundle) / "recipe.yaml")).recipe
    return adapt(Path(bundle), resolve_recipe(recipe), Path(adapter), name)


def run_recipe(
    composed: Composed, *, quiet: bool = False, cache: bool = True, limits: bool = True
) -> RunResult:
    """Check, then run every stage that is not in the cache, and publish the bundle.

    Args:
        cache: False neither looks finished stages up nor keeps them.
        limits: whether to stop where memory or disk will not do.

    Raises:
        LlmExportError: see ``llm_export.errors`` for the kinds and exit codes.
    """
    from llm_export.checks.rules import require_sound

    composed = resolve(composed)
    resolved = require_sound(composed.recipe)
    from llm_export.runner.run import run_stages

    return run_stages(
        resolved,
        choices=composed.choices,
        overrides=composed.overrides,
        out=output_folder(composed.recipe),
        quiet=quiet,
        cache=cache,
        limits=limits,
    )


def run_sweep(
    source: str | None = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    launcher: str | None = None,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
) -> SweepResult:
    """Run every combination of values that the overrides sweep over, as one resumable job.

    Args:
        overrides: as for ``compose_recipe``; ``KEY=A,B`` sweeps, ``out=FOLDER`` is the sweep's.
        launcher: where variants run: local (None), joblib, submitit_local, submitit_slurm, ray.

    Raises:
        LlmExportError: the command is wrong, the folder cannot be used, or the launcher is not
            installed. A variant that fails is a row of the result instead.
    """
    from llm_export.sweep.run import run_sweep as run

    return run(
        Composer(source, config_dir), overrides, OUTPUTS / "sweeps", launcher, quiet, cache, limits
    )
