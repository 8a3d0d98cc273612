"""Pictures for tests, drawn from numbers."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def picture(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Any:
    """A gradient with some noise and a dark square."""
    rng = np.random.default_rng(seed)
    x, y = np.linspace(0, 255, width)[None, :], np.linspace(255, 0, height)[:, None]
    planes = [x + 0 * y, y + 0 * x, (x + y) / 2]
    array = np.stack(planes, -1) + rng.integers(-40, 40, (height, width, 3))
    array = array.clip(0, 255).astype(np.uint8)
    array[height // 4 : height // 2, width // 4 : width // 2] //= 4
    image = Image.fromarray(array)
    if mode in ("RGBA", "LA"):
        alpha = rng.integers(0, 256, (height, width), dtype=np.uint8)
        image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def encoded(image: Any, kind: str = "PNG", **settings: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **settings)
    return target.getvalue()
