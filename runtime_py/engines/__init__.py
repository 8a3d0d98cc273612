"""Engines: what can run a bundle. One file each, with an ``OPENER``.

Other packages add theirs by an entry point of the group ``runtime_py.engines``: a name, and the
place of an ``Opener``.
"""

from __future__ import annotations

from importlib import import_module, metadata

from runtime_py.engines.engine import Engine, Opener, PlainEngine, SelfSampling
from runtime_py.errors import ArgumentError, shown
from runtime_py.guard import guarded

__all__ = ["DEFAULT", "Engine", "Opener", "PlainEngine", "SelfSampling", "engines", "opener",
           "register"]  # fmt: skip

DEFAULT = "executorch"
GROUP = "runtime_py.engines"

_PLACES = {name: f"runtime_py.engines.{name}:OPENER" for name in ("executorch", "runner")}


def register(name: str, place: str) -> None:
    """Add an engine, or replace one.

    Args:
        place: ``module:attribute`` of an ``Opener``; it is imported when the engine is asked for.
    """
    _PLACES[name] = place


def engines() -> list[str]:
    """Names of all engines that are installed."""
    return sorted({*_PLACES, *(each.name for each in metadata.entry_points(group=GROUP))})


def opener(name: str) -> Opener:
    """The engine of a name.

    Raises:
        ArgumentError: there is none.
        BundleRuntimeError: it cannot be imported.
    """
    if not isinstance(name, str):
        raise ArgumentError(f"engine must be a name, not {type(name).__name__}")
    place = _PLACES.get(name)
    if place is None:
        found = {each.name: each.value for each in metadata.entry_points(group=GROUP)}
        if name not in found:
            raise ArgumentError(
                f"there is no engine {shown(name)}", fix=f"one of {', '.join(engines())}"
            )
        place = found[name]
    module, _, attribute = place.partition(":")
    with guarded(f"the engine '{name}' cannot be used", where=place):
        made: Opener = getattr(import_module(module), attribute)
    return made
