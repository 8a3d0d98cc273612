"""Memory of a program with per-layer embeddings: is the table read from disk, row by row?

python benchmarks/table_memory.py                    a few layers of Gemma 4 E2B, random weights
python benchmarks/table_memory.py --layers 35 --shared 20 --width 256
                                                     the whole model: 35 GB of disk, six minutes
python benchmarks/table_memory.py --bundle FOLDER    a bundle that is there

Rows, hidden size and heads are E2B's; with fewer layers, more channels per layer (--width) keep the
table large. A process of its own loads the program from a cold page cache, as on a device that
has just started, and feeds random tokens, each of which needs a row that was not read before.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runtime_py import memory
from runtime_py.bundle import Bundle
from runtime_py.program import Program, warm_up_imports

REPO = Path(__file__).resolve().parent.parent
CONTEXT = 1024
PROMPT = 512
PERIOD = ("sliding_attention", "full_attention")


def export(args: argparse.Namespace, out: Path) -> None:
    """Raises CalledProcessError if the export fails."""
    kinds = ",".join(PERIOD[i % 2] for i in range(args.layers))
    shape = [] if args.layers == 35 else [f"model.config.layer_types=[{kinds}]"]
    command = [
        sys.executable, "-m", "llm_export", "run", "--no-cache", "model=gemma4_e2b",
        "checkpoint.hf_id=null", "checkpoint.random_seed=0", "backend=xnnpack", "quant=8da4w",
        f"model.config.num_hidden_layers={args.layers}", *shape,
        f"model.config.num_kv_shared_layers={args.shared}",
        f"model.config.hidden_size_per_layer_input={args.width}",
        f"runtime.context_length={CONTEXT}", "verify=off", "benchmark=off", f"out={out}",
    ]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(REPO)})


def table_bytes(bundle: Path) -> int:
    """Stored bytes of the table: a byte per value, and a float32 scale per row."""
    config = json.loads((bundle / "run.json").read_text(encoding="utf-8"))
    found = [c for c in choices(config) if c["name"] == "layer_inputs.table"]
    rows, columns = found[0]["shape"]
    return int(rows * (columns + 4))


def choices(record: object) -> list[dict[str, object]]:
    """The entry ``quantization`` of the record, wherever it is."""
    if isinstance(record, dict):
        if isinstance(record.get("quantization"), list):
            return record["quantization"]
        return [c for value in record.values() for c in choices(value)]
    return [c for value in record for c in choices(value)] if isinstance(record, list) else []


def measure(bundle: Path, tokens: int) -> None:
    """Print one JSON object with the memory of this process, in bytes."""
    opened = Bundle.open(bundle)
    path = bundle / "model.pte"
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    warm_up_imports()
    bare = memory.resident()
    memory.reset_peak()
    program = Program.of_manifest(path, opened.manifest["program"])
    loaded, peak = memory.resident(), memory.peak()
    chosen = random.Random(0).sample(range(program.vocab_size or 262144), tokens)
    program.step(chosen[:1])
    began = time.perf_counter()
    for token in chosen[1:]:
        program.step([token])
    seconds = time.perf_counter() - began
    print(json.dumps({
        "bare": bare, "loaded": loaded, "peak": peak, "steady": memory.resident(),
        "decode": (tokens - 1) / seconds, **speed(program, chosen[:PROMPT]),
    }))  # fmt: skip


def speed(program: Program, prompt: list[int]) -> dict[str, float]:
    """Tokens per second, of the second of two prompts and of 16 tokens at both depths."""
    found = {}
    for _ in range(2):
        program.reset()
        began = time.perf_counter()
        program.prefill(prompt)
        found["prefill"] = len(prompt) / (time.perf_counter() - began)
    for depth in (len(prompt), 0):
        program.reset(depth)
        began = time.perf_counter()
        for token in prompt[:16]:
            program.step([token])
        found[f"decode at {depth}"] = 16 / (time.perf_counter() - began)
    return found


def report(bundle: Path, tokens: int) -> None:
    command = [sys.executable, __file__, "--measure", str(bundle), "--tokens", str(tokens)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(REPO)},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    size, table = (bundle / "model.pte").stat().st_size, table_bytes(bundle)
    limit = size - table + 10**9
    rows = {
        "file": size, "table of per-layer embeddings": table, "bare Python": found["bare"],
        "after load": found["loaded"], "peak of loading": found["peak"],
        f"after {tokens} tokens": found["steady"], "file without table + 1 GB": limit,
    }  # fmt: skip
    for name, value in rows.items():
        print(f"{name:30} {value / 1e6:9,.0f} MB")
    speeds = {"decode, each row read anew": found.pop("decode")}
    speeds |= {name: value for name, value in found.items() if name.startswith(("pre", "dec"))}
    for name, value in speeds.items():
        print(f"{name:30} {value:9.1f} tokens/s")
    if found["steady"] > limit:
        raise SystemExit("the table is in memory")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--shared", type=int, default=2)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure, args.tokens)
    elif args.bundle:
        report(args.bundle, args.tokens)
    else:
        with tempfile.TemporaryDirectory() as folder:
            export(args, Path(folder) / "bundle")
            report(Path(folder) / "bundle", args.tokens)


if __name__ == "__main__":
    main()
