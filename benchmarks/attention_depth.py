"""Time of the fused attention operator for one token over a filled cache, by shape of the heads.

python benchmarks/attention_depth.py
    prints milliseconds a layer, medians of turns, with the cache in float32 and in bfloat16, and
    with the heads of a group as rows of one product ("stacked")
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("MKL_NUM_THREADS", "1")  # as in runtime_py

import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
import torch
from executorch.exir import (
    EdgeCompileConfig,
    ExecutorchBackendConfig,
    to_edge_transform_and_lower,
)
from executorch.exir.passes import MemoryPlanningPass
from executorch.runtime import Runtime
from torch import Tensor, nn

SHAPES = {
    "SmolLM2-135M": (3, 3, 64), "SmolLM2-360M": (5, 3, 64), "Qwen2.5 0.5B": (2, 7, 64),
    "Llama 3.2 1B": (8, 4, 64), "Llama 3.2 3B": (8, 3, 128), "Qwen3 0.6B": (8, 2, 128),
    "Gemma 3 270M": (1, 4, 256), "Gemma 3 4B": (4, 2, 256),
}  # fmt: skip
"""KV heads, query heads of each, and channels."""
ALL, MOST = 96 << 20, 16
"""Bytes of all caches that take turns, and how many there are at most."""


class Attention(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, q: Tensor, start: Tensor, k: Tensor, v: Tensor) -> Tensor:
        at = start.item()
        torch._check(at >= 0)
        torch._check(at < k.shape[1] - q.shape[1])
        y: Tensor = torch.ops.llama.custom_sdpa(q, k, v, at, None, 0.0, self.causal)
        return y


def program(model: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    exported = torch.export.export(model, inputs, strict=False)
    settings = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
    planning = MemoryPlanningPass(alloc_graph_input=False)  # inputs are not copied
    edge = to_edge_transform_and_lower(exported, compile_config=settings)
    config = ExecutorchBackendConfig(memory_planning_pass=planning)
    return bytes(edge.to_executorch(config).buffer)


def turn_of(
    shape: tuple[int, int, int], dtype: torch.dtype, position: int, stacked: bool
) -> Callable[[], float]:
    """A function that attends once in each layer and returns milliseconds a layer."""
    heads, group, size = shape
    slots = position + 64
    layers = max(2, min(MOST, ALL // (8 * heads * slots * size)))
    # Rows that are not masked causally see all keys up to the last one's position.
    q = torch.rand((heads, group, 1, size) if stacked else (heads, 1, group, size)).to(dtype)
    start = torch.tensor([position + 1 - group if stacked else position])
    caches = [tuple(torch.rand(heads, slots, 1, size).to(dtype) for _ in "kv")
              for _ in range(layers)]  # fmt: skip
    loaded = Runtime.get().load_program(program(Attention(not stacked), (q, start, *caches[0])))
    method = loaded.load_method("forward")

    def turn() -> float:
        assert loaded is not None  # a method does not keep its program
        began = time.perf_counter()
        for kept in caches:
            method.execute((q, start, *kept))
        return 1e3 * (time.perf_counter() - began) / layers

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--position", type=int, default=1500, help="tokens in the cache")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each shape")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES), metavar="LIKE")
    args = parser.parse_args()
    print("| KV heads x group x channels | like | float32 | stacked | bfloat16 | stacked |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for name in args.shapes:
        shape = SHAPES[name]
        turns = [
            turn_of(shape, dtype, args.position, stacked)
            for dtype in (torch.float32, torch.bfloat16)
            for stacked in (False, True)
        ]
        for turn in turns:
            turn()
        times: list[list[float]] = [[] for _ in turns]
        end = time.perf_counter() + args.seconds
        while time.perf_counter() < end:
            for turn, found in zip(turns, times, strict=True):
                found.append(turn())
        cells = " | ".join(f"{statistics.median(found):.3g}" for found in times)
        print(f"| {' x '.join(map(str, shape))} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
