"""Package versions and machine description, for run records and lock files. The packages are not
imported."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError

from llm_export.compat.versions import version
from llm_export.plugins.versions import plugin_versions

PACKAGES = (
    "llm_export", "torch", "executorch", "torchao", "hydra-core", "omegaconf", "gguf",
    "safetensors", "huggingface_hub", "tokenizers", "pytorch-tokenizers", "jinja2", "numpy",
    "torchtune", "datasets",
)  # fmt: skip


def package_versions() -> dict[str, str]:
    """Installed version of each package that is used in an export, plugins included."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, **plugin_versions()}


@dataclass(frozen=True)
class Machine:
    """The machine of a run."""

    system: str
    release: str
    architecture: str
    python: str
    cpu: str
    logical_cpus: int | None
    memory_bytes: int


def machine() -> Machine:
    from runtime_py.conditions import cpu_name
    from runtime_py.memory import installed

    return Machine(
        system=platform.system(),
        release=platform.release(),
        architecture=platform.machine(),
        python=platform.python_version(),
        cpu=cpu_name(),
        logical_cpus=os.cpu_count(),
        memory_bytes=installed(),
    )
