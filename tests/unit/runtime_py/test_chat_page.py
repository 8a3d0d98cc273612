"""The chat page: what a person sees in a browser."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, needs_chromium
from chat_server import Script, scripted, served, serving
from images import encoded, picture
from server_tools import KEY

from runtime_py.images import opened_image
from runtime_py.server.app import application


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def script() -> Iterator[tuple[Script, str]]:
    with scripted() as found:
        yield found


READY = "document.querySelector('.welcome h2')"
DONE = "document.querySelector('.assistant.last .stats') && !document.querySelector('.running')"
HOSTILE = """# Hi
<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2">
[a](javascript:window.hacked=3) [b](data:text/html,x) [c](https://example.org/?q="onmouseover=x)
- [x] done

![spy](https://example.org/leak.png)
<svg onload="window.hacked = 4"><a xlink:href="javascript:window.hacked=5">x</a></svg>
<iframe srcdoc="<script>parent.hacked = 6</script>"></iframe><form action="/x"><input name=y>
```js"onload=alert(1)
<b>code</b>
```
| a | b |
|---|---|
| 1 | <style>body{display:none}</style> |
"""


def begin(tab: Page, address: str) -> None:
    tab.errors.clear()
    tab.open(address, DESKTOP)
    tab.wait(READY)


def send(tab: Page, text: str) -> None:
    tab.run("document.getElementById('text').focus()")
    tab.write(text)
    tab.press("Enter")


def text_of(tab: Page, selector: str) -> str:
    return str(tab.run(f"document.querySelector({selector!r})?.innerText"))


@needs_chromium
@pytest.mark.slow
def test_a_conversation(tab: Page, script: tuple[Script, str]) -> None:
    server, address = script
    begin(tab, address)
    assert "until this page is closed" in text_of(tab, "#kept")
    call = {"index": 0, "id": "c1", "function": {"name": "sum", "arguments": '{"a":'}}
    server.deltas = [
        [{"reasoning_content": "Let me"}, {"reasoning_content": " think."}, {"content": "**One** "},
         {"content": "two."}],
        [{"tool_calls": [call]},
         {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]}],
        [{"content": "It is 3."}],
    ]  # fmt: skip
    tab.run("document.getElementById('settings-open').click()")
    tab.run("document.getElementById('s-system').value = 'Be brief.'")
    tab.run("document.getElementById('s-temperature').value = '7'")
    tab.run("document.querySelector('#settings .main').click()")
    assert text_of(tab, "#settings-error") == "Temperature must be from 0 to 5."
    tab.run("document.getElementById('s-temperature').value = '0.5'")
    tab.run("document.getElementById('s-seed').value = '9'")
    tab.run("document.querySelector('#settings .main').click()")
    send(tab, "Count")
    tab.wait(DONE)
    assert tab.run("document.querySelector('.assistant .body strong').textContent") == "One"
    assert text_of(tab, ".thought summary").startswith("Thought")
    assert not tab.run("document.querySelector('.thought').open")
    stats = text_of(tab, ".assistant .stats")
    assert "42.0 tokens/s" in stats
    assert "7 of 30 prompt tokens cached" in stats
    assert text_of(tab, "#meter-text") == "42 / 2,048"
    first = server.asked[0]
    assert first["messages"] == [{"role": "system", "content": "Be brief."},
                                 {"role": "user", "content": "Count"}]  # fmt: skip
    assert (first["temperature"], first["seed"], first["stream"]) == (0.5, 9, True)
    # A call of a tool gets its result from the person.
    send(tab, "Add")
    tab.wait("document.querySelector('.call .result')")
    assert tab.run("document.querySelector('.call pre').textContent") == '{\n  "a": 1\n}'
    assert server.asked[1]["messages"][2]["reasoning_content"] == "Let me think."
    tab.run("document.querySelector('.result textarea').focus()")
    tab.write("3")
    tab.run("document.querySelector('.result button').click()")
    tab.wait("document.querySelector('.assistant.last .body').textContent.includes('It is 3.')")
    tab.wait(DONE)
    *_, called, result = server.asked[2]["messages"]
    assert called["tool_calls"][0]["function"] == {"name": "sum", "arguments": '{"a": 1}'}
    assert result == {"role": "tool", "content": "3", "tool_call_id": "c1"}
    # Editing the first message drops what came after it.
    tab.run("document.querySelector('.user [aria-label=\"Edit and ask again\"]').click()")
    tab.run("document.querySelector('.edit').value = 'Count again'")
    tab.run("document.querySelector('.user .main').click()")
    tab.wait("document.querySelectorAll('.message').length === 2")
    tab.wait(DONE)
    assert [m["content"] for m in server.asked[3]["messages"]] == ["Be brief.", "Count again"]
    tab.run("document.querySelector('[aria-label=\"Answer again\"]').click()")
    tab.wait("document.querySelector('.assistant.last .stats')")
    tab.wait(DONE)
    assert server.asked[4]["messages"] == server.asked[3]["messages"]
    # Another conversation, and back.
    tab.run("document.getElementById('new').click()")
    tab.wait(READY)
    tab.run("document.querySelector('.conversation').click()")
    tab.wait("document.querySelectorAll('.message').length === 2")
    assert tab.errors == []


PASTE = """(async () => {
  const data = Uint8Array.from(atob(%r), (c) => c.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([data], %r, { type: %r }));
  const given = { clipboardData: files, bubbles: true, cancelable: true };
  document.dispatchEvent(new ClipboardEvent("paste", given));
})()"""


@needs_chromium
@pytest.mark.slow
def test_images_are_attached(tab: Page, script: tuple[Script, str]) -> None:
    server, address = script
    begin(tab, address)
    assert tab.run("document.getElementById('attach').hidden")
    server.info["sees"] = True
    begin(tab, address)
    small, large = encoded(picture(20, 10)), encoded(picture(3000, 40))
    for number, data in enumerate((small, large), 1):
        tab.run(PASTE % (base64.b64encode(data).decode(), "a.png", "image/png"))
        tab.wait(f"document.querySelectorAll('.thumb').length === {number}")
    tab.run(PASTE % (base64.b64encode(b"no image").decode(), "b.png", "image/png"))
    tab.wait("document.querySelector('.notice')")
    assert "B.png is no image that this browser reads" in text_of(tab, ".notice")
    send(tab, "What?")
    tab.wait(DONE)
    first, second, text = server.asked[-1]["messages"][0]["content"]
    assert first["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(small).decode()
    assert second["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert opened_image(second["image_url"]["url"]).size == (2048, 27)
    assert text == {"type": "text", "text": "What?"}
    assert tab.run("document.querySelectorAll('.user img').length") == 2
    assert tab.run("document.getElementById('tray').hidden")
    # What is asked next has them still; a removed one is not sent.
    tab.run(PASTE % (base64.b64encode(small).decode(), "a.png", "image/png"))
    tab.wait("document.querySelector('.thumb button')")
    tab.run("document.querySelector('.thumb button').click()")
    send(tab, "And?")
    tab.wait("document.querySelectorAll('.assistant').length === 2")
    tab.wait(DONE)
    assert len(server.asked[-1]["messages"][0]["content"]) == 3
    assert server.asked[-1]["messages"][2]["content"] == "And?"
    assert tab.errors == []


@needs_chromium
@pytest.mark.slow
def test_what_a_model_writes_is_inert(tab: Page, script: tuple[Script, str]) -> None:
    server, address = script
    begin(tab, address)
    pieces = [HOSTILE[i : i + 9] for i in range(0, len(HOSTILE), 9)]
    server.deltas = [[{"reasoning_content": HOSTILE}, *({"content": each} for each in pieces)]]
    send(tab, "<img src=x onerror='window.hacked = 7'>")
    tab.wait(DONE)
    assert tab.run("window.hacked") is None
    inside = "document.querySelectorAll('#messages :is(script, img, iframe, form[action], style)')"
    assert tab.run(f"{inside}.length") == 0
    attributes = (
        "[...document.querySelectorAll('.body *, .thought-text *, #conversations *')].flatMap("
        "e => [...e.attributes]).map(a => a.name + '=' + a.value)"
    )
    found = tab.run(attributes)
    assert not [each for each in found if re.match(r"(on|style|srcdoc)", each)]
    links = [each for each in found if each.startswith("href=") and "#i-" not in each]
    assert links
    assert all(link.startswith("href=https://example.org/") for link in links)
    # It is shown as it was written.
    body = text_of(tab, ".assistant .body")
    assert "<script>window.hacked = 1</script>" in body
    assert tab.run("document.querySelectorAll('.body input[type=checkbox]').length") == 1
    assert "<b>code</b>" in body
    # The page's policy refuses what would get through.
    tab.run("document.body.append(Object.assign(document.createElement('img'),"
            "{src: 'https://example.org/a.png'}))")  # fmt: skip
    written = "try { document.body.innerHTML = '<b>x</b>'; return false } catch { return true }"
    assert tab.run(f"(() => {{ {written} }})()")
    assert tab.errors
    assert all("Content Security Policy" in e or "TrustedHTML" in e for e in tab.errors)


@needs_chromium
@pytest.mark.slow
def test_stop_errors_keys_and_sizes(tab: Page, script: tuple[Script, str]) -> None:
    server, address = script
    tab.errors.clear()
    server.key = KEY
    tab.open(address, PHONE)
    tab.wait("document.getElementById('key-dialog').open")
    tab.run("document.getElementById('key').focus()")
    tab.write(KEY)
    tab.press("Enter")
    tab.wait(READY)
    server.pause = 0.02
    server.deltas = [[{"content": f"word{i} "} for i in range(2000)]]
    send(tab, "Tell me " + "verylong" * 40)
    tab.wait("document.querySelector('.assistant .body')?.innerText.includes('word9')")
    assert tab.run("document.getElementById('send').getAttribute('aria-label')") == "Stop"
    tab.press("Escape")
    tab.wait(DONE)
    assert "stopped" in text_of(tab, ".assistant .stats")
    until = time.monotonic() + 120
    while not server.left:  # the request is given up, so that the model need not go on
        assert time.monotonic() < until
        time.sleep(0.02)
    assert "word9" in text_of(tab, ".assistant .body")
    # Nothing is wider than the phone, also with long words, code and tables.
    server.pause = 0.0
    wide = f"{'x' * 300}\n\n```\n{'y' * 300}\n```\n\n| {'a | ' * 30}\n|{'---|' * 30}\n"
    server.deltas = [[{"content": wide}]]
    send(tab, "wide")
    tab.wait("document.querySelectorAll('.assistant').length === 2")
    tab.wait(DONE)
    for where in ("document.documentElement", "document.getElementById('thread')"):
        assert tab.run(f"{where}.scrollWidth <= {where}.clientWidth"), where
    # Errors say what to do.
    for status, code, said in (
        (429, "queue_full", "The server is busy"),
        (400, "context_length_exceeded", "longer than the model's context"),
        (400, "invalid_value", "Top_k is odd."),
    ):
        server.error = (status, code, "top_k is odd")
        send(tab, "again")
        tab.wait(f"document.querySelector('.notice')?.innerText.includes({said!r})")
        assert tab.run("document.querySelectorAll('.notice button').length") == 2
        tab.run("document.querySelector('.notice [aria-label=Dismiss]').click()")
    server.error = None
    expected = ("401", "429", "400")
    assert all(any(code in error for code in expected) for error in tab.errors), tab.errors
    # The list of conversations is a drawer, which the keyboard does not reach while it is closed.
    assert tab.run("document.getElementById('sidebar').inert")
    tab.run("document.getElementById('side-open').click()")
    assert not tab.run("document.getElementById('sidebar').inert")
    tab.press("Escape")
    assert tab.run("document.getElementById('sidebar').inert")
    nameless = (
        "[...document.querySelectorAll('button, input, textarea, select')].filter(e => "
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length"
    )
    assert tab.run(nameless) == 0
    tab.run("sessionStorage.clear()")


@needs_chromium
@pytest.mark.slow
def test_with_a_model_and_a_store(tab: Page, portable_bundle: Path, tmp_path: Path) -> None:
    server = serving(portable_bundle, store=tmp_path / "chats.db")
    try:
        with served(application(server)) as address:
            begin(tab, address)
            tab.run("document.getElementById('settings-open').click()")
            tab.run("document.getElementById('s-max_new_tokens').value = '8'")
            tab.run("document.querySelector('#settings .main').click()")
            send(tab, "hello")
            tab.wait(DONE)
            answer = text_of(tab, ".assistant .body")
            assert "8 tokens" in text_of(tab, ".assistant .stats")
            tab.wait("document.querySelector('.conversation')?.innerText === 'hello'")
            # Another load of the page finds it.
            tab.open(address, PHONE, dark=True)
            tab.wait("document.querySelector('.conversation')")
            tab.run("document.querySelector('.conversation').click()")
            tab.wait(DONE)
            assert text_of(tab, ".assistant .body") == answer
            assert "8 tokens" in text_of(tab, ".assistant .stats")
            # So does a load of the address that it has now.
            tab.open(tab.run("location.href"), DESKTOP)
            tab.wait(DONE)
            assert text_of(tab, ".assistant .body") == answer
            assert tab.errors == []
    finally:
        server.close()
