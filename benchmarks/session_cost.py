"""What sessions cost on this machine: switching between two, forking, saving, and a second turn.

python benchmarks/session_cost.py BUNDLE                     histories of 100 and 1,000 tokens
python benchmarks/session_cost.py BUNDLE --without OTHER     also what runtime.snapshots costs:
                                                             OTHER was exported with it off

Prints Markdown. Each time is the shortest of some calls as a user makes them. A switch is measured
by going back one token in a session that is not in memory, which a recurrent program feeds again.
The first token of a turn is compared with that of an empty session in a second copy of the program,
in turns, also by processor time: other processes disturb it less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from runtime_py import LLM
from runtime_py.sessions import Session
from runtime_py.stats import Generation

ROUNDS = 30
NEW = 16
"""Tokens of a next turn."""
QUESTION = "Which animal does the dog see, and what does it do next?"
_ONE = """
import sys, time
from runtime_py import LLM
llm = LLM.load(sys.argv[1], verify_hashes=False)
ids = [5 + i % 200 for i in range(256)]
prompt, step = [], []
for seed in range(12):
    made = llm.generate([5 + seed, *ids], max_new_tokens=32, temperature=0, ignore_eos=True).stats
    prompt.append(made.prompt_tokens / made.prefill_seconds)
    step.append(made.decode_seconds / 31)
memory = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
print(max(prompt), min(step) * 1e3, int(memory.split()[1]) / 1e3)
"""


def text(length: int, start: int = 0) -> list[int]:
    """Token ids that repeat late, and exist in every vocabulary of this size."""
    return [5 + (start + 7 * i) % 293 for i in range(length)]


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def shortest(call: Callable[[], float]) -> float:
    return min(call() for _ in range(ROUNDS))


def filled(llm: LLM, length: int, start: int = 0) -> Session:
    session = llm.session()
    session.append(text(length, start))
    return session


def switching(one: Session, other: Session) -> float:
    """Seconds to bring a text into memory and the other one out of it."""
    found = []
    for session, former in [(one, other), (other, one)] * (ROUNDS // 2):
        session.append([5, 6])
        former.append([5])
        found.append(seconds(partial(session.truncate, session.position - 1)))
    return min(found)


def first_tokens(session: Session, empty: Session, length: int) -> str:
    """A turn of ``NEW`` tokens, behind ``length`` and alone."""
    found = []
    for _ in range(ROUNDS):
        for each, behind in ((session, length), (empty, 0)):
            each.truncate(behind)
            prompt = [*each.tokens, *text(NEW, 3)]
            found.append(timed(partial(each.generate, prompt, max_new_tokens=1)))
    return times(found)


def timed(call: Callable[[], Generation]) -> tuple[float, float]:
    """(seconds until the first token, of processor time too)"""
    begin = time.process_time()
    first = call().stats.time_to_first_token
    return first, time.process_time() - begin


def rows(llm: LLM, second: LLM, length: int, file: Path) -> Iterator[tuple[str, str]]:
    feed = min(seconds(lambda: llm.session().append(text(length, 1))) for _ in range(3))
    one, other = filled(llm, length), filled(llm, length, 5)
    yield "switch between two texts", ms(switching(one, other))
    yield "switch between a text and its fork", ms(switching(one, one.fork()))
    yield "feed the text again instead", ms(feed)
    yield "fork, of a text in memory", ms(shortest(lambda: forked(one)))
    yield f"truncate the last {NEW} tokens", ms(shortest(lambda: cut(one)))
    one.truncate(length)
    yield "snapshot", ms(shortest(lambda: seconds(one.snapshot)))
    yield "save a file", ms(shortest(lambda: seconds(lambda: one.save(file))))
    yield "restore a file", ms(shortest(lambda: seconds(lambda: one.restore(file))))
    yield "size of the file", f"{file.stat().st_size / 1e6:.1f} MB"
    yield "memory of a session out of the program", f"{other.bytes / 1e6:.1f} MB"
    yield f"first token behind {NEW} more ids", first_tokens(one, second.session(), length)
    if llm.template is not None:
        yield "first token of a second turn", turns(llm, second, length)


def turns(llm: LLM, second: LLM, length: int) -> str:
    """A question, behind a history of ``length`` tokens and in an empty session."""
    talk, empty = llm.session(), second.session()
    words = "The quick brown fox jumps over the lazy dog. " * (length // 10)
    talk.send(words, max_new_tokens=8)
    found = []
    for _ in range(ROUNDS):
        for each in (talk, empty):
            with each.fork() as turn:
                found.append(timed(partial(turn.send, QUESTION, max_new_tokens=1)))
    return times(found)


def times(found: list[tuple[float, float]]) -> str:
    """Of calls behind a text and in an empty session, in turns."""
    (later, work), (fresh, least) = (
        (min(first for first, _ in each), min(spent for _, spent in each))
        for each in (found[::2], found[1::2])
    )
    return f"{ms(later)}; {ms(fresh)} in an empty session ({work / least:.2f} times the work)"


def forked(session: Session) -> float:
    session.append([5])
    begin = time.perf_counter()
    with session.fork():
        return time.perf_counter() - begin


def cut(session: Session) -> float:
    session.append(text(NEW))
    return seconds(lambda: session.truncate(session.position - NEW))


def ms(value: float) -> str:
    return f"{value * 1e3:.1f} ms"


def table(head: list[str], lines: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *lines])


def program_cost(bundles: list[tuple[str, Path]]) -> str:
    lines = []
    for name, bundle in bundles:
        done = subprocess.run(
            [sys.executable, "-c", _ONE, str(bundle)], check=True, capture_output=True, text=True
        )
        prompt, step, memory = map(float, done.stdout.split())
        size = (bundle / "model.pte").stat().st_size
        lines.append(
            [
                name,
                f"{size:,} bytes",
                f"{prompt:,.0f} tokens/s",
                f"{step:.2f} ms",
                f"{memory:.0f} MB",
            ]
        )
    return table(["program", "`model.pte`", "prompt of 257", "a token", "resident memory"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument(
        "--without", type=Path, help="the same, exported with runtime.snapshots=skip"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    llm, second = (LLM.load(given.bundle, threads=given.threads) for _ in range(2))
    for each in (llm, second):  # the first steps allocate
        each.generate(text(64), max_new_tokens=8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "session")
        columns = [dict(rows(llm, second, length, file)) for length in given.lengths]
    head = ["", *(f"{length:,} tokens" for length in given.lengths)]
    print(table(head, [[key, *(each[key] for each in columns)] for key in columns[0]]))
    if given.without:
        pairs = [
            ("`runtime.snapshots=auto`", given.bundle),
            ("`runtime.snapshots=skip`", given.without),
        ]
        print("\n" + program_cost(pairs))


if __name__ == "__main__":
    main()
