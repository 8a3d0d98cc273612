"""Convert the long error messages of Hydra and OmegaConf to short ones."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol, get_args, get_origin, get_type_hints

from omegaconf.errors import OmegaConfBaseException

from llm_export.config.quant_rule_errors import require_rules
from llm_export.config.quoting import named_in, quoted_override
from llm_export.config.schema import GROUPS, Recipe
from llm_export.errors import LlmExportError, RecipeError, did_you_mean


class Composing(Protocol):
    """The methods of a composer that error messages need."""

    source: str | None

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
        raise RecipeError(what, where=place, fix=fix or _explained(place)) from None
    except Exception as error:  # Hydra raises a dozen types here, antlr's among them
        raise _translate(error, composer, overrides) from error


def _translate(error: Exception, composer: Composing, overrides: Sequence[str]) -> RecipeError:
    own = _chain(error)
    omega = next((e for e in own if isinstance(e, OmegaConfBaseException)), None)
    text = str(error)

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
        if _is_unknown_key(omega):
            return unknown_key(key, overrides, getattr(omega, "parent_node", None))
        return RecipeError(
            _in_plain_words(str(omega).splitlines()[0]),
            where=_override_with(overrides, key) or key or composer.source,
            fix=_explained(key),
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


_KINDS = {"Integer": "an integer", "Float": "a number"}


def _in_plain_words(message: str) -> str:
    """What OmegaConf says of a value of the wrong type, without names of types."""
    if message == "list index out of range":
        return "the list has no such place"
    if message.endswith((" is not Optional", " is not optional and cannot be assigned None")):
        return "it cannot be null"
    number = re.match(r"Value '(.*)' of type '.*' could not be converted to (\w+)", message)
    if number and number[2] in _KINDS:
        return f"'{number[1]}' is not {_KINDS[number[2]]}"
    truth = re.match(r"Value '(.*)' is not a valid bool", message)
    return f"'{truth[1]}' is not true or false" if truth else message


def _explained(place: str) -> str | None:
    """The command that explains the key of ``key=value``, or the list that it is in, if it is one
    of the schema's."""
    key = place.partition("=")[0].partition("[")[0]
    known = key.rpartition(".")[2] in keys_of(key.rpartition(".")[0])
    return f"llm-export explain {key}" if known else None


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
    return RecipeError(
        f"there is no key '{key}'",
        where=_override_with(overrides, key),
        fix=did_you_mean(leaf, known),
    )


def _override_with(overrides: Sequence[str], key: str) -> str | None:
    for override in overrides:
        if key and override.lstrip("+~").split("=", 1)[0].split("@")[0] == key:
            return f"override {override}"
    return None


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


def keys_of(path: str) -> list[str]:
    """The schema's keys below a dotted path; empty for free-form mappings."""
    node: Any = Recipe
    for part in filter(None, path.split(".")):
        name = part.split("[")[0]
        hints = get_type_hints(node) if is_dataclass(node) else {}
        if name not in hints:
            return []
        node = _inner(hints[name])
    return [f.name for f in fields(node)] if is_dataclass(node) else []


def _inner(hint: Any) -> Any:
    """X of Optional[X] or list[X]; the hint itself otherwise."""
    while get_origin(hint) is not None and get_origin(hint) is not dict:
        hint = next(a for a in get_args(hint) if a is not type(None))
    return hint
