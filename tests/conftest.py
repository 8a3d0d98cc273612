"""Shared fixtures: bundles that are exported once a session, through the public API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_export import api
from llm_export.checkpoints.cache import VARIABLE
from llm_export.stage_cache.settings import SIZE

REPO = Path(__file__).parent.parent
FAST = ("benchmark=off", "verify.positions=200")


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_stages() -> Iterator[None]:
    """Tests do what they say, whatever ran before them; those of the cache bring their own."""
    former = os.environ.get(SIZE)
    os.environ[SIZE] = "0"
    yield
    del os.environ[SIZE]
    if former is not None:
        os.environ[SIZE] = former


@pytest.fixture(scope="session", autouse=True)
def no_folder_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever options and plugins whoever runs the tests keeps for the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def stage_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of stages that is on, empty, and this test's own."""
    monkeypatch.setenv(SIZE, "2GB")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """export(*overrides) -> bundle of model=tiny, made once for each set of overrides."""
    made: dict[tuple[str, ...], Path] = {}

    def make(*overrides: str) -> Path:
        if overrides not in made:
            out = tmp_path_factory.mktemp("bundle") / "bundle"
            composed = api.compose_recipe(None, ["model=tiny", *FAST, *overrides, f"out={out}"])
            made[overrides] = api.run_recipe(composed, quiet=True).bundle
        return made[overrides]

    return make


@pytest.fixture(scope="session")
def portable_bundle(export: Callable[..., Path]) -> Path:
    return export("backend=portable")


@pytest.fixture(scope="session")
def quantized_bundle(export: Callable[..., Path]) -> Path:
    return export("backend=xnnpack", "quant=8da8w")


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """cli(*words, cwd=None, env=None) runs the program as a user would."""

    def run(
        *words: str, cwd: Path | None = None, module: bool = True, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llm_export", *words],
            cwd=cwd or tmp_path,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=900,
        )

    return run
