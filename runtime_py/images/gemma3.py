"""Gemma 3: SigLIP, and crops of long images (pan and scan) if the settings ask for them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime_py.images.processor import Prepared
from runtime_py.images.settings import IMAGENET
from runtime_py.images.siglip import Siglip

if TYPE_CHECKING:
    from PIL.Image import Image


class Gemma3(Siglip):
    """The parity is with transformers' ``Gemma3ImageProcessorPil``. The defaults are those of its
    ``Gemma3Processor``, because checkpoints have null for them."""

    token = "<image_soft_token>"
    written_by = ("Gemma3Processor",)
    defaults = {
        "size": {"height": 224, "width": 224}, "resample": 2,
        "image_mean": IMAGENET[0], "image_std": IMAGENET[1], "image_seq_length": 256,
        "do_pan_and_scan": False, "pan_and_scan_min_crop_size": 256,
        "pan_and_scan_max_num_crops": 4, "pan_and_scan_min_ratio_to_activate": 1.2,
    }  # fmt: skip

    @property
    def mark(self) -> str:
        return "<start_of_image>"

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        one = f"\n\n{self.mark}{self.image_token * self._each}<end_of_image>\n\n"
        crops = [] if detail == "low" else self._crops(image)
        tiles = tuple(self.tile(each) for each in (image, *crops))
        if not crops:
            return Prepared(tiles, one)
        return Prepared(
            tiles, f"Here is the original image {one} and here are some crops to help you see "
            f"better {' '.join([one] * len(crops))}",
        )  # fmt: skip

    def _crops(self, image: Image) -> list[Image]:
        if not self.settings.flag("do_pan_and_scan"):
            return []
        least = self.settings.whole("pan_and_scan_min_crop_size")
        width, height = image.size
        long, short = max(width, height), min(width, height)
        if long / short < self.settings.number("pan_and_scan_min_ratio_to_activate"):
            return []
        count = min(long // least, math.floor(long / short + 0.5))
        count = min(max(2, count), self.settings.whole("pan_and_scan_max_num_crops"))
        size = math.ceil(long / count)
        if min(size, short) < least:
            return []
        starts = [size * i for i in range(count)]
        if width >= height:
            return [image.crop((x, 0, min(x + size, width), height)) for x in starts]
        return [image.crop((0, y, width, min(y + size, height))) for y in starts]


PROCESSOR = Gemma3
