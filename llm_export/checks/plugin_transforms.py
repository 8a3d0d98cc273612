"""Rules of ``runtime.transforms``; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from llm_export.checks.fixes import alternatives
from llm_export.config.schema import Recipe
from llm_export.errors import Problem, did_you_mean
from llm_export.transforms import ASKED_BY, TRANSFORMS
from llm_export.transforms.base import NamedTransform

KEY, OPTIONS = "runtime.transforms", "runtime.transform_options"


def transform_findings(recipe: Recipe) -> Iterator[Problem]:
    """Problems with the names, options and supported models of plugin transforms."""
    asked = recipe.runtime.transforms
    known = [name for name in TRANSFORMS if name not in ASKED_BY]
    for name in dict.fromkeys(asked):
        without = f"{KEY}=[{','.join(other for other in asked if other != name)}]"
        if name in ASKED_BY:
            fix = alternatives(without, ASKED_BY[name])
            yield Problem(f"'{name}' is built in and not asked for here", KEY, fix)
        elif name not in known:
            fix = f"{did_you_mean(name, known)}; or {without}" if known else without
            yield Problem(f"there is no transform '{name}'", KEY, fix)
        elif asked.count(name) > 1:
            yield Problem(
                f"'{name}' is asked for twice", KEY, f"{KEY}=[{','.join(dict.fromkeys(asked))}]"
            )
        elif (fault := TRANSFORMS.fault(name)) is not None:
            yield Problem(fault.what, KEY, fault.fix or "")
        else:
            yield from _misfits(recipe, name, TRANSFORMS.get(name))
    for name in recipe.runtime.transform_options:
        if name not in asked:
            fix = did_you_mean(name, asked) if asked else f"{KEY}=[{name}]"
            yield Problem(f"options of '{name}', which is not asked for", f"{OPTIONS}.{name}", fix)


def _misfits(recipe: Recipe, name: str, named: NamedTransform) -> Iterator[Problem]:
    definition, able = recipe.model.definition, sorted(named.definitions)
    if definition not in able:
        what = f"'{name}' does not know models of definition '{definition}'"
        yield Problem(what, KEY, f"model.definition={' or '.join(able)}, or without it")
    stated: Any = recipe.runtime.transform_options.get(name, {})
    key, keys = f"{OPTIONS}.{name}", [f.name for f in fields(named.options)]
    if not isinstance(stated, dict):
        yield Problem(f"options are a mapping, not '{stated}'", key, f"{key}={{}}")
        return
    unknown = [k for k in stated if k not in keys]
    for each in unknown:
        fix = did_you_mean(each, keys) if keys else "remove it: there are none"
        yield Problem(f"'{name}' has no option '{each}'", f"{key}.{each}", fix)
    if not unknown:
        try:
            named.options(**stated)
        except (ValueError, TypeError) as error:
            yield Problem(str(error), key, f"its options: {', '.join(keys) or 'none'}")
