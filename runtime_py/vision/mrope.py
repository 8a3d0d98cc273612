"""Positions of text and images in three streams (M-RoPE, arXiv:2409.12191).

A text token has the same position in all streams. The tokens of an image share the temporal one,
and count its rows and columns from there; text goes on after the longer side. A step's positions
follow from those before it by one number, so that a sequence may be fed in any steps, and truncated
anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from runtime_py.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXT = -1
"""The offset of a token that is of no image."""


class StreamPositions(NamedTuple):
    """
    Attributes:
        positions: [3, S] int64: temporal, row, column; the input of ``text_decoder``.
        following: [S] int64, after each token the position that text would go on with.
    """

    positions: NDArray[np.int64]
    following: NDArray[np.int64]


def stream_positions(
    offsets: Sequence[int] | NDArray[np.int64], grid: tuple[int, int], start: int = 0
) -> StreamPositions:
    """Positions of a step's tokens.

    Args:
        offsets: of each token its index among the tokens of its image, which are row by row;
            ``TEXT`` for text.
        grid: rows and columns of an image's tokens.
        start: the last of ``following`` of the step before; 0 at the beginning.

    Raises:
        ArgumentError: an offset is not one of the grid's.
    """
    import numpy as np

    rows, columns = grid
    at = np.asarray(offsets, dtype=np.int64)
    if at.size and not (at.min() >= TEXT and at.max() < rows * columns):
        wrong = next(int(x) for x in at if not TEXT <= x < rows * columns)
        raise ArgumentError(
            f"{wrong} is not the index of a token of an image of {rows} x {columns} tokens",
            where="offsets",
            fix=f"0 to {rows * columns - 1}, and {TEXT} for text",
        )
    text = at == TEXT
    advances = text + max(grid) * (at == rows * columns - 1)
    following = start + np.cumsum(advances)
    here = following - advances
    inside = np.where(text, 0, at)
    positions = np.stack((here, here + inside // columns, here + inside % columns))
    return StreamPositions(positions, following)
