"""Continue a prompt with a bundle; the text is streamed to standard output.

llm-export generate outputs/smollm2_135m_xnnpack_8da8w --prompt "Once upon a time"
"""

from __future__ import annotations

import argparse

from llm_export import api
from runtime_py.cli import generate

add_arguments = generate.add_arguments


def run(options: argparse.Namespace) -> None:
    with api.runtime_errors():
        generate.run(options)
