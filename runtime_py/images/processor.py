"""What image processors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.images.settings import Settings

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

MOST_RATIO = 200
"""Of an image's edges, where the shorter one is scaled to a size of its own."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One input of the vision encoder.

    Attributes:
        pixels: float32 [1, 3, h, w].
        tokens: positions that it takes in the text.
    """

    pixels: ndarray[Any, Any]
    tokens: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """One image.

    Attributes:
        tiles: in the order of their tokens in ``text``.
        text: what stands in the prompt for the image, with the image token once for each position.
    """

    tiles: tuple[Tile, ...]
    text: str


class ImageProcessor(ABC):
    """From an image to tiles and text.

    Args:
        given: the settings of the checkpoint's image processor.
        layout: those of its processor, such as the number of tokens.
        tokens: tokens of a tile by the program; None: as ``layout`` says.
        size: (height, width) of the program's input, which may be another one than the
            checkpoint's; None: as the checkpoint has it, or each tile's own.
        image_token: text of the token that is repeated for each position.

    Attributes:
        writer: class of the checkpoint's processor, which writes an image into a text.
        mark: text that stands for an image in what a chat template writes.

    Raises:
        BundleRuntimeError: a setting is not known, has a wrong value, or does not fit the program.
    """

    defaults: ClassVar[Mapping[str, Any]]
    """Settings that the processor reads -> the values of transformers' class."""
    token: ClassVar[str] = "<image>"
    written_by: ClassVar[tuple[str, ...]] = ()
    """Classes of transformers' processors whose text for an image is that of this one."""
    varies: ClassVar[bool] = False
    """Whether tiles of one image can have different sizes. They all get ``size`` if there is one.
    """

    def __init__(
        self, given: Mapping[str, Any], layout: Mapping[str, Any], *, tokens: int | None = None,
        size: tuple[int, int] | None = None, image_token: str | None = None,
    ) -> None:  # fmt: skip
        self.settings = Settings(given, self.defaults, type(self).__name__)
        self.layout = layout
        self.writer = str(given.get("processor_class") or layout.get("processor_class") or "")
        self.size = size
        self.image_token = image_token or self.token
        self._tokens = tokens
        self._factor = (
            self.settings.number("rescale_factor") if self.settings.flag("do_rescale") else None
        )
        self._normal = (
            (self.settings.triple("image_mean"), self.settings.triple("image_std"))
            if self.settings.flag("do_normalize") else None
        )  # fmt: skip
        self._resample = self.settings.whole("resample")
        if self._resample > 5:
            raise BundleRuntimeError(
                f"the image processor's resample must be a filter of Pillow from 1 to 5, not "
                f"{self._resample}", where="processor.json",
            )  # fmt: skip
        self.prepare()

    @property
    def mark(self) -> str:
        return self.image_token

    def prepare(self) -> None:  # noqa: B027
        """Read settings."""

    @abstractmethod
    def __call__(self, image: Image, detail: str = "auto") -> Prepared:
        """
        Args:
            image: of mode RGB.
            detail: as in OpenAI's API: low is one tile where the processor would make several.
        """

    def tokens(self, name: str, default: int) -> int:
        """Tokens of a tile of a fixed size: the program's, or the checkpoint's.

        Args:
            name: of the setting of the checkpoint's processor.
        """
        return int(self._tokens or self.layout.get(name) or default)

    def agree(self, count: int) -> None:
        """
        Raises:
            BundleRuntimeError: the program makes another number of tokens of its size.
        """
        if self._tokens not in (None, count):
            raise BundleRuntimeError(
                f"the program makes {self._tokens} tokens of an image of {self.size}, by the "
                f"processor it has {count}", where="processor.json",
                fix="the processor_config.json of the same checkpoint",
            )  # fmt: skip

    def resized(self, image: Image, height: int, width: int) -> Image:
        from PIL.Image import Resampling

        return image.resize((width, height), Resampling(self._resample))

    def fixed(self, height: int, width: int) -> tuple[int, int]:
        """The program's size, if it has one."""
        return self.size or (height, width)

    def pixels(self, image: Image) -> ndarray[Any, Any]:
        """Rescaled and normalised, float32 [1, 3, h, w]."""
        import numpy as np

        found = np.asarray(image, dtype=np.uint8)
        values = found.astype(np.float32)
        if self._factor is not None:
            values = (found.astype(np.float64) * self._factor).astype(np.float32)
        if self._normal is not None:
            mean, std = (np.array(each, dtype=np.float32) for each in self._normal)
            values = (values - mean) / std
        made = np.ascontiguousarray(values.transpose(2, 0, 1)[None])
        if self.size is not None and made.shape[2:] != self.size:
            raise BundleRuntimeError(
                f"the program takes images of {self.size}, the processor makes "
                f"{made.shape[2:]}", where="processor.json", fix="export the bundle again",
            )  # fmt: skip
        return made


def too_long(width: int, height: int) -> ArgumentError:
    """For an image whose edges differ by more than ``MOST_RATIO``."""
    return ArgumentError(
        f"an image of {width} x {height} pixels is too long: one edge may have {MOST_RATIO} times "
        "the pixels of the other", fix="a part of the image",
    )  # fmt: skip


def squared(image: Image, background: tuple[int, ...]) -> Image:
    """In the middle of a square as long as its longest edge."""
    from runtime_py.images.source import pillow

    side = max(image.size)
    made: Image = pillow().new("RGB", (side, side), background)
    made.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return made


def grid(image: Image, height: int, width: int) -> list[list[Image]]:
    """Rows of tiles of this size; those at the edges may be smaller."""
    across, down = image.size
    return [
        [
            image.crop((x, y, min(x + width, across), min(y + height, down)))
            for x in range(0, across, width)
        ]
        for y in range(0, down, height)
    ]


def closest_ratio(
    ratios: list[tuple[int, int]], width: int, height: int, tile_area: int
) -> tuple[int, int]:
    """(columns, rows) of the grid whose ratio is nearest to the image's. Of equally near ones the
    later one is taken while the image has more than half of its pixels (InternVL, 2404.16821).
    """
    ratio, best, least = width / height, (1, 1), float("inf")
    for each in ratios:
        difference = abs(ratio - each[0] / each[1])
        nearer = difference < least
        if nearer or (difference == least and width * height > 0.5 * tile_area * each[0] * each[1]):
            best, least = each, difference
    return best
