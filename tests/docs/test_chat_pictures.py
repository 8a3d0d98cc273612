"""The pictures of the chat page in docs/chat-page.md, with the bundle of `make demo`.

LLM_EXPORT_WRITE_DOCS=1 writes them. LLM_EXPORT_DEMO names the bundle where it lies elsewhere.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, needs_chromium
from chat_server import served

REPO = Path(__file__).parents[2]
IMAGES = REPO / "docs" / "images"
DEMO = Path(os.environ.get("LLM_EXPORT_DEMO", REPO / "outputs" / "smollm2_135m_xnnpack_8da8w"))
PICTURES = {"chat.png": (DESKTOP, False), "chat-dark.png": (DESKTOP, True),
            "chat-phone.png": (PHONE, False)}  # fmt: skip
QUESTIONS = (
    ("What is a tuple in Python? Answer in one sentence.",),
    (
        "Show a Python function that adds two numbers.",
        "How do I print the lines of a file? Be brief.",
    ),
)
"""Of two conversations."""
_DONE = "document.querySelector('.assistant.last .stats') && !document.querySelector('.running')"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small_and_shown(name: str) -> None:
    data = (IMAGES / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 200_000
    width, height = struct.unpack(">II", data[16:24])
    assert min(width, height) > 300
    assert f"images/{name}" in (REPO / "docs" / "chat-page.md").read_text()


@needs_chromium
@pytest.mark.release
@pytest.mark.skipif(not DEMO.is_dir(), reason="there is no bundle of `make demo`")
def test_the_chat_page_with_the_demo(tmp_path: Path) -> None:
    from runtime_py import LLM
    from runtime_py.server.app import application
    from runtime_py.server.serving import Serving
    from runtime_py.server.settings import Settings

    serving = Serving(Settings(store=tmp_path / "chats.db"), lambda: LLM.load(DEMO))
    serving.start()
    serving.wait()
    try:
        with served(application(serving)) as address, browser() as tab:
            tab.open(address, DESKTOP)
            for questions in QUESTIONS:
                tab.run("document.getElementById('new').click()")
                tab.wait("document.querySelector('.welcome h2')")
                for number, question in enumerate(questions, 1):
                    _ask(tab, question, number)
            place = tab.run("location.href")
            found = {name: _picture(tab, place, *how) for name, how in PICTURES.items()}
            assert tab.errors == []
    finally:
        serving.close()
    if os.environ.get("LLM_EXPORT_WRITE_DOCS"):
        for name, data in found.items():
            (IMAGES / name).write_bytes(data)


def _ask(tab: Page, question: str, number: int) -> None:
    tab.run("document.getElementById('text').focus()")
    tab.write(question)
    tab.press("Enter")
    tab.wait(f"document.querySelectorAll('.assistant').length === {number} && {_DONE}")


def _picture(tab: Page, place: str, size: tuple[int, int], dark: bool) -> bytes:
    tab.open("about:blank")
    tab.open(place, size, dark=dark)
    tab.wait(_DONE)
    tab.run("document.activeElement.blur(); new Promise(r => setTimeout(r, 300))")
    return tab.picture()
