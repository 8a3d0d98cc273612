"""Continue a prompt with a bundle; the text is streamed to standard output.

llm-export generate outputs/smollm2_135m_xnnpack_8da8w --prompt "Once upon a time"
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.constraint_args import constraint_of
from llm_export.cli.runtime_args import add_sampling, loaded, proposing, sampling_of, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT")


def run(options: argparse.Namespace) -> None:
    given = {**sampling_of(options), **constraint_of(options)}
    given |= {"stop": options.stop, "seed": options.seed}
    with loaded(options) as llm, proposing(options) as proposed:
        given |= proposed
        show(
            lambda write: api.generate(llm, options.prompt, on_text=write, **given),
            stats=options.stats,
        )
