"""Cost of an export compared with ExecuTorch's export_llm: CPU seconds, wall seconds, peak memory.

python benchmarks/export_cost.py                     SmolLM2-135M, three rounds
python benchmarks/export_cost.py --layers 2 8 16 30 --rounds 1
                                                     also the cost per additional layer
python benchmarks/export_cost.py --model llama3_2_1b --layers 16 --rounds 1
                                                     random weights; export_llm needs 24 GB

Both tools get the same weights, as a Hugging Face folder and as Meta's checkpoint, and lower them
for XNNPACK with dynamic shapes, 8da4w in groups of 32, an 8-bit embedding and the fused attention.
Each uses one thread: nearly all of the work is Python, and on a shared machine waiting threads
would count as CPU time. They run in turns, each run in a separate process. Verification is off,
because export_llm has none; --verify turns ours on.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

REPO = Path(__file__).resolve().parent.parent
WRITER = str(Path(__file__).with_name("same_weights.py"))
CONTEXT, GROUP = 1024, 32


@dataclass(frozen=True)
class Cost:
    """Cost of one process: CPU seconds including children, wall seconds, bytes."""

    cpu: float
    wall: float
    peak: int
    size: int


def our_command(folder: Path, layers: int, args: argparse.Namespace) -> list[str]:
    source = [
        f"model={args.model}", f"model.config.num_hidden_layers={layers}",
        "checkpoint.hf_id=null", "checkpoint.random_seed=0",
    ]  # fmt: skip
    if args.model == "smollm2_135m":
        source = ["model=auto", f"checkpoint.path={folder}/hf"]
    return [
        sys.executable, "-m", "llm_export", "run", "--no-cache", *source,
        "backend=xnnpack", "quant=8da4w", f"runtime.context_length={CONTEXT}",
        f"verify={'on' if args.verify else 'off'}", "benchmark=off", f"out={folder}/ours",
        *args.set,
    ]  # fmt: skip


def their_command(folder: Path) -> list[str]:
    return [
        sys.executable, "-m", "executorch.extension.llm.export.export_llm",
        "base.model_class=llama2", f"base.params={folder}/params.json",
        f"base.checkpoint={folder}/model.pth", "model.use_kv_cache=True",
        "model.use_sdpa_with_kv_cache=True", "backend.xnnpack.enabled=True",
        "backend.xnnpack.extended_ops=True", "quantization.qmode=8da4w",
        f"quantization.group_size={GROUP}", "quantization.embedding_quantize='8,0'",
        f"export.max_seq_length={CONTEXT}", f"export.max_context_length={CONTEXT}",
        f"export.output_name={folder}/theirs.pte",
    ]  # fmt: skip


def run(command: list[str], folder: Path, product: Path) -> Cost:
    """Raises SystemExit with the end of the command's output if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    log = folder / "log.txt"
    start = time.perf_counter()
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment, cwd=folder)
        peak, status, usage = _followed(process.pid)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{log.read_text(encoding='utf-8')[-3000:]}")
    size = product.stat().st_size
    peak = max(peak, usage.ru_maxrss * 1024, _recorded_peak(product.with_name("run.json")))
    return Cost(usage.ru_utime + usage.ru_stime, wall, peak, size)


def _followed(pid: int) -> tuple[int, int, Any]:
    """(largest resident size seen, exit status, usage): our own run sets the kernel's high-water
    mark back before each stage, so it is looked at from outside too."""
    peak, child = 0, psutil.Process(pid)
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return peak, status, usage
        with contextlib.suppress(psutil.Error):
            peak = max(peak, child.memory_info().rss)
        time.sleep(0.05)


def _recorded_peak(record: Path) -> int:
    """Peak of our own run, the largest of its stages."""
    if not record.is_file():
        return 0
    stages = json.loads(record.read_text(encoding="utf-8"))["stages"]
    return max(stage["peak_bytes"] for stage in stages)


def compare(layers: int, args: argparse.Namespace) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {tool: [] for tool in args.tools}
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            writer = [sys.executable, WRITER, name, args.model, str(layers)]
            subprocess.run(writer, check=True)
            commands = {
                "llm_export": (our_command(folder, layers, args), folder / "ours" / "model.pte"),
                "export_llm": (their_command(folder), folder / "theirs.pte"),
            }
            for tool in args.tools:
                command, product = commands[tool]
                costs[tool].append(run(command, folder, product))
                cost = costs[tool][-1]
                print(
                    f"{layers} layers, round {number + 1}, {tool}: {cost.cpu:.1f} CPU s,"
                    f" {cost.peak / 1e6:.0f} MB", file=sys.stderr, flush=True,
                )  # fmt: skip
    return costs


def table(results: dict[int, dict[str, list[Cost]]]) -> str:
    """Markdown: medians, the ratio of each round, and the cost per additional layer."""
    lines = [
        "| layers | tool | CPU s | wall s | peak RSS, MB | .pte, MB | CPU ratio (spread) |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for layers, costs in results.items():
        ours, spread = costs.get("llm_export", []), ""
        ratios = [b.cpu / a.cpu for a, b in zip(ours, costs.get("export_llm", []), strict=False)]
        if ratios:
            spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})"
        for tool, found in costs.items():
            cpu, wall = (statistics.median(getattr(c, f) for c in found) for f in ("cpu", "wall"))
            peak, size = (max(getattr(c, f) for c in found) for f in ("peak", "size"))
            lines.append(
                f"| {layers} | {tool} | {cpu:.1f} | {wall:.1f} | {peak / 1e6:.0f} |"
                f" {size / 1e6:.1f} | {spread if tool == 'llm_export' else ''} |"
            )
    depths = sorted(results)
    for low, high in itertools.pairwise(depths):
        growth = {
            tool: (
                statistics.median(c.cpu for c in results[high][tool])
                - statistics.median(c.cpu for c in results[low][tool])
            )
            / (high - low)
            for tool in results[low]
        }
        said = ", ".join(f"{cost:.2f} CPU s with {tool}" for tool, cost in growth.items())
        lines.append(f"\nA further layer between {low} and {high}: {said}.")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="smollm2_135m",
                        help="models other than the default get random weights")  # fmt: skip
    parser.add_argument("--layers", type=int, nargs="+", default=[30])
    parser.add_argument("--tools", nargs="+", default=["llm_export", "export_llm"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--verify", action="store_true", help="also verify our .pte")
    parser.add_argument("--set", nargs="*", default=[], help="overrides for our recipe")
    args = parser.parse_args()
    print(table({layers: compare(layers, args) for layers in args.layers}))


if __name__ == "__main__":
    main()
