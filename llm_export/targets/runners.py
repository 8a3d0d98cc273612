"""Programs that measure a bundle on a device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_export.targets.base import Target
from llm_export.targets.facts import DeviceFacts
from llm_export.targets.push import Item
from runtime_py.bundle import Bundle

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measurement:
    """What is to be measured, as ``runtime_py.benchmark`` takes it.

    Attributes:
        settings: name of an argument -> value; None leaves it to the runner.
        time_limit: seconds for the whole measurement; None is no limit.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    time_limit: float | None = None


class Runner(ABC):
    """Measures bundles on a device.

    Attributes:
        name: as results name it.
    """

    name: str

    @abstractmethod
    def files(
        self, bundle: Bundle, adapter: str | None, facts: DeviceFacts
    ) -> tuple[list[Item], list[Item]]:
        """The files of the bundle that it needs, and its own.

        Raises:
            LlmExportError: it cannot run this bundle, or its own files are missing.
        """

    @abstractmethod
    def check(self, target: Target, settings: dict[str, Any]) -> None:
        """Make sure, before anything is copied, that the device has what it needs.

        Args:
            settings: of the measurement.

        Raises:
            InputError: it does not know a setting.
            TargetError: something is missing; the message says how to install it.
        """

    @abstractmethod
    def measure(
        self, target: Target, bundle: Bundle, places: Places, wanted: Measurement, say: Say
    ) -> dict[str, Any]:
        """Run it.

        Returns:
            The JSON object of benchmark.json; ``bundle`` is left to the caller.

        Raises:
            TargetError: it failed, or the time is over.
        """


@dataclass(frozen=True)
class Places:
    """Absolute paths of folders on the device, and what it is."""

    bundle: str
    runner: str
    facts: DeviceFacts


def of_bundle(bundle: Bundle, paths: Sequence[str]) -> list[Item]:
    """Files of a bundle, with the digests of its manifest."""
    files = bundle.manifest["files"]
    return [
        Item(Path(bundle.path, path), path, files[path]["bytes"], files[path]["sha256"])
        for path in paths
    ]
