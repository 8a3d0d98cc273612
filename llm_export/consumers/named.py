"""The registry of contracts, and how they are named: NAME@VERSION, or NAME for the latest."""

from __future__ import annotations

from importlib.resources import files

from packaging.version import InvalidVersion, Version

from llm_export.consumers.contract import SUFFIX, Contract
from llm_export.errors import RecipeError, did_you_mean
from llm_export.registry import Registry

CONSUMERS: Registry[Contract] = Registry("consumer of bundles", needs=("methods", "constants"))

for _file in sorted(
    files("llm_export.consumers").joinpath("contracts").iterdir(), key=lambda each: each.name
):
    if _file.name.endswith(SUFFIX):
        _name = _file.name.removesuffix(SUFFIX)
        CONSUMERS.register(_name, f"llm_export.consumers.shipped:{_name}")
CONSUMERS.take_from_plugins("consumers")


def contract_of(name: str) -> Contract:
    """The contract of "NAME@VERSION", or of the latest version of "NAME".

    Raises:
        RecipeError: there is none; the message has the nearest name.
        MissingDependencyError: a plugin's contract cannot be used.
    """
    return CONSUMERS.get(full_name(name))


def full_name(name: str) -> str:
    """NAME@VERSION of a name with or without its version.

    Raises:
        RecipeError: there is no such consumer, or not that version of it.
    """
    if name in CONSUMERS:
        return name
    bare, _, version = name.partition("@")
    # Deploy targets are written with hyphens.
    bare = next((own for own in bare_names() if own == bare.replace("-", "_")), bare)
    known = versions_of(bare)
    if version in known:
        return f"{bare}@{version}"
    if known and not version:
        return f"{bare}@{known[-1]}"
    if known:
        raise RecipeError(
            f"there is no contract of version {version} of the consumer '{bare}'",
            fix=f"versions: {', '.join(known)}; {bare} alone takes the latest",
        )
    raise RecipeError(f"there is no consumer '{bare}'", fix=did_you_mean(bare, bare_names()))


def versions_of(bare: str) -> list[str]:
    """The versions of a consumer, oldest first; [] if there is none of that name."""
    found = [each.partition("@")[2] for each in CONSUMERS if each.partition("@")[0] == bare]
    return sorted(found, key=_order)


def bare_names() -> list[str]:
    return sorted({each.partition("@")[0] for each in CONSUMERS})


def _order(version: str) -> tuple[int, Version | str]:
    try:
        return 1, Version(version)
    except InvalidVersion:
        return 0, version
