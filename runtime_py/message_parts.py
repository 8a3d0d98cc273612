"""The parts of a message's content: texts and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime_py.errors import ArgumentError, shown

IMAGES = ("image", "image_url", "input_image")
"""Kinds of parts that are images: {"type": "image", "image": ...}, {"type": "image_url",
"image_url": {"url": ...}} of chat completions, {"type": "input_image", "image_url": ...} of
responses."""


def is_image(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in IMAGES


def has_images(messages: Any) -> bool:
    """Whether a message has a part that is an image."""
    if not isinstance(messages, list | tuple):
        return False
    return any(
        is_image(part)
        for message in messages if isinstance(message, Mapping)
        for part in _parts(message.get("content"))
    )  # fmt: skip


def _parts(content: Any) -> list[Any]:
    return list(content) if isinstance(content, list | tuple) else []


def image_of(part: Mapping[str, Any]) -> tuple[Any, str]:
    """(the image of a part: what ``runtime_py.images.opened_image`` takes, its detail)

    Raises:
        ArgumentError: the part has none, or its detail is none of OpenAI's.
    """
    detail = part.get("detail")
    found = next(
        (part[name] for name in ("image", "image_url", "url", "path", "base64")
         if part.get(name) is not None), None,
    )  # fmt: skip
    if isinstance(found, Mapping):
        detail = found.get("detail", detail)
        found = found.get("url")
    elif part.get("base64") is not None and found is part["base64"]:
        found = f"data:image/png;base64,{found}"
    if found is None:
        raise ArgumentError(
            f"a part of type {part.get('type')} has no image",
            fix='{"type": "image", "image": PATH}, or {"type": "image_url", "image_url": '
            '{"url": "data:image/png;base64,..."}}',
        )
    if detail not in (None, "auto", "low", "high", "original"):
        raise ArgumentError(
            f"the detail of an image must be auto, low or high, not {shown(detail)}"
        )
    return found, "low" if detail == "low" else "auto"


def with_data_urls(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose images are texts: it can be kept as JSON, compared, and answered in another
    process. Files are read now.

    Raises:
        ArgumentError: an image cannot be read.
    """
    content = message.get("content")
    if not any(is_image(part) for part in _parts(content)):
        return dict(message)
    assert isinstance(content, list | tuple)
    return {**message, "content": [_plain(p) if is_image(p) else p for p in content]}


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    source, detail = image_of(part)
    if not (isinstance(source, str) and source[:5].lower() == "data:"):
        from runtime_py.images import as_data_url

        source = as_data_url(source)
    return {"type": "image_url", "image_url": {"url": source, "detail": detail}}


def user_message(text: str, images: Sequence[Any] = ()) -> dict[str, Any]:
    """A message of the user, with images before its text.

    Args:
        images: paths, data URLs, bytes, images of Pillow or arrays.

    Raises:
        ArgumentError: an image cannot be read.
    """
    if not images:
        return {"role": "user", "content": text}
    parts: list[dict[str, Any]] = [{"type": "image", "image": each} for each in images]
    words = [{"type": "text", "text": text}] if text else []
    return with_data_urls({"role": "user", "content": [*parts, *words]})
