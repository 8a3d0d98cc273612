"""Options of ``deploy --to cpp``."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from llm_export.deploy.cpp.presets import AARCH64
from llm_export.errors import RecipeError

OPTIONS: Mapping[str, str] = {
    "sources": "an ExecuTorch source tree to build instead of the libraries of the wheel: it has "
    "the operators of fused attention, all backends, and ExecuTorch's LLM runner",
    "processor": "aarch64: --build and the steps build for 64-bit Arm; default: this machine",
    "adapter": "one of the bundle's adapters, or base; default: the bundle's own default",
    "test": "false: no expected answer, for which the program runs here once",
}


class CppOptions(NamedTuple):
    """``sources`` None: the wheel. ``adapter`` None: the bundle's default."""

    sources: Path | None
    processor: str
    adapter: str | None
    test: bool


def cpp_options(said: Mapping[str, str]) -> CppOptions:
    """
    Raises:
        RecipeError: a value is wrong.
    """
    sources = _sources(said["sources"]) if "sources" in said else None
    processor = said.get("processor", platform.machine())
    possible = [platform.machine()]
    if sys.platform == "linux" and sources is None and AARCH64 not in possible:
        possible.append(AARCH64)
    if processor not in possible:
        raise RecipeError(
            f"the project cannot be built for '{processor}' here", where="--set processor=",
            fix=f"one of {', '.join(possible)}",
        )  # fmt: skip
    test = said.get("test", "true")
    if test not in ("true", "false"):
        raise RecipeError(f"test is true or false, not '{test}'", where="--set test=",
                          fix="--set test=false")  # fmt: skip
    return CppOptions(sources, processor, said.get("adapter"), test == "true")


def _sources(text: str) -> Path:
    folder = Path(text).expanduser().absolute()
    if not (folder / "tools/cmake/preset/llm.cmake").is_file():
        raise RecipeError(
            "this is no ExecuTorch source tree", where=f"--set sources={text}",
            fix="git clone --recursive https://github.com/pytorch/executorch",
        )  # fmt: skip
    return folder
