"""Speed of a mixture of experts that computes the selected experts only, compared with all experts.

python benchmarks/moe_speed.py FOLDER
    exports a small Mixtral (2 of 8 experts, random weights) in both forms into FOLDER, unless the
    bundles exist, and measures them in turns

Every round measures both programs, one right after the other, so that noise of the machine affects
both alike. Printed are medians in milliseconds, the median of the ratios per round, and the load
average before and after.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FORMS = ("all", "active")
PROMPTS, DECODED = (128, 512), 24
SHAPE = {
    "hidden_size": 512, "intermediate_size": 1792, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 4096,
}  # fmt: skip


def build(folder: Path, quant: str) -> dict[str, Path]:
    """Form -> its bundle."""
    from llm_export import api

    made = {}
    for form in FORMS:
        out = made[form] = folder / f"{quant}_{form}"
        if not (out / "model.pte").exists():
            api.run(
                None,
                ["model=mixtral_8x7b", "backend=xnnpack", f"quant={quant}", "verify=off",
                 "benchmark=off", "checkpoint.hf_id=null", "checkpoint.random_seed=0",
                 "runtime.context_length=1024", f"runtime.experts={form}", f"name={out.name}",
                 f"out={out}", *(f"model.config.{k}={v}" for k, v in SHAPE.items())],
            )  # fmt: skip
    return made


def measurements(program: Any) -> dict[str, Callable[[], float]]:
    """Name -> a function that returns seconds."""
    ids = [(i * 7919 + 13) % 4000 + 50 for i in range(max(PROMPTS))]

    def decode() -> float:
        program.reset()
        token = int(program.prefill(ids[:16]).argmax())
        start = time.perf_counter()
        for _ in range(DECODED):
            token = int(program.step([token])[0, -1].argmax())
        return (time.perf_counter() - start) / DECODED

    def prefill(length: int) -> float:
        program.reset()
        start = time.perf_counter()
        int(program.prefill(ids[:length]).argmax())
        return time.perf_counter() - start

    return {
        "decode, per token": decode,
        **{f"prefill of {n}": lambda n=n: prefill(n) for n in PROMPTS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quant", default="8da4w", help="an option of quant; default 8da4w")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    bundles = build(args.folder, args.quant)

    from runtime_py import LLM

    loaded = {form: LLM.load(path, threads=args.threads) for form, path in bundles.items()}
    timers = {form: measurements(one.program) for form, one in loaded.items()}
    for form in FORMS:
        timers[form]["decode, per token"]()
    before, found = os.getloadavg()[0], {}
    for _ in range(args.rounds):
        for name in timers[FORMS[0]]:
            for form in FORMS:
                found.setdefault((name, form), []).append(1e3 * timers[form][name]())
    print(f"{args.quant}, {args.threads} threads, {args.rounds} rounds; "
          f"load average {before:.1f} before, {os.getloadavg()[0]:.1f} after")  # fmt: skip
    for name in timers[FORMS[0]]:
        every, active = (found[name, form] for form in FORMS)
        ratio = statistics.median(a / b for a, b in zip(every, active, strict=True))
        medians = statistics.median(every), statistics.median(active)
        print(f"{name:18} all {medians[0]:8.1f} ms   active {medians[1]:8.1f} ms   x {ratio:.2f}")


if __name__ == "__main__":
    main()
