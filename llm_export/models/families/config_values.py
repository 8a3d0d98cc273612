"""The family interface, and strict parsing of a model's config.json.

A family reads each key that it supports. A key that was not read is an error: otherwise a model
with an unsupported setting would export without complaint and be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from llm_export.errors import CheckpointError, excerpt, nearest
from llm_export.models.config import DecoderConfig
from llm_export.models.families.count_limits import require_blocks, require_count
from llm_export.models.families.hf_defaults import DEFAULTS
from llm_export.models.families.inert_keys import is_inert
from llm_export.models.families.keymap import KeyMap

_MISSING = object()

UNSPECIFIED = "???"
"""Placeholder in a model option for a value that the checkpoint does not contain."""


class ConfigReader:
    """Reads keys one by one; ``finish`` raises on keys that were not read."""

    def __init__(self, family: str, config: Mapping[str, Any]) -> None:
        self.family = family
        self._left = dict(config)
        self._known: set[str] = set()
        self._defaults = DEFAULTS.get(family, {})

    def take(self, key: str, *, before: Any = _MISSING) -> Any:
        """Remove ``key`` and return its value.

        Args:
            before: the implied value before the format had this key. Not a guess: only
                for keys that were added to the format later. The family's entry in ``DEFAULTS``
                precedes it.

        Raises:
            CheckpointError: the key is missing.
        """
        self._known.add(key)
        if self._left.get(key) == UNSPECIFIED:
            raise CheckpointError(
                f"neither the checkpoint nor the model option says '{key}'",
                where=f"family '{self.family}'",
                fix=f"state it: model.config.{key}=VALUE",
            )
        if key in self._left:
            return self._left.pop(key)
        if key in self._defaults:
            return self._defaults[key]
        if before is _MISSING:
            raise CheckpointError(
                f"the model config lacks '{key}', which family '{self.family}' needs",
                where="model.config or the checkpoint's config.json",
            )
        return before

    def count(self, key: str, *, before: Any = _MISSING) -> int:
        """Take ``key`` and require a positive whole number."""
        return self.counted(key, self.take(key, before=before))

    def counted(self, key: str, value: Any) -> int:
        """``value`` of ``key``, checked to be a positive whole number."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(
                f"config key {key}={excerpt(repr(value))} is not a positive whole number",
                where="model.config",
            )
        require_count(key, value)
        return value

    def token(self, key: str, *, before: int) -> int:
        """Take ``key`` as a token id; ``before`` where it is null or absent.

        Raises:
            CheckpointError: it is no whole number from 0.
        """
        value = self.take(key, before=None)
        if value is None:
            return before
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise CheckpointError(
                f"config key {key}={excerpt(repr(value))} is no token id", where="model.config"
            )
        return value

    def number(self, key: str, *, before: Any = _MISSING) -> float:
        """Take ``key`` and require a positive number."""
        return self._positive(key, self.take(key, before=before))

    def optional(self, key: str) -> float | None:
        """Take ``key`` as a positive number; None where it is null or absent."""
        value = self.take(key, before=None)
        return None if value is None else self._positive(key, value)

    def _positive(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
            raise CheckpointError(
                f"config key {key}={excerpt(repr(value))} is not a positive number",
                where="model.config",
            )
        return float(value)

    def head_dim(self, hidden: int, heads: int) -> int:
        """``head_dim``, or hidden size / heads for models without the key or with null."""
        value = self.take("head_dim", before=None)
        if value is None:
            return hidden // heads
        return self.counted("head_dim", value)

    def flag(self, key: str, *, before: Any = _MISSING) -> bool:
        return bool(self.expect(key, True, False, before=before))

    def expect(self, key: str, *accepted: Any, before: Any = _MISSING) -> Any:
        """Take ``key`` and require one of the values that the family implements."""
        value = self.take(key, before=before)
        if value not in accepted:
            raise CheckpointError(
                f"family '{self.family}' does not implement {key}={value!r}",
                where=f"config key {key}",
                fix=f"implemented: {', '.join(map(repr, accepted))}",
            )
        return value

    def peek(self, key: str) -> Any:
        """The value of ``key`` without marking it as read, or None."""
        return self._left.get(key)

    def take_unused(self, *keys: str) -> None:
        """Take keys that have no effect for the values already read."""
        for key in keys:
            self.take(key, before=None)

    def finish(self, also: Iterable[str] = ()) -> None:
        """Raise on keys that were not read, except those without effect and those of ``also``."""
        left = {key for key, value in self._left.items() if not is_inert(key, value)}
        unknown = sorted(left - set(also))
        if unknown:
            near = nearest(unknown[0], self._known)
            raise CheckpointError(
                f"family '{self.family}' does not know the config key(s) {', '.join(unknown)}",
                where="model.config or the checkpoint's config.json",
                fix=(f"did you mean '{near[0]}'? " if near else "")
                + "a key that changes the arithmetic and is ignored would give a wrong model",
            )


@dataclass(frozen=True)
class Unspecified:
    """A value that a checkpoint's format cannot store: the model option has to state it.

    Attributes:
        why: what the format lacks, as a clause for messages.
        example: the value of the published models.
        agrees: whether a stated value is possible for this checkpoint.
    """

    why: str
    example: str
    agrees: Callable[[Any], bool] = lambda value: True


Restore = Callable[[str, Any, DecoderConfig], Any]


@dataclass(frozen=True)
class Family:
    """A model family. ``naming`` is a checkpoint's naming scheme: hf, gguf, meta.

    Attributes:
        architecture: name in config.json's ``architectures``.
        from_hf: a config.json as dict -> DecoderConfig.
        keys: naming -> names of tensors.
        tiny: changes that shrink a real config to a test size.
        config_from: naming -> converter of that format's config to a config.json dict.
        restore: naming -> (decoder name, tensor, config) -> tensor, undoing the dialect's
            layout changes.
        store: the inverse of ``restore["hf"]``, for writing Hugging Face folders.
        arrange: naming -> (checkpoint's name, tensor, config) -> tensor with its rows in the order
            in which they are split; for tensors that hold their parts head by head.
        disarrange: the inverse of ``arrange["hf"]``.
        ignored: whether a checkpoint's tensor is left out on purpose, where that depends on
            the config; the key map has the others.
    """

    name: str
    architecture: str
    from_hf: Callable[[Mapping[str, Any]], DecoderConfig]
    keys: Mapping[str, KeyMap]
    tiny: Mapping[str, Any]
    config_from: Mapping[str, Callable[[Mapping[str, Any]], dict[str, object]]] = field(
        default_factory=dict
    )
    restore: Mapping[str, Restore] = field(default_factory=dict)
    store: Restore | None = None
    arrange: Mapping[str, Restore] = field(default_factory=dict)
    disarrange: Restore | None = None
    ignored: Callable[[str, DecoderConfig], bool] = lambda name, config: False

    def read(self, config: Mapping[str, Any], where: str = "model.config") -> DecoderConfig:
        """``from_hf``, with an error that says where for sizes that do not fit each other.

        Raises:
            CheckpointError: the family does not implement the config, or it is not valid.
        """
        try:
            read = self.from_hf(config)
        except _WRONG_VALUES as error:
            raise CheckpointError(_reason(error), where=where) from None
        require_blocks(
            [max((m.router.experts for m in layer.mixtures), default=1) for layer in read.layers]
        )
        return read


_WRONG_VALUES = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What a list in the place of a number, or 0 in a denominator, raises somewhere below."""


def _reason(error: Exception) -> str:
    own = isinstance(error, ValueError)
    return str(error) if own else f"a value does not fit: {type(error).__name__}: {error}"


def native_facts(
    family: Family, naming: str, raw: Mapping[str, Any], where: str
) -> dict[str, object]:
    """Convert another format's config to config.json keys, ``Unspecified`` where it has no value.

    Raises:
        CheckpointError: the family does not support the format, or a value is missing.
    """
    if naming not in family.config_from:
        raise CheckpointError(f"family '{family.name}' has no {naming} checkpoints", where=where)
    try:
        facts = family.config_from[naming](raw)
    except KeyError as error:
        raise CheckpointError(f"the checkpoint's config lacks {error}", where=where) from None
    except _WRONG_VALUES as error:
        raise CheckpointError(_reason(error), where=where) from None
    # What another format leaves out is not there, whatever config.json means by leaving it out.
    return {**dict.fromkeys(DEFAULTS.get(family.name, ())), **facts}


def to_option(facts: Mapping[str, Any]) -> dict[str, object]:
    """Values for a model option, with placeholders where the user must fill in unspecified ones."""
    return {k: UNSPECIFIED if isinstance(v, Unspecified) else v for k, v in facts.items()}


def fill_unspecified(
    facts: Mapping[str, Any], stated: Mapping[str, Any], where: str
) -> dict[str, object]:
    """The checkpoint's values, and the model option's where its format has none.

    Raises:
        CheckpointError: the option does not state an unspecified value, or an impossible one.
    """
    return {
        key: _stated(key, value, stated, where) if isinstance(value, Unspecified) else value
        for key, value in facts.items()
    }


def _stated(key: str, untold: Unspecified, stated: Mapping[str, Any], where: str) -> Any:
    source = "rope_parameters" if key == "rope_scaling" and key not in stated else key
    value = stated.get(source, UNSPECIFIED)
    if isinstance(value, Mapping):
        value = {k: v for k, v in value.items() if k not in ("rope_theta", "partial_rotary_factor")}
    if value == UNSPECIFIED or not untold.agrees(value):
        says = "does not say it" if value == UNSPECIFIED else f"says {value!r}, which does not fit"
        raise CheckpointError(
            f"{untold.why}, and the model option {says}",
            where=where,
            fix=f"model.config.{key}=VALUE: {untold.example}",
        )
    return value
