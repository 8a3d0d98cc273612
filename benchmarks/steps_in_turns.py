"""Decoding speed of bundles that take turns in one process, a few steps each.

python benchmarks/steps_in_turns.py A B... [--prompt 512] [--turns 120] [--threads 2]
    prints the median step of each, and how many times as fast as A the others are: geometric means
    of the turns' ratios, with 95 % confidence intervals that take turns as independent

llm-export bench measures whole prompts and answers, each in a process of its own. On a machine
whose speed changes by the second their ratios have wide ranges. Here a turn takes milliseconds, so
that both sides of a ratio find the same machine.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from llm_export.metrics.ratio import paired_ratio  # noqa: E402
from runtime_py import LLM  # noqa: E402

STEPS = 3
"""Of a turn that are timed; the one before them reads the program's weights into caches."""


def measured(bundles: list[Path], prompt: int, turns: int, threads: int) -> list[list[float]]:
    """Seconds of a step by bundle and turn."""
    models = [LLM.load(bundle, threads=threads) for bundle in bundles]
    tokens = (turns + 2) * (STEPS + 1)
    context = min(model.engine.context_length for model in models)
    if prompt + tokens > context:
        raise SystemExit(
            f"{prompt} tokens and {turns} turns take {prompt + tokens} positions of a context of "
            f"{context}: fewer --turns or a shorter --prompt"
        )
    ids = [100 + i * 37 % 3000 for i in range(prompt)]
    answers = [
        model.stream(ids, max_new_tokens=tokens, temperature=0.0, ignore_eos=True)
        for model in models
    ]
    steps = [iter(answer) for answer in answers]
    for each in steps:  # the prompt, and the first allocations
        next(itertools.islice(each, STEPS, None))
    seconds: list[list[float]] = [[] for _ in bundles]
    order = [*range(len(bundles))]
    chance = random.Random(0)
    for _ in range(turns):
        chance.shuffle(order)
        for i in order:
            next(steps[i])
            begin = time.perf_counter()
            for _ in range(STEPS):
                next(steps[i])
            seconds[i].append((time.perf_counter() - begin) / STEPS)
    for answer in answers:
        answer.cancel()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--prompt", type=int, default=512, help="tokens before the first step")
    parser.add_argument("--turns", type=int, default=120)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.turns < 2 or given.prompt < 1 or given.threads < 1:
        parser.error("--turns must be 2 or more, --prompt and --threads 1 or more")
    found = measured(given.bundles, given.prompt, given.turns, given.threads)
    for bundle, seconds in zip(given.bundles, found, strict=True):
        line = f"{bundle.name}: {statistics.median(seconds) * 1e3:.2f} ms a step"
        if seconds is not found[0]:
            ratio = paired_ratio(found[0], seconds)
            assert ratio.interval is not None
            line += (
                f", {ratio.value:.3f} times as fast ({ratio.interval.low:.3f} to "
                f"{ratio.interval.high:.3f})"
            )
        print(line)


if __name__ == "__main__":
    main()
