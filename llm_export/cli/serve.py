"""Serve a bundle over HTTP with OpenAI's API.

  llm-export serve outputs/smollm2_135m_xnnpack_8da8w
  llm-export serve outputs/smollm2_135m_xnnpack_8da8w --port 9000 --api-key-file keys.txt

Programs of this machine alone reach it unless --host says otherwise. The first SIGTERM or Ctrl-C
lets running answers end, the second one does not.
"""

from __future__ import annotations

import argparse
import os

from llm_export import api
from runtime_py.server import arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", metavar="BUNDLE",
                        help="a folder of `llm-export run`, a file of `llm-export pack`, "
                        "ORG/NAME on the hub, or a program of another exporter")  # fmt: skip
    arguments.add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    with api.runtime_errors():
        settings = arguments.settings_of(options, dict(os.environ))
    api.serve(options.bundle, **vars(settings))
