"""The units of automatic mixed precision: weights, and the candidates of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llm_export.config.quant_schema import QuantRule
from llm_export.config.schema import filled
from llm_export.quant.layer_spec import (
    LayerQuantSpec,
    layer_of,
    layer_quant_spec,
    matches,
    one_for_both,
)
from llm_export.quant.schemes import refusal
from llm_export.quant.size import matrix_bytes

if TYPE_CHECKING:
    from torch import nn

Key = tuple[str, int | None, bool, int, float]
"""The key of a candidate for a weight: scheme, group size, zero point, outliers, and the ratio of a
fixed rule's."""


@dataclass(frozen=True)
class Option:
    """One candidate for a unit: the result for each of its weights."""

    choices: tuple[LayerQuantSpec, ...]

    @property
    def bytes(self) -> int:
        return matrix_bytes(self.choices)

    @property
    def key(self) -> Key:
        return key_of(self.choices[0])

    @property
    def words(self) -> str:
        return words_of(self.key)


@dataclass(frozen=True)
class Unit:
    """Weights that get the same choice.

    Attributes:
        layer: their decoder layer, or None.
        fixed: whether a rule of the recipe determines the choice; there is one option.
    """

    name: str
    layer: int | None
    options: tuple[Option, ...]
    fixed: bool = False


def key_of(choice: LayerQuantSpec) -> Key:
    ratio = choice.outlier_ratio
    return (choice.scheme, choice.group_size, choice.zero_point, choice.outliers, ratio)


def words_of(key: Key) -> str:
    """8da4w g32 zero_point outliers=4"""
    scheme, group, zero_point, outliers, _ = key
    parts = [scheme, f"g{group}" if group else "", "zero_point" if zero_point else "",
             f"outliers={outliers}" if outliers else ""]  # fmt: skip
    return " ".join(part for part in parts if part)


def units_of(
    model: nn.Module,
    rules: Sequence[QuantRule],
    candidates: Sequence[QuantRule],
    backend: str,
    tied: tuple[str, str] | None = None,
    *,
    raw_weights: bool = True,
) -> list[Unit]:
    """The units of a model; see ``units_from``.

    Raises:
        RecipeError: a rule does not fit the model, see ``resolve_rules``.
    """
    from llm_export.quant.rules import resolve_rules

    choices = resolve_rules(model, rules, backend)
    return units_from(choices, candidates, backend, tied, raw_weights=raw_weights)


def units_from(
    choices: Sequence[LayerQuantSpec],
    candidates: Sequence[QuantRule],
    backend: str,
    tied: tuple[str, str] | None = None,
    *,
    raw_weights: bool = True,
) -> list[Unit]:
    """The units in the order of ``choices``, with options by ascending bytes.

    The experts of a layer form one unit: a single expert is used too rarely to be measured.

    Args:
        choices: what the recipe's rules choose for the model's weights.
        tied: names of embedding and output head, if they are one weight: they are one unit, with
            the options in which the file stores them once, if there are any.
        raw_weights: see ``share_table``.
    """
    groups: dict[tuple[str, tuple[int, int]], list[LayerQuantSpec]] = {}
    fixed: list[LayerQuantSpec] = []
    for choice in choices:
        if choice.rule is not None:
            fixed.append(choice)
            continue
        shape = (choice.shape[0], choice.shape[1])
        groups.setdefault((without_experts(choice.name), shape), []).append(choice)
    units = [
        Unit(name, layer_of(members[0].name), tuple(_options(members, candidates, backend)))
        for (name, _), members in groups.items()
    ]
    if tied is not None:
        units = _with_pair(units, *tied, raw_weights)
    units += [Unit(c.name, layer_of(c.name), (Option((c,)),), fixed=True) for c in fixed]
    order = {choice.name: index for index, choice in enumerate(choices)}
    return sorted(units, key=lambda unit: order[unit.options[0].choices[0].name])


def _with_pair(units: list[Unit], table: str, head: str, raw_weights: bool) -> list[Unit]:
    """One unit for both, if they have common options; the head's options come first, being the
    finer ones.
    """
    by_name = {unit.name: unit for unit in units}
    if table not in by_name or head not in by_name:
        return units
    options = [
        Option((*mine.choices, replace(theirs.choices[0], shared_with=head)))
        for mine in by_name[head].options
        for theirs in by_name[table].options
        if raw_weights or theirs.choices[0].with_head
        if one_for_both(theirs.choices[0], mine.choices[0]) is None
    ]
    if not options:
        return units
    options.sort(key=lambda option: option.bytes)
    return [u for u in units if u.name not in (table, head)] + [Unit(head, None, tuple(options))]


def with_offsets_kept(unit: Unit, how: Callable[[LayerQuantSpec], str | None]) -> Unit:
    """Its options say which weights keep offsets of an earlier quantization, which may take
    more bytes than rounded ones.

    Args:
        how: how a weight was rounded earlier (``LayerQuantSpec.rounding``), where its offsets are
            columns; None if it was not.
    """

    def known(choice: LayerQuantSpec) -> LayerQuantSpec:
        found = how(choice) if choice.has_offset_columns else None
        return choice if found is None else replace(choice, rounding=found)

    options = (Option(tuple(known(c) for c in option.choices)) for option in unit.options)
    return replace(unit, options=tuple(sorted(options, key=lambda option: option.bytes)))


def without_experts(name: str) -> str:
    """layers.3.feed_forward.experts.5.down -> layers.3.feed_forward.experts.*.down"""
    return re.sub(r"\.experts\.\d+\.", ".experts.*.", name)


def _options(
    members: Sequence[LayerQuantSpec], candidates: Sequence[QuantRule], backend: str
) -> Iterator[Option]:
    """Options of members of one kind and shape: many thousands, of experts."""
    found: dict[Key, Option] = {}
    for rule in candidates:
        if not _suits(rule, members[0], backend):
            continue
        if all(matches(rule, member.name, member.kind) for member in members):
            made = _with(rule, members[0], backend)
            option = Option(tuple(replace(made, name=member.name) for member in members))
            found.setdefault(option.key, option)
    if not found:
        yield Option(tuple(members))  # float32
    yield from sorted(found.values(), key=lambda option: option.bytes)


def _with(rule: QuantRule, member: LayerQuantSpec, backend: str) -> LayerQuantSpec:
    shape = (member.shape[0], member.shape[1])
    return layer_quant_spec(rule, None, member.name, member.kind, shape, backend)


def _suits(rule: QuantRule, member: LayerQuantSpec, backend: str) -> bool:
    """Whether the rule may be applied to weights of this kind and shape."""
    columns = member.shape[1]
    if refusal(backend, member.kind, rule) is not None:
        return False
    fits = rule.group_size is None or columns % rule.group_size == 0
    return rule.scheme == "none" or (fits and filled(rule.outliers) < columns)
