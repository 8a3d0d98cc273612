"""Benchmark a bundle on this machine: load time, time to first token, prefill, decode, memory.

llm-export bench outputs/smollm2_135m_xnnpack_8da8w
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --prompt-length 128,512 --depth 0,1000
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --threads 1,2 --format csv
llm-export bench outputs/smollm2_135m_xnnpack_8da8w --sustained 60

Lengths, depths and threads may be lists: every combination is measured.
"""

from __future__ import annotations

import argparse
import sys

from llm_export import api
from llm_export.cli.runtime_args import add_adapter
from runtime_py.benchmark import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE")
    arguments.add_arguments(parser, repetitions=5)
    add_adapter(parser)


def run(options: argparse.Namespace) -> None:
    from runtime_py.benchmark import text

    try:
        result = api.bench(
            options.bundle, adapter=options.adapter, progress=arguments.show_progress,
            **arguments.settings_of(options),
        )  # fmt: skip
    finally:
        arguments.end_progress()
    for note in result.get("notes", ()):
        print(note, file=sys.stderr)
    print(text(result, options.format))
