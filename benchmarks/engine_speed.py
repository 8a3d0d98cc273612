"""Tokens a second of each engine on one bundle, and whether all give the same greedy tokens.

python benchmarks/engine_speed.py BUNDLE [--engines executorch runner eager] [--tokens 128]

Engines run one after the other, each first with an answer of two tokens that does not count.
"""

from __future__ import annotations

import argparse
import os
import time

from llm_export import api

PROMPT = "Once upon a time, in a village at the edge of a forest, there lived a clockmaker who"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("--engines", nargs="+", default=["executorch", "runner", "eager"])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    print(f"| engine | load s | first token s | tokens/s | first other token |\n{'|---' * 5}|")
    first: list[int] = []
    for name in given.engines:
        begin = time.perf_counter()
        with api.load(given.bundle, engine=name, threads=given.threads) as llm:
            loaded = time.perf_counter() - begin
            for count in (2, given.tokens):
                llm.reset()
                made = llm.generate(PROMPT, max_new_tokens=count, temperature=0)
        first = first or made.tokens
        pairs = zip(first, made.tokens, strict=False)
        other = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        said = f"none of {len(made.tokens)}" if other is None else other
        stats = made.stats
        print(f"| {name} | {loaded:.1f} | {stats.time_to_first_token:.2f} | "
              f"{stats.decode_tokens_per_second:.1f} | {said} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
