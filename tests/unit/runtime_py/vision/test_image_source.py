"""Images are read from what callers have, and refused with the reason."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import encoded, picture
from PIL import Image

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.images import Limits, as_data_url, digest_of, normalised, opened_image, processor_of

PNG = encoded(picture(9, 7, 1))
URL = "data:image/png;base64," + base64.b64encode(PNG).decode()


def test_one_image_in_every_form(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(PNG)
    image = picture(9, 7, 1)
    array = np.asarray(image)
    forms: list[Any] = [
        file, str(file), PNG, bytearray(PNG), io.BytesIO(PNG), URL, image, array,
        array.transpose(2, 0, 1), array.astype(np.float64) / 255,
    ]  # fmt: skip
    for form in forms:
        found = opened_image(form)
        assert found.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(found), array)
    assert digest_of(file) == digest_of(URL) == digest_of(PNG)
    assert digest_of(image) == digest_of(array)
    assert as_data_url(file) == as_data_url(io.BytesIO(PNG)) == URL
    stream = io.BytesIO(PNG)
    assert digest_of(stream) == digest_of(stream) == digest_of(PNG)
    stream.close()
    with pytest.raises(ArgumentError, match="the file of the image cannot be read"):
        opened_image(stream)
    assert np.array_equal(np.asarray(opened_image(as_data_url(array))), array)


def test_modes_and_orientation() -> None:
    grey = opened_image(np.full((3, 4), 7, np.uint8))
    assert grey.getpixel((0, 0)) == (7, 7, 7)
    clear = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    assert opened_image(clear).getpixel((0, 0)) == (255, 255, 255)
    turned = picture(6, 3)
    exif = turned.getexif()
    exif[0x0112] = 6
    data = encoded(turned, exif=exif)
    assert opened_image(data).size == (3, 6)


def _bomb(side: int) -> bytes:
    """A PNG of a few bytes that says that it has side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"no image", "is no image that is read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is no image that"),
        (io.StringIO("text"), "opened in binary mode"),
        (PNG[:60], "is damaged"),
        (_bomb(100_000), "larger than 64 million pixels"),
        (_bomb(12_000), "larger than 64 million pixels"),
        ("data:image/png;base64,###", "not valid base64"),
        ("data:image/png", "the data URL has no comma"),
        ("https://example.org/a.png", "http and https URLs are not fetched"),
        ("file:///etc/passwd", "images of file URLs are not read"),
        ("/no/such.png", "No such file"),
        ("a\0b", "null byte"),
        (3, "an image must be a path, bytes"),
        (np.zeros((2, 2, 2), np.uint8), "an array must be"),
        (np.full((2, 2), 7.0), "values from 0 to 1"),
        (np.zeros((2, 2), np.int32), "uint8 or floating point"),
        (np.zeros((0, 2), np.uint8), "has no pixels"),
    ],
)
def test_what_is_refused(source: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        opened_image(source)


def test_limits() -> None:
    with pytest.raises(ArgumentError, match="larger than"):
        opened_image(PNG, Limits(bytes=20))
    with pytest.raises(ArgumentError, match="larger than"):
        opened_image(URL, Limits(bytes=20))
    with pytest.raises(ArgumentError, match="larger than"):
        opened_image(picture(9, 7), Limits(pixels=62))
    with pytest.raises(ArgumentError, match="paths of files are not read here"):
        opened_image("/etc/hostname", Limits(files=False))
    with pytest.raises(ArgumentError, match="cannot be fetched"):
        opened_image("http://127.0.0.1:9/a.png", Limits(urls=True))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "names no image processor"),
        ({"image_processor_type": "MllamaImageProcessor"}, "there is no image processor Mllama"),
        ({"image_processor_type": "SiglipImageProcessor", "do_dither": True},
         "a setting that is not known: do_dither"),
        ({"image_processor_type": "SiglipImageProcessor", "size": {"shortest_edge": 3}},
         "size must be {height: PIXELS, width: PIXELS}"),
        ({"image_processor_type": "SiglipImageProcessor", "image_mean": [1]}, "three numbers"),
        ({"image_processor_type": "SiglipImageProcessor", "resample": 9}, "filter of Pillow"),
        ({"image_processor_type": "SiglipImageProcessor", "do_resize": 1}, "true or false"),
        ({"image_processor_type": "Lfm2VlImageProcessor", "min_tiles": 4, "max_tiles": 2},
         "min_tiles 4 is more than max_tiles 2"),
        ({"image_processor": 3}, "image_processor must be an object"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleRuntimeError, match=words):
        processor_of(config)


def test_settings_of_both_files_become_one() -> None:
    old = {"image_processor_type": "Idefics3ImageProcessor", "do_pad": True}
    made = normalised(old, {"processor_class": "Idefics3Processor", "image_seq_len": 64})
    assert made["image_processor"]["do_pad"]
    assert made["image_seq_len"] == 64
    assert normalised(None, made) == made
    assert processor_of(made).layout["image_seq_len"] == 64


def test_an_image_that_is_too_long_for_a_grid() -> None:
    made = processor_of({"image_processor_type": "Qwen2VLImageProcessorFast"})
    with pytest.raises(ArgumentError, match="too long"):
        made(picture(900, 2))
    with pytest.raises(ArgumentError, match="too long"):  # 224 x 100,800 pixels before the crop
        processor_of({"image_processor_type": "CLIPImageProcessor"})(picture(900, 2))
    fixed = processor_of({"image_processor_type": "Qwen2VLImageProcessor"}, size=(56, 84))
    with pytest.raises(BundleRuntimeError, match=r"makes 7 tokens of an image .* it has 6"):
        processor_of({"image_processor_type": "Qwen2VLImageProcessor"}, size=(56, 84), tokens=7)
    tile = fixed(picture(900, 2)).tiles[0]
    assert tile.pixels.shape == (1, 3, 56, 84)
    assert tile.tokens == 6


def test_low_detail_is_one_tile() -> None:
    small: dict[str, dict[str, Any]] = {
        "SmolVLM": {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}},
        "Lfm2Vl": {"tile_size": 64, "max_image_tokens": 4, "min_image_tokens": 1},
        "GotOcr2": {"size": {"height": 16, "width": 16}},
    }
    for kind, settings in small.items():
        made = processor_of({"image_processor_type": f"{kind}ImageProcessor", **settings})
        assert len(made(picture(200, 150), "low").tiles) == 1
        assert len(made(picture(200, 150)).tiles) > 1
