"""Report which backends this machine can lower for and run, and what is missing. The packages are
not imported."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from llm_export.arm.parts import Part, own_kernels, parts
from llm_export.backends import BACKENDS
from llm_export.backends.base import Backend
from llm_export.backends.known_issues import KnownIssue, issues_here
from llm_export.backends.packages import Availability, Need, Package
from llm_export.checks.extras import ExtraState, extra_states
from llm_export.compat.versions import installed
from llm_export.config.quant_schema import ModuleKind
from llm_export.plugins.active import activate, registry_clashes
from llm_export.plugins_registration import faults
from llm_export.quant.schemes import TABLES, supported
from llm_export.versions import Machine, machine, package_versions
from runtime_py.memory import available


@dataclass(frozen=True)
class BackendState:
    """State of a backend on this machine.

    Attributes:
        packages: packages that only this backend needs -> installed version.
        lacking: what is missing, for lowering first, then for running.
    """

    name: str
    description: str
    experimental: str
    lowers: bool
    runs: bool
    packages: dict[str, str | None]
    lacking: list[Availability]


@dataclass(frozen=True)
class PluginState:
    """A plugin and its problems; empty if there are none.

    Attributes:
        origin: distribution and version, or the folder.
    """

    name: str
    origin: str
    problems: list[str]


@dataclass(frozen=True)
class MachineNow(Machine):
    """The machine as in run records, with free memory, and free disk space in this folder."""

    memory_available_bytes: int
    disk_free_bytes: int


@dataclass(frozen=True)
class Diagnosis:
    """The output of ``doctor``."""

    machine: MachineNow
    packages: dict[str, str]
    libraries: dict[str, str | None]
    """Content of a library in ExecuTorch's wheel -> its file; None if it is missing."""
    backends: list[BackendState]
    issues: list[KnownIssue]
    plugins: list[PluginState]
    extras: list[ExtraState]
    arm: list[Part]
    """What emulating kernels for Arm needs; empty on a machine whose own kernels these are."""

    def as_dict(self) -> dict[str, object]:
        return {
            "machine": asdict(self.machine),
            "packages": self.packages,
            "libraries": self.libraries,
            "backends": [asdict(state) for state in self.backends],
            "known_issues": [issue_facts(issue) for issue in self.issues],
            "plugins": [asdict(state) for state in self.plugins],
            "arm": [part.as_dict() for part in self.arm],
            "extras": [{**asdict(state), "install": state.install} for state in self.extras],
        }


def diagnose(config_dir: str | None = None) -> Diagnosis:
    """Examine this machine, the plugins and every backend; backends that it can lower for come
    first. A plugin's backend that cannot be imported is reported as a problem of the plugin."""
    plugins = list(plugin_states(config_dir))
    states = sorted(
        map(state_of, BACKENDS.sound()), key=lambda s: (not s.lowers, not s.runs, s.name)
    )
    return Diagnosis(
        machine_now(), package_versions(), libraries(), states, list(issues_here()), plugins,
        extra_states(), [] if own_kernels() else parts(),
    )  # fmt: skip


def plugin_states(config_dir: str | None) -> Iterator[PluginState]:
    """Each plugin with its own problems and its clashes with other plugins."""
    clashes = registry_clashes()
    for provider in activate(config_dir):
        problems = [provider.error] if provider.error else faults(provider)
        problems += [str(c) for c in clashes if provider.origin in (c.first, c.second)]
        yield PluginState(provider.name, provider.origin, problems)


def state_of(name: str) -> BackendState:
    """The state of one backend.

    Raises:
        RecipeError: there is no such backend.
    """
    backend = BACKENDS.get(name)
    lowers, runs = backend.availability(), backend.runnable_here()
    lacking = lacking_of(needs_of(backend, "needs")) or [s for s in (lowers,) if not s.ok]
    lacking += lacking_of(needs_of(backend, "runs")) or [
        s for s in (runs,) if not s.ok and s not in lacking
    ]
    return BackendState(
        name, backend.description, getattr(backend, "experimental", ""), lowers.ok, runs.ok,
        _packages(backend), lacking,
    )  # fmt: skip


def needs_of(backend: Backend, kind: str) -> tuple[Need, ...]:
    """The ``needs`` or ``runs`` of a declared backend; empty for other backend classes, which do
    not list them."""
    return getattr(backend, kind, ())


def lacking_of(needs: Iterable[Need]) -> list[Availability]:
    return [state for state in (need() for need in needs) if not state.ok]


def details_of(name: str) -> dict[str, object]:
    """One backend with its options, limits and schemes, as plain data.

    Raises:
        RecipeError: there is no such backend.
    """
    backend = BACKENDS.get(name)
    limits = backend.capabilities
    return {
        **asdict(state_of(name)),
        "registered_by": BACKENDS.origin(name),
        "options": [_option(f) for f in fields(backend.options)],
        "options_help": (backend.options.__doc__ or "") if fields(backend.options) else "",
        "dynamic_shapes": limits.dynamic_shapes,
        "attention": list(limits.attention),
        "static_attention": list(limits.static_attention),
        "computes_in": limits.computes_in,
        "schemes": {kind.value: list(supported(name, kind)) for kind in ModuleKind},
        "why_not": dict(TABLES.get(name).why_not),
        "known_issues": [issue_facts(i) for i in issues_here() if name in i.backends],
        "references": list(getattr(backend, "references", ())),
    }


def issue_facts(issue: KnownIssue) -> dict[str, object]:
    return {
        "id": issue.id, "what": issue.what, "fix": issue.fix, "link": issue.link,
        "backends": list(issue.backends), "guard": issue.guard,
    }  # fmt: skip


def machine_now() -> MachineNow:
    return MachineNow(
        **asdict(machine()),
        memory_available_bytes=available(),
        disk_free_bytes=shutil.disk_usage(os.getcwd()).free,
    )


_LIBRARIES = {
    "attention and cache operators": "extension/llm/custom_ops/libcustom_ops_aot_lib.*",
    "quantized operators": "kernels/quantized/libquantized_ops_aot_lib.*",
    "runtime": "extension/pybindings/_C.*",
    "C++ LLM runner": "extension/llm/runner/_llm_runner.*",
}


def libraries() -> dict[str, str | None]:
    """Content of a library -> its file in ExecuTorch's package. The file is not loaded."""
    spec = find_spec("executorch")
    roots = [Path(p) for p in (spec.submodule_search_locations or [])] if spec else []
    found: dict[str, str | None] = {}
    for what, pattern in _LIBRARIES.items():
        files = [file for root in roots for file in root.glob(pattern) if file.suffix != ".pyi"]
        found[what] = str(files[0]) if files else None
    return found


def _packages(backend: Backend) -> dict[str, str | None]:
    needs = (*needs_of(backend, "needs"), *needs_of(backend, "runs"))
    names = [Requirement(need.requirement).name for need in needs if isinstance(need, Package)]
    return {name: installed(name) or None for name in names}


def _option(field: Field[Any]) -> dict[str, object]:
    required = field.default is MISSING and field.default_factory is MISSING
    default = field.default_factory() if field.default_factory is not MISSING else field.default
    return {"key": f"backend.options.{field.name}", "type": str(field.type),
            "default": None if required else default}  # fmt: skip
