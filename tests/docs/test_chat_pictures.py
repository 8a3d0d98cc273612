"""The pictures of the chat page in docs/chat-page.md, with the bundle of `make demo`."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, needs_chromium
from chat_server import served
from demo_pictures import DEMO, check_picture, needs_demo, write_pictures

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
    check_picture(name, 200_000, "docs/chat-page.md")


@needs_chromium
@pytest.mark.release
@needs_demo
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
    write_pictures(found)


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
