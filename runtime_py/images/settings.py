"""The settings of an image processor, as a checkpoint has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime_py.errors import BundleRuntimeError

IMAGENET = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
"""Mean and standard deviation of transformers' ``IMAGENET_STANDARD``."""
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])

COMMON: dict[str, Any] = {
    "do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255,
}  # fmt: skip
_INERT = frozenset((
    "image_processor_type", "feature_extractor_type", "processor_class", "auto_map",
    "do_convert_rgb", "data_format", "input_data_format", "return_tensors", "disable_grouping",
    "device", "default_to_square", "return_row_col_info", "return_pixel_mask",
    "num_additional_image_tokens", "backend", "padding_mode", "fill_value", "return_mask",
))  # fmt: skip
"""Keys that say who wrote the file, or how transformers returns what it has computed. Images are
always made RGB."""


class Settings:
    """
    Args:
        given: the checkpoint's.
        defaults: of the processor; its keys are those that are known.
        kind: of the processor, for errors.

    Raises:
        BundleRuntimeError: a key is not known.
    """

    def __init__(self, given: Mapping[str, Any], defaults: Mapping[str, Any], kind: str) -> None:
        known = {**COMMON, **defaults}
        for name, value in given.items():
            if name not in known and name not in _INERT and value is not None:
                raise BundleRuntimeError(
                    f"the image processor {kind} has a setting that is not known: {name[:100]}",
                    where="processor.json",
                    fix=f"it has {', '.join(sorted(known))}",
                )
        self.kind = kind
        self.given = {name for name, value in given.items() if value is not None}
        self._values = {**known, **{k: v for k, v in given.items() if v is not None}}
        for name in (each for each, value in known.items() if isinstance(value, bool)):
            self.flag(name)

    def flag(self, name: str) -> bool:
        value = self._values[name]
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def whole(self, name: str) -> int:
        value = self._values[name]
        if type(value) is not int or value < 1:
            raise self._wrong(name, "a whole number of at least 1")
        return value

    def number(self, name: str) -> float:
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise self._wrong(name, "a positive number")
        return float(value)

    def triple(self, name: str) -> list[float]:
        """One number per channel."""
        value = self._values[name]
        value = [value] * 3 if isinstance(value, int | float) else value
        if (
            not isinstance(value, list | tuple)
            or len(value) != 3
            or not all(isinstance(each, int | float) for each in value)
        ):
            raise self._wrong(name, "three numbers")
        return [float(each) for each in value]

    def edges(self, name: str, *names: str) -> dict[str, int]:
        """A size with these keys, such as shortest_edge."""
        value = self._values[name]
        if (
            not isinstance(value, Mapping)
            or set(value) != set(names)
            or not all(type(each) is int and each > 0 for each in value.values())
        ):
            raise self._wrong(name, f"{{{', '.join(f'{each}: PIXELS' for each in names)}}}")
        return dict(value)

    def square(self, name: str) -> tuple[int, int]:
        """(height, width); a number is both."""
        value = self._values[name]
        if type(value) is int and value > 0:
            return value, value
        found = self.edges(name, "height", "width")
        return found["height"], found["width"]

    def has(self, name: str, key: str) -> bool:
        """Whether a size has a key."""
        value = self._values[name]
        return isinstance(value, Mapping) and key in value

    def _wrong(self, name: str, what: str) -> BundleRuntimeError:
        return BundleRuntimeError(
            f"the image processor's {name} must be {what}, not {str(self._values[name])[:100]}",
            where="processor.json",
        )
