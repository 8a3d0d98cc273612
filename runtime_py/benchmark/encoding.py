"""The time to encode an image."""

from __future__ import annotations

import time
from typing import Any

from runtime_py.benchmark.spread import spread


def image_encoding(program: Any, repetitions: int) -> dict[str, Any] | None:
    """Seconds to encode one image, or one tile of it, after a first one; None where the program
    sees none."""
    from runtime_py.program import Program

    if not isinstance(program, Program):
        return None
    from runtime_py.vision.program import SeeingProgram

    if not isinstance(program, SeeingProgram):
        return None
    import torch

    pixels = torch.rand(program.image_shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = []
    for _ in range(repetitions + 1):
        begin = time.perf_counter()
        program.encode(pixels)
        found.append(time.perf_counter() - begin)
    return spread(found[1:])
