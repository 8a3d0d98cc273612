"""GOT-OCR 2, which InternVL's and Aya Vision's checkpoints use: as many tiles of one size as fit
the image's ratio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_py.images.processor import ImageProcessor, Prepared, Tile, closest_ratio, grid
from runtime_py.images.settings import CLIP

if TYPE_CHECKING:
    from PIL.Image import Image

_AYA = "AyaVisionProcessor"
_AYA_TOKENS = {
    "start_of_img_token": "<|START_OF_IMG|>", "end_of_img_token": "<|END_OF_IMG|>",
    "tile_token": "TILE", "tile_global_token": "TILE_GLOBAL",
}  # fmt: skip
"""Keys of its processor_config.json, with transformers' defaults."""


class GotOcr2(ImageProcessor):
    """The parity is with transformers' ``GotOcr2ImageProcessorPil``. ``crop_to_patches`` is that of
    its ``InternVLProcessor`` and ``AyaVisionProcessor``, true."""

    token = "<IMG_CONTEXT>"
    written_by = ("InternVLProcessor", "AyaVisionProcessor")
    defaults = {
        "size": {"height": 384, "width": 384}, "resample": 3, "crop_to_patches": True,
        "min_patches": 1, "max_patches": 12, "image_mean": CLIP[0], "image_std": CLIP[1],
    }  # fmt: skip

    def prepare(self) -> None:
        self._tile = self.size or self.settings.square("size")
        self._each = self.tokens("image_seq_length", 256)
        least, most = self.settings.whole("min_patches"), self.settings.whole("max_patches")
        ratios = [
            (w, h) for w in range(1, most + 1) for h in range(1, most + 1) if least <= w * h <= most
        ]
        self._ratios = sorted(ratios, key=lambda each: each[0] * each[1])

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        height, width = self._tile
        several = self.settings.whole("max_patches") > 1 and detail != "low"
        # Checkpoints say false, and their processor asks for tiles all the same.
        parts = [self.resized(image, height, width)]
        if several:
            columns, rows = closest_ratio(self._ratios, *image.size, height * width)
            if columns * rows > 1:
                whole = self.resized(image, height * rows, width * columns)
                parts = [*(tile for row in grid(whole, height, width) for tile in row), *parts]
        tiles = tuple(Tile(self.pixels(part), self._each) for part in parts)
        return Prepared(tiles, self._text(len(tiles)))

    @property
    def mark(self) -> str:
        own = str(self.layout.get("image_token") or "<image>")
        return own if self.writer == _AYA else self.image_token

    def _text(self, tiles: int) -> str:
        """What stands for an image of so many tiles, of which the last is the whole."""
        tile = self.image_token * self._each
        if self.writer != _AYA:
            return f"<img>{tile * tiles}</img>"
        names = {key: str(self.layout.get(key) or usual) for key, usual in _AYA_TOKENS.items()}
        parts = "".join(f"{names['tile_token']}_{i}{tile}" for i in range(1, tiles))
        whole = f"{names['tile_global_token']}{tile}"
        return f"{names['start_of_img_token']}{parts}{whole}{names['end_of_img_token']}"


PROCESSOR = GotOcr2
