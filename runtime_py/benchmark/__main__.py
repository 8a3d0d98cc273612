"""python -m runtime_py.benchmark BUNDLE"""

from __future__ import annotations

import sys

from runtime_py import benchmark
from runtime_py.benchmark.arguments import (
    add_arguments,
    end_progress,
    settings_of,
    show_progress,
)
from runtime_py.cli.parser import Parser
from runtime_py.errors import BundleRuntimeError


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(prog="python -m runtime_py.benchmark", description=benchmark.__doc__)
    parser.add_argument("bundle", metavar="BUNDLE")
    add_arguments(parser, "3")
    parser.add_argument("--adapter", help="one of the bundle's adapters; default: its own choice")
    try:
        options = parser.answer(sys.argv[1:] if arguments is None else arguments)
        result = benchmark.measure(
            options.bundle, adapter=options.adapter, progress=show_progress, **settings_of(options)
        )
    except BundleRuntimeError as error:
        end_progress()
        print(f"error: {error}", file=sys.stderr)
        return 2
    end_progress()
    for note in result.get("notes", ()):
        print(note, file=sys.stderr)
    print(benchmark.text(result, options.format))
    return 0


if __name__ == "__main__":
    sys.exit(main())
