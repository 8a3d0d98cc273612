"""Pictures in the documentation of the bundle of `make demo`.

LLM_EXPORT_WRITE_DOCS=1 writes them. LLM_EXPORT_DEMO names the bundle where it lies elsewhere.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
IMAGES = REPO / "docs" / "images"
DEMO = Path(os.environ.get("LLM_EXPORT_DEMO", REPO / "outputs" / "smollm2_135m_xnnpack_8da8w"))
needs_demo = pytest.mark.skipif(not DEMO.is_dir(), reason="there is no bundle of `make demo`")


def check_picture(name: str, most: int, *pages: str) -> None:
    """It is a PNG of fewer bytes than ``most``, and one of the pages shows it."""
    data = (IMAGES / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < most
    width, height = struct.unpack(">II", data[16:24])
    assert min(width, height) > 300
    assert any(f"images/{name}" in (REPO / page).read_text() for page in pages)


def write_pictures(found: Mapping[str, bytes]) -> None:
    """Into the documentation, if that is asked for."""
    if os.environ.get("LLM_EXPORT_WRITE_DOCS"):
        for name, data in found.items():
            (IMAGES / name).write_bytes(data)
