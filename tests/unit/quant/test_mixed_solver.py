"""The knapsack of automatic mixed precision, and rules made of choices."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.models.build import build_on_meta
from llm_export.models.families import FAMILIES
from llm_export.models.families.llama import from_hf
from llm_export.quant.auto.compact import rules_of
from llm_export.quant.auto.solve import Item, solve
from llm_export.quant.auto.units import Key, key_of, units_from, units_of
from llm_export.quant.layer_spec import layer_quant_spec
from llm_export.quant.rules import LayerQuantSpec, resolve_rules

LOSSES = st.sampled_from([0.0, 1e-5, 0.01, 0.011, 0.5, 2.0])
ITEMS = st.lists(
    st.lists(st.tuples(st.integers(0, 9), LOSSES), min_size=1, max_size=4).map(
        lambda pairs: Item(tuple(c for c, _ in pairs), tuple(x for _, x in pairs))
    ),
    min_size=1,
    max_size=5,
)


def totals(items: list[Item], picked: tuple[int, ...]) -> tuple[int, float]:
    pairs = list(zip(items, picked, strict=True))
    return sum(i.costs[p] for i, p in pairs), sum(i.losses[p] for i, p in pairs)


@settings(deadline=None, max_examples=200)
@given(ITEMS, st.integers(0, 45))
def test_the_solver_is_exact(items: list[Item], budget: int) -> None:
    every = [
        totals(items, picked)
        for picked in product(*(range(len(item.costs)) for item in items))
        if totals(items, picked)[0] <= budget
    ]
    if not every:
        with pytest.raises(ValueError, match="cost more than the budget"):
            solve(items, budget)
        return
    cost, loss = totals(items, solve(items, budget))
    assert cost <= budget
    assert loss == pytest.approx(min(loss for _, loss in every), abs=1e-12)


def test_more_budget_never_loses_more() -> None:
    """Where an answer off the convex hull is the best, too."""
    items = [Item((1, 4, 6), (1.0, 0.9, 0.1)), Item((2, 3, 9), (0.8, 0.7, 0.0))] * 3
    losses = [totals(items, solve(items, budget))[1] for budget in range(9, 46)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(5.4)
    assert losses[-1] == pytest.approx(0.3)


FACTS = api.compose_recipe(None, ["model=tiny"]).recipe.model.config
MODEL = build_on_meta(from_hf({**FACTS, "num_hidden_layers": 6}), 64, "plain", False)
TINY = resolve_rules(MODEL, [])
KEYS: list[Key] = [("none", None, False, 0, 1.0), ("8da8w", None, False, 4, 1.0),
                   ("8da4w", 32, True, 0, 1.0), ("8da8w", None, False, 4, 3.0)]  # fmt: skip


def with_key(choice: LayerQuantSpec, key: Key) -> LayerQuantSpec:
    scheme, group, zero_point, outliers, ratio = key
    return replace(
        choice, scheme=scheme, group_size=group, zero_point=zero_point, outliers=outliers,
        outlier_ratio=ratio,
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(KEYS), min_size=len(TINY), max_size=len(TINY)))
def test_rules_make_the_choices_that_they_are_made_of(keys: list[tuple]) -> None:
    chosen = [with_key(c, key) for c, key in zip(TINY, keys, strict=True)]
    again = resolve_rules(MODEL, rules_of(chosen))
    assert [key_of(c) for c in again] == [key_of(c) for c in chosen]


def test_layers_of_one_matrix_share_a_rule() -> None:
    wanted = {
        ("feed_forward.down", 0): KEYS[0], ("feed_forward.down", 1): KEYS[0],
        ("feed_forward.down", 4): KEYS[0], ("attention.out", 0): KEYS[0],
        ("attention.out", 1): KEYS[0], ("attention.out", 4): KEYS[0],
    } | {("attention.qkv.q", layer): KEYS[1] for layer in range(6)}  # fmt: skip
    chosen = []
    for choice in TINY:
        _, _, rest = choice.name.partition(".")
        layer, _, tail = rest.partition(".")
        chosen.append(
            with_key(choice, wanted.get((tail, int(layer)) if tail else ("", -1), KEYS[2]))
        )
    rules = [(r.kind, r.layers, r.pattern, r.scheme) for r in rules_of(chosen)]
    linear = ModuleKind.linear
    assert rules[:3] == [
        (linear, None, r"layers\.\d+\.attention\.qkv\.q", "8da8w"),
        (linear, "0-1,4", r"layers\.\d+\.(attention\.out|feed_forward\.down)", "none"),
        (linear, None, ".*", "8da4w"),
    ]
    assert [r[0] for r in rules[3:]] == [ModuleKind.head, ModuleKind.embedding]


def test_experts_are_one_unit_and_one_rule() -> None:
    facts = api.compose_recipe(None, ["model=mixtral_8x7b"]).recipe.model.config
    config = FAMILIES.get("mixtral").from_hf({**facts, "num_hidden_layers": 2})
    model = build_on_meta(config, 64, "plain", False)
    units = units_of(model, [], [QuantRule(scheme="8da8w"), QuantRule(scheme="none")], "xnnpack")
    experts = [unit for unit in units if ".experts.*." in unit.name]
    assert len(experts) == 2 * 3
    assert all(len(option.choices) == 8 for unit in experts for option in unit.options)
    picked = [
        choice
        for unit in units
        for choice in unit.options[unit.layer == 1 and unit in experts].choices
    ]
    (rule, *_) = rules_of(picked)
    assert (rule.layers, rule.scheme) == ("1", "none")
    assert rule.pattern.startswith(r"layers\.\d+\.(feed_forward\.experts\.\d+\.")
    wanted = {c.name: key_of(c) for c in picked}
    assert {c.name: key_of(c) for c in resolve_rules(model, rules_of(picked))} == wanted


@pytest.mark.parametrize("backend", ["openvino", "coreml", "mlx"])
def test_a_table_that_delegates_store_once_counts_once(backend: str) -> None:
    rules = [QuantRule(scheme="8w", group_size=32), QuantRule(scheme="4w", group_size=32)]
    kinds = {"embed": ModuleKind.embedding, "head": ModuleKind.head}
    choices = [
        layer_quant_spec(QuantRule(scheme="none"), None, name, kind, (320, 64), backend)
        for name, kind in kinds.items()
    ]
    (unit,) = units_from(choices, rules, backend, ("embed", "head"), raw_weights=False)
    assert {choice.name for choice in unit.options[0].choices} == set(kinds)
    alone = units_from(choices, rules, backend)
    assert len(alone) == 2
    head = next(u for u in alone if u.name == "head")
    assert [o.bytes for o in unit.options] == [o.bytes for o in head.options]
    # Vulkan's delegates keep matrices in a form of their own.
    apart = [QuantRule(scheme="4w", kind=ModuleKind.embedding, group_size=32),
             QuantRule(scheme="8da4w", kind=ModuleKind.head, group_size=32)]  # fmt: skip
    assert len(units_from(choices, apart, "vulkan", ("embed", "head"), raw_weights=False)) == 2
