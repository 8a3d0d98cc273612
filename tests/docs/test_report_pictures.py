"""The pictures of a report in README and docs/report.md, of the bundle of `make demo`."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, needs_chromium
from demo_pictures import DEMO, check_picture, needs_demo, write_pictures

from llm_export import api

PICTURES = ("report.png", "report-phone.png", "report-dark.png")
_MARGIN = 24


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_shown(name: str) -> None:
    check_picture(name, 300_000, "README.md", "docs/report.md")


@needs_chromium
@pytest.mark.release
@needs_demo
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
    write_pictures(dict(zip(PICTURES, (light, phone, dark), strict=True)))


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
