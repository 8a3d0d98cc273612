"""DeepSeek-VL and Janus: the longest edge at one size, in the middle of a square."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime_py.errors import BundleRuntimeError
from runtime_py.images.processor import ImageProcessor, Prepared, Tile, squared
from runtime_py.images.settings import CLIP

if TYPE_CHECKING:
    from PIL.Image import Image


class DeepseekVL(ImageProcessor):
    """The parity is with transformers' ``DeepseekVLImageProcessorPil`` and
    ``JanusImageProcessorPil``."""

    token = "<image_placeholder>"
    written_by = ("DeepseekVLProcessor", "JanusProcessor")
    # transformers makes the background of the mean, whatever background_color says.
    defaults = {
        "size": {"height": 384, "width": 384}, "min_size": 14, "resample": 3, "do_pad": True,
        "image_mean": CLIP[0], "image_std": CLIP[1], "background_color": None,
    }  # fmt: skip

    def prepare(self) -> None:
        height, width = self.size or self.settings.square("size")
        if height != width:
            raise BundleRuntimeError(
                f"images of this processor are square, not {height} x {width}",
                where="processor.json", fix="export with model.task_options.image_size=[N,N]",
            )  # fmt: skip
        if self.layout.get("use_default_system_prompt"):
            raise BundleRuntimeError(
                "the processor writes a system prompt of its own, which this runtime does not",
                where="processor.json: use_default_system_prompt",
            )
        self._side, self._least = height, self.settings.whole("min_size")
        self._each = self.tokens("num_image_tokens", 576)
        self._mean = tuple(int(each * 255) for each in self.settings.triple("image_mean"))

    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        if self.settings.flag("do_resize"):
            scale = self._side / max(image.size)
            width, height = (max(round(each * scale), self._least) for each in image.size)
            image = self.resized(image, height, width)
        if self.settings.flag("do_pad"):
            image = squared(image, self._mean)
        shown = self.image_token * self._each
        if self.writer == "JanusProcessor":
            shown = f"<begin_of_image>{shown}<end_of_image>"
        return Prepared((Tile(self.pixels(image), self._each),), shown)


PROCESSOR = DeepseekVL
