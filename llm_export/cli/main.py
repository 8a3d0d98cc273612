"""Parse the verb, run it, and turn errors into a few lines and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from types import ModuleType

from llm_export._version import __version__
from llm_export.cli import plugin_warnings
from llm_export.cli.verbs import VERBS
from llm_export.compat.import_warnings import silence_announcements
from llm_export.config.renamed import listening
from llm_export.errors import LlmExportError

_TRACEBACK = "LLM_EXPORT_TRACEBACK"
_RFC_FLAGS = ("--hf_id", "--check_point", "--model_config", "--export_config")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1, 2 or 3 as in ``llm_export.errors``."""
    words = sys.argv[1:] if arguments is None else arguments
    silence_announcements()
    try:
        with listening(lambda line: print(f"warning: {line}", file=sys.stderr)):
            return _dispatch(words)
    except LlmExportError as error:
        # Text from a shared file must not send control characters to the terminal.
        text = "".join(c for c in str(error) if c.isprintable() or c in "\n\t")
        print(f"error: {text}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\ninterrupted; nothing half-written is left", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) closed the pipe; also avoid a traceback at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        print(
            f"error: unexpected {type(error).__name__}: {error}\n"
            f"  fix:   this is a mistake in llm_export; with {_TRACEBACK}=1 it shows where",
            file=sys.stderr,
        )
        return 1


def _dispatch(words: list[str]) -> int:
    if words and words[0] in ("-sc", "--shell-completion"):
        from llm_export.cli import completion

        return completion.run(words[1:])
    if any(word.split("=")[0] in _RFC_FLAGS for word in words):
        from llm_export.cli import rfc

        plugin_warnings.warn()
        return rfc.run(words)
    parser = _parser()
    if not words or words[0] in ("-h", "--help", "help"):
        parser.print_help()
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    if words[0] not in VERBS:
        from llm_export.errors import RecipeError, did_you_mean

        raise RecipeError(f"there is no verb '{words[0]}'", fix=did_you_mean(words[0], VERBS))
    from llm_export.cli.parser import VerbParser

    verb = _module(words[0])
    own = VerbParser(
        prog=f"llm-export {words[0]}",
        description=verb.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=not hasattr(verb, "print_help"),
        allow_abbrev=False,
    )
    verb.add_arguments(own)
    options = own.answer(words[1:])
    if isinstance(bundle := getattr(options, "bundle", None), str):
        _require_place(bundle)
    plugin_warnings.warn(getattr(options, "config_dir", None))
    return int(verb.run(options) or 0)


def _require_place(bundle: str) -> None:
    from llm_export import api
    from runtime_py.bundle_place import require_place

    with api.runtime_errors():
        require_place(bundle)


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"llm_export.cli.{verb}")


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {text}" for name, text in VERBS.items())
    return argparse.ArgumentParser(
        prog="llm-export",
        usage="llm-export VERB ...",
        description=f"Export a language model to a verified ExecuTorch program.\n\nverbs:\n{verbs}",
        epilog="llm-export VERB --help says more. Tab completion for bash:\n"
        '  eval "$(llm-export -sc install=bash)"',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
