"""SigLIP: every image at one size, without regard to its ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_py.images.processor import ImageProcessor, Prepared, Tile
from runtime_py.images.settings import IMAGENET

if TYPE_CHECKING:
    from PIL.Image import Image


class Siglip(ImageProcessor):
    """The parity is with transformers' ``SiglipImageProcessorPil``."""

    written_by = ("SiglipProcessor",)
    defaults = {
        "size": {"height": 224, "width": 224}, "resample": 3,
        "image_mean": IMAGENET[0], "image_std": IMAGENET[1],
    }  # fmt: skip

    def prepare(self) -> None:
        self._target = self.size or self.settings.square("size")
        self._each = self.tokens("image_seq_length", 256)

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        return Prepared((self.tile(image),), self.image_token * self._each)

    def tile(self, image: Image) -> Tile:
        if self.settings.flag("do_resize"):
            image = self.resized(image, *self._target)
        return Tile(self.pixels(image), self._each)


PROCESSOR = Siglip
