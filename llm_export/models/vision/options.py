"""The options of the task ``see``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SeeOptions:
    """
    Attributes:
        image_size: height and width of an image, or of a tile of one, in pixels; None is what the
            model was trained with.
        processor: keys of preprocessor_config.json that replace the checkpoint's, such as
            do_image_splitting; all of them where it has no such file.
    """

    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        size = self.image_size or (1, 1)
        if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
            raise ValueError("image_size: not a height and a width in pixels")

    processor: dict[str, Any] = field(default_factory=dict)
