"""Continue a prompt with a bundle; the text is streamed to standard output.

python -m runtime_py generate outputs/smollm2_135m_xnnpack_8da8w --prompt "Once upon a time"
"""

from __future__ import annotations

import argparse

from runtime_py.cli.constraints import constraint_of
from runtime_py.cli.flags import add_sampling, loaded, sampling_of
from runtime_py.cli.printing import show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("--prompt", required=True, metavar="TEXT")


def run(options: argparse.Namespace) -> None:
    given = {**sampling_of(options), **constraint_of(options)}
    given |= {"stop": options.stop, "seed": options.seed}
    with loaded(options) as llm:
        show(
            lambda write: llm.generate(options.prompt, on_text=write, **given),
            stats=options.stats,
        )
