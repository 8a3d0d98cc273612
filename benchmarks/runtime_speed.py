"""Prefill and decode speed of a bundle compared with other runtimes, measured in turns.

python benchmarks/runtime_speed.py --build FOLDER
    exports SmolLM2-135M's shape with random weights into FOLDER, with this project (also with a
    bfloat16 KV cache) and with ExecuTorch's export_llm, unless the files exist; measures them,
    and the first one also in ExecuTorch's C++ runner
python benchmarks/runtime_speed.py llm_export=BUNDLE llama.cpp=model.gguf@ENV/bin/python
    measures the named runtimes: RUNTIME=PATH, or LABEL:RUNTIME=PATH, followed by @ and the
    interpreter of the environment in which the runtime is installed. Others are compared with the
    first.

Runtimes run in turns, each turn in a separate process, so that noise of the machine affects all of
them alike. Figures are tokens per second; ratios are those of the first runtime to the other, per
round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime_adapters import ADAPTERS

REPO = Path(__file__).resolve().parent.parent
CONTEXT, DEPTHS, PROMPT = 2048, (1, 512, 1500), 512
COLUMNS = (f"prefill {PROMPT}", *(f"decode at {d if d > 1 else 0}" for d in DEPTHS))


@dataclass(frozen=True)
class Entry:
    label: str
    adapter: str
    path: Path
    python: str

    @staticmethod
    def of(text: str) -> Entry:
        """Raises SystemExit if it is not [LABEL:]RUNTIME=PATH[@PYTHON]."""
        name, _, rest = text.partition("=")
        path, _, python = rest.partition("@")
        label, _, adapter = name.rpartition(":")
        if adapter not in ADAPTERS or not rest:
            raise SystemExit(f"'{text}' is not RUNTIME=PATH; runtimes: {', '.join(ADAPTERS)}")
        return Entry(label or adapter, adapter, Path(path).resolve(), python or sys.executable)


def measure(adapter: str, path: Path, threads: int, count: int) -> dict[str, float]:
    """Measure one runtime in this process."""
    runtime = ADAPTERS[adapter](path, threads)
    ids = [(i * 7919 + 13) % 40000 + 100 for i in range(CONTEXT)]
    runtime.prefill(ids[:64])
    runtime.decode(ids[:1], 4)
    found = {COLUMNS[0]: PROMPT / min(runtime.prefill(ids[:PROMPT]) for _ in range(2))}
    for column, depth in zip(COLUMNS[1:], DEPTHS, strict=True):
        found[column] = count / runtime.decode(ids[:depth], count)
    return found


def turn(entry: Entry, args: argparse.Namespace) -> dict[str, float] | None:
    """None, with a message on stderr, if the runtime does not run."""
    command = [
        entry.python, __file__, "--child", entry.adapter, str(entry.path),
        "--threads", str(args.threads), "--count", str(args.count),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        line = f"pip install {ADAPTERS[entry.adapter].package}"
        print(f"{entry.label} skipped: {last}\n  install: {line}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])  # type: ignore[no-any-return]


def compare(entries: list[Entry], args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {e.label: [] for e in entries}
    left = list(entries)
    for number in range(args.rounds):
        for entry in list(left):
            result = turn(entry, args)
            if result is None:
                left.remove(entry)
                del found[entry.label]
                continue
            found[entry.label].append(result)
            figures = ", ".join(f"{v:.0f}" for v in result.values())
            print(f"round {number + 1}, {entry.label}: {figures}", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """Markdown: the median of each and, in parentheses, how many times faster the first one is,
    with the lowest and highest ratio of a round."""
    first = next(iter(found.values()))
    lines = [f"| runtime | {' | '.join(COLUMNS)} |", "| --- |" + " ---: |" * len(COLUMNS)]
    for label, rounds in found.items():
        cells = []
        for column in COLUMNS:
            text = f"{statistics.median(r[column] for r in rounds):.0f}"
            if rounds is not first:
                ratios = [a[column] / b[column] for a, b in zip(first, rounds, strict=True)]
                low, high = min(ratios), max(ratios)
                text += f" ({statistics.median(ratios):.2f}; {low:.2f} to {high:.2f})"
            cells.append(text)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def build(folder: Path) -> list[Entry]:
    """Export what the folder lacks; export_llm takes minutes."""
    from export_cost import their_command

    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    common = [
        sys.executable, "-m", "llm_export", "run", "model=smollm2_135m", "backend=xnnpack",
        "quant=8da4w", "checkpoint.package=null", "checkpoint.random_seed=0", "verify=off",
        "benchmark=off", f"runtime.context_length={CONTEXT}",
    ]  # fmt: skip
    theirs = [w.replace("=1024", f"={CONTEXT}") for w in their_command(folder)]
    writer = [sys.executable, str(REPO / "benchmarks/same_weights.py"), str(folder),
              "smollm2_135m", "30"]  # fmt: skip
    wanted = {
        folder / "ours/model.pte": [[*common, f"out={folder}/ours"]],
        folder / "bfloat16/model.pte": [
            [*common, "quant.kv_cache=bfloat16", f"out={folder}/bfloat16"]
        ],
        folder / "theirs.pte": [writer, theirs],
    }
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    for file, commands in wanted.items():
        for command in commands if not file.exists() else []:
            print(f"exporting {file}", file=sys.stderr, flush=True)
            subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
    return [
        Entry("llm_export", "llm_export", folder / "ours", sys.executable),
        Entry("llm_export, cache in bfloat16", "llm_export", folder / "bfloat16", sys.executable),
        Entry("the same in the C++ runner", "runner", folder / "ours", sys.executable),
        Entry("export_llm", "program", folder / "theirs.pte", sys.executable),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runtimes", nargs="*", help="[LABEL:]RUNTIME=PATH[@PYTHON]")
    parser.add_argument("--build", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=32, help="tokens to decode at each depth")
    parser.add_argument("--child", nargs=2, metavar=("RUNTIME", "PATH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        name, path = args.child
        print(json.dumps(measure(name, Path(path), args.threads, args.count)))
        return
    entries = build(args.build) if args.build else []
    entries += [Entry.of(text) for text in args.runtimes]
    if not entries:
        raise SystemExit("nothing to measure: --build FOLDER, or RUNTIME=PATH")
    found = compare(entries, args)
    if not found:
        raise SystemExit("none of the named runtimes runs on this machine")
    print(table(found))


if __name__ == "__main__":
    main()
