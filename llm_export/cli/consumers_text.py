"""Verdicts of consumers' contracts, in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from llm_export.cli.layout import beside
from llm_export.cli.runtime_args import printable
from llm_export.consumers import Contract, Row, Verdict

_STATE = 8
"""Columns of ok and FAILED."""


def print_contract(verdict: Verdict, contract: Contract, *, quiet: bool) -> None:
    """Row by row what holds, what fails and how to mend it, and what is left to the app."""
    if quiet and verdict.good:
        return
    print(printable(f"{verdict.name}: {contract.title}"))
    shown = verdict.failed if quiet else verdict.rows
    width = max(len(printable(row.what)) for row in shown)
    for row in shown:
        _print_row(row, width)
    if not quiet:
        for text in contract.app:
            print(printable(f"{'app':<{_STATE}}{text}"))
    print()


def _print_row(row: Row, width: int) -> None:
    head = f"{'ok' if row.good else 'FAILED':<{_STATE}}{printable(row.what)}"
    print("\n".join(beside(head, printable(row.found), _STATE + width + 1)))
    for name, text in (("fix:", row.fix), ("source:", row.source)):
        if text and not row.good:
            print(f"{'':<{_STATE}}{name} {printable(text)}")


def print_table(verdicts: Sequence[Verdict], *, quiet: bool) -> None:
    """A line for each: whether its contract holds, and which rows fail."""
    shown = [v for v in verdicts if not (quiet and v.good)]
    width = max((len(v.name) for v in shown), default=0)
    for verdict in shown:
        head = f"{'ok' if verdict.good else 'FAILED':<{_STATE}}{printable(verdict.name)}"
        failed = ", ".join(row.what for row in verdict.failed)
        print("\n".join(beside(head, printable(failed), _STATE + width + 1)))


def print_end(verdicts: Sequence[Verdict], bundle: str, *, survey: bool) -> None:
    """``survey``: whether the rows have not been printed."""
    good = sum(verdict.good for verdict in verdicts)
    what = "contract" if len(verdicts) == 1 else "contracts"
    print(f"{good} of {len(verdicts)} {what} met: {printable(bundle)}")
    if survey and good < len(verdicts):
        print(f"row by row: llm-export verify {printable(bundle)} --for NAME")
