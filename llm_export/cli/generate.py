"""Continue a prompt with a bundle; the text is streamed to standard output.

llm-export generate outputs/smollm2_135m_xnnpack_8da8w --prompt "Once upon a time"
"""

from __future__ import annotations

import argparse
import sys

from llm_export import api
from llm_export.cli.runtime_args import (
    add_sampling,
    describe,
    printable,
    sampling_of,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT")


def run(options: argparse.Namespace) -> None:
    result = api.generate(
        options.bundle,
        options.prompt,
        threads=options.threads,
        adapter=options.adapter,
        stop=options.stop,
        seed=options.seed,
        on_text=_write,
        **sampling_of(options),
    )
    print()
    if options.stats:
        print(describe(result.stats, result.finish), file=sys.stderr)


def _write(text: str) -> None:
    sys.stdout.write(printable(text))
    sys.stdout.flush()
