"""Times the programs of ``probe`` in turns: ``python -m llm_export.runner.cache_dtype.timer
FOLDER`` prints milliseconds a layer of each round as JSON. A process of its own has the threads
that the runtime has."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import runtime_py  # noqa: F401  (before torch: it sets the threads of torch's BLAS)

ROUNDS, LEAST, SECONDS = 25, 7, 1.0
"""Rounds, and how many there are at least if they take longer than so many seconds."""
FIRST, SLOW = 2, 2.0
"""A program that is so many times slower than another in the first rounds takes no further turn."""


def main(folder: Path) -> dict[str, list[float]]:
    """Program -> milliseconds a layer of each round."""
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401
    from executorch.runtime import Runtime

    said = json.loads((folder / "probe.json").read_text(encoding="utf-8"))
    layers, runtime = said["layers"], Runtime.get()
    turns: dict[str, Callable[[], float]] = {}
    for name, inputs in said["programs"].items():
        program = runtime.load_program(str(folder / f"{name}.pte"))
        turns[name] = _turn(program, inputs, said["position"], layers)
    for turn in turns.values():
        turn()
    times: dict[str, list[float]] = {name: [] for name in turns}
    end = time.perf_counter() + SECONDS
    for count in range(ROUNDS):
        if count >= LEAST and time.perf_counter() > end:
            break
        if count == FIRST:
            best = min(max(found) for found in times.values())
            turns = {name: turn for name, turn in turns.items() if min(times[name]) <= SLOW * best}
        for name, turn in turns.items():
            times[name].append(turn())
    return times


def _turn(
    program: Any, inputs: list[tuple[list[int], str]], position: int, layers: int
) -> Callable[[], float]:
    """A function that attends once in each layer and returns milliseconds a layer."""
    import torch

    def filled(shape: list[int], dtype: str) -> Any:
        kind = getattr(torch, dtype)
        if kind.is_floating_point:
            return torch.rand(shape, dtype=kind)
        return torch.randint(-100, 100, shape, dtype=kind)

    method, at = program.load_method("forward"), torch.tensor([position])
    given = []
    for _ in range(layers):
        q, *kept = (filled(*one) for one in inputs)
        given.append((q, at, *kept))

    def turn() -> float:
        assert program is not None  # a method does not keep its program
        began = time.perf_counter()
        for one in given:
            method.execute(one)
        return 1e3 * (time.perf_counter() - began) / layers

    return turn


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
