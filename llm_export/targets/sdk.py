"""The C++ headers and libraries of ExecuTorch's wheel, for this processor or another one.

The wheels for Linux on x86-64 and aarch64 have shared libraries of the runtime, of its kernels and
of XNNPACK (share/cmake/executorch-config.cmake names them). Operators of LLMs (``llama::``) are
not among them.
"""

from __future__ import annotations

import platform
import tempfile
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

from llm_export.checkpoints.cache import cache_dir
from llm_export.checkpoints.package import download_wheel
from llm_export.compat.versions import installed
from llm_export.errors import MissingDependencyError

_PARTS = ("executorch/include/", "executorch/lib/", "executorch/share/")


def sdk_version() -> str:
    """The version of ExecuTorch here.

    Raises:
        MissingDependencyError: it is not installed.
    """
    if not (found := installed("executorch")):
        raise MissingDependencyError("ExecuTorch is not installed here",
                                     fix="pip install executorch")  # fmt: skip
    return found


def sdk_place(architecture: str) -> Path:
    """Where ``sdk`` finds or puts it, without fetching it."""
    if architecture != platform.machine():
        # Folders of the former name lack share/.
        return sdk_cache() / f"executorch-sdk-{sdk_version()}-{architecture}" / "executorch"
    spec = find_spec("executorch")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("ExecuTorch is not installed here",
                                     fix="pip install executorch")  # fmt: skip
    return Path(next(iter(spec.submodule_search_locations)))


def sdk(architecture: str, *, where: str, instead: str) -> Path:
    """The folder with include/, lib/ and share/cmake/, fetched once for another processor.

    Args:
        architecture: as ``platform.machine()`` names it.
        where: what needs it, for errors.
        instead: of a network, what helps.

    Raises:
        MissingDependencyError: ExecuTorch is not installed here, or there is no network.
    """
    place = sdk_place(architecture)
    if architecture != platform.machine() and not place.is_dir():
        _download(architecture, place.parent, where, instead)
    return place


def sdk_cache() -> Path:
    return cache_dir() / "runners"


def _download(architecture: str, folder: Path, where: str, instead: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        file = download_wheel(
            "executorch", sdk_version(), Path(partial), where=where,
            fix=f"a network, or {instead}",
            options=["--platform", f"manylinux_2_28_{architecture}"],
        )  # fmt: skip
        whole = Path(partial, "whole")
        with ZipFile(file) as wheel:
            wheel.extractall(whole, [n for n in wheel.namelist() if n.startswith(_PARTS)])
        try:
            whole.rename(folder)
        except OSError:
            if not (folder / "executorch").is_dir():  # another process was first
                raise
