"""Plan a sweep: compose, name and check its variants, and order them to share most stages."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from llm_export.checks.rules import require_sound
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed, Variant
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError, RecipeError
from llm_export.resolve.auto_model import default_name, resolve_model
from llm_export.sweep.state import REFUSED, Failure, Row

IN_NAME = ("model", "backend", "quant")
"""Groups that the name of a bundle has in it already."""
_ORDER = (
    "checkpoint", "model", "runtime", "quant", "train", "backend", "verify", "benchmark",
    "evaluate", "deploy",
)  # fmt: skip
"""Parts of a recipe in the order in which stages first read them."""


@dataclass(frozen=True)
class Planned:
    """A variant and its row; ``composed`` is None where it is refused."""

    row: Row
    composed: Composed | None


@dataclass(frozen=True)
class Plan:
    """Where a sweep works, and its variants in the order to run them."""

    folder: Path
    variants: list[Planned]


def make_plan(composer: Composer, overrides: Sequence[str], outputs: Path) -> Plan:
    """Compose and check every variant without running any.

    Args:
        outputs: folder for sweeps that do not say out=FOLDER.

    Raises:
        RecipeError: as ``Composer.variants``.
    """
    variants = composer.variants(overrides)
    keys = sorted(variants[0].swept)
    if "out" in keys:
        raise RecipeError(
            "a sweep has one folder, in which every variant has its own",
            where="out", fix="out=FOLDER",
        )  # fmt: skip
    composed = next(v.composed for v in variants if v.composed is not None)
    out = composed.recipe.out
    folder = Path(out) if out else outputs / sweep_name(composed.recipe, keys)
    names = _names(variants, keys)
    found = [planned(v, name, folder) for v, name in zip(variants, names, strict=True)]
    return Plan(folder.absolute(), _by_shared_stages(found))


def sweep_name(recipe: Recipe, keys: list[str]) -> str:
    """Of its folder: what is fixed, and what is swept."""
    fixed = [getattr(recipe, group).name for group in IN_NAME if group not in keys]
    said = not recipe.name.startswith(default_name(recipe))
    base = recipe.name if said else "_".join(fixed) or "sweep"
    return base + ("+" + ",".join(keys) if keys else "")


def _names(variants: list[Variant], keys: list[str]) -> list[str]:
    """A name for each, with the values of swept keys that it would not show otherwise."""
    own = [v.composed.recipe.name if v.composed else "" for v in variants]
    unseen = [key for key in keys if key not in IN_NAME]
    for shown in (unseen, keys):
        tails = [",".join(f"{k}={fit_name(v.swept[k])}" for k in shown) for v in variants]
        names = ["+".join(filter(None, pair)) for pair in zip(own, tails, strict=True)]
        if len(set(names)) == len(names) and all(names):
            return names
    return [f"{name}+{number}" for number, name in enumerate(names, start=1)]


def fit_name(value: str) -> str:
    """A swept value, fit for a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", value).strip("_")


def planned(variant: Variant, name: str, folder: Path) -> Planned:
    """Check a variant, and give it a row and a bundle in the sweep's folder."""
    row = Row(name, variant.overrides, variant.swept, str(folder.absolute() / name))
    if variant.composed is None:
        assert variant.problem is not None
        return _refused(row, Failure.of(variant.problem))
    try:
        recipe = resolve_model(replace(variant.composed.recipe, name=name))
        require_sound(recipe)
    except LlmExportError as error:
        return _refused(row, Failure.of(error))
    row.name, row.bundle = recipe.name, str(folder.absolute() / recipe.name)
    recipe = replace(recipe, out=row.bundle)
    return Planned(row, replace(variant.composed, recipe=recipe))


def _refused(row: Row, failure: Failure) -> Planned:
    row.state, row.error = REFUSED, failure
    return Planned(row, None)


def _by_shared_stages(planned: list[Planned]) -> list[Planned]:
    """Variants that differ only late follow each other; refused ones come last."""
    seen: list[dict[str, int]] = [{} for _ in _ORDER]

    def rank(one: Planned) -> list[int]:
        if one.composed is None:
            return [len(planned)] * len(_ORDER)
        ranks = []
        for part, known in zip(_ORDER, seen, strict=True):
            value = json.dumps(asdict(getattr(one.composed.recipe, part)), sort_keys=True)
            ranks.append(known.setdefault(value, len(known)))
        return ranks

    return sorted(planned, key=rank)
