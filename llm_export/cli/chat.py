"""Chat with a bundle in the terminal; with --message, print one answer and exit.

  llm-export chat outputs/smollm2_135m_xnnpack_8da8w
  llm-export chat outputs/smollm2_135m_xnnpack_8da8w --message "What is the capital of France?"

In a conversation: /reset starts over, /exit or Ctrl-D ends, Ctrl-C stops an answer.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from llm_export import api
from llm_export.cli.runtime_args import (
    add_sampling,
    describe,
    printable,
    sampling_of,
)
from llm_export.errors import BundleError

if TYPE_CHECKING:
    from runtime_py import LLM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("--message", metavar="TEXT", help="ask this, print the answer, exit")
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")


def run(options: argparse.Namespace) -> None:
    llm = api.load(options.bundle, threads=options.threads, adapter=options.adapter)
    start = [{"role": "system", "content": options.system}] if options.system else []
    if options.message is not None:
        _answer(llm, [*start, {"role": "user", "content": options.message}], options)
        return
    _converse(llm, start, options)


def _converse(llm: LLM, start: list[dict[str, str]], options: argparse.Namespace) -> None:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (line editing and history for input())
    print(f"{llm.bundle.manifest['name']}: /reset starts over, /exit ends", file=sys.stderr)
    messages = list(start)
    while True:
        try:
            text = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if text in ("/exit", "/quit"):
            return
        if text == "/reset":
            messages = list(start)
            llm.reset()
            continue
        if not text:
            continue
        messages.append({"role": "user", "content": text})
        try:
            answer = _answer(llm, messages, options)
        except KeyboardInterrupt:
            print(" [stopped]")
            messages.pop()
            continue
        except BundleError as error:
            print(f"error: {error}\n/reset starts over", file=sys.stderr)
            messages.pop()
            continue
        messages.append({"role": "assistant", "content": answer})


def _answer(llm: LLM, messages: list[dict[str, str]], options: argparse.Namespace) -> str:
    result = api.chat(
        llm, messages, stop=options.stop, seed=options.seed, on_text=_write, **sampling_of(options)
    )
    print()
    if result.finish in ("length", "context"):
        limit = "max_new_tokens" if result.finish == "length" else "the context"
        print(f"[cut off: {limit} is reached]", file=sys.stderr)
    if options.stats:
        print(describe(result.stats, result.finish), file=sys.stderr)
    return result.text


def _write(text: str) -> None:
    sys.stdout.write(printable(text))
    sys.stdout.flush()
