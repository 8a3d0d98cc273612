"""What ``llm-export doctor`` prints of emulating kernels for Arm, and how it gets the parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export import api

if TYPE_CHECKING:
    from llm_export.arm.parts import Part


def arm_state(parts: Sequence[Part]) -> tuple[str, str]:
    """Which parts are here, and the one command for those that are not; empty if all are."""
    from llm_export.arm.parts import GET, fixes

    text = ", ".join(f"{part.name}: {'there' if part.found else 'lacking'}" for part in parts)
    missing = [part for part in parts if not part.found]
    if not missing:
        return text, ""
    # The runner is compiled then, and the first run does not wait for it.
    command = fixes(missing)
    return text, command if command.endswith(GET) else f"{command} && {GET}"


def get_arm() -> None:
    """Fetch the libraries, compile the runner, and say where they are."""
    found = api.get_arm_emulation()
    for name, path in (("emulator", found.emulator), ("C++ library", found.sysroot),
                       ("runner", found.runner), ("libraries", found.libraries)):  # fmt: skip
        print(f"{name:<12} {path}")
