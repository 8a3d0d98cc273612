"""The manifest's entry for the state that a program gives out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from llm_export.compat.state_method import MutableBuffer
from llm_export.json_data import OPTIONAL

METHOD = "state"


@dataclass(frozen=True)
class StateTensor:
    """A buffer of keys, of values or of a recurrent state.

    Attributes:
        slots: dimension along which it has a slot for each position; None: it has none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    slots: int | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class ProgramState:
    """What the program remembers of a text.

    Attributes:
        method: takes nothing and returns ``tensors``, the memory itself.
        bytes: of all tensors.
    """

    method: str
    bytes: int
    tensors: tuple[StateTensor, ...]


def program_state(
    buffers: Sequence[MutableBuffer], slots: Mapping[str, int | None]
) -> ProgramState | None:
    """The entry of a program that has been given the method; None if it has not.

    Args:
        slots: see ``LanguageModel.state_buffers``.
    """
    if not buffers:
        return None
    tensors = tuple(StateTensor(b.name, b.shape, b.dtype, slots[b.name]) for b in buffers)
    return ProgramState(METHOD, sum(b.bytes for b in buffers), tensors)
