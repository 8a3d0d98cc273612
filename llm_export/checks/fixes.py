"""Fixes as overrides that can be appended to the command line.

A fix lists alternatives, separated by ``, or ``. An alternative is one or more ``KEY=VALUE``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from enum import Enum
from typing import Any

from llm_export.backends import BACKENDS
from llm_export.config.quant_options import quant_options
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.config.quoting import quoted
from llm_export.config.schema import Recipe
from llm_export.errors import did_you_mean, nearest
from llm_export.quant.nearest_rule import far
from llm_export.quant.schemes import SCHEMES, Scheme, refusal

Rules = Sequence[QuantRule]
BUDGETS = ("bits_per_weight", "file_megabytes")
_FEW = 4
"""Other backends that a fix names."""


def alternatives(*fixes: str | None) -> str:
    """The fixes that there are, as one."""
    return ", or ".join(dict.fromkeys(fix for fix in fixes if fix))


def name_fix(key: str, name: str, known: Iterable[str]) -> str:
    """The nearest known name as an override, then all of them."""
    choices = list(known)
    near = nearest(name, choices)
    return (
        f"{key}={near[0]}; {did_you_mean(name, choices)}" if near else did_you_mean(name, choices)
    )


def rule_fix(recipe: Recipe, index: int, wanted: QuantRule, where: str = "quant.rules") -> str:
    """The overrides that turn rule ``index`` of the recipe into ``wanted``."""
    quant = recipe.quant
    rules = quant.auto.candidates if where != "quant.rules" and quant.auto else quant.rules
    words = []
    for key in (field.name for field in fields(QuantRule)):
        before, after = getattr(rules[index], key), getattr(wanted, key)
        if before == after:
            continue
        shared = key in ("group_size", "outliers") and getattr(quant, key) == before
        # Rules of options refer to the key of the group.
        place = f"quant.{key}" if shared and before else f"{where}.{index}.{key}"
        words.append(f"{place}={_word(after)}")
    return " ".join(words)


def without_rule(recipe: Recipe, index: int) -> str:
    """The override that leaves rule ``index`` out of the recipe."""
    rules = [rule for number, rule in enumerate(recipe.quant.rules) if number != index]
    return f"quant.rules=[{','.join(map(_mapping, rules))}]" if rules else "quant=none"


def _mapping(rule: QuantRule) -> str:
    """A rule in Hydra's grammar, without what it has by default."""
    usual = QuantRule(scheme="")
    said = {f.name: getattr(rule, f.name) for f in fields(QuantRule)}
    texts = ("pattern", "layers")
    pairs = [
        f"{key}:{quoted(value) if key in texts else _word(value)}"
        for key, value in said.items()
        if value != getattr(usual, key)
    ]
    return "{" + ",".join(pairs) + "}"


def _word(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value.value if isinstance(value, Enum) else value)


def runs(backend: str, rules: Iterable[QuantRule]) -> bool:
    """Whether the backend supports each rule for each kind of module that it names."""
    return all(
        refusal(backend, kind, rule) is None
        for rule in rules
        for kind in ([rule.kind] if rule.kind else ModuleKind)
    )


def nearest_option(recipe: Recipe, accept: Callable[[Rules], bool]) -> str | None:
    """The shipped quantization option nearest to the recipe's whose rules are accepted and run on
    the recipe's backend; None if there is none."""
    backend = recipe.backend.name
    found = {
        name: rules
        for name, rules in quant_options().items()
        if name != recipe.quant.name and accept(rules) and runs(backend, rules)
    }
    wanted = _scheme_of(recipe.quant.rules)
    return min(found, key=lambda name: far(_scheme_of(found[name]), wanted), default=None)


def option_fix(recipe: Recipe, accept: Callable[[Rules], bool]) -> str | None:
    """The overrides that choose the nearest option, and leave out budgets, which others lack."""
    option = nearest_option(recipe, accept)
    if option is None:
        return None
    stated = (key for key in BUDGETS if getattr(recipe.quant, key) is not None)
    return " ".join([f"quant={option}", *(f"quant.{key}=null" for key in stated)])


def is_option(recipe: Recipe) -> bool:
    """Whether the rules are those of the option that the recipe names, apart from group sizes and
    outlier channels."""
    own = quant_options().get(recipe.quant.name)
    return own is not None and list(map(_form, own)) == list(map(_form, recipe.quant.rules))


def _form(rule: QuantRule) -> QuantRule:
    return replace(rule, group_size=None, outliers=0)


def other_backends(rules: Rules, but: str, kinds: Iterable[str] = ()) -> str:
    """ "backend=A, or backend=B" for the first backends that run all rules, and have one of these
    kinds of attention if any are named."""
    wanted = set(kinds)
    found = [
        name
        for name in BACKENDS.sound()
        if name != but
        and runs(name, rules)
        and (not wanted or wanted & set(BACKENDS.get(name).capabilities.attention))
    ]
    return alternatives(*(f"backend={name}" for name in found[:_FEW]))


def _scheme_of(rules: Rules) -> Scheme:
    """The scheme of most weights: that of linear modules."""
    for rule in rules:
        if rule.kind in (None, ModuleKind.linear) and rule.scheme in SCHEMES:
            return SCHEMES[rule.scheme]
    return SCHEMES["none"]
