"""Say which entry of a list of quantization rules is wrong, and how.

OmegaConf names the field that it stumbles over, but neither the list nor the entry.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from llm_export.config.plain_words import kind_words, plain_words
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.errors import RecipeError, did_you_mean

LISTS = ("quant.rules", "quant.auto.candidates")
MAX_RULES = 1000
"""A list that names each linear of a hundred layers has 700; a pattern says that in one rule."""
_EXAMPLE = "{kind: linear, scheme: 8da8w}"
_USUAL = {f.name: f.default for f in fields(QuantRule)}
_TYPES = get_type_hints(QuantRule)


def require_rules(entries: Any, key: str) -> None:
    """Check a list as it was written, or as OmegaConf has completed it.

    Raises:
        RecipeError: naming the entry, as ``quant.rules[2].kind``.
    """
    if not isinstance(entries, list):
        raise RecipeError("rules are a list of mappings", where=key, fix=f"{key}=[{_EXAMPLE}]")
    _require_few(entries, key)
    for index, entry in enumerate(entries):
        _require_rule(entry, f"{key}[{index}]")


def require_few_rules(body: Mapping[str, Any]) -> None:
    """Check the number of rules in a recipe's body, before Hydra merges each of them.

    Raises:
        RecipeError: there are more than MAX_RULES.
    """
    for key in LISTS:
        node: Any = body
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, list):
            _require_few(node, key)


def chosen_quant_options(body: Mapping[str, Any] | None) -> list[str]:
    """The options of the group ``quant`` in a recipe's ``defaults`` list."""
    defaults = (body or {}).get("defaults", [])
    entries = [e for e in (defaults if isinstance(defaults, list) else []) if isinstance(e, dict)]
    return [str(v) for e in entries for k, v in e.items() if str(k).split()[-1:] == ["quant"]]


def _require_few(entries: list[Any], key: str) -> None:
    if len(entries) > MAX_RULES:
        raise RecipeError(
            f"{len(entries)} rules, of which at most {MAX_RULES} are read", where=key,
            fix="one rule for many modules: a pattern such as layers\\.[0-9]+\\.attention\\..*",
        )  # fmt: skip


def _require_rule(entry: Any, where: str) -> None:
    if not isinstance(entry, Mapping):
        raise RecipeError(f"a rule is a mapping, not '{entry}'", where=where, fix=_EXAMPLE)
    for name in entry:
        if name not in _USUAL:
            raise RecipeError(
                f"a rule has no key '{name}'", where=where, fix=did_you_mean(str(name), _USUAL)
            )
    kind = entry.get("kind")
    if not _is_open(kind) and kind not in [None, *ModuleKind, *(k.value for k in ModuleKind)]:
        raise RecipeError(
            f"there is no kind of module '{kind}'", where=f"{where}.kind",
            fix=did_you_mean(str(kind), [k.value for k in ModuleKind]),
        )  # fmt: skip
    if entry.get("scheme") in (None, "???"):
        said = [k for k, v in entry.items() if v != _USUAL[k] and v != "???"]
        raise RecipeError(
            "the rule has no scheme" if said else "the rule is empty", where=where,
            fix=f"say its scheme, as in {_EXAMPLE}; docs/quantization.md lists them",
        )  # fmt: skip
    _require_values({k: v for k, v in entry.items() if not _is_open(v)}, where)


def _require_values(entry: dict[str, object], where: str) -> None:
    """Each value alone, by the schema itself."""
    if _is_sound(entry):
        return
    for name, value in entry.items():
        try:
            known = _require_value if isinstance(value, Hashable) else _require_value.__wrapped__
            known(name, value)
        except OmegaConfBaseException as error:
            what = plain_words(str(error).splitlines()[0], f"quant.rules[0].{name}", None)
            fix = f"{name} takes {kind_words(_TYPES[name])}"
            raise RecipeError(what, where=f"{where}.{name}", fix=fix) from None
        except ValueError as error:
            said, _, rule = str(error).partition(": ")
            raise RecipeError(rule, where=f"{where}.{said}") from None


def _is_sound(entry: dict[str, object]) -> bool:
    """Whether all values are of the schema's own types and ranges, without OmegaConf's conversions,
    which take a hundred times as long."""
    values = {**entry}
    try:
        if (kind := values.get("kind")) is not None:
            values["kind"] = ModuleKind(kind)
        for name, value in values.items():
            if type(value) not in (get_args(_TYPES[name]) or (_TYPES[name],)):
                return False
        QuantRule(**values)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024, typed=True)
def _require_value(name: str, value: Any) -> None:
    """One value, by the schema. Only what is sound is remembered: errors are raised anew."""
    given = {"scheme": "none", name: value}
    OmegaConf.to_object(OmegaConf.unsafe_merge(OmegaConf.structured(QuantRule), given))


def _is_open(value: Any) -> bool:
    """Refers to another key, whose value is not known yet."""
    return isinstance(value, str) and "${" in value
