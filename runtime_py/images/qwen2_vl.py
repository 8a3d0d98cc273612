"""Qwen2-VL and Qwen3-VL: the image at its own ratio, in whole patches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime_py.images.processor import MOST_RATIO, ImageProcessor, Prepared, Tile, too_long
from runtime_py.images.settings import CLIP

if TYPE_CHECKING:
    from PIL.Image import Image


class Qwen2Vl(ImageProcessor):
    """The parity is with transformers' ``Qwen2VLImageProcessorPil``, before its patches are put in
    a row: the vision encoder takes pixels. A program with a fixed size gets every image at that
    size, where transformers would keep its ratio."""

    token = "<|image_pad|>"
    varies = True
    written_by = ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor")
    defaults = {
        "size": {"shortest_edge": 3136, "longest_edge": 1003520}, "resample": 3,
        "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
        "min_pixels": None, "max_pixels": None, "image_mean": CLIP[0], "image_std": CLIP[1],
    }  # fmt: skip

    def prepare(self) -> None:
        self._unit = self.settings.whole("patch_size") * self.settings.whole("merge_size")
        size = self.settings.edges("size", "shortest_edge", "longest_edge")
        given = self.settings.given
        self._least = self.settings.whole("min_pixels") if "min_pixels" in given else (
            size["shortest_edge"]
        )  # fmt: skip
        self._most = self.settings.whole("max_pixels") if "max_pixels" in given else (
            size["longest_edge"]
        )  # fmt: skip
        if self.size is not None:
            self.agree(self._count(*self.size))

    def _count(self, height: int, width: int) -> int:
        return (height // self._unit) * (width // self._unit)

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        if self.settings.flag("do_resize") or self.size:
            image = self.resized(image, *self.fixed(*self._smart(image.height, image.width)))
        count = self._count(image.height, image.width)
        return Prepared((Tile(self.pixels(image), count),), self.image_token * count)

    def _smart(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        if max(height, width) > MOST_RATIO * min(height, width):
            raise too_long(width, height)
        unit = self._unit
        down, across = (round(x / unit) * unit for x in (height, width))
        if down * across > self._most:
            scale = math.sqrt(height * width / self._most)
            down, across = (max(unit, math.floor(x / scale / unit) * unit) for x in (height, width))
        elif down * across < self._least:
            scale = math.sqrt(self._least / (height * width))
            down, across = (math.ceil(x * scale / unit) * unit for x in (height, width))
        return down, across


PROCESSOR = Qwen2Vl
