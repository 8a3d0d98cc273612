"""The loss that a quant option is expected to have, and where that figure comes from.

The project's measurements come first: of recipes (``data/recipe_evidence.json``, which
``benchmarks/recipe_cards.py`` writes) and of options on one model (``data/quant_evidence.json``).
Where nobody measured an option, it counts with its own limit, ``quant.max_mean_kl``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from llm_export.backends import BACKENDS
from llm_export.config.quant_schema import QUALITY_LIMIT
from llm_export.config.schema import Recipe
from llm_export.quant.alternatives import measured, shipped_rules
from llm_export.resolve.partial_options import partial_options


@dataclass(frozen=True)
class Expected:
    """Attributes:
    mean_kl: to the float32 model, in nats.
    source: where it was measured, in words; of the limit, that nobody did.
    measured: false if it is the option's own limit.
    same_model: whether it is of the recipe's model on the recipe's backend.
    """

    mean_kl: float
    source: str
    measured: bool
    same_model: bool


@dataclass(frozen=True)
class _Figure:
    model: str
    called: str
    backend: str
    quant: str
    mean_kl: float


def expected_loss(recipe: Recipe) -> Expected:
    """The closest figure: of this model, then of this backend, then any.

    An option whose rules the recipe has changed has no figures, nor one of which the model gets a
    part only.
    """
    quant, backend = recipe.quant, recipe.backend.name
    known = _is_shipped(recipe) and quant.name not in partial_options(recipe)
    own = [f for f in _figures() if f.quant == quant.name and known]

    def distance(figure: _Figure) -> tuple[bool, bool]:
        return figure.backend != backend, figure.model != recipe.model.name

    found = min(own, key=distance, default=None)
    if found is None:
        limit = QUALITY_LIMIT if quant.max_mean_kl is None else quant.max_mean_kl
        return Expected(limit, "nobody measured it; the figure is its limit", False, False)
    same = distance(found) == (False, False)
    source = f"measured with {found.called} on {found.backend}"
    return Expected(found.mean_kl, source, True, same)


def _is_shipped(recipe: Recipe) -> bool:
    """Whether the rules are those of the shipped option of this name."""
    shipped = shipped_rules().get(recipe.quant.name)
    if shipped is None:
        return False
    # The option may leave outlier channels and zero points open, which the recipe then knows.
    own = [(r.kind, r.scheme, r.group_size, bool(r.zero_point)) for r in recipe.quant.rules]
    return len(own) == len(shipped) and all(
        one == (r.kind, r.scheme, r.group_size, one[3] if r.zero_point is None else r.zero_point)
        for one, r in zip(own, shipped, strict=True)
    )


@cache
def _figures() -> tuple[_Figure, ...]:
    known = measured()
    options = [
        _Figure(known.option, known.model, row.backend, row.quant, row.mean_kl)
        for row in known.rows
    ]
    return (*options, *_of_recipes())


def _of_recipes() -> Iterator[_Figure]:
    """Recipes are named MODEL_BACKEND_QUANT."""
    text = resources.files("llm_export.data").joinpath("recipe_evidence.json").read_text("utf-8")
    for name, body in json.loads(text).items():
        for backend in BACKENDS.in_order():
            model, found, quant = name.partition(f"_{backend}_")
            if found and body["mean_kl"] is not None:
                yield _Figure(model, model, backend, quant, body["mean_kl"])
