"""LFM2-VL: one image of up to 256 tokens, or tiles and a thumbnail of a larger one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from runtime_py.errors import BundleRuntimeError
from runtime_py.images.processor import ImageProcessor, Prepared, Tile, closest_ratio, grid
from runtime_py.images.settings import IMAGENET

if TYPE_CHECKING:
    from PIL.Image import Image


class Lfm2Vl(ImageProcessor):
    """Sizes and layout are those of transformers' ``Lfm2VlImageProcessor``. It resizes with
    torchvision, whose 8-bit bilinear filter rounds another way than Pillow's in some pixels."""

    varies = True
    written_by = ("Lfm2VlProcessor",)
    defaults = {
        "size": {"height": 512, "width": 512}, "resample": 2, "downsample_factor": 2,
        "do_image_splitting": True, "min_tiles": 2, "max_tiles": 10, "use_thumbnail": True,
        "min_image_tokens": 64, "max_image_tokens": 256, "encoder_patch_size": 16,
        "tile_size": 512, "max_pixels_tolerance": 2.0, "do_pad": True, "max_num_patches": None,
        "image_mean": IMAGENET[0], "image_std": IMAGENET[1],
    }  # fmt: skip

    def prepare(self) -> None:
        whole = self.settings.whole
        self._patch, self._down = whole("encoder_patch_size"), whole("downsample_factor")
        self._unit = self._patch * self._down
        self._edge = self.size[0] if self.size else whole("tile_size")
        self._least = whole("min_image_tokens") * self._unit**2
        self._most = whole("max_image_tokens") * self._unit**2
        self._large = self._most * self.settings.number("max_pixels_tolerance")
        if self.size is not None:
            self.agree(self._count(*self.size))
        self._splits = self.settings.flag("do_image_splitting")
        fewest, most = whole("min_tiles"), whole("max_tiles")
        if self._splits and fewest > most:
            raise BundleRuntimeError(
                f"the image processor's min_tiles {fewest} is more than max_tiles {most}",
                where="processor.json",
            )
        self._splits &= most > 1
        # The order of equal areas matters where two ratios are equally near.
        ratios = [
            (w, h) for n in range(fewest, most + 1)
            for w in range(1, n + 1) for h in range(1, n + 1) if fewest <= w * h <= most
        ]  # fmt: skip
        self._ratios = sorted(set(ratios), key=lambda each: each[0] * each[1])

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        width, height = image.size
        small = self._tile(image, *self.fixed(*self._smart(height, width)))
        if not (self._splits and detail != "low" and self._is_large(height, width)):
            return Prepared((small,), self._text(self._run(small)))
        columns, rows = closest_ratio(self._ratios, width, height, self._edge**2)
        whole = self.resized(image, self._edge * rows, self._edge * columns)
        tiles, text = [], ""
        for y, row in enumerate(grid(whole, self._edge, self._edge)):
            for x, part in enumerate(row):
                tiles.append(Tile(self.pixels(part), self._count(self._edge, self._edge)))
                text += f"<|img_row_{y + 1}_col_{x + 1}|>" * self._specials + self._run(tiles[-1])
        if len(tiles) == 1:
            return Prepared((small,), self._text(self._run(small)))
        if self.settings.flag("use_thumbnail"):
            tiles.append(small)
            text += "<|img_thumbnail|>" * self._specials + self._run(small)
        return Prepared(tuple(tiles), self._text(text))

    @property
    def _specials(self) -> bool:
        return self.layout.get("use_image_special_tokens") is not False

    def _text(self, inner: str) -> str:
        return f"<|image_start|>{inner}<|image_end|>" if self._specials else inner

    def _run(self, tile: Tile) -> str:
        return self.image_token * tile.tokens

    def _tile(self, image: Image, height: int, width: int) -> Tile:
        return Tile(self.pixels(self.resized(image, height, width)), self._count(height, width))

    def _count(self, height: int, width: int) -> int:
        down, across = (math.ceil((x // self._patch) / self._down) for x in (height, width))
        return down * across

    def _is_large(self, height: int, width: int) -> bool:
        down, across = (max(self._patch, _near(x, self._unit)) for x in (height, width))
        return down * across > self._large

    def _smart(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in multiples of a token's pixels, with so many tokens as are allowed."""
        unit = self._unit
        down, across = (max(unit, _near(x, unit)) for x in (height, width))
        if down * across > self._most:
            scale = math.sqrt(height * width / self._most)
            down, across = (max(unit, math.floor(x / scale / unit) * unit) for x in (height, width))
        elif down * across < self._least:
            scale = math.sqrt(self._least / (height * width))
            down, across = (math.ceil(x * scale / unit) * unit for x in (height, width))
        return down, across


def _near(value: int, unit: int) -> int:
    return round(value / unit) * unit


PROCESSOR = Lfm2Vl
