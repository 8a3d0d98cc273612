"""The arguments of a benchmark on a command line, for this module's and other parsers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from runtime_py.benchmark.formats import FORMATS


def add_arguments(parser: argparse.ArgumentParser, repetitions: str) -> None:
    """Those of ``measure`` and the format; lengths, depths and threads are lists.

    Args:
        repetitions: the default number, in words.
    """
    several: dict[str, Any] = {"type": whole_numbers, "metavar": "N[,N]"}
    parser.add_argument("--prompt-length", **several,
                        help="tokens of the prompt; default 512, or what fits")  # fmt: skip
    parser.add_argument("--decode-length", **several,
                        help="tokens after it; default 128, or what fits")  # fmt: skip
    parser.add_argument("--depth", **several,
                        help="tokens in the caches before the prompt; default 0")  # fmt: skip
    parser.add_argument("--threads", **several, help="default: ExecuTorch's choice")
    parser.add_argument("--warmup", type=int, metavar="N",
                        help="rounds that are not counted; default: until two agree")  # fmt: skip
    parser.add_argument("--repetitions", type=int, metavar="N",
                        help=f"measured rounds of each; default {repetitions}")  # fmt: skip
    parser.add_argument("--max-seconds", type=float, metavar="S",
                        help="begin no further repetition after")  # fmt: skip
    parser.add_argument("--sustained", type=float, metavar="S",
                        help="then decode for so many seconds: does the speed last?")  # fmt: skip
    parser.add_argument("--format", choices=list(FORMATS), default="table",
                        help="default table; jsonl, csv: a line for each combination"
                        )  # fmt: skip
    parser.add_argument("--json", action="store_const", const="json", dest="format",
                        help="short for --format json")  # fmt: skip


MEASURED = ("prompt_length", "decode_length", "depth", "threads", "warmup", "repetitions",
            "max_seconds", "sustained")  # fmt: skip


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Those arguments of ``measure`` that were given."""
    given = {name: getattr(options, name) for name in MEASURED}
    return {name: value for name, value in given.items() if value is not None}


def whole_numbers(text: str) -> list[int]:
    """The numbers of a list such as 128,512. Their range is checked by ``measure``.

    Raises:
        argparse.ArgumentTypeError: it is no such list.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a whole number, or several such as 128,512"
        ) from None


def show_progress(what: str) -> None:
    """Say on standard error, where that is a terminal, what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def show_turn(what: str) -> None:
    """As ``show_progress``; where standard error is no terminal, a line."""
    if sys.stderr.isatty():
        show_progress(what)
    else:
        print(what, file=sys.stderr, flush=True)


def show_finished(what: str) -> None:
    """Say on standard error, in a line that stays, what has been measured."""
    end_progress()
    print(what, file=sys.stderr, flush=True)


def end_progress() -> None:
    """Clear the line of ``show_progress``."""
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
