"""Option files, extras and fix lines of backends say what their Python files say."""

from __future__ import annotations

import configparser
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.backends.base import DeclaredBackend
from llm_export.backends.packages import Package
from llm_export.checks.rules import find_problems

REPO = Path(__file__).parents[2]
sys.path.insert(0, str(REPO / "docs_tools"))

import backend_options  # noqa: E402


def test_option_files_are_as_the_backends_say() -> None:
    """Otherwise: python docs_tools/backend_options.py"""
    assert [path.name for path in backend_options.different()] == []


@pytest.mark.parametrize("name", list(BACKENDS))
def test_an_option_file_composes_to_the_defaults(name: str) -> None:
    backend = BACKENDS.get(name)
    recipe = api.compose_recipe(None, ["model=tiny", f"backend={name}"]).recipe
    assert backend.options(**recipe.backend.options) == backend.options()
    assert set(recipe.backend.options) == {f.name for f in fields(backend.options)}
    assert recipe.backend.description.startswith(backend.description)


@pytest.mark.parametrize(
    ("backend", "option", "value"),
    [("qnn", "shared_buffer", True), ("nxp", "fetch_constants_to_sram", False)],
)
def test_options_that_could_not_be_set(backend: str, option: str, value: bool) -> None:
    words = [f"backend={backend}", "quant=8a8w", f"backend.options.{option}={str(value).lower()}"]
    recipe = api.compose_recipe(None, ["model=tiny", *words]).recipe
    assert recipe.backend.options[option] is value
    assert [str(p) for p in find_problems(recipe) if not p.environment] == []


def packages() -> dict[str, dict[str, Requirement]]:
    """Extra -> package -> what backends require of it."""
    found: dict[str, dict[str, Requirement]] = {}
    for name in BACKENDS:
        backend = BACKENDS.get(name)
        assert isinstance(backend, DeclaredBackend)
        for need in (*backend.needs, *backend.runs):
            if isinstance(need, Package) and need.extra:
                wanted = Requirement(need.requirement)
                former = found.setdefault(need.extra, {}).setdefault(wanted.name, wanted)
                assert former == wanted, f"{name}: two requirements of {wanted.name}"
    return found


def test_extras_install_what_backends_need() -> None:
    setup = configparser.ConfigParser()
    setup.read(REPO / "setup.cfg")
    extras = {
        extra: {r.name: r for r in map(Requirement, text.split("\n")[1:])}
        for extra, text in setup["options.extras_require"].items()
    }
    needed = packages()
    assert needed, "no backend names an extra"
    for extra, wanted in needed.items():
        assert extras[extra] == wanted, extra
