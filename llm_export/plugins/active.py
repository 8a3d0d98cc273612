"""The active plugins of this process; registries subscribe to their entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from llm_export.plugins.discover import Provider, default_folder, installed, of_folder

Consumer = Callable[[str, str, str], str | None]
"""(name, "module:attribute", origin) -> who has the name already; None if it was free."""


@dataclass(frozen=True)
class Clash:
    """A name registered twice; the first registration is kept."""

    what: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.first} and {self.second} both bring the {self.what}"


@dataclass
class _State:
    installed: tuple[Provider, ...] | None = None
    folders: dict[Path, Provider] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)
    consumers: list[tuple[str, str, Consumer]] = field(default_factory=list)


_STATE = _State()


def subscribe(kind: str, label: str, consumer: Consumer) -> None:
    """Pass every entry of a field of ``Plugin`` to ``consumer``: existing and later ones.

    Args:
        kind: the field, e.g. ``families``.
        label: name of the kind in reports of duplicate names; empty reports none.
    """
    _STATE.consumers.append((kind, label, consumer))
    for provider in (*(_STATE.installed or ()), *_STATE.folders.values()):
        _offer(provider, kind, label, consumer)


def activate(config_dir: str | None = None) -> tuple[Provider, ...]:
    """Activate all plugins: pass their entries to the subscribers, and return the plugins.

    Each plugin is activated only once per process; registered entries stay registered.

    Args:
        config_dir: the folder of ``--config-dir``; one that does not exist is left to others.
    """
    if _STATE.installed is None:
        _STATE.installed = tuple(installed())
        for provider in _STATE.installed:
            _offer_all(provider)
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
    """Names registered by two plugins, or by a plugin and llm_export."""
    return list(_STATE.clashes)


def folders_in_use() -> set[Path]:
    """Folders whose code has been asked for in this process."""
    return set(_STATE.folders)


def _folder(folder: Path, own: bool) -> Provider:
    if folder not in _STATE.folders:
        _STATE.folders[folder] = provider = of_folder(folder, own=own)
        _offer_all(provider)
    return _STATE.folders[folder]


def _offer_all(provider: Provider) -> None:
    for kind, label, consumer in _STATE.consumers:
        _offer(provider, kind, label, consumer)


def _offer(provider: Provider, kind: str, label: str, consumer: Consumer) -> None:
    if provider.plugin is None:
        return
    for name, target in getattr(provider.plugin, kind).items():
        first = consumer(name, target, provider.origin)
        if first is not None and label:
            _STATE.clashes.append(Clash(f"{label} '{name}'", first, provider.origin))
