"""The verdict on a program, as ``run`` and ``verify`` begin with it."""

from __future__ import annotations

from collections.abc import Iterable

from llm_export.bundle.proof import Proof
from llm_export.cli.layout import beside
from llm_export.cli.runtime_args import printable

_TITLE = 22
"""Columns of the titles."""


def print_verdict(proof: Proof) -> None:
    """The word and what it means, then the figures behind it and whether the program is numerically
    faithful; or why nothing was verified."""
    if proof.verdict is None and proof.verified:  # of a version that gave none
        print("verified, without a verdict")
        return
    if proof.verdict is None:
        print(printable(f"not verified: {proof.reason}"))
        return
    print(printable(proof.verdict.headline))
    if not proof.verified:
        print_rows([("not verified", str(proof.reason))])
    print_rows(proof.verdict.rows())
    if proof.arm is not None:
        print_rows([("Arm kernels", str(proof.arm))])


def print_rows(rows: Iterable[tuple[str, str]], width: int = _TITLE) -> None:
    """Print titles, in ``width`` columns, and what belongs to each beside it."""
    for name, text in rows:
        print("\n".join(beside(name, printable(text), width)))
