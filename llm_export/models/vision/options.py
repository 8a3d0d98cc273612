"""The options of the task ``see``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_export.errors import RecipeError

_KINDS = ("image_processor_type", "feature_extractor_type")


@dataclass(frozen=True)
class SeeOptions:
    """
    Attributes:
        image_size: height and width of an image, or of a tile of one, in pixels; None is what the
            model was trained with.
        processor: keys of preprocessor_config.json that replace the checkpoint's, such as
            do_image_splitting; all of them where it has no such file.
    """

    image_size: tuple[int, int] | None = None
    processor: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.image_size or (1, 1)
        if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
            raise ValueError("image_size: not a height and a width in pixels")
        _check(self.processor)


def _check(processor: Mapping[str, Any]) -> None:
    """Raises RecipeError if the image processor that is stated has no such setting. Where only the
    checkpoint names the processor, it is checked when the checkpoint is read."""
    if not any(processor.get(name) for name in _KINDS):
        return
    from runtime_py.errors import BundleRuntimeError
    from runtime_py.images.registry import processor_of

    try:
        processor_of(processor)
    except BundleRuntimeError as error:
        raise RecipeError(error.what, where="model.task_options.processor", fix=error.fix) from None
