"""Whether a bundle meets the contract of a consumer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One requirement.

    Attributes:
        what: the file, method, tensor or property; the same words for the same requirement.
        good: whether the bundle meets it.
        found: what the bundle has, and what is required of it if that is not the same.
        fix: the recipe key or command that mends it; '' if it is good.
        source: where the consumer says so.
    """

    what: str
    good: bool
    found: str
    fix: str = ""
    source: str = ""


@dataclass(frozen=True)
class Verdict:
    """The rows of a contract, in its order."""

    consumer: str
    version: str
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        return f"{self.consumer}@{self.version}"

    @property
    def failed(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if not row.good)

    @property
    def good(self) -> bool:
        return not self.failed
