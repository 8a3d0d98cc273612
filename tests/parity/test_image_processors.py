"""Pixels and layout of image processors are those of transformers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from images import picture

from runtime_py.images import processor_of

MODES = ("RGB", "L", "RGBA", "P", "LA", "CMYK", "1")
SIDES = st.integers(1, 90)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "Idefics3": ("idefics3", {"size": {"longest_edge": 64},
                              "max_image_size": {"longest_edge": 32}}),
    "SmolVLM": ("smolvlm", {"size": {"longest_edge": 96}, "max_image_size": {"longest_edge": 32}}),
    "Siglip": ("siglip", {"size": {"height": 24, "width": 20}}),
    "Gemma3": ("gemma3", {
        "size": {"height": 28, "width": 28}, "do_pan_and_scan": True,
        "pan_and_scan_min_crop_size": 16, "pan_and_scan_max_num_crops": 4,
        "pan_and_scan_min_ratio_to_activate": 1.2,
    }),
    "CLIP": ("clip", {"size": {"shortest_edge": 30}, "crop_size": {"height": 28, "width": 28}}),
    "Llava": ("llava", {"size": {"shortest_edge": 20}, "do_pad": True,
                        "crop_size": {"height": 28, "width": 25}}),
    "GotOcr2": ("got_ocr2", {"size": {"height": 16, "width": 16}, "crop_to_patches": True,
                             "max_patches": 7}),
    "Qwen2VL": ("qwen2_vl", {"size": {"shortest_edge": 784, "longest_edge": 6272},
                             "patch_size": 8}),
}  # fmt: skip


def _theirs(kind: str, config: dict[str, Any]) -> Any:
    module = import_module(
        f"transformers.models.{KINDS[kind][0]}.image_processing_pil_{KINDS[kind][0]}"
    )
    return getattr(module, f"{kind}ImageProcessorPil")(**config)


def _patches(pixels: np.ndarray[Any, Any], patch: int, merge: int) -> np.ndarray[Any, Any]:
    """[1, 3, h, w] as transformers' Qwen2-VL has it: one row per patch, its frames twice."""
    _, _, height, width = pixels.shape
    grid = pixels[0].reshape(
        3, height // patch // merge, merge, patch, width // patch // merge, merge, patch
    )
    rows = grid.transpose(1, 4, 2, 5, 0, 3, 6)[:, :, :, :, :, None]
    twice: np.ndarray[Any, Any] = np.repeat(rows, 2, axis=5)
    return twice.reshape(-1, 3 * 2 * patch * patch)


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(width=SIDES, height=SIDES, mode=st.sampled_from(MODES), seed=st.integers(0, 9))
@settings(max_examples=12)
@example(width=1, height=1, mode="RGBA", seed=0)
@example(width=400, height=3, mode="RGB", seed=1)
@example(width=2, height=333, mode="P", seed=2)
@example(width=64, height=32, mode="RGB", seed=3)
def test_pixels(kind: str, width: int, height: int, mode: str, seed: int) -> None:
    config = {**KINDS[kind][1], "image_processor_type": f"{kind}ImageProcessor"}
    image = picture(width, height, seed, mode)
    theirs = _theirs(kind, KINDS[kind][1])
    ours = processor_of(config, tokens=None)
    from runtime_py.images import opened_image

    if kind == "Qwen2VL":
        wanted = theirs(image, return_tensors="np")["pixel_values"]
        made = ours(opened_image(image))
        found = _patches(made.tiles[0].pixels, 8, 2)
        assert made.text.count("<|image_pad|>") == len(wanted) // 4 == made.tiles[0].tokens
    else:
        given = [image.convert("RGBA")] if kind in ("Idefics3", "SmolVLM") else image
        wanted = np.asarray(theirs(given, return_tensors="np")["pixel_values"])
        wanted = wanted.reshape(-1, *wanted.shape[-3:])
        made = ours(opened_image(image))
        found = np.concatenate([tile.pixels for tile in made.tiles])
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("size", [(1, 1), (900, 700), (1300, 200), (200, 900), (512, 512)])
def test_lfm2_sizes(size: tuple[int, int]) -> None:
    """Its processor needs torchvision, whose filter rounds otherwise in some pixels."""
    pytest.importorskip("torchvision")
    module = import_module("transformers.models.lfm2_vl.image_processing_lfm2_vl")
    config = {"tile_size": 64, "max_image_tokens": 16, "min_image_tokens": 4}
    image = picture(*size)
    theirs = module.Lfm2VlImageProcessor(**config)(
        image, return_tensors="pt", return_row_col_info=True
    )
    made = processor_of({**config, "image_processor_type": "Lfm2VlImageProcessorFast"})(image)
    shapes = theirs["spatial_shapes"].tolist()
    assert [[t.pixels.shape[2] // 16, t.pixels.shape[3] // 16] for t in made.tiles] == shapes
    for tile, patches, (rows, columns) in zip(
        made.tiles, theirs["pixel_values"].numpy(), shapes, strict=True
    ):
        grid = tile.pixels[0].reshape(3, rows, 16, columns, 16).transpose(1, 3, 2, 4, 0)
        found = grid.reshape(rows * columns, -1)
        difference = np.abs(found - patches[: rows * columns])
        assert difference.max() < 2.5 / 127.5, difference.max()
        assert tile.tokens == rows * columns // 4
