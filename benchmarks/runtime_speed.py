"""Speed of a program beside other runtimes: ``llm-export bench A B``, on programs that this builds.

python benchmarks/runtime_speed.py --build FOLDER
    exports SmolLM2-135M's shape with random weights into FOLDER, with this project (also with a
    bfloat16 KV cache) and with ExecuTorch's export_llm, unless the files exist; measures them,
    and the first one also in ExecuTorch's C++ runner, at depths of 0, 512, 1,500 and 8,000 tokens
python benchmarks/runtime_speed.py --build FOLDER model.gguf@ENV/bin/python
    measures further artifacts beside them
python benchmarks/runtime_speed.py --build FOLDER --context 32768 --depths 32000 \\
        --only ours bfloat16 --rounds 1
    a context that only some artifacts have
python benchmarks/runtime_speed.py
    only renders docs/performance.md from what is kept

Interrupt it, and repeat it to go on: finished turns lie in FOLDER (or --turns FOLDER) until their
depth is measured. Each depth is measured and kept by itself, in benchmarks/runtime_speed.json: a
depth of a context replaces what was kept of it. Decoding begins after so many tokens; the prompt is
the last 512 of them. Each turn is a process of its own; ratios are of rounds in pairs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from benchmarks import kept, speed_page  # noqa: E402

DATA = Path(__file__).with_name("runtime_speed.json")
PAGE = REPO / "docs" / "performance.md"
PROMPT, DECODE = 512, 32
DEPTHS, CONTEXT = (0, 512, 1500, 8000), 8192
DEEP = 4000
"""From here on a turn has no warm-up: its prompt is warm-up enough."""
CALM = 0.1
"""CPUs that other processes may keep busy during a turn, with --calm."""
BUILT = ("ours", "bfloat16", "runner", "theirs")
Data = dict[str, Any]
"""``records``, as speed_page has them, each with its ``context``."""


def build(folder: Path, context: int, only: list[str]) -> list[str]:
    """Export what the folder lacks; export_llm takes minutes."""
    from benchmarks.export_cost import their_command

    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    common = [
        sys.executable, "-m", "llm_export", "run", "model=smollm2_135m", "backend=xnnpack",
        "quant=8da4w", "checkpoint.package=null", "checkpoint.random_seed=0", "verify=off",
        "benchmark=off", f"runtime.context_length={context}",
        f"model.config.max_position_embeddings={max(context, 8192)}",
    ]  # fmt: skip
    theirs = [w.replace("=1024", f"={context}") for w in their_command(folder)]
    writer = [sys.executable, str(REPO / "benchmarks/same_weights.py"), str(folder),
              "smollm2_135m", "30"]  # fmt: skip
    ours, bfloat16 = f"{folder}/ours_{context}", f"{folder}/bfloat16_{context}"
    exported = folder / f"theirs_{context}.pte"
    theirs = [w.replace(f"{folder}/theirs.pte", str(exported)) for w in theirs]
    wanted: dict[str, tuple[Path, list[list[str]], str]] = {
        "ours": (Path(ours, "model.pte"), [[*common, f"out={ours}"]], f"llm_export:bundle={ours}"),
        "bfloat16": (Path(bfloat16, "model.pte"),
                     [[*common, "quant.kv_cache=bfloat16", f"out={bfloat16}"]],
                     f"llm_export, cache in bfloat16:bundle={bfloat16}"),
        "runner": (Path(ours, "model.pte"), [[*common, f"out={ours}"]],
                   f"the same in the C++ runner:runner={ours}"),
        "theirs": (exported, [writer, theirs], f"export_llm:executorch={exported}"),
    }  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    for name in only:
        file, commands, _ = wanted[name]
        for command in commands if not file.exists() else []:
            print(f"exporting {file}", file=sys.stderr, flush=True)
            subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
    return [wanted[name][2] for name in only]


def turns_of(depth: int, args: argparse.Namespace) -> Path:
    folder: Path = args.turns or args.build or REPO / "outputs"
    return folder.resolve() / f"turns_{args.context}_{depth}.jsonl"


def measure(artifacts: list[str], depth: int, args: argparse.Namespace) -> kept.Row:
    """The record of one depth."""
    from llm_export import api
    from llm_export.runtimes import words
    from llm_export.runtimes.kept import drop_disturbed
    from runtime_py.benchmark.arguments import end_progress, show_finished, show_turn

    prompt, turns = max(1, min(PROMPT, depth)), turns_of(depth, args)
    if args.calm:
        drop_disturbed(turns, CALM)
    try:
        for again in range(args.calm_rounds if args.calm else 0, -1, -1):
            found = api.compare_speed(
                artifacts, prompt_length=prompt, decode_length=args.count,
                depth=max(0, depth - prompt), threads=args.threads, rounds=args.rounds,
                warmup=0 if depth >= DEEP else 1, repetitions=1,
                keep=turns, progress=show_turn, finished=show_finished,
            )  # fmt: skip
            disturbed = drop_disturbed(turns, CALM) if args.calm and again else 0
            if not disturbed:
                break
            print(f"{disturbed} turns were disturbed; measuring them again, at most {again} times",
                  file=sys.stderr, flush=True)  # fmt: skip
    finally:
        end_progress()
    print(*words.skipped(found), sep="\n", file=sys.stderr)
    print(words.text(found, "markdown"), flush=True)
    command = f"python benchmarks/runtime_speed.py --build FOLDER --depths {depth}"
    command += f" --context {args.context}" if args.context != CONTEXT else ""
    said = kept.provenance(command, "executorch", "torch")
    model = f"SmolLM2-135M's shape, context {args.context:,}"
    name = f"context {args.context}, depth {depth}"
    return {"context": args.context, **speed_page.record(name, found, said, model)}


def page(text: str, data: Data) -> str:
    """The text of docs/performance.md with its tables of speed replaced."""
    parts = []
    for context in dict.fromkeys(one["context"] for one in data["records"]):
        records = [one for one in data["records"] if one["context"] == context]
        memory = speed_page.memory_table(records)
        parts += [
            f"**Context of {context:,} tokens**, tokens a second:\n",
            speed_page.depth_table(records, speed_page.speed_cell),
            "How many times as fast the first row is:\n",
            speed_page.depth_table(records, speed_page.advantage_cell),
            *(["Memory:\n", memory] if memory else []),
            speed_page.conditions(records) + "\n",
        ]
    return kept.page_part(text, "runtime speed", "\n".join(parts))


def keep(data: Data) -> None:
    kept.write(DATA, kept.as_json(data))
    kept.write(PAGE, page(PAGE.read_text(encoding="utf-8"), data))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifacts", nargs="*", help="[[LABEL:]RUNTIME=]PATH[@PYTHON]")
    parser.add_argument("--build", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=BUILT, default=list(BUILT),
                        help="of what --build builds")  # fmt: skip
    parser.add_argument("--turns", type=Path, metavar="FOLDER", help="for turns that are finished")
    parser.add_argument("--context", type=int, default=CONTEXT)
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=DECODE, help="tokens to decode at each depth")
    parser.add_argument("--calm", action="store_true",
                        help="measure turns again that other processes disturbed")  # fmt: skip
    parser.add_argument("--calm-rounds", type=int, default=10, metavar="N",
                        help="with --calm: at most so often (%(default)s); the last turns are "
                        "kept as they are, with what others did meanwhile")  # fmt: skip
    parser.add_argument("--dry", action="store_true", help="print, and keep nothing")
    args = parser.parse_args()
    if args.calm_rounds < 0:
        parser.error("--calm-rounds must not be negative")
    deepest = max(args.depths)
    if deepest + args.count + 1 > args.context:
        parser.error(
            f"a depth of {deepest} and {args.count} tokens exceed --context {args.context}"
        )
    return args


def main() -> None:
    args = arguments()
    built = build(args.build, args.context, args.only) if args.build else []
    artifacts = [*built, *args.artifacts]
    data = kept.read(DATA)
    for depth in args.depths if artifacts else []:
        print(f"context {args.context}, depth {depth}", file=sys.stderr, flush=True)
        record = measure(artifacts, depth, args)
        data["records"] = sorted(
            kept.replaced(data["records"], record, []),
            key=lambda one: (one["context"], speed_page.at(one)),
        )
        if not args.dry:
            keep(data)
            turns_of(depth, args).unlink(missing_ok=True)
    if not args.dry:
        keep(data)


if __name__ == "__main__":
    main()
