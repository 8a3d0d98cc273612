"""How much a run calibrates: what its stages compute on the calibration text, and search.

Counted from the recipe and from shapes: weights times tokens, and the steps of the methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import Recipe
from llm_export.predict.known_grids import on_known_grid
from llm_export.quant.auto.units import units_from, without_experts
from llm_export.quant.layer_spec import LayerQuantSpec, layer_of
from llm_export.quant.mean_columns import shares_columns
from llm_export.quant.rounding import needs_of
from llm_export.quant.rounding.base import Needs
from llm_export.quant.schemes import SCHEMES, Flow

Choices = Sequence[LayerQuantSpec]

_PASSES = {Needs.nothing: 0, Needs.squares: 1, Needs.products: 2}
"""Of the text through the model. For products each layer runs as it was, and again rounded."""


def calibrates(recipe: Recipe) -> bool:
    """Whether a run reads the calibration text."""
    quant = recipe.quant
    static = any(SCHEMES[r.scheme].flow is Flow.pt2e for r in quant.rules)
    counted = quant.head_split  # how much of the text its first part is
    scaled = quant.smooth is not None or quant.awq is not None
    outliers = any(rule.outliers for rule in quant.rules)
    rounded = bool(quant.rules) and _PASSES[needs_of(quant.rounding.method)] > 0
    return bool(static or quant.auto or counted or scaled or outliers or rounded)


def work(
    recipe: Recipe, choices: Choices, *, text: bool = True, used: float = 1.0
) -> dict[str, float]:
    """Features of the cost model: billions of weights times tokens that run through them in
    ``transform`` (passed, and powers for AWQ's trials) and in ``quantize`` (calibrated); steps that
    refine scales, in millions of channels (refined); billions of weights that are rotated, and
    searched by a method or by HQQ (iterated); of GPTQ, cubed inputs that it solves, in billions,
    and columns in thousands; and gigabytes in float32 of the largest matrix that is searched
    (widest), and of the largest sum of x x^T (inputs).

    Args:
        text: whether a calibration text runs through the model.
        used: share of the experts of a mixture that a token runs through in ``quantize``.
    """
    quant = recipe.quant
    products = [c for c in choices if c.kind is not ModuleKind.embedding]
    weights = _count(products) / 1e9
    smooth, awq = quant.smooth, quant.awq
    dynamic = [c for c in products if c.on_grid and SCHEMES[c.scheme].dynamic_activations]
    return {
        "passed": weights * _passed(recipe) + _measured(recipe, choices, used),
        "powers": weights * (awq.steps + 2 if awq else 0) * _tokens(recipe),
        "refined": sum(c.shape[1] for c in dynamic) / 1e6 * (smooth.steps if smooth else 0),
        "rotated": weights * (quant.rotate is not None),
        **_rounded(recipe, products, _run(products, used) / 1e9, text),
    }


def _tokens(recipe: Recipe) -> int:
    return recipe.quant.calibration.tokens


def _passed(recipe: Recipe) -> int:
    """Tokens that run through the whole model, to scale it and to compare it with itself."""
    quant = recipe.quant
    checked = 2 * min(quant.calibration.window, _tokens(recipe))
    smoothed = quant.smooth is not None
    return smoothed * (_tokens(recipe) + checked) + (quant.awq is not None) * checked


def _measured(recipe: Recipe, choices: Choices, used: float) -> float:
    """Of automatic mixed precision: each candidate runs from the layer that it changes to the end,
    after a pass for the ranges of outliers."""
    auto = recipe.quant.auto
    if auto is None:
        return 0.0
    layered = [(c, layer) for c in choices if (layer := layer_of(c.name)) is not None]
    head = _count(c for c in choices if c.kind is ModuleKind.head)
    total = _run([c for c, _ in layered], used)
    behind, before = dict[int, float](), 0.0
    for choice, layer in layered:
        behind.setdefault(layer, total - before + head)
        before += _run([choice], used)
    # One for all experts of a layer, as of many thousands.
    alike = {(without_experts(c.name), c.shape): c for c in reversed(choices)}
    ran = 0.0
    for unit in units_from(list(alike.values()), auto.candidates, recipe.backend.name):
        tried = sum(option.key[0] != "none" for option in unit.options) * (len(unit.options) > 1)
        kinds = {c.kind for c in unit.options[0].choices}
        last = head if ModuleKind.head in kinds else total + head
        ran += tried * (last if unit.layer is None else behind.get(unit.layer, total + head))
    return (ran * auto.tokens + (total + head) * _tokens(recipe)) / 1e9


def _rounded(recipe: Recipe, products: Choices, weights: float, text: bool) -> dict[str, float]:
    quant = recipe.quant
    method = quant.rounding.method
    rounds = quant.auto is not None or any(c.on_grid for c in products)
    needs = needs_of(method) if rounds else Needs.nothing
    outliers = text and any(c.outliers for c in products)
    kept = on_known_grid(recipe)
    chosen = products if quant.auto is not None else [c for c in products if c.on_grid]
    open_ones = [c for c in chosen if not kept(c)]
    # Layers of which nothing is rounded run once, for those behind them.
    share = _count(open_ones) / max(_count(products), 1)
    passes = _PASSES[needs] * text if needs is not Needs.products else text * (1 + share)
    # Once more for the groups whose offsets share a column.
    sharing = text and any(kept(c) and _shares(c) for c in chosen) and (outliers or passes > 0)
    solved: list[LayerQuantSpec] = []
    if needs is Needs.products and text:
        widest = quant.rounding.widest
        solved = [c for c in open_ones if widest is None or c.shape[1] <= widest]
    searched = _count(open_ones) / 1e9
    searches = needs is not Needs.nothing
    return {
        "calibrated": weights * _tokens(recipe) * (passes * bool(open_ones) + outliers + sharing),
        "searched": searched * searches,
        "iterated": searched * (not searches and method != "minmax"),
        "solved": sum((c.shape[1] / 1e3) ** 3 for c in solved),
        "columns": sum(c.shape[1] for c in solved) / 1e3,
        "widest": max((c.shape[0] * c.shape[1] for c in open_ones), default=0) * 4e-9 * searches,
        "inputs": max((4e-9 * c.shape[1] ** 2 for c in solved), default=0.0),
    }


def _shares(choice: LayerQuantSpec) -> bool:
    size = choice.group_size
    if size is None or not choice.has_offset_columns:
        return False
    return shares_columns(choice.shape[1] // size, size)


def _count(choices: Iterable[LayerQuantSpec]) -> int:
    return sum(c.shape[0] * c.shape[1] for c in choices)


def _run(choices: Iterable[LayerQuantSpec], used: float) -> float:
    """Weights that a token runs through."""
    return sum(
        c.shape[0] * c.shape[1] * (1.0 if without_experts(c.name) == c.name else used)
        for c in choices
    )
