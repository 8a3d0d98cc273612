"""Speed of a program beside other runtimes: ``llm-export bench A B``, on programs that this builds.

python benchmarks/runtime_speed.py --build FOLDER
    exports SmolLM2-135M's shape with random weights into FOLDER, with this project (also with a
    bfloat16 KV cache) and with ExecuTorch's export_llm, unless the files exist; measures them,
    and the first one also in ExecuTorch's C++ runner
python benchmarks/runtime_speed.py --build FOLDER model.gguf@ENV/bin/python
    measures further artifacts beside them

Prints Markdown. Each turn is a process of its own; ratios are to the first artifact, of rounds in
pairs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from llm_export import api
from llm_export.runtimes import words
from runtime_py.benchmark.arguments import end_progress, show_progress

REPO = Path(__file__).resolve().parent.parent
CONTEXT, PROMPT, DECODE, DEPTHS = 2048, 512, 32, [0, 1000]


def build(folder: Path) -> list[str]:
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
        f"llm_export:bundle={folder}/ours",
        f"llm_export, cache in bfloat16:bundle={folder}/bfloat16",
        f"the same in the C++ runner:runner={folder}/ours",
        f"export_llm:executorch={folder}/theirs.pte",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifacts", nargs="*", help="[[LABEL:]RUNTIME=]PATH[@PYTHON]")
    parser.add_argument("--build", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=DECODE, help="tokens to decode at each depth")
    args = parser.parse_args()
    artifacts = [*(build(args.build) if args.build else []), *args.artifacts]
    if not artifacts:
        raise SystemExit("nothing to measure: --build FOLDER, or artifacts")
    try:
        found = api.compare_speed(
            artifacts, prompt_length=PROMPT, decode_length=args.count, depth=DEPTHS,
            threads=args.threads, rounds=args.rounds, progress=show_progress,
        )  # fmt: skip
    finally:
        end_progress()
    print(*words.skipped(found), sep="\n", file=sys.stderr)
    print(words.text(found, "markdown"))


if __name__ == "__main__":
    main()
