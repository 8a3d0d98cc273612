"""Idefics 3 and SmolVLM: the image in tiles of one size, and all of it in a last one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime_py.images.processor import ImageProcessor, Prepared, Tile, grid
from runtime_py.images.settings import IMAGENET

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST = 4096
"""Pixels of the longest edge, whatever the settings say."""


class Idefics3(ImageProcessor):
    """The parity is with transformers' ``Idefics3ImageProcessorPil``."""

    written_by = ("Idefics3Processor", "SmolVLMProcessor")
    defaults = {
        "size": {"longest_edge": 1456}, "max_image_size": {"longest_edge": 364}, "resample": 1,
        "do_image_splitting": True, "do_pad": True,
        "image_mean": IMAGENET[0], "image_std": IMAGENET[1],
    }  # fmt: skip

    def prepare(self) -> None:
        self._edge = self.settings.edges("max_image_size", "longest_edge")["longest_edge"]
        if self.size is not None:
            self._edge = self.size[0]
        self._longest: int | None = None
        self._exact = (0, 0)
        if self.settings.has("size", "longest_edge"):
            self._longest = self.settings.edges("size", "longest_edge")["longest_edge"]
        else:
            self._exact = self.settings.square("size")
        self._each = self.tokens("image_seq_len", 169)

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        edge = self._edge
        if self.settings.flag("do_resize"):
            image = self.resized(image, *self._scaled(image))
        if not self.settings.flag("do_image_splitting") or detail == "low":
            return self._one(self.resized(image, edge, edge))
        image = self.resized(image, *self._multiple(image))
        if max(image.size) <= edge:
            return self._one(image)
        rows = grid(image, edge, edge)
        tiles = [tile for row in rows for tile in row]
        text = "\n".join(
            "".join(self._tile(f"<row_{y + 1}_col_{x + 1}>") for x in range(len(row)))
            for y, row in enumerate(rows)
        )
        last = self._one(self.resized(image, edge, edge))
        made = tuple(Tile(self.pixels(tile), self._each) for tile in tiles)
        return Prepared((*made, *last.tiles), f"{text}\n\n{last.text}")

    def _one(self, image: Image) -> Prepared:
        text = f"{self._tile('<global-img>')}<fake_token_around_image>"
        return Prepared((Tile(self.pixels(image), self._each),), text)

    def _tile(self, name: str) -> str:
        return f"<fake_token_around_image>{name}{self.image_token * self._each}"

    def _scaled(self, image: Image) -> tuple[int, int]:
        """(height, width) with the longest edge of the settings."""
        if self._longest is None:
            return self._exact
        width, height = image.size
        ratio = width / height
        if width >= height:
            width = self._longest
            height = int(width / ratio)
            height += height % 2
        else:
            height = self._longest
            width = int(height * ratio)
            width += width % 2
        height, width = max(height, 1), max(width, 1)
        ratio = width / height
        if width >= height and width > _MOST:
            height, width = int(_MOST / ratio), _MOST
        elif height > width and height > _MOST:
            height, width = _MOST, int(_MOST * ratio)
        return max(height, 1), max(width, 1)

    def _multiple(self, image: Image) -> tuple[int, int]:
        """(height, width) of whole tiles."""
        width, height = image.size
        ratio = width / height
        if width >= height:
            width = _up(width, self._edge)
            height = _up(int(width / ratio), self._edge)
        else:
            height = _up(height, self._edge)
            width = _up(int(height * ratio), self._edge)
        return height, width


def _up(value: int, unit: int) -> int:
    return math.ceil(value / unit) * unit


PROCESSOR = Idefics3
