"""Images as the input of vision encoders: read them, and compute what a checkpoint's processor
does, with Pillow and NumPy.
"""

from __future__ import annotations

from runtime_py.image_limits import Limits
from runtime_py.images.processor import ImageProcessor, Prepared, Tile
from runtime_py.images.registry import normalised, processor_of, processors, register
from runtime_py.images.source import as_data_url, digest_of, held, opened_image

__all__ = ["ImageProcessor", "Limits", "Prepared", "Tile", "as_data_url", "digest_of", "held",
           "normalised", "opened_image", "processor_of", "processors", "register"]  # fmt: skip
