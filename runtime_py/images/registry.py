"""Image processors by their name in checkpoints. One file each, with a ``PROCESSOR``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from runtime_py.errors import BundleRuntimeError
from runtime_py.images.processor import ImageProcessor

_PLACES = {
    "CLIPImageProcessor": "runtime_py.images.clip",
    "DeepseekVLImageProcessor": "runtime_py.images.deepseek_vl",
    "Gemma3ImageProcessor": "runtime_py.images.gemma3",
    "GotOcr2ImageProcessor": "runtime_py.images.got_ocr2",
    "Idefics3ImageProcessor": "runtime_py.images.idefics3",
    "JanusImageProcessor": "runtime_py.images.deepseek_vl",
    "Lfm2VlImageProcessor": "runtime_py.images.lfm2_vl",
    "LlavaImageProcessor": "runtime_py.images.clip",
    "PixtralImageProcessor": "runtime_py.images.pixtral",
    "Qwen2VLImageProcessor": "runtime_py.images.qwen2_vl",
    "SiglipImageProcessor": "runtime_py.images.siglip",
    "SmolVLMImageProcessor": "runtime_py.images.idefics3",
}
_ENDINGS = ("Fast", "Pil")
"""Names of transformers' further implementations end so."""


def register(kind: str, place: str) -> None:
    """Add an image processor.

    Args:
        kind: its ``image_processor_type``.
        place: a module with a ``PROCESSOR``.
    """
    _PLACES[kind] = place


def processors() -> list[str]:
    """All that are known."""
    return sorted(_PLACES)


def normalised(
    preprocessor: Mapping[str, Any] | None, processor: Mapping[str, Any] | None
) -> dict[str, Any]:
    """``processor.json`` of a bundle: the settings of a checkpoint's processor, with those of its
    image processor under ``image_processor``.

    Args:
        preprocessor: preprocessor_config.json; None if there is none.
        processor: processor_config.json, which has both in newer checkpoints; None likewise.

    Raises:
        BundleRuntimeError: no image processor is named.
    """
    whole = dict(processor or {})
    image = {**dict(preprocessor or {}), **dict(whole.pop("image_processor", None) or {})}
    if image.get("image_processor_type") is None:
        image["image_processor_type"] = image.get("feature_extractor_type")
    if image["image_processor_type"] is None:
        raise BundleRuntimeError(
            "the checkpoint names no image processor", where="preprocessor_config.json",
            fix=f"image_processor_type: one of {', '.join(processors())}",
        )  # fmt: skip
    return {**whole, "image_processor": image}


def processor_of(
    config: Mapping[str, Any], *, tokens: int | None = None,
    size: tuple[int, int] | None = None, image_token: str | None = None,
) -> ImageProcessor:  # fmt: skip
    """The image processor of ``processor.json``, or of a checkpoint's processor_config.json or
    preprocessor_config.json.

    Args:
        tokens, size, image_token: of ``ImageProcessor``.

    Raises:
        BundleRuntimeError: there is no such processor, or a setting is wrong.
    """
    if "image_processor" in config:
        layout, image = dict(config), config["image_processor"]
    else:
        layout, image = {}, config
    if not isinstance(image, Mapping):
        raise BundleRuntimeError("image_processor must be an object", where="processor.json")
    image = normalised(image, None)["image_processor"]
    kind = str(image["image_processor_type"])
    name = next((kind.removesuffix(end) for end in _ENDINGS if kind.endswith(end)), kind)
    place = _PLACES.get(name)
    if place is None:
        raise BundleRuntimeError(
            f"there is no image processor {kind[:100]}", where="processor.json",
            fix=f"one of {', '.join(processors())}; or runtime_py.images.register",
        )  # fmt: skip
    made: type[ImageProcessor] = import_module(place).PROCESSOR
    return made(image, layout, tokens=tokens, size=size, image_token=image_token)
