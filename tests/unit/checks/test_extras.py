"""Optional packages that doctor lists."""

from __future__ import annotations

import configparser
from pathlib import Path

from packaging.requirements import Requirement

from llm_export.checks.extras import EXTRAS, extra_states

SETUP = Path(__file__).resolve().parents[3] / "setup.cfg"


def test_extras_are_those_of_the_package() -> None:
    parser = configparser.ConfigParser()
    parser.read(SETUP)
    extras = parser["options.extras_require"]
    for name, (package, _) in EXTRAS.items():
        named = [Requirement(line).name for line in extras[name].split("\n") if line]
        assert package in named, name


def test_installed_and_lacking_packages_are_told_apart() -> None:
    states = {state.name: state for state in extra_states()}
    assert states["tune"].version
    assert states["tune"].install == "pip install 'llm_export[tune]'"
