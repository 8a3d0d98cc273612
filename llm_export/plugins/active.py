"""Put what plugins bring into the registries, once a process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.backends import BACKENDS
from llm_export.checkpoints.readers import READERS
from llm_export.models.families import FAMILIES
from llm_export.plugins.discover import Provider, default_folder, installed, of_folder
from llm_export.quant.schemes import TABLES
from llm_export.registry import OWN, Registry
from llm_export.transforms import TRANSFORMS

REGISTRIES: dict[str, Registry[Any]] = {
    "families": FAMILIES,
    "backends": BACKENDS,
    "transforms": TRANSFORMS,
    "checkpoint_readers": READERS,
}
"""Field of ``Plugin`` -> where its entries go."""


@dataclass(frozen=True)
class Clash:
    """A name that two claim: the first keeps it until one of them gives way."""

    what: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.first} and {self.second} both bring the {self.what}"


@dataclass
class _State:
    installed: tuple[Provider, ...] | None = None
    folders: dict[Path, Provider] | None = None
    clashes: list[Clash] | None = None


_STATE = _State()


def activate(config_dir: str | None = None) -> tuple[Provider, ...]:
    """Every plugin that counts, after its names have gone into the registries.

    A process does each only once: what code has registered stays registered.

    Args:
        config_dir: the folder of ``--config-dir``; one that does not exist is left to others.
    """
    if _STATE.installed is None:
        _STATE.installed, _STATE.folders, _STATE.clashes = tuple(installed()), {}, []
        for provider in _STATE.installed:
            _register(provider)
    return (*_STATE.installed, *(_folder(f, own) for f, own in folders(config_dir)))


def folders(config_dir: str | None) -> list[tuple[Path, bool]]:
    """(folder, whether it is the user's own) in the order in which they are searched."""
    own = default_folder()
    found = [(own, True)] if own is not None else []
    if config_dir is not None and (given := Path(config_dir)).is_dir():
        path = given.resolve()
        found += [(path, False)] if path != own else []
    return found


def registry_clashes() -> list[Clash]:
    """Names of registries that two plugins claim, or a plugin and this program."""
    return list(_STATE.clashes or ())


def folders_in_use() -> set[Path]:
    """Folders whose code has been asked for in this process."""
    return set(_STATE.folders or ())


def _folder(folder: Path, own: bool) -> Provider:
    assert _STATE.folders is not None
    if folder not in _STATE.folders:
        _STATE.folders[folder] = provider = of_folder(folder, own=own)
        _register(provider)
    return _STATE.folders[folder]


def _register(provider: Provider) -> None:
    if provider.plugin is None:
        return
    assert _STATE.clashes is not None
    for kind, name, target in provider.plugin.targets():
        registry = REGISTRIES[kind]
        if name in registry:
            what = f"{registry.kind} '{name}'"
            _STATE.clashes.append(Clash(what, registry.origin(name), provider.origin))
            continue
        registry.register(name, target, provider.origin)
        if kind == "backends":
            TABLES.register(name, f"{target.partition(':')[0]}:SUPPORT", provider.origin)


def faults(provider: Provider) -> list[str]:
    """What is wrong with a plugin's entries once they are imported, each in a line."""
    if provider.plugin is None:
        return []
    found = []
    for kind, name, _ in provider.plugin.targets():
        registry = REGISTRIES[kind]
        if registry.origin(name) != provider.origin or registry.origin(name) == OWN:
            continue
        fault = registry.fault(name) or (TABLES.fault(name) if kind == "backends" else None)
        found += [fault.what] if fault is not None else []
    return found
