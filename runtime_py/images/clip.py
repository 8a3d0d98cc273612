"""CLIP and LLaVA: the shortest edge at one size, and the middle of the image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime_py.images.processor import (
    MOST_RATIO,
    ImageProcessor,
    Prepared,
    Tile,
    squared,
    too_long,
)
from runtime_py.images.settings import CLIP

if TYPE_CHECKING:
    from PIL.Image import Image


class Clip(ImageProcessor):
    """The parity is with transformers' ``CLIPImageProcessorPil`` and ``LlavaImageProcessorPil``."""

    written_by = ("LlavaProcessor", "CLIPProcessor")
    defaults = {
        "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "resample": 3,
        "do_center_crop": True, "do_pad": False, "image_mean": CLIP[0], "image_std": CLIP[1],
    }  # fmt: skip

    def prepare(self) -> None:
        self._shortest: int | None = None
        self._exact = (0, 0)
        if self.settings.has("size", "shortest_edge"):
            self._shortest = self.settings.edges("size", "shortest_edge")["shortest_edge"]
        else:
            self._exact = self.settings.square("size")
        self._crop = self.size or self.settings.square("crop_size")
        if self.size is not None:
            self._shortest = self._shortest and min(self.size)
            self._exact = self.size
        self._each = self.tokens("image_seq_length", self._of_patches())

    def _of_patches(self) -> int:
        """Tokens by the settings of transformers' ``LlavaProcessor``."""
        patch = self.layout.get("patch_size") or 14
        height, width = self._crop
        count = (height // patch) * (width // patch)
        count += self.layout.get("num_additional_image_tokens") or 0
        return int(count - (self.layout.get("vision_feature_select_strategy") == "default"))

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        if self.settings.flag("do_pad"):
            mean = tuple(int(each * 255) for each in self.settings.triple("image_mean"))
            image = squared(image, mean)
        if self.settings.flag("do_resize"):
            image = self.resized(image, *self._scaled(image))
        if self.settings.flag("do_center_crop"):
            image = _middle(image, *self._crop)
        return Prepared((Tile(self.pixels(image), self._each),), self.image_token * self._each)

    def _scaled(self, image: Image) -> tuple[int, int]:
        if self._shortest is None:
            return self._exact
        width, height = image.size
        short, long = min(width, height), max(width, height)
        longest = int(self._shortest * long / short)
        if long > MOST_RATIO * short:
            raise too_long(width, height)  # it would be made MOST_RATIO times as long as it is used
        return (longest, self._shortest) if width <= height else (self._shortest, longest)


def _middle(image: Image, height: int, width: int) -> Image:
    """The middle of an image, with black around it where it is too small."""
    from runtime_py.images.source import pillow

    across, down = image.size
    left, top = (across - width) // 2, (down - height) // 2
    if left >= 0 and top >= 0:
        return image.crop((left, top, left + width, top + height))
    wide, high = max(width, across), max(height, down)
    right_of, under = math.ceil((wide - across) / 2), math.ceil((high - down) / 2)
    made: Image = pillow().new("RGB", (wide, high))
    made.paste(image, (right_of, under))
    left, top = left + right_of, top + under
    box = max(0, left), max(0, top), min(wide, left + width), min(high, top + height)
    return made.crop(box)


PROCESSOR = Clip
