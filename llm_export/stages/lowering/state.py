"""Give a program a method that returns its KV caches and recurrent states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llm_export.bundle.program_state import METHOD, ProgramState, program_state
from llm_export.compat.state_method import with_state_method
from llm_export.compat.versions import lowering_untested
from llm_export.config.schema import SnapshotsKind
from llm_export.errors import PostConditionError
from llm_export.models.contract import LanguageModel
from llm_export.resolve.recipe import ResolvedRecipe


@dataclass
class Given:
    """``entry``: the manifest's entry of the emitted program; None if it has no such method."""

    entry: ProgramState | None = None


@contextmanager
def giving_state(model: LanguageModel, resolved: ResolvedRecipe) -> Iterator[Given]:
    """Context in which the program of ``model`` is emitted. Nothing is to be given where a program
    takes and returns its state, or keeps none.

    Raises:
        PostConditionError: the recipe requires it, and a delegate holds what it should return.
    """
    given, wanted = Given(), resolved.recipe.runtime.snapshots
    slots = {} if model.cache_metadata().cache_io is not None else model.state_buffers()
    if wanted is SnapshotsKind.skip or not slots or lowering_untested():
        yield given
        return
    with with_state_method(METHOD, slots) as buffers:
        yield given
    given.entry = program_state(buffers, slots)
    if given.entry is None and wanted is SnapshotsKind.require:
        raise PostConditionError(
            "the program cannot give out its state: a delegate holds it",
            where="runtime.snapshots",
            fix="runtime.snapshots=auto",
        )
