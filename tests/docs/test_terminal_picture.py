"""The picture of the first page shows what a terminal shows, and loads nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs_tools.terminal_picture import draw, record, screen

REPO = Path(__file__).parents[2]
PICTURE = REPO / "docs" / "images" / "run.svg"
# A progress bar: it is redrawn in its line, and a finished line replaces it.
_PROGRESS = r"""
import sys
print('first \x1b[32mgreen\x1b[0m')
for n in range(3):
    print(f'\r\x1b[2Kstep {n}', end='')
print('\n\x1b[1A\x1b[2Kdone', sys.stdout.isatty(), __import__('os').get_terminal_size().columns)
print('99 %\r3')
"""


def shown(svg: str) -> list[str]:
    """The text of a picture, by lines."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    rows: dict[float, str] = {}
    for text in texts:
        if (y := text.get("y")) is not None:
            rows[float(y)] = rows.get(float(y), "") + unescape(text.text or "").replace("\xa0", " ")
    return "\n".join(rows[y].rstrip() for y in sorted(rows)).rstrip().split("\n")


def test_a_picture_has_the_lines_that_stay() -> None:
    lines = screen(record([sys.executable, "-c", _PROGRESS], columns=60))
    svg = draw(["a", "command"], lines, columns=60)
    assert shown(svg) == ["$ a command", "first green", "done True 60", "3"]


def test_a_command_that_fails_has_no_picture() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        record([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_first_page_s_picture_is_whole_small_and_loads_nothing() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    lines = shown(svg)
    assert lines[0] == "$ llm-export run smollm2_135m_xnnpack_8da8w"
    assert [m[1] for line in lines if (m := re.match(r"\[\d/9\] (\w+)", line))] == [
        "load", "transform", "quantize", "export", "lower", "package", "verify", "benchmark",
        "report",
    ]  # fmt: skip
    assert len(svg) < 40_000
    assert set(re.findall(r"https?://[^\"' )]*", svg)) == {"http://www.w3.org/2000/svg"}
    for page, name in (("README.md", "docs/images/run.svg"), ("docs/index.md", "images/run.svg")):
        assert name in (REPO / page).read_text(encoding="utf-8")[:1500]
