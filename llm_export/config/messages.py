"""Convert the long error messages of Hydra and OmegaConf to short ones."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from omegaconf.errors import OmegaConfBaseException

from llm_export.config.block_errors import require_blocks
from llm_export.config.defaults_list import not_one_option
from llm_export.config.number_ranges import too_many_bits
from llm_export.config.plain_words import explained, keys_of, plain_words
from llm_export.config.quant_rule_errors import require_rules
from llm_export.config.quoting import named_in, quoted_override
from llm_export.config.schema import GROUPS
from llm_export.errors import LlmExportError, RecipeError, did_you_mean


class Composing(Protocol):
    """The methods of a composer that error messages need."""

    source: str | None
    body: dict[str, Any] | None

    def options(self, group: str) -> list[str]: ...

    def rule_lists(self, overrides: Sequence[str]) -> Iterator[tuple[str, Any]]: ...


class _GroupRule(Exception):
    """A ValueError of a group's ``__post_init__``, with the group's name."""


@contextlib.contextmanager
def in_group(group: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        if isinstance(error, OmegaConfBaseException):
            raise
        raise _GroupRule(f"{group}.{error}") from None


@contextlib.contextmanager
def translated(composer: Composing, overrides: Sequence[str]) -> Iterator[None]:
    """Context manager: convert any composition error to a RecipeError of at most three lines."""
    try:
        yield
    except LlmExportError:
        raise
    except _GroupRule as error:
        place, _, rule = str(error).partition(": ")
        what, _, fix = rule.partition("\n")
        raise RecipeError(what, where=place, fix=fix or explained(place)) from None
    except Exception as error:  # Hydra raises a dozen types here, antlr's among them
        raise _translate(error, composer, overrides) from error


def _translate(error: Exception, composer: Composing, overrides: Sequence[str]) -> RecipeError:
    own = _chain(error)
    omega = next((e for e in own if isinstance(e, OmegaConfBaseException)), None)
    text = str(error)

    if (odd := _odd_option(overrides)) is not None and omega is None:
        return not_one_option(odd.partition("=")[0], f"override {odd}")
    if "integer string conversion" in text:  # Python reads no numbers of thousands of digits
        long = next((o for o in overrides if re.search(r"\d{1000}", o)), "")
        return too_many_bits(f"override {long[:60]}..." if long else composer.source)
    choice = re.search(
        r"(?:Could not find|In '[^']*': Could not find) '?([\w./-]+)/([^/'\n]+)'", text
    )
    if choice and choice[1].lstrip("/") in GROUPS:
        group, name = choice[1].lstrip("/"), choice[2]
        return RecipeError(
            f"there is no {group} '{name}'",
            where=_override_with(overrides, group) or f"{group}={name}",
            fix=did_you_mean(name, composer.options(group), f"llm-export run --help {group}"),
        )
    if choice or "Could not find" in text or "Primary config" in text:
        return RecipeError(text.strip().splitlines()[0], where=composer.source)

    group = re.search(r"Could not override '([^']+)'", text)
    if group and omega is None:
        key = group[1]
        return unknown_key(key, overrides)
    if omega is not None:
        key = _full_key(omega, text)
        for name, rules in composer.rule_lists(overrides):
            require_rules(rules, name)
        if not key and composer.body is not None:
            require_blocks(composer.body, str(composer.source))
        if _is_unknown_key(omega):
            return unknown_key(key, overrides, getattr(omega, "parent_node", None))
        return RecipeError(
            plain_words(str(omega).splitlines()[0], key, _value_of(overrides, key)),
            where=_override_with(overrides, key) or key or composer.source,
            fix=explained(key),
        )
    unread = next((o for e in own if (o := named_in(e, overrides)) is not None), None)
    if unread is not None and unread.partition("=")[2]:
        key, _, value = unread.partition("=")
        if value[0] in "[{":
            fix = f"""quote what is inside, as in "{key}=['...', '...']\""""
            return RecipeError("the value cannot be read", where=f"override {unread}", fix=fix)
        several = "Ambiguous value" in text
        if several and key in GROUPS:
            fix = "one of them, or -m, which runs each"
            return RecipeError(f"several options of {key}", where=f"override {unread}", fix=fix)
        return RecipeError(
            "the value is several values" if several else "the value cannot be read",
            where=f"override {unread}",
            fix=f"quote it: {quoted_override(unread)}" + ("; or -m, a sweep" if several else ""),
        )
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return RecipeError(first, where=_quoted_override(text, overrides) or composer.source)


def _chain(error: BaseException | None) -> list[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def _full_key(omega: Any, text: str) -> str:
    key = getattr(omega, "full_key", None)
    if key:
        return str(key)
    found = re.search(r"full_key: (\S+)", text)
    return found[1] if found else ""


def _is_unknown_key(omega: BaseException) -> bool:
    text = str(omega)
    return bool(re.search(r"Key '.*' (is )?not in|Key '.*' is not in struct", text))


def unknown_key(key: str, overrides: Sequence[str], node: Any = None) -> RecipeError:
    """The error for a key that is not in the schema; ``node`` has the keys of a free-form
    mapping."""
    parent, _, leaf = key.rpartition(".")
    known = keys_of(parent) or ([str(k) for k in node] if node is not None else [])
    shown = key if len(key) < 100 else "KEY"
    plus = f"a key that is not there yet takes a plus: +{shown}=VALUE" if known_key(key) else None
    return RecipeError(
        f"there is no key '{key}'",
        where=_override_with(overrides, key),
        fix=did_you_mean(leaf, known) if known else plus,
    )


def _override_with(overrides: Sequence[str], key: str) -> str | None:
    for override in overrides:
        if key and override.lstrip("+~").split("=", 1)[0].split("@")[0] == key:
            return f"override {override}"
    return None


def _odd_option(overrides: Sequence[str]) -> str | None:
    """The override that gives a group something that cannot be the name of an option."""
    for override in overrides:
        group, is_set, value = override.partition("=")
        if group in GROUPS and is_set and _NO_NAME.fullmatch(value):
            return override
    return None


_NO_NAME = re.compile(r"|null|true|false|-?\d+(\.\d*)?|[\[{].*[\]}]")


def _value_of(overrides: Sequence[str], key: str) -> str | None:
    override = _override_with(overrides, key)
    return override.partition("=")[2] if override else None


def _quoted_override(text: str, overrides: Sequence[str]) -> str | None:
    return next((f"override {o}" for o in overrides if o in text), None)


def refuse_unknown(overrides: Sequence[str]) -> None:
    """Refuse unknown keys in ``+group.key=value``, which Hydra does not check."""
    for override in overrides:
        key = override.lstrip("+").split("=", 1)[0]
        if override.startswith("+") and not known_key(key):
            raise unknown_key(key, overrides)


def known_key(key: str) -> bool:
    """Whether the schema has a dotted key. Below a free-form mapping every key is known."""
    parent, _, leaf = key.rpartition(".")
    known = keys_of(parent)
    return leaf.split("@")[0] in known if known else not parent or known_key(parent)
