"""End a stream of text at the first stop string."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Holds text back while it may be the start of a stop string."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [s for s in stop if s]
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """(text that can be emitted, whether a stop string was found)."""
        self._held += text
        found = [i for i in (self._held.find(s) for s in self._stop) if i >= 0]
        if found:
            out, self._held = self._held[: min(found)], ""
            return out, True
        most = len(self._held) + 1
        keep = max(
            (n for s in self._stop for n in range(1, min(len(s), most))
             if self._held.endswith(s[:n])),
            default=0,
        )  # fmt: skip
        cut = len(self._held) - keep
        out, self._held = self._held[:cut], self._held[cut:]
        return out, False

    def flush(self) -> str:
        out, self._held = self._held, ""
        return out
