"""Print answers as they are decoded."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime_py import Generation


def printable(text: str) -> str:
    """The text without control characters, which could change the terminal's state."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def show(
    ask: Callable[[Callable[[str], None]], Generation], *, stats: bool, ends: bool = False
) -> Generation:
    """Print an answer as it is generated.

    Args:
        ask: generates, and calls its argument with each piece of text.
        stats: print tokens and speed on stderr.
        ends: the answer has an end of its own: say on stderr if it was cut off before.
    """
    result = ask(_write)
    print(flush=True)
    if ends and result.finish in ("length", "context"):
        limit = "max_new_tokens" if result.finish == "length" else "the end of the context"
        print(f"[cut off: {limit} is reached]", file=sys.stderr)
    if stats:
        print(describe(result.stats, result.finish), file=sys.stderr)
    return result


def _write(text: str) -> None:
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def describe(stats: Any, finish: str) -> str:
    return (
        f"[{stats.prompt_tokens} prompt tokens ({stats.cached_tokens} cached), "
        f"{stats.generated_tokens} generated, first after {stats.time_to_first_token:.2f} s, "
        f"then {stats.decode_tokens_per_second:.1f} tokens/s; ended by {finish}]"
    )
