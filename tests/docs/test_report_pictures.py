"""The pictures of a report in README and docs/report.md, of the bundle of `make demo`.

LLM_EXPORT_WRITE_DOCS=1 writes them. LLM_EXPORT_DEMO names the bundle where it lies elsewhere.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, needs_chromium

from llm_export import api

REPO = Path(__file__).parents[2]
IMAGES = REPO / "docs" / "images"
DEMO = Path(os.environ.get("LLM_EXPORT_DEMO", REPO / "outputs" / "smollm2_135m_xnnpack_8da8w"))
PICTURES = ("report.png", "report-phone.png", "report-dark.png")
_MARGIN = 24


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_shown(name: str) -> None:
    data = (IMAGES / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 300_000
    width, height = struct.unpack(">II", data[16:24])
    assert min(width, height) > 300
    pages = [REPO / "README.md", REPO / "docs" / "report.md"]
    assert any(f"images/{name}" in page.read_text() for page in pages)


@needs_chromium
@pytest.mark.release
@pytest.mark.skipif(not DEMO.is_dir(), reason="there is no bundle of `make demo`")
def test_the_report_of_the_demo(tmp_path: Path) -> None:
    page = api.report(DEMO, html=tmp_path / "report.html")
    with browser() as tab:
        tab.show(page, DESKTOP)
        light = tab.picture(area=_area(tab, "header", "nav"))
        tab.show(page, PHONE)
        phone = tab.picture()
        tab.show(page, DESKTOP, dark=True)
        tab.run("document.activeElement.blur()")
        dark = tab.picture(area=_area(tab, "#modules", "#modules"))
        assert tab.errors == []
    if os.environ.get("LLM_EXPORT_WRITE_DOCS"):
        for name, data in zip(PICTURES, (light, phone, dark), strict=True):
            (IMAGES / name).write_bytes(data)


def _area(tab: Page, first: str, last: str) -> dict[str, float]:
    """From the top of one element to the bottom of another, as wide as the text."""
    left, top, right, bottom = tab.run(
        f"(() => {{ const a = document.querySelector('{first}').getBoundingClientRect(), "
        f"b = document.querySelector('{last}').getBoundingClientRect(), "
        "t = document.querySelector('main').getBoundingClientRect(), y = scrollY; "
        "return [t.left, a.top + y, t.right, b.bottom + y]; })()"
    )
    return {"x": max(0, left - _MARGIN), "y": max(0, top - _MARGIN),
            "width": right - left + 2 * _MARGIN, "height": bottom - top + _MARGIN}  # fmt: skip
