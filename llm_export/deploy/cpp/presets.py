"""CMakePresets.json: how the project is configured, built and tested."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_export.targets.sdk import sdk_place

AARCH64 = "aarch64"


def presets(sources: Path | None) -> list[dict[str, Any]]:
    """The configure presets, the one to build first.

    Args:
        sources: an ExecuTorch source tree; None: the libraries of the wheel.
    """
    found = []
    if sources is not None:
        found.append(
            _preset("sources", "this machine, with ExecuTorch's source tree",
                    EXECUTORCH_SOURCES=str(sources), PYTHON_EXECUTABLE=sys.executable)
        )  # fmt: skip
    machine = platform.machine()
    if sources is None:
        name = "this machine, with the libraries of ExecuTorch's wheel"
        found.append(_preset("native", name, executorch_DIR=_package(machine)))
        if sys.platform == "linux" and machine != AARCH64:
            found.append({
                **_preset(AARCH64, "Linux on 64-bit Arm, by a cross compiler",
                          executorch_DIR=_package(AARCH64)),
                "toolchainFile": "${sourceDir}/cmake/aarch64.cmake",
            })  # fmt: skip
    return found


def _package(architecture: str) -> str:
    return str(sdk_place(architecture) / "share" / "cmake")


def _preset(name: str, title: str, **variables: str) -> dict[str, Any]:
    return {
        "name": name,
        "displayName": title,
        "binaryDir": f"${{sourceDir}}/build/{name}",
        "cacheVariables": {"CMAKE_BUILD_TYPE": "Release", **variables},
    }


def presets_file(configure: list[dict[str, Any]], chosen: str) -> str:
    """
    Args:
        chosen: name of the preset that ``deploy --build`` builds.
    """
    names = [preset["name"] for preset in configure]
    return json.dumps({
        "version": 3,
        "cmakeMinimumRequired": {"major": 3, "minor": 21, "patch": 0},
        "configurePresets": configure,
        "buildPresets": [{"name": n, "configurePreset": n} for n in names],
        "testPresets": [
            {"name": n, "configurePreset": n, "output": {"outputOnFailure": True}} for n in names
        ],
        "vendor": {"llm_export": {"build": chosen}},
    }, indent=2) + "\n"  # fmt: skip


def chosen_preset(folder: Path) -> Mapping[str, Any]:
    """The configure preset that is to be built, of a written project."""
    body = json.loads((folder / "CMakePresets.json").read_text("utf-8"))
    chosen = body["vendor"]["llm_export"]["build"]
    found: Mapping[str, Any] = next(p for p in body["configurePresets"] if p["name"] == chosen)
    return found


def commands(preset: str) -> tuple[str, str, str]:
    return (
        f"cmake --preset {preset}",
        f"cmake --build --preset {preset} -j",
        f"ctest --preset {preset}",
    )
