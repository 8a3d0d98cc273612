"""Requirements that pip cannot install: SDKs, Python versions, devices. Nothing is imported."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from llm_export.backends.packages import Availability
from llm_export.home import expanded


@dataclass(frozen=True)
class Variable:
    """An environment variable that names the folder of an SDK.

    Attributes:
        holds: a file that the folder must contain, to detect a wrong folder early.
        reason: the message if the variable is not set.
        instead: an alternative folder, the default of the vendor's installer.
    """

    name: str
    holds: str
    reason: str
    fix: str
    instead: str = ""

    def __call__(self) -> Availability:
        folder = os.environ.get(self.name, "")
        if folder and not Path(folder, self.holds).is_file():
            return Availability(False, f"{self.name}={folder} has no {self.holds}", self.fix)
        if folder or (self.instead and expanded(f"{self.instead}/{self.holds}").is_file()):
            return Availability(True)
        return Availability(False, self.reason, self.fix)


@dataclass(frozen=True)
class PythonAtLeast:
    """A minimum Python version, e.g. "3.12"."""

    version: str
    reason: str

    def __call__(self) -> Availability:
        wanted = tuple(int(part) for part in self.version.split("."))
        if sys.version_info[: len(wanted)] >= wanted:
            return Availability(True)
        found = ".".join(map(str, sys.version_info[:3]))
        fix = f"python{self.version} -m venv venv, and install llm_export there"
        return Availability(False, f"{self.reason} (this is {found})", fix)


@dataclass(frozen=True)
class PackageFile:
    """A file that only some builds of a package contain.

    Attributes:
        name: glob pattern inside the package's folder.
    """

    package: str
    name: str
    reason: str
    fix: str

    def __call__(self) -> Availability:
        spec = find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        if any(True for folder in folders or [] for _ in Path(folder).glob(self.name)):
            return Availability(True)
        return Availability(False, self.reason, self.fix)


@dataclass(frozen=True)
class Device:
    """A device file, present when the driver is loaded."""

    path: str
    reason: str
    fix: str

    def __call__(self) -> Availability:
        return Availability(Path(self.path).exists(), self.reason, self.fix)
