"""Options that the verbs of tasks have in common: ``embed``, ``transcribe``, ``translate``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager

from runtime_py.cli.batch_jsonl import add_batch
from runtime_py.errors import ArgumentError

Waiting = Callable[[str], AbstractContextManager[None]]
"""Shows a text while the bundle is loaded."""


def add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a folder, a packed file, or ORG/NAME on the hub"
    )


def add_batch_and_speed(parser: argparse.ArgumentParser, line: str, stats: str) -> None:
    """
    Args:
        line: an example of one of ``--batch``.
        stats: what ``--stats`` prints.
    """
    add_batch(parser, line)
    parser.add_argument("--threads", type=int, metavar="N", help="default: ExecuTorch's choice")
    parser.add_argument("--stats", action="store_true", help=f"{stats}, on stderr")


def check_out(options: argparse.Namespace) -> None:
    """Raises ArgumentError if ``--out`` is given without ``--batch``."""
    if options.out and not options.batch:
        raise ArgumentError("--out is for --batch", fix="send standard output to a file")
