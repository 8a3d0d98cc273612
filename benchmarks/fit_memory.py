"""Predicted and measured memory of processes that run programs, for docs/fit.md.

python benchmarks/fit_memory.py                   SmolLM2-135M shape, random weights; minutes
python benchmarks/fit_memory.py --case 8da4w      one program; again for several
python benchmarks/fit_memory.py --out FOLDER      bundles that are there are used again

Each program runs in a process of its own, which feeds a prompt and decodes eight tokens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from llm_export import api
from llm_export.predict.device_memory import device_memory
from llm_export.resolve.recipe import resolve
from runtime_py import LLM, memory
from runtime_py.program import warm_up_imports

BASE = [
    "model=smollm2_135m", "checkpoint.package=null", "checkpoint.random_seed=0", "backend=xnnpack",
    "verify=off", "benchmark=off", "deploy.questions=[]",
]  # fmt: skip
CASES = {
    "8da8w": (["quant=8da8w"], 1900),
    "8da4w": (["quant=8da4w"], 1900),
    "8da4w_asym": (["quant=8da4w_asym", "runtime.context_length=1024"], 900),
    "none": (["quant=none", "runtime.context_length=1024"], 900),
    "8da4w_int8": (["quant=8da4w", "quant.kv_cache=int8", "runtime.context_length=4096"], 1500),
    "8da4w_bf16": (["quant=8da4w", "quant.kv_cache=bfloat16", "runtime.context_length=8192"], 3000),
}
"""Bundle -> (overrides, tokens of the prompt)."""


def measure(bundle: Path, tokens: int) -> None:
    """Print the peak resident memory without Python and its libraries, in bytes."""
    warm_up_imports()
    bare = memory.resident()
    memory.reset_peak()
    llm = LLM.load(bundle)
    llm.generate([5 + i % 300 for i in range(tokens)], max_new_tokens=8)
    print(memory.peak() - bare)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/fit_memory"))
    parser.add_argument("--case", action="append", choices=CASES, help="these only")
    parser.add_argument("--measure", nargs=2, metavar=("BUNDLE", "TOKENS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(Path(given.measure[0]), int(given.measure[1]))
        return 0
    print("| program | KV cache | context | prompt | measured, MB | predicted, MB |")
    print("|---|---|---:|---:|---:|---:|")
    for name in given.case or CASES:
        words, tokens = CASES[name]
        out = given.out / name
        if not (out / "manifest.json").is_file():
            api.run(None, [*BASE, *words], out=out, quiet=True)
        recipe = api.compose(out / "recipe.yaml").recipe
        expected = device_memory(resolve(recipe))
        assert expected is not None
        command = [sys.executable, __file__, "--measure", str(out), str(tokens)]
        found = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        context = json.loads((out / "manifest.json").read_text())["program"]["context_length"]
        print(
            f"| `{recipe.quant.name}` | {recipe.quant.kv_cache.value} | {context:,} | {tokens:,} "
            f"| {found / 1e6:.0f} | {expected.whole / 1e6:.0f} |", flush=True,
        )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
