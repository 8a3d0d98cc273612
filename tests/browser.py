"""Drive a headless Chromium through the Chrome DevTools Protocol, over pipes: no other package is
needed (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

DESKTOP, PHONE = (1280, 900), (390, 844)
_KEYS = {"Enter": (13, "\r"), "Escape": (27, None), "Tab": (9, None),
         "ArrowDown": (40, None), "ArrowRight": (39, None), "ArrowUp": (38, None)}  # fmt: skip
_SECONDS = 60.0


class Page:
    """One tab. ``errors``: what scripts raised, and what the browser logged as an error."""

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._from = to, os.fdopen(answers, "rb", buffering=0)
        self._rest, self._last, self._session = b"", 0, ""
        self.errors: list[str] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **values: Any) -> dict[str, Any]:
        """A command's result; events that come first are noted."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self._last:
                assert "error" not in found, (method, found)
                return dict(found["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = self._from.read(1 << 20)
            assert more, "the browser ended"
            self._rest += more
        text, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        said = found.get("params", {})
        if found.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(said["exceptionDetails"]))
        elif found.get("method") == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(said["entry"]["text"])
        elif found.get("method") == "Runtime.consoleAPICalled" and said["type"] == "error":
            self.errors.append(json.dumps(said["args"]))
        return found

    def show(
        self, file: Path, size: tuple[int, int] = DESKTOP, *, dark: bool = False,
        scripts: bool = True,
    ) -> None:  # fmt: skip
        """Load a file, as on a screen of this size, and wait until it has drawn."""
        self.open(file.absolute().as_uri(), size, dark=dark, scripts=scripts)

    def open(
        self, address: str, size: tuple[int, int] = DESKTOP, *, dark: bool = False,
        scripts: bool = True,
    ) -> None:  # fmt: skip
        """Load what is at an address, as ``show`` does."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                  {"name": "prefers-reduced-motion", "value": "reduce"}]  # fmt: skip
        self.send("Emulation.setEmulatedMedia", features=scheme)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1],
                  deviceScaleFactor=1, mobile=size == PHONE)  # fmt: skip
        self.send("Page.navigate", url=address)
        until = time.monotonic() + _SECONDS
        loaded = f"location.href === {json.dumps(address)} && document.readyState === 'complete'"
        while not self.run(loaded):
            assert time.monotonic() < until, "the page does not finish loading"
        if scripts:
            self.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, of a promise when it is kept."""
        found = self.send("Runtime.evaluate", expression=expression, returnByValue=True,
                          awaitPromise=True)  # fmt: skip
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Return as soon as an expression is true."""
        until = time.monotonic() + _SECONDS
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.02)

    def write(self, text: str) -> None:
        """Type a text into the element with the focus."""
        self.send("Input.insertText", text=text)

    def click(self, element: str) -> None:
        """Press the mouse in the middle of an element, given as a JavaScript expression."""
        box = self.run(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center'}}); "
            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; "
            "})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left",
                      clickCount=1)  # fmt: skip

    def press(self, key: str) -> None:
        code, text = _KEYS[key]
        values = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        down = {**values, "text": text} if text else values
        self.send("Input.dispatchKeyEvent", type="keyDown", **down)
        self.send("Input.dispatchKeyEvent", type="keyUp", **values)

    def picture(self, *, whole: bool = False, area: dict[str, float] | None = None) -> bytes:
        """A PNG of the screen, of the whole page, or of an area of it (x, y, width, height)."""
        clip = {"clip": {**area, "scale": 1}} if area else {}
        shot = self.send("Page.captureScreenshot", format="png",
                         captureBeyondViewport=whole or area is not None, **clip)  # fmt: skip
        return base64.b64decode(shot["data"])


@contextmanager
def browser() -> Iterator[Page]:
    """A browser with one tab."""
    assert CHROMIUM is not None
    read_here, write_there = os.pipe()
    read_there, write_here = os.pipe()
    # Copies above the descriptors 3 and 4, on which the browser speaks the protocol.
    theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (read_there, write_there)]

    def descriptors() -> None:
        for fd, wanted in zip(theirs, (3, 4), strict=True):
            os.dup2(fd, wanted)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            CHROMIUM, "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
            "--no-first-run", "--disable-extensions", "--disable-background-networking",
            "--hide-scrollbars", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        done = subprocess.Popen(command, pass_fds=(3, 4), preexec_fn=descriptors,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        for fd in theirs:
            os.close(fd)
        os.close(read_there)
        os.close(write_there)
        try:
            page = Page(write_here, read_here)
            yield page
            page._session = ""
            page.send("Browser.close")
        finally:
            os.close(write_here)
            done.terminate()
            done.wait()
