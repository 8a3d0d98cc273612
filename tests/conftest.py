"""Shared fixtures: bundles that are exported once a session, through the public API."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, cast

import hypothesis
import pytest
from quick_run import QUICK
from warm_program import program

from llm_export import api
from llm_export.arm.parts import QEMU
from llm_export.checkpoints.cache import VARIABLE
from llm_export.config.compose import Composer
from llm_export.config.composed import Composed
from llm_export.stage_cache.settings import SIZE
from runtime_py.threads import set_threads

REPO = Path(__file__).parent.parent
FAST = ("benchmark=off", "verify.positions=200", "deploy.questions=[Hello?]")

# A change fails by what it does, not by what is drawn this time; `make test-release` draws anew.
# How long drawing takes says how busy the machine is.
for _name, _fixed in (("fixed", True), ("explore", False)):
    hypothesis.settings.register_profile(
        _name, derandomize=_fixed, deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )  # fmt: skip
hypothesis.settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    """What libraries of the hub keep goes where it can be written, and with the session. They read
    the variable when they are imported, which the tests' modules do."""
    folder = tempfile.mkdtemp(prefix="llm_export_hub_")
    os.environ["HF_HOME"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish() -> None:
    # Lower levels are thousands of lines of torch's own under each failure. pytest's log_level
    # would set this six times in each test, and clear what every logger has cached.
    logging.getLogger().setLevel(logging.INFO)
    # Tracing a graph makes objects that stay by the thousand: looked at every 700 of them, as is
    # the default, they take a twentieth of an export.
    gc.set_threshold(20_000, 20, 20)
    # Tiny products and programs wait for a second thread longer than they compute, and so do those
    # of the other processes.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "executorch" in sys.modules:
        set_threads(1)  # before any program is loaded
    _freeze()


def pytest_runtest_teardown() -> None:
    if len(sys.modules) > _frozen + 50:
        _freeze()


_frozen = 0
"""How many modules were imported when last what lives was frozen."""


def _freeze() -> None:
    """What has been imported stays: collecting garbage need not walk through it, which takes a
    sixth of an export."""
    global _frozen
    gc.collect()
    gc.freeze()
    _frozen = len(sys.modules)


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


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> Iterator[None]:
    """Servers of the tests are on this machine, where no proxy of whoever runs them leads."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1,localhost")
        yield


@pytest.fixture(scope="session", autouse=True)
def no_emulation() -> Iterator[None]:
    """Kernels for Arm are not emulated, whatever this machine has; those that do say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(QEMU, "")
        yield


@pytest.fixture(scope="session", autouse=True)
def enough_room() -> Iterator[None]:
    """Whether a recipe fits is tested with amounts that the test names: 32 GB of memory and 100 GB
    of disk are free here, however full this machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: _Usage(200 * 10**9, 10**11, 10**11))
        patch.setattr("llm_export.free_memory.available", lambda: 32 * 10**9)
        patch.setattr("llm_export.free_memory._CGROUP", Path("no container"))
        yield


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def stage_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache of stages that is on, empty, and this test's own."""
    monkeypatch.setenv(SIZE, "2GB")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "stages"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """once(make, *key) -> the path that ``make(path)`` has filled, once for each key, by whichever
    of the session's processes needs it first. ``make`` lets a path appear only when it is whole."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    shared.mkdir(exist_ok=True)

    def of(make: Callable[[Path], object], *key: str) -> Path:
        out = shared / hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
        with out.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not out.exists():
                make(out)
        return out

    return of


@pytest.fixture(scope="session")
def composed(once: Callable[..., Path]) -> Callable[..., Composed]:
    """composed(*overrides, recipe=None) -> what they compose to, with model=auto as it is written;
    once for each set of words, by whichever process needs it first. Each caller has its own."""

    def make(*overrides: str, recipe: str | None = None) -> Composed:
        def run(out: Path) -> None:
            partial = out.with_suffix(".partial")
            partial.write_bytes(pickle.dumps(Composer(recipe).compose(overrides)))
            partial.rename(out)

        found = once(run, "composed", recipe or "", *overrides).read_bytes()
        return cast(Composed, pickle.loads(found))

    return make


@pytest.fixture(scope="session")
def export(once: Callable[..., Path]) -> Callable[..., Path]:
    """export(*overrides) -> bundle of model=tiny, export(*overrides, recipe=...) -> one of that
    recipe; made once for each set of words."""

    def make(*overrides: str, recipe: str | None = None) -> Path:
        words = [*([] if recipe else ["model=tiny", *FAST]), *overrides]

        def run(out: Path) -> None:
            composed = api.compose_recipe(recipe, [*words, f"out={out}"])
            api.run_recipe(composed, quiet=True)

        return once(run, "bundle", recipe or "", *words)

    return make


@pytest.fixture(scope="session")
def quick_stages(once: Callable[..., Path]) -> Path:
    """A cache of stages that holds those of ``QUICK`` up to lower."""

    def run(out: Path) -> None:
        partial = out.with_suffix(".partial")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(SIZE, "2GB")
            patch.setenv(VARIABLE, str(partial))
            with api.run(None, QUICK, until="lower", out=partial / "o", quiet=True):
                pass
        partial.rename(out)

    return once(run, "stages", *QUICK)


@pytest.fixture
def warm(
    quick_stages: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A cache of this test's own, from which runs of ``QUICK`` take their stages up to lower."""
    own = shutil.copytree(quick_stages, tmp_path_factory.mktemp("warm") / "cache")
    monkeypatch.setenv(SIZE, "2GB")
    monkeypatch.setenv(VARIABLE, str(own))
    yield own
    shutil.rmtree(own, ignore_errors=True)  # not in tmp_path, which pytest empties


@pytest.fixture(scope="session")
def portable_bundle(export: Callable[..., Path]) -> Path:
    return export("backend=portable")


@pytest.fixture(scope="session")
def quantized_bundle(export: Callable[..., Path]) -> Path:
    return export("backend=xnnpack", "quant=8da8w")


@pytest.fixture(scope="session")
def recurrent_bundle(once: Callable[..., Path]) -> Path:
    """A tiny LFM2: a layer of short convolutions, and one of attention."""
    config = ["vocab_size=320", "hidden_size=64", "num_hidden_layers=2", "num_attention_heads=4",
              "num_key_value_heads=2", "block_ff_dim=128", "block_auto_adjust_ff_dim=false",
              "full_attn_idxs=[1]"]  # fmt: skip
    words = ["model=lfm2_350m", "checkpoint.hf_id=null", "checkpoint.random_seed=0",
             "benchmark=off", "verify.positions=50", "backend=portable",
             *(f"model.config.{word}" for word in config)]  # fmt: skip

    def run(out: Path) -> None:
        api.run_recipe(api.compose_recipe(None, [*words, f"out={out}"]), quiet=True)

    return once(run, "bundle", "recurrent")


@pytest.fixture(scope="session", autouse=True)
def warm_program() -> Iterator[None]:
    yield
    program.close()


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """cli(*words, cwd=None, **env) runs the program as a user would."""

    def run(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return program(words, cwd or tmp_path, {**os.environ, **env})

    return run
