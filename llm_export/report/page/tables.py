"""Tables of a page: cells are text, or text with a bar behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Bar:
    """A cell with a bar.

    Attributes:
        share: length, 0 to 1; ``start``: where it begins.
        tone: 0 is the accent; n is the n-th colour of the palette.
        faint: drawn hatched: of another run.
    """

    text: str
    share: float
    start: float = 0.0
    tone: int = 0
    faint: bool = False


@dataclass(frozen=True)
class Note:
    """A cell with a second line in small print."""

    text: str
    under: str


@dataclass(frozen=True)
class Indented:
    """The name of something that ``depth`` others contain."""

    text: str
    depth: int


Cell = str | Bar | Note | Indented


@dataclass(frozen=True)
class Table:
    """
    Attributes:
        head: empty for a table without one.
        words: how many of the first columns are text; the others are numbers.
        last_words: whether the last column is text too.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: int = 1
    last_words: bool = False
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """
    Attributes:
        missing: what is not there, and how to get it.
        content: of the section's own template.
    """

    id: str
    title: str
    missing: Sequence[str] = ()
    content: dict[str, object] = field(default_factory=dict)


def share_of(value: float, whole: float) -> float:
    return min(1.0, max(0.0, value / whole)) if whole > 0 else 0.0


def bytes_text(size: float) -> str:
    """Bytes as people read them: 138.5 MB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= scale:
            return f"{size / scale:.2f} GB" if unit == "GB" else f"{size / scale:.1f} {unit}"
    return f"{size:.0f} B"


def count_text(count: int) -> str:
    """A number of parameters: 134.5 M."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:.4g} {unit}"
    return str(count)


def seconds_text(seconds: float) -> str:
    """A duration: 3 min 20 s, 12.3 s, 8.1 ms."""
    if seconds >= 100:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
