"""Talk to a bundle from the command line.

  python -m runtime_py chat BUNDLE
  python -m runtime_py generate BUNDLE --prompt "Once upon a time"
  python -m runtime_py embed BUNDLE "A text"
  python -m runtime_py transcribe BUNDLE FILE.wav
  python -m runtime_py translate BUNDLE "A text"
  python -m runtime_py serve BUNDLE
  python -m runtime_py benchmark BUNDLE

`python -m runtime_py VERB --help` says more.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from types import ModuleType

from runtime_py.bundle_place import require_place
from runtime_py.cli.parser import Parser
from runtime_py.cli.printing import printable
from runtime_py.errors import BundleRuntimeError

_HERE = {
    "chat": "runtime_py.cli.chat",
    "generate": "runtime_py.cli.generate",
    "embed": "runtime_py.cli.embed",
    "transcribe": "runtime_py.cli.transcribe",
    "translate": "runtime_py.cli.translate",
}
"""Verb -> module with ``add_arguments(parser)`` and ``run(options)``."""
_PROGRAMS = {"benchmark": "runtime_py.benchmark.__main__", "serve": "runtime_py.server.__main__"}
"""Verb -> module with ``main(arguments)``."""


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, 1 if a part failed, or 2 for an error."""
    words = sys.argv[1:] if arguments is None else arguments
    verbs = (*_HERE, *_PROGRAMS)
    if not words or words[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    if words[0] not in verbs:
        near = difflib.get_close_matches(words[0], verbs, n=1, cutoff=0.5)
        fix = f"did you mean '{near[0]}'? choices" if near else "choices"
        print(f"error: there is no verb '{words[0]}'\n  fix:   {fix}: {', '.join(verbs)}",
              file=sys.stderr)  # fmt: skip
        return 2
    try:
        if words[0] in _PROGRAMS:
            return int(_program(words[0]).main(words[1:]) or 0)
        verb = importlib.import_module(_HERE[words[0]])
        parser = Parser(
            prog=f"python -m runtime_py {words[0]}", description=verb.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        )  # fmt: skip
        verb.add_arguments(parser)
        options = parser.answer(words[1:])
        require_place(options.bundle)
        return int(verb.run(options) or 0)
    except BundleRuntimeError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) closed the pipe; also avoid a traceback at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _program(verb: str) -> ModuleType:
    try:
        return importlib.import_module(_PROGRAMS[verb])
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("runtime_py."):
            raise
        raise BundleRuntimeError(
            f"this copy of the runtime has no {verb}", fix="pip install 'llm_export_runtime[serve]'"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
