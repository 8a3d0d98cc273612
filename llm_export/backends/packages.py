"""A backend's requirements on this machine, and whether they are met. Nothing is imported."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Availability:
    """Whether an action is possible on this machine, and if not, the command that makes it
    possible.
    """

    ok: bool
    reason: str = ""
    fix: str = ""


Need = Callable[[], Availability]
"""One requirement."""


@dataclass(frozen=True)
class Package:
    """A Python package.

    Attributes:
        requirement: pip requirement, e.g. "openvino>=2025.4,<2026".
        extra: the extra of llm_export that installs it; empty for a core dependency.
        why: what goes wrong with other versions, for messages.
    """

    requirement: str
    extra: str = ""
    why: str = ""

    def __call__(self) -> Availability:
        from packaging.requirements import Requirement  # a tenth of a second, and `ls` needs none

        wanted = Requirement(self.requirement)
        fix = f'pip install "llm_export[{self.extra}]"' if self.extra else f"pip install {wanted}"
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            return Availability(False, f"the package '{wanted.name}' is not installed", fix)
        if wanted.specifier.contains(found, prereleases=True):
            return Availability(True)
        why = f" ({self.why})" if self.why else ""
        text = f"{wanted.name} {found} is installed, and {wanted.specifier} is needed{why}"
        return Availability(False, text, f'pip install "{wanted}"')


@dataclass(frozen=True)
class Module:
    """A module or file that only some builds of a package contain.

    Attributes:
        name: searched as a file; neither the module nor its parents are imported.
        reason: the message if it is missing.
    """

    name: str
    reason: str = ""
    fix: str = "pip install executorch"

    def __call__(self) -> Availability:
        if has_module(self.name):
            return Availability(True)
        return Availability(False, self.reason or f"'{self.name}' is not installed", self.fix)


@dataclass(frozen=True)
class Platform:
    """An operating system: "Darwin", "Linux", "Windows"."""

    system: str
    reason: str
    fix: str

    def __call__(self) -> Availability:
        return Availability(platform.system() == self.system, self.reason, self.fix)


@dataclass(frozen=True)
class Never:
    """A requirement that no Python environment can meet, because it is a different device."""

    reason: str
    fix: str

    def __call__(self) -> Availability:
        return Availability(False, self.reason, self.fix)


def first_lacking(needs: Iterable[Need]) -> Availability:
    """The first requirement that is not met; ok if all are."""
    for need in needs:
        state = need()
        if not state.ok:
            return state
    return Availability(True)


def has_module(name: str) -> bool:
    """Whether a module's file exists."""
    top, *rest = name.split(".")
    spec = find_spec(top)
    if spec is None or not rest:
        return spec is not None
    places = [Path(folder, *rest) for folder in spec.submodule_search_locations or []]
    endings = (".py", *EXTENSION_SUFFIXES)
    return any(p.is_dir() or any(Path(f"{p}{e}").is_file() for e in endings) for p in places)
