"""Servers as processes of this machine, and clients that measure them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil

REPO = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started(command: Sequence[str], port: int, ready: str, seconds: float = 300) -> Iterator[int]:
    """The process id of a server that answers ``ready`` with 200."""
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        limit = time.monotonic() + seconds
        while not _answers(f"http://127.0.0.1:{port}{ready}"):
            if process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(f"the server has not begun: {' '.join(command)}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _answers(address: str) -> bool:
    try:
        return httpx2.get(address, timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def memory(pid: int) -> float:
    """MiB that a process has for itself: resident pages that it shares with none."""
    return float(psutil.Process(pid).memory_full_info().uss) / 2**20


def cpu(pid: int) -> float:
    """Seconds of processor time so far, which does not depend on what else runs."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@dataclass
class Answer:
    """What one client has seen of one answer; times in seconds since it asked."""

    first: float = 0.0
    last: float = 0.0
    tokens: int = 0
    text: str = ""
    status: int = 0
    cancelled: bool = False

    @property
    def speed(self) -> float:
        """Tokens a second after the first."""
        took = self.last - self.first
        return (self.tokens - 1) / took if took > 0 and self.tokens > 1 else 0.0


@dataclass
class Question:
    """
    Attributes:
        leaves: pieces after which the client leaves; None: it reads to the end.
    """

    messages: list[dict[str, str]]
    most: int
    leaves: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


async def ask(client: httpx2.AsyncClient, model: str | None, question: Question) -> Answer:
    """Stream one answer."""
    body = {"model": model, "messages": question.messages, "max_tokens": question.most,
            "temperature": 0, "stream": True, **question.more}  # fmt: skip
    begin, answer, pieces = time.perf_counter(), Answer(), 0
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        answer.status = response.status_code
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            for choice in chunk.get("choices", ()):
                said = choice["delta"].get("content")
                if said:
                    pieces += 1
                    answer.first = answer.first or time.perf_counter() - begin
                    answer.last = time.perf_counter() - begin
                    answer.text += said
            if question.leaves is not None and pieces >= question.leaves:
                answer.cancelled = True
                break
    answer.tokens = pieces
    return answer


async def together(
    address: str, model: str | None, questions: Sequence[Question], clients: int
) -> list[Answer]:
    """Each question, by so many clients at once."""
    waiting = list(enumerate(questions))[::-1]
    found: dict[int, Answer] = {}

    async def one() -> None:
        async with httpx2.AsyncClient(base_url=address, timeout=600) as client:
            while waiting:
                number, question = waiting.pop()
                found[number] = await ask(client, model, question)

    await asyncio.gather(*(one() for _ in range(clients)))
    return [found[number] for number in range(len(questions))]


def median(values: Sequence[float]) -> float:
    return part(values, 0.5)


def part(values: Sequence[float], share: float) -> float:
    """The value below which this share of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
