"""Ask a server over HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime_py.manifest import read_manifest
from runtime_py.server import Settings
from runtime_py.server.app import application
from runtime_py.server.loading import Loading
from runtime_py.server.serving import Serving

USER = [{"role": "user", "content": "hello"}]
KEY = "k-123"


def events(text: str) -> list[dict[str, Any]]:
    """The data of server-sent events, which end with [DONE] if they are chat completions."""
    lines = [line[6:] for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def asked(serving: Serving, method: str, path: str, **given: Any) -> httpx2.Response:
    """The answer of the application, without a port."""

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(application(serving), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **given)

    return asyncio.run(ask())


def times_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often the manifest is read while a server loads the bundle."""
    read: list[Path] = []

    def counted(folder: Path) -> dict[str, Any]:
        read.append(folder)
        return read_manifest(folder)

    monkeypatch.setattr("runtime_py.bundle.read_manifest", counted)
    load = Loading(path, Settings(port=0))
    load.open_local()
    with load() as loaded:
        assert loaded.bundle is load.open()
    return len(read)


def error_of(response: httpx2.Response) -> tuple[int, str, str | None, str | None]:
    """(status, message, param, code) of an error object."""
    error = response.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    return response.status_code, error["message"], error["param"], error["code"]
