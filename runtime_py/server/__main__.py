"""python -m runtime_py.server BUNDLE"""

from __future__ import annotations

import os
import sys

from runtime_py.cli.parser import Parser
from runtime_py.errors import BundleRuntimeError
from runtime_py.server import serve
from runtime_py.server.arguments import add_arguments, settings_of


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(
        prog=f"python -m runtime_py{'.server' if arguments is None else ' serve'}",
        description="Serve a bundle over HTTP with OpenAI's API.",
    )
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="a folder, a packed file, or ORG/NAME on the hub"
    )
    add_arguments(parser)
    try:
        options = parser.answer(sys.argv[1:] if arguments is None else arguments)
        serve(options.bundle, settings_of(options, dict(os.environ)))
    except BundleRuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
