"""The ``defaults`` list of a recipe file, which chooses options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import GROUPS
from llm_export.errors import RecipeError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_OWN = "_self_"


def completed(defaults: Any, where: str) -> list[Any]:
    """The list of a recipe file, checked, with the file's own values last if it does not say when
    they apply. That is Hydra's order too, which warns of it.

    Args:
        where: name of the file.

    Raises:
        RecipeError: it is no list, or nothing in it has the keys of a recipe; and as
            ``require_names``.
    """
    if not isinstance(defaults, list):
        raise RecipeError(
            f"defaults is a list, not {_kind(defaults)}", where=f"{where}: defaults",
            fix="defaults: [export_base, _self_]",
        )  # fmt: skip
    require_names(defaults, where)
    words = [entry for entry in defaults if isinstance(entry, str)]
    if all(word == _OWN for word in words):
        raise RecipeError(
            "the defaults name no recipe that this one is made from", where=f"{where}: defaults",
            fix="begin the list with export_base",
        )  # fmt: skip
    return defaults if _OWN in words else [*defaults, _OWN]


def require_names(defaults: Any, where: str) -> None:
    """Check that each entry names one option.

    Raises:
        RecipeError: an entry is a path, which could leave the search path, or chooses several
            options of a group, whose values would be mixed.
    """
    for entry in defaults if isinstance(defaults, list) else []:
        for key, option in _pairs(entry):
            group = key.split()[-1].lstrip("/").partition("@")[0] if key.split() else ""
            if isinstance(option, list) and group in GROUPS:
                place, first = f"{where}: defaults: {key}", str(next(iter(option), "NAME"))
                raise not_one_option(group, place[:300], f"{key}: {first[:40]}")
            for word in (key, str(option)):
                if ".." in word or "\\" in word or "://" in word:
                    raise RecipeError(
                        "defaults name options, not paths",
                        where=f"{where}: defaults: {word[:200]}",
                        fix="--config-dir DIR adds a folder with options",
                    )  # fmt: skip


def require_one_each(choices: Iterable[Override]) -> None:
    """Check overrides that choose options.

    Raises:
        RecipeError: one chooses several options of its group.
    """
    for override in choices:
        if isinstance(override.value(), list):
            group, where = override.key_or_group, f"override {override.input_line}"
            raise not_one_option(group, where, f"-m {group}=ONE,ANOTHER runs each")


def not_one_option(group: str, where: str, fix: str | None = None) -> RecipeError:
    """The error for anything but a name in the place of a group's option."""
    listed = f"llm-export ls {group} lists them"
    fix = f"{fix}; {listed}" if fix else listed
    return RecipeError(f"{group} takes the name of one option", where=where, fix=fix)


def _kind(value: Any) -> str:
    if value is None:
        return "empty"
    return "a mapping" if isinstance(value, dict) else "one value"


def _pairs(entry: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(entry, dict):
        yield from ((str(key), option) for key, option in entry.items())
    else:
        yield str(entry), ""
