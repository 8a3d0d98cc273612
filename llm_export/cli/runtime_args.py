"""Flags shared by generate and chat."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.constraint_args import add_constraint
from llm_export.cli.waiting import waiting
from runtime_py.cli.printing import describe, write
from runtime_py.cli.printing import printable as printable

if TYPE_CHECKING:
    from runtime_py import LLM, Generation


def add_adapter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapter", metavar="NAME",
                        help="LoRA adapter of the bundle, or base for none; "
                        "default: the one it was made with")  # fmt: skip


def add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle",
        metavar="BUNDLE",
        help="a folder of `llm-export run`, a file of `llm-export pack`, ORG/NAME on the hub, or "
        "a program of another exporter (.pte, or a folder with one)",
    )
    parser.add_argument("--max-new-tokens", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 is greedy")
    parser.add_argument("--top-k", type=int, metavar="K", help="0 is off")
    parser.add_argument("--top-p", type=float, metavar="P", help="1 is off")
    parser.add_argument("--min-p", type=float, metavar="P", help="0 is off")
    parser.add_argument("--repetition-penalty", type=float, metavar="R", help="1 is off")
    parser.add_argument("--typical-p", type=float, metavar="P", help="1 is off")
    parser.add_argument("--presence-penalty", type=float, metavar="X", help="0 is off")
    parser.add_argument("--frequency-penalty", type=float, metavar="X", help="0 is off")
    parser.add_argument("--seed", type=int, help="makes sampling reproducible")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT",
                        help="end the answer before this text; may be repeated")  # fmt: skip
    add_constraint(parser)
    parser.add_argument("--speculate", metavar="HOW",
                        help="check several proposed tokens at once: lookup, what the text had "
                        "before; or a bundle, what that smaller model says")  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--engine", default="executorch", metavar="NAME",
                        help="executorch (default); runner, ExecuTorch's C++ runner; eager, the "
                        "model in PyTorch that was exported")  # fmt: skip
    parser.add_argument("--tokenizer", metavar="PATH",
                        help="of a .pte without a manifest, if it is not beside it")  # fmt: skip
    add_adapter(parser)
    parser.add_argument("--no-verify-hashes", dest="verify_hashes", action="store_false",
                        help="load files that are not as the manifest says")  # fmt: skip
    parser.add_argument("--stats", action="store_true", help="tokens and speed, on stderr")


def sampling_of(options: argparse.Namespace) -> dict[str, Any]:
    """The sampling flags that were given; the bundle's defaults apply to the others."""
    from runtime_py.sampling import SETTINGS

    given = {name: getattr(options, name) for name in SETTINGS}
    return {name: value for name, value in given.items() if value is not None}


@contextlib.contextmanager
def loaded(options: argparse.Namespace) -> Iterator[LLM]:
    """The bundle of the command line; says on a terminal that it is being loaded."""
    with waiting(f"loading {options.bundle}"):
        llm = api.load(
            options.bundle, threads=options.threads, adapter=options.adapter,
            verify_hashes=options.verify_hashes, engine=options.engine,
            tokenizer=options.tokenizer,
        )  # fmt: skip
    with llm:
        yield llm


@contextlib.contextmanager
def proposing(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The argument for what proposes tokens, if there is one; a draft bundle is loaded for it."""
    if options.speculate is None:
        yield {}
        return
    from runtime_py.speculation import DraftModel, PromptLookup

    if options.speculate == "lookup":
        yield {"speculate": PromptLookup()}
        return
    with waiting(f"loading {options.speculate}"):
        draft = api.load(options.speculate, verify_hashes=options.verify_hashes)
    with draft:
        yield {"speculate": DraftModel(draft)}


def show(ask: Callable[[Callable[[str], None]], Generation], *, stats: bool) -> Generation:
    """Print an answer as it is generated.

    Args:
        ask: generates, and calls its argument with each piece of text.
        stats: print tokens and speed on stderr.
    """
    result = ask(write)
    print(flush=True)
    if stats:
        print(describe(result.stats, result.finish), file=sys.stderr)
    return result
