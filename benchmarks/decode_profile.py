"""Time of one step of a program, by kind of operator.

python benchmarks/decode_profile.py BUNDLE_OR_PTE [MORE ...]       one token, empty KV cache
python benchmarks/decode_profile.py BUNDLE_OR_PTE --depth 1500     one token after 1,500 tokens
python benchmarks/decode_profile.py BUNDLE_OR_PTE --tokens 256     one step of a prompt

Supports only programs with an internal KV cache. The content of the cache does not affect the
time, so the position alone sets the depth. Times are first quartiles over steps, in milliseconds,
from ExecuTorch's event tracer. "between operators" includes the cost of the tracer and of other
processes.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

KINDS = {
    "quantized products": ("Fully Connected (NC, Q",),
    "float products": ("Fully Connected", "Batch Matrix Multiply", "native_call_bmm",
                       "native_call_mm", "native_call_linear"),
    "attention": ("llama::custom_sdpa", "llama::sdpa_with_kv_cache",
                  "llama::custom_quantized_sdpa"),
    "cache writes": ("llama::update_cache", "native_call_index_put"),
    "embedding": ("native_call_embedding", "native_call_dequantize"),
}  # fmt: skip
REST = "elementwise, copies and norms in delegates"
OTHER = "small kernels outside of delegates"
BETWEEN = "between operators"
ROWS = (*KINDS, REST, OTHER, BETWEEN)


def kind_of(name: str) -> str | None:
    return next((k for k, starts in KINDS.items() if name.startswith(starts)), None)


def profile(path: Path, depth: int, tokens: int, steps: int, threads: int) -> dict[str, float]:
    """Kind -> milliseconds per step; "calls" -> number of delegate and kernel calls."""
    import torch

    from runtime_py.program import load_operators, set_threads

    set_threads(threads)
    load_operators()
    from executorch.devtools import Inspector
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(path, enable_etdump=True, debug_buffer_size=0)
    method = program.load_method("forward")
    inputs = (torch.full((1, tokens), 7), torch.tensor([depth]))
    for _ in range(steps):
        method.execute(inputs)
    with tempfile.TemporaryDirectory() as folder:
        dump = f"{folder}/etdump.etdp"
        program.write_etdump_result_to_file(dump, f"{folder}/debug.bin")
        blocks = Inspector(etdump_path=dump).event_blocks
    sums: dict[str, float] = defaultdict(float)
    whole = calls = delegates = kernels = 0.0
    for event in (e for block in blocks for e in block.events if e.perf_data is not None):
        if len(event.perf_data.raw) < 2:
            continue  # loading
        time = statistics.quantiles(event.perf_data.raw, n=4)[0]
        name = event.name
        if name == "Method::execute":
            whole += time
        elif name in ("DELEGATE_CALL", "OPERATOR_CALL"):
            calls += 1
            delegates += time if name == "DELEGATE_CALL" else 0
            kernels += time if name == "OPERATOR_CALL" else 0
        elif not name.startswith(("Program::", "Method::")):
            inside = "delegates" if event.is_delegated_op else "kernels"
            kind = kind_of(name)
            if kind is not None:
                sums[kind] += time
                sums[inside] += time
    sums[REST] = delegates - sums.pop("delegates", 0.0)
    sums[OTHER] = kernels - sums.pop("kernels", 0.0)
    sums[BETWEEN] = whole - delegates - kernels
    return {**sums, "all": whole, "calls": calls}


def table(found: dict[str, dict[str, float]]) -> str:
    lines = ["| ms a step | " + " | ".join(found) + " |", "| --- |" + " ---: |" * len(found)]
    for row in (*ROWS, "all"):
        values = [one.get(row, 0.0) for one in found.values()]
        cells = " | ".join(f"**{v:.2f}**" if row == "all" else f"{v:.2f}" for v in values)
        lines.append(f"| {row} | {cells} |")
    calls = " | ".join(f"{one['calls']:.0f}" for one in found.values())
    lines.append(f"| delegates and kernels called | {calls} |")
    return "\n".join(lines)


def program_of(path: Path) -> Path:
    return path / "model.pte" if path.is_dir() else path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("programs", type=Path, nargs="+", help="bundles or .pte files")
    parser.add_argument("--depth", type=int, default=0, help="tokens in the cache before the step")
    parser.add_argument("--tokens", type=int, default=1, help="tokens of the step")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    found = {
        str(path): profile(program_of(path), args.depth, args.tokens, args.steps, args.threads)
        for path in args.programs
    }
    print(table(found))


if __name__ == "__main__":
    main()
