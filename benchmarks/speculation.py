"""Tokens per second with and without speculative decoding, on texts that repeat and that do not.

    python benchmarks/speculation.py BUNDLE [--draft BUNDLE] [--rounds N]

BUNDLE is made with runtime.verify_length=16. Each round generates the same greedy answer without
and with proposals, in turns; the answers must be the same, or the script fails. The table has the
medians of the rounds, and the median and the range of the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from runtime_py import LLM, Generation
from runtime_py.speculation import DraftModel, PromptLookup, Proposer

CODE = """class Account:
    def __init__(self, owner, balance):
        self.owner = owner
        self.balance = balance

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("the amount must be positive")
        self.balance = self.balance + amount
        return self.balance

    def withdraw(self, amount):
        if amount > self.balance:
            raise ValueError("the balance is too low")
        self.balance = self.balance - amount
        return self.balance
"""
REPORT = (
    "The council met on Tuesday to discuss the new bridge over the river. The old bridge was "
    "built in 1932 and closes for repairs every winter. The new bridge will have two lanes for "
    "cars and one for bicycles. Work begins in May and takes two years. The council will pay for "
    "it with a loan from the state. Residents may send their questions to the town hall."
)


class Task(NamedTuple):
    """``chat``: whether the prompt is a question, or a text to be continued."""

    name: str
    prompt: str
    chat: bool = False


TASKS = (
    Task("code with a small change",
         f"Original code:\n```python\n{CODE}```\n\nThe same code, with the class renamed to Wallet:"
         "\n```python\nclass Wallet:\n"),
    Task("a text written out again",
         f"Text:\n{REPORT}\n\nThe same text, one sentence per line:\nThe council met"),
    Task("a story (does not repeat)",
         "Write a short story about a lighthouse keeper and the sea.", chat=True),
    Task("an explanation (does not repeat)", "Why do leaves change color in autumn?", chat=True),
)  # fmt: skip


class Answer(NamedTuple):
    """``speed``: tokens per second after the first, of processor time if that is measured."""

    made: Generation
    speed: float


class Round(NamedTuple):
    plain: Answer
    ahead: Answer

    @property
    def ratio(self) -> float:
        return self.ahead.speed / self.plain.speed


def answered(
    llm: LLM, task: Task, proposer: Proposer | None, tokens: int, clock: Callable[[], float]
) -> Answer:
    llm.reset()
    prompt = [{"role": "user", "content": task.prompt}] if task.chat else task.prompt
    said = {"temperature": 0, "max_new_tokens": tokens, "ignore_eos": not task.chat}
    with llm.stream(prompt, speculate=proposer, **said) as stream:
        next(stream)
        begin, before = clock(), len(stream.result.tokens)
        made = stream.read()
    return Answer(made, (len(made.tokens) - before) / (clock() - begin))


def measure(
    llm: LLM, task: Task, proposer: Proposer, rounds: int, tokens: int, clock: Callable[[], float]
) -> list[Round]:
    answered(llm, task, proposer, tokens, clock)  # the first use of the method loads it
    found = []
    for _ in range(rounds):
        plain, ahead = (answered(llm, task, p, tokens, clock) for p in (None, proposer))
        if plain.made.tokens != ahead.made.tokens:
            raise SystemExit(f"{task.name}: the answers differ")
        found.append(Round(plain, ahead))
    return found


def row(task: Task, how: str, made: list[Round]) -> str:
    plain, ahead = (statistics.median(each[i].speed for each in made) for i in (0, 1))
    ratios = sorted(each.ratio for each in made)
    stats = made[-1].ahead.made.stats
    return (
        f"| {task.name} | {how} | {plain:.1f} | {ahead:.1f} | {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f}) | {stats.accepted_tokens} of "
        f"{stats.proposed_tokens} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--draft", help="a smaller bundle of the same family")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=160, help="of each answer")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cpu-time", action="store_true",
                        help="tokens per second of processor time, for a busy machine; with "
                        "--threads 1")  # fmt: skip
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    proposers: dict[str, Proposer] = {"lookup": PromptLookup()}
    if options.draft:
        proposers["draft"] = DraftModel(LLM.load(options.draft))
    with LLM.load(options.bundle, threads=options.threads) as llm:
        print("| task | proposals | plain, tokens/s | with them | times as fast | accepted |")
        print("| --- | --- | ---: | ---: | ---: | ---: |", flush=True)
        for task in TASKS:
            for how, proposer in proposers.items():
                made = measure(llm, task, proposer, options.rounds, options.tokens, clock)
                print(row(task, how, made), flush=True)


if __name__ == "__main__":
    main()
