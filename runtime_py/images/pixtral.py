"""Pixtral: the image at its own ratio, in whole patches, and a token behind each row of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime_py.errors import BundleRuntimeError
from runtime_py.images.processor import ImageProcessor, Prepared, Tile
from runtime_py.images.settings import CLIP

if TYPE_CHECKING:
    from PIL.Image import Image

_ROWS, _OCR = "PixtralProcessor", "LightOnOcrProcessor"
_UNITS = {_ROWS: (16, 1), _OCR: (14, 2)}
"""Class -> patch and merged patches where its processor_config.json has none."""
_TOKENS = {"image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
"""Keys of its processor_config.json, with transformers' defaults."""


class Pixtral(ImageProcessor):
    """The parity is with transformers' ``PixtralImageProcessorPil`` for one image. A program with a
    fixed size gets every image at that size, where transformers would keep its ratio."""

    token = "[IMG]"
    varies = True
    written_by = (_ROWS, _OCR)
    defaults = {
        "size": {"longest_edge": 1024}, "patch_size": {"height": 16, "width": 16}, "resample": 3,
        "do_pad": True, "do_center_crop": False, "crop_size": None, "image_mean": CLIP[0],
        "image_std": CLIP[1],
    }  # fmt: skip

    def prepare(self) -> None:
        if self.settings.flag("do_center_crop"):
            raise BundleRuntimeError(
                "the image processor Pixtral does not crop", where="processor.json: do_center_crop",
                fix="do_center_crop: false",
            )  # fmt: skip
        if self.settings.has("size", "longest_edge"):
            longest = self.settings.edges("size", "longest_edge")["longest_edge"]
            self._most = (longest, longest)
        else:
            self._most = self.settings.square("size")
        patch, merged = _UNITS.get(self.writer, (self.settings.square("patch_size")[0], 1))
        self._unit = self._side("patch_size", patch) * self._side("spatial_merge_size", merged)
        if self.size is not None:
            self.agree(math.prod(self._grid(*self.size)))

    def _side(self, name: str, usual: int) -> int:
        found = self.layout.get(name)
        return found if type(found) is int and found > 0 else usual

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        return height // self._unit, width // self._unit

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        if self.size is not None:
            image = self.resized(image, *self.size)
        elif self.settings.flag("do_resize"):
            image = self.resized(image, *self._scaled(image))
        rows, columns = self._grid(image.height, image.width)
        tiles = (Tile(self.pixels(image), rows * columns),)
        if self.writer != _ROWS:
            return Prepared(tiles, self.image_token * (rows * columns))
        names = {key: str(self.layout.get(key) or usual) for key, usual in _TOKENS.items()}
        row = self.image_token * columns
        text = names["image_break_token"].join([row] * rows)
        return Prepared(tiles, f"{text}{names['image_end_token']}")

    def _scaled(self, image: Image) -> tuple[int, int]:
        """(height, width) in whole units, at most ``size`` before that."""
        height, width = image.height, image.width
        ratio = max(height / self._most[0], width / self._most[1])
        if ratio > 1:
            height, width = (max(math.floor(each / ratio), 1) for each in (height, width))
        rows, columns = ((each - 1) // self._unit + 1 for each in (height, width))
        return rows * self._unit, columns * self._unit


PROCESSOR = Pixtral
