"""A server under load: whether its memory stays flat, and what turns between answers cost.

python benchmarks/server_load.py outputs/smollm2_135m_xnnpack_8da8w
    500 requests by 8 clients at once; every fifth client leaves in the middle of its answer
python benchmarks/server_load.py BUNDLE --slices 0,4,16,64 --requests 16
    the same questions with other --slice: first token, and all answers

The server listens on this machine alone. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from server_clients import Question, cpu, free_port, median, memory, part, started, together

WORDS = ["river", "stone", "light", "answer", "machine", "garden", "seven", "winter", "open",
         "paper", "music", "distance"]  # fmt: skip


def questions(count: int, most: int, leaving: bool) -> list[Question]:
    """Conversations of different lengths, some of which go on from others."""
    made = []
    for number in range(count):
        text = " ".join(WORDS[(number * 7 + i) % len(WORDS)] for i in range(10 + number % 5 * 20))
        messages = [{"role": "user", "content": f"{number % 7}: {text}?"}]
        leaves = 3 if leaving and number % 5 == 4 else None
        made.append(Question(messages, most, leaves, {"ignore_eos": True}))
    return made


def flat(options: argparse.Namespace) -> None:
    """Memory after each tenth of the requests."""
    port = free_port()
    command = [sys.executable, "-m", "runtime_py.server", options.bundle, "--port", str(port),
               "--max-queue", "1000", "--slots", str(options.slots)]  # fmt: skip
    step = max(1, options.requests // 10)
    print("| requests | complete | left | errors | memory, MiB |\n|---|---|---|---|---|")
    with started(command, port, "/health") as pid:
        print(f"| 0 | 0 | 0 | 0 | {memory(pid):.1f} |")
        complete = left = wrong = 0
        everything = questions(options.requests, options.tokens, leaving=True)
        for start in range(0, options.requests, step):
            some = everything[start : start + step]
            found = asyncio.run(together(f"http://127.0.0.1:{port}", None, some, options.clients))
            left += sum(answer.cancelled for answer in found)
            wrong += sum(answer.status != 200 for answer in found)
            complete += sum(a.status == 200 and not a.cancelled for a in found)
            time.sleep(0.3)
            row = (start + len(some), complete, left, wrong, f"{memory(pid):.1f}")
            print("| " + " | ".join(map(str, row)) + " |", flush=True)


def turns(options: argparse.Namespace) -> None:
    """The same questions for each --slice."""
    print("| slice | first token: median, s | 95 % | all answers, s | tokens a second | CPU, s |")
    print("|---|---|---|---|---|---|")
    for slice in options.slices.split(","):
        port = free_port()
        command = [sys.executable, "-m", "runtime_py.server", options.bundle, "--port", str(port),
                   "--slice", slice, "--slots", str(options.slots)]  # fmt: skip
        with started(command, port, "/health") as pid:
            some = questions(options.requests, options.tokens, leaving=False)
            address = f"http://127.0.0.1:{port}"
            asyncio.run(together(address, None, some[:1], 1))
            begin, used = time.perf_counter(), cpu(pid)
            found = asyncio.run(together(address, None, some, options.clients))
            took, used = time.perf_counter() - begin, cpu(pid) - used
        firsts = [answer.first for answer in found]
        tokens = sum(answer.tokens for answer in found)
        print(
            f"| {slice} | {median(firsts):.2f} | {part(firsts, 0.95):.2f} | {took:.1f} | "
            f"{tokens / took:.1f} | {used:.1f} |", flush=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=24, help="of an answer")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--slices", help="values of --slice to compare, such as 0,4,16")
    options = parser.parse_args()
    (turns if options.slices else flat)(options)


if __name__ == "__main__":
    main()
