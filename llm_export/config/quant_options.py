"""The shipped options of the group ``quant``, as fixes offer them. Read without Hydra."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from llm_export.config.qat_schema import ModuleKind
from llm_export.config.quant_schema import QuantRule

_REFERENCE = re.compile(r"\$\{quant\.(\w+)\}")


@lru_cache(maxsize=1)
def quant_options() -> dict[str, tuple[QuantRule, ...]]:
    """Option -> its rules; without the options that choose them by measurement."""
    folder = resources.files("llm_export.conf").joinpath("quant")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
    bodies = {
        name.removesuffix(".yaml"): yaml.safe_load(folder.joinpath(name).read_text("utf-8"))
        for name in files
    }
    return {
        name: tuple(_rule(rule, body) for rule in body["rules"])
        for name, body in bodies.items()
        if "rules" in body and "auto" not in body
    }


def _rule(stated: dict[str, Any], option: dict[str, Any]) -> QuantRule:
    values = {key: _value(value, option) for key, value in stated.items()}
    kind = values.pop("kind", None)
    return QuantRule(kind=None if kind is None else ModuleKind(kind), **values)


def _value(value: Any, option: dict[str, Any]) -> Any:
    found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return option[found[1]] if found else value
