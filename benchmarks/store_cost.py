"""What it costs to keep a text in a store, beside feeding it again; prints Markdown.

python benchmarks/store_cost.py BUNDLE [--tokens 1000] [--rounds 5]
    rounds in which each is done once, one after another: feed, save, open; the fastest of each,
    which other work on the machine changes least, and the median
python benchmarks/store_cost.py --prefixes 5000
    the time to find the longest stored beginning of a text among so many (needs no bundle)
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from runtime_py import LLM, Snapshot
from runtime_py.store import Store
from runtime_py.store.blocks import BLOCK, rows, slots_of

Times = dict[str, list[tuple[float, float]]]
"""What -> (seconds, seconds of processors) of each round."""


def timed(times: Times, name: str, act: Callable[..., Any], *words: Any) -> Any:
    begin, worked = time.perf_counter(), time.process_time()
    found = act(*words)
    spent = time.perf_counter() - begin, time.process_time() - worked
    times.setdefault(name, []).append(spent)
    return found


def texts_of(bundle: Path, count: int, rounds: int) -> None:
    """Feed, save and restore ``count`` tokens."""
    times: Times = {}
    feed = f"feed {count} tokens"
    with LLM.load(bundle) as llm, tempfile.TemporaryDirectory() as folder:
        choices = random.Random(0)
        slots, size = slots_of(llm.bundle.manifest["program"]), 0
        for number in range(rounds):
            with Store(Path(folder) / f"{number}.db") as store:
                text = [choices.randrange(300, 20000) for _ in range(count)]
                with llm.session() as session:
                    timed(times, feed, session.append, text)
                    name = timed(times, f"save {count} tokens", store.save, session)
                    size = store.path.stat().st_size
                    session.append(text[:50])
                    timed(times, "save 50 more tokens", store.save, session)
                    snapshot = session.snapshot()
                llm.generate([1, 2, 3], max_new_tokens=1)  # another text in the program's memory
                with timed(times, "open the session", store.open, llm, name) as again:
                    assert again.position == count + 50
                llm.generate([1, 2, 3], max_new_tokens=1)
                with store.attach(llm) as cache:
                    timed(times, "answer a stored prompt, first token", first_token, llm, text)
                    assert cache.hits == 1
                timed(times, "find how much of a text is stored",
                      store.prefixes.length, *llm.digests, text)  # fmt: skip
        block = rows(snapshot, slots, 0, BLOCK) if slots else b""
        begin = time.process_time()
        packed = len(zlib.compress(block, 1))
        seconds = time.process_time() - begin
    print(f"{bundle.name}: {rounds} rounds\n\n| what | ms, fastest | of feeding | ms, median | "
          "ms of processors, least |\n|---|---|---|---|---|")  # fmt: skip
    for name, each in times.items():
        wall, work = [[pair[i] * 1e3 for pair in each] for i in (0, 1)]
        print(f"| {name} | {min(wall):.3g} | {min(wall) / min(times[feed])[0] / 1e3:.1%} | "
              f"{statistics.median(wall):.3g} | {min(work):.3g} |")  # fmt: skip
    print(f"\nFile of {count} tokens: {size / 1e6:.1f} MB; tensors {snapshot.bytes / 1e6:.1f} MB "
          f"of {snapshot.position} tokens.")  # fmt: skip
    if block:
        print(f"A block of {BLOCK} tokens: {len(block) / 1e6:.2f} MB; zlib, level 1, makes "
              f"{packed / len(block):.0%} of it in {seconds * 1e3:.0f} ms.")  # fmt: skip


def first_token(llm: LLM, text: list[int]) -> None:
    llm.generate(text, max_new_tokens=1)


def prefixes_of(count: int) -> None:
    """Look up texts of 700 tokens among ``count``, most of which begin alike."""
    choices = random.Random(0)
    times: Times = {}
    beginnings = [[choices.randrange(50000) for _ in range(200)] for _ in range(20)]

    def text() -> list[int]:
        own = [choices.randrange(50000) for _ in range(500)]
        return choices.choice(beginnings)[: choices.randrange(200)] + own

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.db") as store:
        store._database.connection.execute("PRAGMA synchronous = OFF")
        texts = [text() for _ in range(count)]
        for each in texts:
            tensors = {"keys": torch.zeros(1, len(each), 4)}
            store.prefixes.save(
                Snapshot(tuple(each), len(each), "a" * 64, "", tensors), {"keys": 1}
            )
        (stored,) = store.prefixes.listed()
        look_up = partial(store.prefixes.length, "a" * 64, "")
        for each in choices.sample(texts, 300):
            assert timed(times, "one that is stored", look_up, [*each, 1]) == len(each)
            timed(times, "one that is stored in part", look_up, [*each[:300], *[7] * 400])
            timed(times, "one that is not", look_up, [60000] * 700)
    print(
        f"{count} prefixes, {stored.blocks} blocks\n\n| look up | median | slowest |\n|---|---|---|"
    )
    for name, seconds in times.items():
        wall = [pair[0] * 1e3 for pair in seconds]
        print(f"| {name} | {statistics.median(wall):.3f} ms | {max(wall):.1f} ms |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prefixes", type=int, default=0)
    options = parser.parse_args()
    if options.prefixes:
        prefixes_of(options.prefixes)
    if options.bundle is not None:
        texts_of(options.bundle, options.tokens, options.rounds)


if __name__ == "__main__":
    main()
