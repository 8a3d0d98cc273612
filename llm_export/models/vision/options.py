"""The options of the task ``see``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SeeOptions:
    """
    Attributes:
        image_size: height and width of an image, or of a tile of one, in pixels; None is what the
            model was trained with.
    """

    image_size: tuple[int, int] | None = None
