"""The bundles of a repository, and where each lies in it.

Model zoos of ExecuTorch lay programs out as ``<size>/<backend>/<name>_<backend>_<quant>.pte``. Here
that name is also the folder of the program, so that each folder is a bundle of its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llm_export.config.plain_yaml import read_plain
from llm_export.errors import BundleError
from runtime_py.bundle import Bundle

SHARED = ("tokenizer", "tokenizer_config", "chat_template", "generation_config")
"""Roles of files that the repository has once, at its top, if all bundles have the same."""


@dataclass(frozen=True)
class Variant:
    """
    Attributes:
        name: of its folder and of its program.
        size: such as 135m or 1.2b.
        backend: first of the recipe's.
        quant: option of the recipe.
        recipe: every value of it; empty for a bundle without one.
    """

    bundle: Bundle
    name: str
    size: str
    backend: str
    quant: str
    recipe: Mapping[str, Any]

    @property
    def folder(self) -> str:
        return f"{self.size}/{self.backend}/{self.name}"

    @property
    def program(self) -> str:
        """Path of the program in the repository."""
        return f"{self.folder}/{self.name}.pte"

    @property
    def context(self) -> int:
        return int(self.bundle.manifest["program"]["context_length"])


def variants_of(bundles: Sequence[Bundle]) -> tuple[Variant, ...]:
    """
    Raises:
        BundleError: two of them would lie in one folder, or they are of several model families.
    """
    found = [_variant(bundle) for bundle in bundles]
    several = Counter(variant.folder for variant in found)
    named = [
        replace(each, name=f"{each.name}_ctx{each.context}") if several[each.folder] > 1 else each
        for each in found
    ]
    for folder, count in Counter(variant.folder for variant in named).items():
        if count > 1:
            raise BundleError(
                "two of the bundles are of the same size, backend, quant option and context",
                where=folder, fix="leave one of them out",
            )  # fmt: skip
    families = {variant.bundle.manifest["model"]["family"] for variant in named}
    if len(families) > 1:
        raise BundleError(
            f"the bundles are of several model families: {', '.join(sorted(families))}",
            where="deploy", fix="a repository for each",
        )  # fmt: skip
    return tuple(named)


def shared_roles(variants: Sequence[Variant]) -> dict[str, str]:
    """Role -> name of its file, of those whose file is the same in all bundles; empty unless
    tokenizer and template are."""
    first = variants[0].bundle
    same = {
        role: name
        for role, name in first.manifest["roles"].items()
        if role in SHARED
        and len({each.bundle.digest(each.bundle.file(role)) for each in variants}) == 1
    }
    of_all = {role for each in variants for role in each.bundle.manifest["roles"]}
    return same if of_all & {*SHARED[:3]} <= same.keys() else {}


def word(text: str) -> str:
    """Text as a part of a path: lower case letters, digits, ``.``, ``_`` and ``-``."""
    found = re.sub(r"[^a-z0-9._-]+", "_", text.lower()).strip("._-")[:60]
    return found or "model"


def _variant(bundle: Bundle) -> Variant:
    file = bundle.file("recipe")
    body = read_plain(file) if file is not None else {}
    recipe = body if isinstance(body, dict) else {}
    backend = _option(recipe, "backend") or _delegates(bundle)
    quant = _option(recipe, "quant") or "unknown"
    size = size_of(bundle.manifest["model"]["parameters"])
    name = word(f"{bundle.manifest['model']['name']}_{backend}_{quant}")
    return Variant(bundle, name, size, word(backend), word(quant), recipe)


def _option(recipe: Mapping[str, Any], group: str) -> str | None:
    chosen = recipe.get(group)
    name = chosen.get("name") if isinstance(chosen, dict) else None
    return name if isinstance(name, str) else None


def _delegates(bundle: Bundle) -> str:
    names = bundle.manifest["requires"]["backends"]
    return "_".join(name.removesuffix("Backend") for name in names) or "cpu"


def size_of(parameters: int) -> str:
    """A number of parameters as model names have it: 135m, 1.2b."""
    for unit, letter in ((10**9, "b"), (10**6, "m"), (10**3, "k")):
        if parameters >= unit:
            digits = f"{parameters / unit:.1f}" if letter == "b" else f"{parameters / unit:.0f}"
            return digits.removesuffix(".0") + letter
    return str(parameters)


def as_json(path: Path | None) -> dict[str, Any]:
    """A JSON object of a bundle; empty if the file is not there or is none."""
    try:
        body = json.loads(path.read_text(encoding="utf-8")) if path is not None else {}
    except (OSError, ValueError):
        body = {}
    return body if isinstance(body, dict) else {}
