"""What is kept of a text while another one has the program."""

from __future__ import annotations

from typing import NamedTuple

from runtime_py.marks import Marks
from runtime_py.program_state import Copied


class Parked(NamedTuple):
    """Beside the rows of caches that nothing overwrites. None of it is changed later.

    Attributes:
        furthest: largest position that was reached before going back to ``position``.
        changing: rings and recurrent states, as they were at ``position``.
        marks: positions to which the text can go back.
    """

    position: int
    furthest: int
    changing: Copied
    marks: Marks

    @property
    def bytes(self) -> int:
        return sum(t.nbytes for t in self.changing.values()) + self.marks.bytes
