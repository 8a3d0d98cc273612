"""Print answers as they are decoded."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime_py import Generation, Stream


def printable(text: str) -> str:
    """The text without control characters, which could change the terminal's state."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def show(stream: Stream, *, stats: bool) -> Generation:
    """Print an answer's text on standard output, its reasoning on standard error. Ctrl-C stops it.

    Args:
        stats: print tokens and speed on stderr.
    """
    with stream:
        try:
            for delta in stream.deltas():
                if delta.kind == "text":
                    sys.stdout.write(printable(delta.text))
                    sys.stdout.flush()
                elif delta.kind == "reasoning":
                    print(printable(delta.text), end="", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            stream.cancel()
    print(flush=True)
    result = stream.result
    if stats:
        found = result.stats
        print(
            f"[{found.prompt_tokens} prompt tokens ({found.cached_tokens} cached), "
            f"{found.generated_tokens} generated, first after {found.time_to_first_token:.2f} s, "
            f"then {found.decode_tokens_per_second:.1f} tokens/s; ended by {result.finish}]",
            file=sys.stderr,
        )
    return result
