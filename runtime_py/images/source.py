"""Read an image: of a file, of bytes, of a data URL, of an array."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import urllib.parse
import urllib.request
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.image_limits import DEFAULTS, Limits

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[\w.+-]+)*)(;base64)?,", re.ASCII)
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "AVIF")
"""Of Pillow's decoders. Others start a program (EPS: Ghostscript), or are for files that nobody
sends: what need not be read cannot be attacked."""
_PATIENCE = 20.0
"""Seconds that a server of an image has to answer."""


def pillow() -> Any:
    """Pillow's ``PIL.Image``.

    Raises:
        BundleRuntimeError: it is not installed.
    """
    try:
        return import_module("PIL.Image")
    except ImportError:
        raise BundleRuntimeError(
            "reading images needs Pillow, which is not installed",
            fix="pip install 'llm_export[images]', or pip install pillow",
        ) from None


def _formats() -> list[str]:
    """Those of ``_FORMATS`` that this build of Pillow has."""
    image = pillow()
    image.init()
    return [name for name in _FORMATS if name in image.OPEN]


def opened_image(source: Any, limits: Limits = DEFAULTS) -> Any:
    """The image as a ``PIL.Image.Image`` of mode RGB, upright by its EXIF orientation.
    Transparent parts are put on white, as transformers does.

    Args:
        source: a path, bytes, a file, a data URL (``data:image/png;base64,...``), an image of
            Pillow, or an array [h, w], [h, w, 1, 3 or 4] or [3, h, w]: uint8, or floating point
            from 0 to 1.

    Raises:
        ArgumentError: it is none of these, no image that Pillow reads, damaged, or too large.
    """
    image = pillow()
    if isinstance(source, image.Image):
        _check_pixels(source.size, limits)
        return _upright_rgb(source)
    if hasattr(source, "__array__"):
        return _of_array(source, limits)
    return _opened(*_read(source, limits), limits)


def _opened(data: bytes, name: str, limits: Limits) -> Any:
    """The image of a file of this content."""
    image = pillow()
    with warnings.catch_warnings():
        warnings.simplefilter("error", image.DecompressionBombWarning)
        try:
            with image.open(io.BytesIO(data), formats=_formats()) as found:
                _check_pixels(found.size, limits)
                found.load()
                return _upright_rgb(found)
        except ArgumentError:
            raise
        except (image.DecompressionBombWarning, image.DecompressionBombError):
            raise _too_large(limits) from None
        except image.UnidentifiedImageError:
            raise ArgumentError(
                f"{name} is no image that is read",
                fix="a PNG, JPEG, WebP, GIF, BMP or TIFF file",
            ) from None
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, ...
            raise ArgumentError(
                f"{name} is damaged: {str(error)[:200]}",
                fix="open and save it with another program",
            ) from None


def held(source: Any, limits: Limits = DEFAULTS) -> Any:
    """The bytes of a file, which may be readable only once; anything else as it is.

    Raises:
        ArgumentError: it cannot be read, or is too large.
    """
    return _of_file(source, limits) if hasattr(source, "read") else source


def digest_of(source: Any, limits: Limits = DEFAULTS) -> str:
    """SHA-256 of an image's content; that of an array or an image of Pillow is of its pixels.

    Raises:
        ArgumentError: as ``opened_image``, for what cannot be read at all.
    """
    if isinstance(source, pillow().Image) or hasattr(source, "__array__"):
        image = opened_image(source, limits)
        return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    return hashlib.sha256(_read(source, limits)[0]).hexdigest()


def as_data_url(source: Any, limits: Limits = DEFAULTS) -> str:
    """An image as a data URL, for messages that are kept as JSON.

    Raises:
        ArgumentError: as ``opened_image``.
    """
    if isinstance(source, pillow().Image) or hasattr(source, "__array__"):
        target = io.BytesIO()
        opened_image(source, limits).save(target, "PNG", compress_level=1)
        return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()
    data, name = _read(source, limits)
    _opened(data, name, limits)
    with pillow().open(io.BytesIO(data), formats=_formats()) as found:
        kind = pillow().MIME.get(found.format, "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _read(source: Any, limits: Limits) -> tuple[bytes, str]:
    """(bytes of the file, what errors call it)"""
    if isinstance(source, bytes | bytearray | memoryview):
        return _sized(bytes(source), limits), "the image"
    if hasattr(source, "read"):
        return _of_file(source, limits), "the image"
    if isinstance(source, str):
        scheme = source[:5].lower()
        if scheme == "data:":
            return _of_data_url(source, limits), "the image of the data URL"
        if re.match(r"https?:", source, re.IGNORECASE):
            return _fetched(source, limits), "the image of the URL"
        if re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE):
            raise ArgumentError(
                f"images of {source.partition(':')[0][:40]} URLs are not read",
                fix="a data URL: data:image/png;base64,...",
            )
    if not isinstance(source, str | os.PathLike):
        raise ArgumentError(
            f"an image must be a path, bytes, a data URL, an image of Pillow or an array, not "
            f"{type(source).__name__}"
        )
    if not limits.files:
        raise ArgumentError(
            "paths of files are not read here", fix="a data URL: data:image/png;base64,..."
        )
    path = Path(source)
    try:
        if path.stat().st_size > limits.bytes:
            raise _too_large(limits)
        return path.read_bytes(), str(path)
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise ArgumentError(f"the image cannot be read: {what}", where=str(path)[:500]) from None


def _of_file(source: Any, limits: Limits) -> bytes:
    """Its bytes. It is left where it was, if that can be: messages are read again for each turn."""
    try:
        start = source.tell() if source.seekable() else None
        data = source.read(limits.bytes + 1)
        if start is not None:
            source.seek(start)
    except (OSError, ValueError, AttributeError) as error:
        raise ArgumentError(f"the file of the image cannot be read: {error}") from None
    if not isinstance(data, bytes | bytearray):
        raise ArgumentError("the file of an image must be opened in binary mode", fix='"rb"')
    return _sized(bytes(data), limits)


def _of_data_url(text: str, limits: Limits) -> bytes:
    found = _DATA.match(text)
    if found is None:
        raise ArgumentError(
            "the data URL has no comma, or its beginning is wrong",
            fix="data:image/png;base64,...",
        )
    body = text[found.end() :]
    if len(body) > limits.bytes * 4 // 3 + 4:
        raise _too_large(limits)
    if not found.group(3):
        return _sized(urllib.parse.unquote_to_bytes(body), limits)
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ArgumentError("the data URL is not valid base64") from None


def _fetched(url: str, limits: Limits) -> bytes:
    if not limits.urls:
        raise ArgumentError(
            "images of http and https URLs are not fetched",
            fix="a file, or a data URL (data:image/png;base64,...); in Python also "
            "llm.image_limits = Limits(urls=True)",
        )
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
            return _sized(answer.read(limits.bytes + 1), limits)
    except (OSError, ValueError) as error:
        raise ArgumentError(f"the image cannot be fetched: {error}", where=url[:500]) from None


def _sized(data: bytes, limits: Limits) -> bytes:
    if len(data) > limits.bytes:
        raise _too_large(limits)
    return data


def _check_pixels(size: tuple[int, int], limits: Limits) -> None:
    if size[0] * size[1] > limits.pixels:
        raise _too_large(limits)
    if not size[0] * size[1]:
        raise ArgumentError("the image has no pixels")


def _too_large(limits: Limits) -> ArgumentError:
    return ArgumentError(
        f"the image is larger than {limits.pixels / 1e6:g} million pixels or "
        f"{limits.bytes / 2**20:g} MiB",
        fix="a smaller image: it is scaled down for the model in any case",
    )


def _of_array(source: Any, limits: Limits) -> Any:
    import numpy as np

    array = np.asarray(source)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ArgumentError(
            f"an array must be [h, w], [h, w, 1, 3 or 4] or [3, h, w], not {array.shape}"
        )
    _check_pixels((array.shape[1], array.shape[0]), limits)
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ArgumentError("an array of floating point must have values from 0 to 1")
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise ArgumentError(f"an array must be uint8 or floating point, not {array.dtype}")
    return _upright_rgb(pillow().fromarray(np.ascontiguousarray(array)))


def _upright_rgb(found: Any) -> Any:
    image = pillow()
    from PIL import ImageOps

    found = ImageOps.exif_transpose(found)
    if "A" not in found.getbands() and found.info.get("transparency") is None:
        return found.convert("RGB")
    found = found.convert("RGBA")
    white = image.new("RGBA", found.size, (255, 255, 255, 255))
    return image.alpha_composite(white, found).convert("RGB")
