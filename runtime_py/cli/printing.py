"""Print answers as they are decoded."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime_py import Generation, Stream
    from runtime_py.stats import Stats


def printable(text: str) -> str:
    """The text without control characters, which could change the terminal's state."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def write(text: str) -> None:
    """Print a piece of an answer."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def show(stream: Stream) -> Generation:
    """Print an answer's text, and its reasoning on standard error. Ctrl-C stops it."""
    with stream, stoppable(stream):
        for delta in stream.deltas():
            if delta.kind == "text":
                write(delta.text)
            elif delta.kind == "reasoning":
                print(printable(delta.text), end="", file=sys.stderr, flush=True)
    print(flush=True)
    return stream.result


@contextlib.contextmanager
def stoppable(stream: Stream) -> Iterator[None]:
    """Ctrl-C ends the answer at its next token; a second one does so at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, former)
        stream.cancel()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def ended(result: Generation, *, stats: bool) -> None:
    """Say on stderr if an answer, which has an end of its own, was cut off before.

    Args:
        stats: print tokens and speed.
    """
    limits = {
        "length": "cut off: max_new_tokens is reached",
        "context": "cut off: the end of the context is reached",
        "cancelled": "stopped",
    }
    if result.finish in limits:
        print(f"[{limits[result.finish]}]", file=sys.stderr)
    if stats:
        print(describe(result.stats, result.finish), file=sys.stderr)


def describe(stats: Stats, finish: str) -> str:
    """Tokens and speed of an answer, as one line."""
    thought = f" ({stats.reasoning_tokens} of reasoning)" if stats.reasoning_tokens else ""
    proposed = (
        f", {stats.accepted_tokens} of {stats.proposed_tokens} proposed tokens accepted"
        if stats.proposed_tokens
        else ""
    )
    return (
        f"[{stats.prompt_tokens} prompt tokens ({stats.cached_tokens} cached), "
        f"{stats.generated_tokens} generated{thought}, "
        f"first after {stats.time_to_first_token:.2f} s, "
        f"then {stats.decode_tokens_per_second:.1f} tokens/s{proposed}; ended by {finish}]"
    )
