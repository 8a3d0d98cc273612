"""Continue a prompt; the text is streamed to standard output."""

from __future__ import annotations

import argparse
import sys

from runtime_py.cli.flags import add_flags, loaded, settings_of
from runtime_py.cli.printing import describe, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT")


def run(options: argparse.Namespace) -> None:
    with loaded(options) as llm:
        result = show(llm.stream(options.prompt, **settings_of(options)))
    if options.stats:
        print(describe(result.stats, result.finish), file=sys.stderr)
