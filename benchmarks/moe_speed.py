"""Speed of a mixture of experts that computes the selected experts only, compared with all experts.

python benchmarks/moe_speed.py FOLDER
    exports a small Qwen3-MoE (2 layers, 2 of 8 experts, random weights) in both forms into FOLDER,
    unless the bundles exist, and measures them in turns
python benchmarks/moe_speed.py FOLDER --experts 128 --active 8 --size 64 --quant none

Every round measures both programs, one right after the other, so that noise of the machine affects
both alike. Printed is a row of a table: medians in milliseconds, with the median of the ratios per
round; before it CPU seconds of the lowering and the load average before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMS = ("all", "active")
PROMPT, DECODED = 128, 16
SHAPE = {
    "hidden_size": 512, "intermediate_size": 512, "num_hidden_layers": 2, "head_dim": 64,
    "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 4096,
}  # fmt: skip


def build(args: argparse.Namespace) -> dict[str, Path]:
    """Form -> its bundle."""
    from llm_export import api

    shape = {**SHAPE, "num_experts": args.experts, "num_experts_per_tok": args.active,
             "moe_intermediate_size": args.size}  # fmt: skip
    made = {}
    for form in FORMS:
        name = f"{args.quant}_{args.experts}_{args.active}_{args.size}_{form}"
        out = made[form] = args.folder / name
        if not (out / "model.pte").exists():
            api.run(
                None,
                ["model=qwen3_30b_a3b", "backend=xnnpack", f"quant={args.quant}", "verify=off",
                 "benchmark=off", "checkpoint.hf_id=null", "checkpoint.random_seed=0",
                 "runtime.context_length=512", f"runtime.prefill_length={PROMPT}",
                 f"runtime.experts={form}", f"name={name}", f"out={out}",
                 *(f"model.config.{k}={v}" for k, v in shape.items())],
            )  # fmt: skip
    return made


def lowering_seconds(bundle: Path) -> float:
    stages = json.loads((bundle / "run.json").read_text())["stages"]
    return float(next(s["cpu_seconds"] for s in stages if s["name"] == "lower"))


def measurements(program: Any) -> dict[str, Callable[[], float]]:
    """Name -> a function that returns seconds."""
    ids = [(i * 7919 + 13) % 4000 + 50 for i in range(PROMPT)]

    def decode() -> float:
        program.reset()
        token = int(program.prefill(ids[:16]).argmax())
        start = time.perf_counter()
        for _ in range(DECODED):
            token = int(program.step([token])[0, -1].argmax())
        return (time.perf_counter() - start) / DECODED

    def prefill() -> float:
        program.reset()
        start = time.perf_counter()
        int(program.prefill(ids).argmax())
        return time.perf_counter() - start

    return {"decode": decode, "prefill": prefill}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quant", default="8da4w", help="an option of quant; default 8da4w")
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--active", type=int, default=2, help="experts of a token")
    parser.add_argument("--size", type=int, default=1024, help="channels of an expert")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    bundles = build(args)

    from runtime_py import LLM

    loaded = {form: LLM.load(path, threads=args.threads) for form, path in bundles.items()}
    timers = {form: measurements(one.program) for form, one in loaded.items()}
    for form in FORMS:
        timers[form]["decode"]()
    before = os.getloadavg()[0]
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(args.rounds):
        for name in timers[FORMS[0]]:
            for form in FORMS:
                found.setdefault((name, form), []).append(1e3 * timers[form][name]())
    lowered = ", ".join(f"{form} {lowering_seconds(bundles[form]):.0f} s" for form in FORMS)
    print(f"{args.threads} threads, {args.rounds} rounds; lowering: {lowered}; "
          f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")  # fmt: skip
    cells = [args.quant, f"{args.active} of {args.experts}", str(args.size)]
    for name in timers[FORMS[0]]:
        every, active = (found[name, form] for form in FORMS)
        ratio = statistics.median(a / b for a, b in zip(every, active, strict=True))
        cells += [f"{statistics.median(ms):.1f}" for ms in (every, active)] + [f"{ratio:.2f}"]
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
