"""Continue a prompt; the text is streamed to standard output."""

from __future__ import annotations

import argparse

from runtime_py.cli.flags import add_flags, loaded, settings_of
from runtime_py.cli.printing import show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT")


def run(options: argparse.Namespace) -> None:
    with loaded(options) as llm:
        show(llm.stream(options.prompt, **settings_of(options)), stats=options.stats)
