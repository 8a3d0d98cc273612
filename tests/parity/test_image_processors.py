"""Pixels and layout of image processors are those of transformers."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from images import picture
from see_bundles import SPECIAL
from see_bundles import tokenizer as byte_tokenizer

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
    "DeepseekVL": ("deepseek_vl", {"size": {"height": 28, "width": 28}, "min_size": 5}),
    "Janus": ("janus", {"size": {"height": 24, "width": 24}}),
    "Pixtral": ("pixtral", {"size": {"longest_edge": 40},
                            "patch_size": {"height": 8, "width": 8}}),
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
    assume(kind != "Pixtral" or max(width, height) <= 40 * min(width, height))  # theirs: no rows
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
        given = (
            opened_image(image) if kind in ("DeepseekVL", "Janus", "Pixtral") else given
        )  # RGB only
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


def _tokenizer(**named: str) -> tuple[Any, Any]:
    """(transformers' tokenizer of bytes and these special tokens, the library's)"""
    from transformers import PreTrainedTokenizerFast

    special = [*named.values(), *SPECIAL]
    made = byte_tokenizer(special)
    return PreTrainedTokenizerFast(tokenizer_object=made, extra_special_tokens=named), made


LAYOUTS: dict[str, tuple[str, str, str, dict[str, str], dict[str, Any]]] = {
    "Idefics3": ("idefics3", "Idefics3", "<image>", {}, {"image_seq_len": 3}),
    "Gemma3": ("gemma3", "Gemma3", "<start_of_image>", {
        "boi_token": "<start_of_image>", "image_token": "<image_soft_token>",
        "eoi_token": "<end_of_image>"}, {"image_seq_length": 3}),
    "Llava": ("llava", "Llava", "<image>", {"image_token": "<image>"}, {
        "patch_size": 7, "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1}),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(LAYOUTS))
@pytest.mark.parametrize("size", [(30, 30), (90, 20), (31, 80)])
def test_tokens(kind: str, size: tuple[int, int]) -> None:
    """The ids of a prompt with two images."""
    folder, image_kind, mark, named, layout = LAYOUTS[kind]
    config = KINDS[image_kind][1]
    theirs, tokenizer = _tokenizer(**named)
    module = import_module(f"transformers.models.{folder}.processing_{folder}")
    images = [picture(*size), picture(20, 20, 1)]
    if named:
        for name, text in named.items():
            setattr(theirs, name, text)
            setattr(theirs, f"{name}_id", tokenizer.token_to_id(text))
    processor = getattr(module, f"{kind}Processor")(
        image_processor=_theirs(image_kind, config), tokenizer=theirs, **layout
    )
    text = f"User: {mark}\nWhat? {mark}!"
    given = [images] if kind == "Idefics3" else images
    # Its processor switches crops off, whatever the image processor's settings are.
    processor.images_kwargs = {**getattr(processor, "images_kwargs", {}), **config}
    wanted = processor(text=text, images=given, add_special_tokens=False)["input_ids"][0]
    ours = processor_of(
        {"image_processor": {**config, "image_processor_type": f"{image_kind}ImageProcessor"},
         **layout},
    )  # fmt: skip
    assert ours.mark == mark
    parts = text.split(mark)
    made = [ours(image) for image in images]
    whole = parts[0] + made[0].text + parts[1] + made[1].text + parts[2]
    found = tokenizer.encode(whole, add_special_tokens=False).ids
    assert found == list(wanted)
    rows = found.count(tokenizer.token_to_id(ours.image_token))
    assert rows == sum(tile.tokens for each in made for tile in each.tiles)


def test_tokens_of_processors_that_need_torchvision() -> None:
    internvl = import_module("transformers.models.internvl.processing_internvl").InternVLProcessor
    names = SimpleNamespace(
        start_image_token="<img>", image_token="<IMG_CONTEXT>", end_image_token="</img>",
        image_seq_length=3,
    )  # fmt: skip
    config = {"image_processor_type": "GotOcr2ImageProcessor", **KINDS["GotOcr2"][1]}
    made = processor_of({"image_processor": config, "image_seq_length": 3})(picture(90, 30))
    wanted = internvl.replace_image_token(names, {"num_patches": [len(made.tiles)]}, 0)
    assert (made.text, len(made.tiles)) == (wanted, 4)

    lfm2 = import_module("transformers.models.lfm2_vl.processing_lfm2_vl").Lfm2VlProcessor
    names = SimpleNamespace(
        image_start_token="<|image_start|>", image_token="<image>",
        image_end_token="<|image_end|>", image_thumbnail_token="<|img_thumbnail|>",
    )  # fmt: skip
    small = {"tile_size": 64, "max_image_tokens": 16, "min_image_tokens": 4}
    for specials in (True, False):
        ours = processor_of({
            "image_processor": {**small, "image_processor_type": "Lfm2VlImageProcessor"},
            "use_image_special_tokens": specials,
        })  # fmt: skip
        for width, height, rows, columns in ((400, 300, 2, 3), (60, 60, 1, 1)):
            made = ours(picture(width, height))
            wanted = lfm2._build_image_tokens(
                names, rows, columns, 4, made.tiles[-1].tokens, True, specials
            )
            assert made.text == wanted


def test_rows_of_pixtral() -> None:
    """As ``PixtralProcessor.replace_image_token``, which needs torchvision."""
    config = {"image_processor_type": "PixtralImageProcessorFast", "size": {"longest_edge": 64}}
    layout = {"patch_size": 8, "spatial_merge_size": 2}
    whole = {"image_processor": config, **layout}
    made = processor_of({**whole, "processor_class": "PixtralProcessor"})(picture(60, 30))
    assert made.text == "[IMG][IMG][IMG][IMG][IMG_BREAK][IMG][IMG][IMG][IMG][IMG_END]"
    assert made.tiles[0].pixels.shape[2:] == (32, 64)
    made = processor_of({**whole, "processor_class": "LightOnOcrProcessor"})(picture(60, 30))
    assert made.text == "[IMG]" * made.tiles[0].tokens == "[IMG]" * 8


def test_what_processors_of_one_image_processor_write() -> None:
    aya = import_module("transformers.models.aya_vision.processing_aya_vision").AyaVisionProcessor
    names = SimpleNamespace(
        img_size=28, patch_size=14, start_of_img_token="<|START_OF_IMG|>", tile_token="TILE",
        img_patch_token="<|IMG_PATCH|>", tile_global_token="TILE_GLOBAL",
        end_of_img_token="<|END_OF_IMG|>",
    )  # fmt: skip
    config = {"image_processor_type": "GotOcr2ImageProcessor", **KINDS["GotOcr2"][1]}
    ours = processor_of(
        {"image_processor": config, "processor_class": "AyaVisionProcessor"}, tokens=4,
        image_token="<|IMG_PATCH|>",
    )  # fmt: skip
    made = ours(picture(90, 30))
    assert made.text == aya.replace_image_token(names, {"num_patches": [len(made.tiles)]}, 0)
    assert (ours.mark, len(made.tiles)) == ("<image>", 4)

    janus = import_module("transformers.models.janus.processing_janus").JanusProcessor
    names = SimpleNamespace(
        image_start_token="<begin_of_image>", image_token="<image_placeholder>",
        num_image_tokens=3, image_end_token="<end_of_image>",
    )  # fmt: skip
    config = {"image_processor_type": "JanusImageProcessor", **KINDS["Janus"][1]}
    whole = {"image_processor": config, "num_image_tokens": 3}
    made = processor_of({**whole, "processor_class": "JanusProcessor"})(picture(9, 30))
    assert made.text == janus.replace_image_token(names, {}, 0)
    made = processor_of({**whole, "processor_class": "DeepseekVLProcessor"})(picture(9, 30))
    assert made.text == "<image_placeholder>" * 3
