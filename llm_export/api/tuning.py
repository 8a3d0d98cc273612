"""Search over the options and values of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export.api.forms import OUTPUTS, RecipeLike, later, source_of, words
from llm_export.errors import RecipeError

if TYPE_CHECKING:
    from llm_export.tune.front import Front


def tune(
    recipe: RecipeLike = None,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    objectives: Sequence[str] = ("quality",),
    require: Sequence[str] = (),
    budget: str | Sequence[str] = "20runs",
    seed: int = 0,
    quiet: bool = False,
    cache: bool = True,
    limits: bool = True,
) -> Front:
    """Search for the best recipes by what is measured of their bundles, as one resumable job.

    Args:
        overrides: in Hydra's sweep syntax, those that span the space: ``quant=8da4w,8da8w``,
            ``quant.smooth.alpha=interval(0.3,0.8)``. ``out=FOLDER`` sets the folder.
        objectives: quality (mean KL), size (MB), decode, prefill, ttft, memory, the name of a
            metric's value, or TASK.VALUE:min and TASK.VALUE:max of an evaluation task.
        require: bounds such as "mean_kl < 0.05"; a recipe that exceeds one is not a result.
        budget: "20runs", "2h" or both; those of earlier commands in this folder count.
        seed: of the sampler.

    Raises:
        LlmExportError: an argument is wrong, the folder is of another tune, or Optuna is not
            installed. A failed trial does not raise; it is a row of the result.
    """
    from llm_export.config.compose import Composer
    from llm_export.sharing.locked import refuse_lock
    from llm_export.tune.budget import budget_of
    from llm_export.tune.measures import objective, requirement
    from llm_export.tune.run import tune

    wanted = [objective(text) for text in words(objectives)]
    names = [one.name for one in wanted]
    if not names or len(set(names)) < len(names):
        raise RecipeError(
            "no objective is named" if not names else "an objective is named twice",
            where="--objective", fix="--objective quality --objective size",
        )  # fmt: skip
    bounds = [requirement(text) for text in words(require)]
    limit = budget_of([budget] if isinstance(budget, str) else list(budget))
    said = words(overrides)
    with source_of(recipe, config_dir) as (source, before):
        refuse_lock(source, "tune")
        return tune(
            Composer(source, config_dir), later(before, said), OUTPUTS / "tunes", wanted, bounds,
            limit, seed=seed, quiet=quiet, cache=cache, limits=limits,
        )  # fmt: skip
