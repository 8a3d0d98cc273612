"""What ``llm-export doctor`` prints of emulating kernels for Arm, and how it gets the parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_export import api

if TYPE_CHECKING:
    from llm_export.arm.parts import Part


def arm_lines(parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Name and state of each part, and the one command for those that are not here."""
    from llm_export.arm.parts import GET, fixes

    missing = [part for part in parts if not part.found]
    lines = [(part.name, part.found or f"lacking; {part.fix}") for part in parts]
    if missing:
        # The runner is compiled then, and the first run does not wait for it.
        get = [fixes(missing)] + [GET] * (GET not in fixes(missing))
        lines.append(("all of it", " && ".join(get)))
    return lines


def get_arm() -> None:
    """Fetch the libraries, compile the runner, and say where they are."""
    found = api.get_arm_emulation()
    for name, path in (("emulator", found.emulator), ("C++ library", found.sysroot),
                       ("runner", found.runner), ("libraries", found.libraries)):  # fmt: skip
        print(f"{name:<12} {path}")
