"""Backends by the library's names, which its ``package.json`` block lists."""

from __future__ import annotations

_SUFFIX = "Backend"
DELEGATES = ("XnnpackBackend", "VulkanBackend", "CoreMLBackend", "MLXBackend")
NAMES = {delegate: delegate.removesuffix(_SUFFIX).lower() for delegate in DELEGATES}
"""Delegate as in a manifest's ``requires.backends`` -> name in ``package.json``."""

PLATFORMS = {"VulkanBackend": "Android", "CoreMLBackend": "iOS", "MLXBackend": "iOS"}
"""Delegates that the library has on one platform alone."""
