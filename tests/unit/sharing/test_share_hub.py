"""Recipes on a hub: what `share` uploads, and `get` downloads or refuses."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, hub_server

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as server:
        yield server


@pytest.mark.slow
def test_the_hub_gives_what_it_was_given(hub: Hub, bundle: Path, cli: Cli, tmp_path: Path) -> None:
    places: dict[str, Any] = {
        "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "hf_x",
        "XDG_DATA_HOME": str(tmp_path / "data"), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    done = cli("share", str(bundle), "--to", "hf:org/mine", **places)
    assert done.returncode == 0, done.stderr
    commit, files = hub.repositories["org/mine"][-1]
    assert f"/commit/{commit}" in done.stdout
    assert "model.pte" not in files
    hub.commit("org/mine", {**files, "model.safetensors": b"w" * 100, ".gitattributes": b"x"})
    done = cli("get", "hf:org/mine", "--yes", **places)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "data/llm_export/recipes/org/mine"
    origin = json.loads((place / "origin.json").read_text())
    assert origin["revision"] == hub.repositories["org/mine"][-1][0] != commit
    files = dict(files)
    assert files.pop("report.html").endswith(b"<p>good")
    assert {p.name for p in place.iterdir()} == {*files, "origin.json"}
    assert all((place / name).read_bytes() == data for name, data in files.items())
    assert not any("safetensors" in request for request in hub.requests)
    assert cli("get", f"hf:org/mine@{commit}", "--yes", **places).returncode == 0
    # Offline, from the cache that huggingface_hub keeps; and at a commit.
    offline = {**places, "HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1"}
    for name in ("hf:org/mine", f"hf:org/mine@{commit}"):
        assert cli("get", name, "--yes", **offline).returncode == 0
    assert json.loads((place / "origin.json").read_text())["revision"] == commit


@pytest.mark.slow
def test_what_the_hub_lacks(hub: Hub, cli: Cli, tmp_path: Path) -> None:
    places = {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "hf"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    hub.commit("org/big", {"a.json": b" " * 9_000_000, "r.yaml": b"a: 1"})
    down = {**places, "HF_ENDPOINT": "http://127.0.0.1:1"}
    for name, code, what, env in (
        ("hf:org/nowhere", 2, "no such repository", places),
        ("hf:org/big@nowhere", 2, "no such repository or revision", places),
        ("hf:org/big", 2, "a.json is larger than 8 MB", places),
        ("hf:org/big", 3, "cannot be reached", down),
    ):
        done = cli("get", name, "--yes", **env)
        assert (done.returncode, what in done.stderr) == (code, True), done.stderr
        assert len(re.findall("Traceback", done.stderr)) == 0
    assert not any("resolve" in request for request in hub.requests)
    assert not (tmp_path / "data").exists()
