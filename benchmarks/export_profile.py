"""Time of an export by phase and number of layers.

python benchmarks/export_profile.py                        2, 8 and 30 layers of SmolLM2's shape
python benchmarks/export_profile.py --layers 2 --quant 8da8w --backend portable
python benchmarks/export_profile.py --set runtime.attention=plain

Each number of layers runs in a separate process, with random weights and no verification. Seconds
are CPU seconds. A phase excludes the phases that it calls, so the phases add up to the total.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent


class Phases:
    """Exclusive CPU seconds of named phases, which may be nested."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._running: list[str] = ["other"]
        self._since = time.process_time()

    def _charge(self) -> None:
        now = time.process_time()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._charge()
            self._running.append(phase)
            self.calls[phase] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._charge()
                self._running.pop()

        return wrapped

    def wrap(self, phase: str, owner: Any, name: str) -> None:
        plain = owner.__dict__[name] if isinstance(owner, type) else getattr(owner, name)
        if isinstance(plain, staticmethod):
            setattr(owner, name, staticmethod(self.timed(phase, plain.__func__)))
        else:
            setattr(owner, name, self.timed(phase, plain))

    def finish(self) -> dict[str, Any]:
        self._charge()
        return {p: {"cpu_s": round(s, 3), "calls": self.calls[p]} for p, s in self.seconds.items()}


def _watch(phases: Phases) -> None:
    """Time the functions of PyTorch and ExecuTorch 1.5 that dominate an export."""
    import torch
    from executorch.backends.xnnpack import xnnpack_preprocess as xnn
    from executorch.exir.passes import MemoryPlanningPass
    from executorch.exir.program import _program

    phases.wrap("torch.export", torch.export, "export")
    phases.wrap("decompositions", torch.export.ExportedProgram, "run_decompositions")
    phases.wrap("edge passes", _program, "_generate_edge_program")
    phases.wrap("to_backend (fusing partitions, inserting delegates)", _program, "to_backend")
    phases.wrap("XNNPACK graph passes", xnn.XNNPACKPassManager, "transform")
    phases.wrap("XNNPACK serialization", xnn, "serialize_xnnpack_binary")
    phases.wrap("XNNPACK node visitors", xnn.XnnpackBackend, "preprocess")
    phases.wrap("executorch passes", _program.EdgeProgramManager, "to_executorch")
    phases.wrap("memory planning", MemoryPlanningPass, "run")
    phases.wrap("emission", _program, "emit_program")
    phases.wrap("program serialization", _program.ExecutorchProgramManager, "write_to_file")
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    for kind in {XnnpackPartitioner, *XnnpackPartitioner.__mro__}:
        if "partition" in kind.__dict__ and kind.__module__.startswith("executorch"):
            phases.wrap("partitioning", kind, "partition")


def measure(overrides: list[str]) -> dict[str, Any]:
    """Export once in this process."""
    started = time.process_time()
    phases = Phases()
    phases._running = ["imports of torch and executorch"]
    import torch  # noqa: F401

    _watch(phases)
    phases._charge()
    phases._running = ["other"]
    from llm_export import api

    with tempfile.TemporaryDirectory() as folder:
        composed = api.compose_recipe(
            None, [*overrides, f"out={folder}/out", "verify=off", "benchmark=off"]
        )
        begun = time.time()
        result = api.run_recipe(composed, quiet=True, cache=False)
        wall = time.time() - begun
        size = (result.bundle / "model.pte").stat().st_size
    stages = {s.name: s.cpu_seconds for s in result.record.stages}
    peak = max(s.peak_bytes for s in result.record.stages)
    return {
        "phases": phases.finish(),
        "stages": stages,
        "cpu_s": round(time.process_time() - started, 2),
        "wall_s": round(wall, 2),
        "peak_bytes": peak,
        "pte_bytes": size,
    }


def run(layers: int, args: argparse.Namespace) -> dict[str, Any]:
    overrides = [
        "model=smollm2_135m", "checkpoint.package=null", "checkpoint.random_seed=0",
        f"model.config.num_hidden_layers={layers}", f"backend={args.backend}",
        f"quant={args.quant}", *args.set,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, __file__, "--one", json.dumps(overrides)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{layers} layers failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def table(results: dict[int, dict[str, Any]]) -> str:
    """Markdown: CPU seconds by phase and number of layers, and per additional layer."""
    depths = sorted(results)
    names = {p for r in results.values() for p in r["phases"]}
    last = results[depths[-1]]["phases"]
    names_in_order = sorted(names, key=lambda p: -last.get(p, {"cpu_s": 0})["cpu_s"])
    head = ["phase", *(f"{d} layers" for d in depths), "calls", "per additional layer"]
    rows = [head, ["---"] + ["---:"] * (len(head) - 1)]

    def growth(values: list[float]) -> str:
        if len(depths) < 2:
            return ""
        return f"{(values[-1] - values[0]) / (depths[-1] - depths[0]):.3f}"

    for name in names_in_order:
        values = [results[d]["phases"].get(name, {"cpu_s": 0.0})["cpu_s"] for d in depths]
        calls = str(last.get(name, {"calls": 0})["calls"] or "")
        rows.append([name, *(f"{v:.1f}" for v in values), calls, growth(values)])
    totals = [results[d]["cpu_s"] for d in depths]
    rows.append(["**all**", *(f"**{v:.1f}**" for v in totals), "", growth(totals)])
    for name, key, unit in (("wall, s", "wall_s", 1), ("peak RSS, MB", "peak_bytes", 1e6)):
        rows.append([name, *(f"{results[d][key] / unit:.1f}" for d in depths), "", ""])
    return "\n".join("| " + " | ".join(r) + " |" for r in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 8, 30])
    parser.add_argument("--quant", default="8da4w")
    parser.add_argument("--backend", default="xnnpack")
    parser.add_argument("--set", nargs="*", default=[], help="additional overrides")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(json.loads(args.one))))
        return
    results = {}
    for layers in args.layers:
        results[layers] = run(layers, args)
        print(f"{layers} layers: {results[layers]['cpu_s']} CPU s", file=sys.stderr, flush=True)
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
