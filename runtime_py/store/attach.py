"""Sessions of a loaded program, from a store and to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.store.blocks import Slots, slots_of
from runtime_py.store.prefixes import Prefixes

if TYPE_CHECKING:
    from runtime_py.resumable import Resumable
    from runtime_py.sampling import Sampling
    from runtime_py.snapshots import Snapshot


def resume(prefixes: Prefixes, text: Resumable, tokens: Sequence[int]) -> int:
    """Let a text begin with what is stored of ``tokens``; returns how many that are."""
    found = prefixes.load(*text.digests, tokens) if text.gives_state else None
    if found is None:
        return 0
    try:
        text.restore(found)
    except BundleRuntimeError as error:
        prefixes.reject(found.program, error)
        return 0
    return found.position


def taken(text: Resumable) -> tuple[Snapshot | None, Slots]:
    """What the program remembers of a text, if it gives that out."""
    program = text.manifest["program"]
    return (text.snapshot() if text.gives_state else None), slots_of(program)


def stateless(text: Resumable) -> BundleRuntimeError:
    """The error where a program does not give out its state."""
    return BundleRuntimeError(
        "the program does not give out its state", where=text.manifest["name"],
        fix="export again with runtime.snapshots=require",
    )  # fmt: skip


def sampling_with(defaults: Sampling, settings: Mapping[str, Any]) -> Sampling:
    """The defaults with those of the stored settings that are of sampling."""
    from runtime_py.sampling import SETTINGS

    own = {name: value for name, value in settings.items() if name in SETTINGS}
    return replace(defaults, **own)


def stats_of(stats: Mapping[str, Any] | None, messages: Sequence[Any]) -> dict[int, Any]:
    """Those of the last answer, by the index of its message."""
    answers = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
    return {answers[-1]: dict(stats)} if stats is not None and answers else {}
