"""Explain recipe keys: meaning, default, and the stages that a change affects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.config.compose import Composer
from llm_export.config.key_trades import Trade, trades
from llm_export.config.recipe_files import plain
from llm_export.config.reference import REQUIRED, default_of, every_key
from llm_export.config.renamed import current_key
from llm_export.config.schema import GROUPS
from llm_export.errors import LlmExportError, RecipeError, did_you_mean
from llm_export.runner.stages import STAGES
from llm_export.stage_cache.keys import covers

_EVIDENCE = ("report",)
"""Stages that read every key, because they write the whole recipe."""
_TRAINING = "@training"
"""Keys that stages read only if the recipe trains."""


@dataclass(frozen=True)
class KeyFacts:
    """Metadata of one key.

    Attributes:
        default: the schema's default as YAML; None if the key is required.
        options: option of its group -> the value that the option sets.
        read_by: stages whose result depends on it, in execution order.
        training_reads: further such stages if the recipe trains.
        refused_by: stages that check it and may refuse the recipe.
        trade: what its values trade; None for keys without a scale.
    """

    key: str
    type: str
    text: str
    default: str | None
    options: Mapping[str, str]
    read_by: tuple[str, ...]
    training_reads: tuple[str, ...]
    refused_by: tuple[str, ...]
    trade: Trade | None = None

    def as_dict(self) -> dict[str, object]:
        return {
            "key": self.key, "type": self.type, "text": self.text, "default": self.default,
            "options": dict(self.options), "read_by": list(self.read_by),
            "training_reads": list(self.training_reads), "refused_by": list(self.refused_by),
            "trade": None if self.trade is None else self.trade.as_dict(),
        }  # fmt: skip


def explain(key: str, composer: Composer) -> list[KeyFacts]:
    """Explain a key, all keys below it, or all keys whose last part it is.

    Raises:
        RecipeError: there is no such key; the message has the nearest one.
    """
    key = current_key(key)
    known = {name: (kind, text) for name, kind, text in every_key()}
    found = [key] if key in known else []
    found += [name for name in known if name.startswith(f"{key}.")]
    found = found or [name for name in known if name.endswith(f".{key}")]
    if not found:
        leaves = {name.rpartition(".")[2] for name in known}
        raise RecipeError(
            f"there is no key '{key}'", where="explain",
            fix=did_you_mean(key, {*known, *leaves}) if "." in key else did_you_mean(key, leaves),
        )  # fmt: skip
    set_by = _Options(composer)
    return [_facts(name, *known[name], set_by) for name in found]


def _facts(key: str, kind: str, text: str, set_by: _Options) -> KeyFacts:
    try:
        value = default_of(key)
    except KeyError:
        value = None
    default = None if value is REQUIRED else _yaml(value)
    declared = [(s.name, s.reads, s.checks) for s in STAGES if s.name not in _EVIDENCE]
    reads = {name: [r for r in parts if r != _TRAINING] for name, parts, _ in declared}
    read_by = tuple(name for name, parts in reads.items() if covers(parts, key))
    return KeyFacts(
        key=key,
        type=kind,
        text=text,
        default=default,
        options=set_by.of(key),
        read_by=read_by,
        training_reads=tuple(
            n for n, parts, _ in declared if covers(parts, key) and n not in read_by
        ),
        refused_by=tuple(name for name, _, checks in declared if covers(checks, key)),
        trade=trades().get(key),
    )


class _Options:
    """The options of each group that set a key; each group is read once."""

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._read: dict[str, dict[str, object]] = {}

    def of(self, key: str) -> dict[str, str]:
        group, _, rest = key.partition(".")
        if group not in GROUPS or rest in ("name", "description"):
            return {}
        if group not in self._read:
            names = self._composer.options(group)
            self._read[group] = {n: self._option(group, n) for n in names}
        values = {}
        for name, body in self._read[group].items():
            node: Any = body
            for part in rest.split("."):
                node = node.get(part, REQUIRED) if isinstance(node, dict) else REQUIRED
            if node is not REQUIRED:
                values[name] = _yaml(node)
        return values

    def _option(self, group: str, name: str) -> object:
        try:
            return self._composer.option(group, name)
        except LlmExportError:  # `llm-export ls` says what is wrong with it
            return {}


def _yaml(value: Any) -> str:
    value = plain(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'
