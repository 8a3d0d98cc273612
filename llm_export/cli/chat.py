"""Chat with a bundle in the terminal; with --message, print one answer and exit.

  llm-export chat outputs/smollm2_135m_xnnpack_8da8w
  llm-export chat outputs/smollm2_135m_xnnpack_8da8w --message "What does a compiler do?"
  llm-export chat BUNDLE --message "What is the weather?" --tools tools.json --no-thinking

In a conversation, /help lists the commands, /exit or Ctrl-D ends, Ctrl-C stops an answer. Lines
that are piped in are answered one after another; only the answers go to standard output.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.cli.conversation import Conversation, messages_of
from llm_export.cli.runtime_args import add_sampling, loaded, proposing, sampling_of, show
from llm_export.errors import InputError, RecipeError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("--message", metavar="TEXT", help="ask this, print the answer, exit")
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")
    parser.add_argument("--thinking", action=argparse.BooleanOptionalAction, default=None,
                        help="for chat templates that can switch reasoning on or off")  # fmt: skip
    parser.add_argument("--tools", metavar="FILE", help="a JSON list of tool schemas")
    parser.add_argument("--documents", metavar="FILE", help="a JSON list of documents")
    parser.add_argument("--template-var", action="append", default=[], metavar="NAME=VALUE",
                        help="another variable of the chat template; may be repeated")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    given = {**sampling_of(options), **_template_arguments(options)}
    given |= {"stop": options.stop, "seed": options.seed}
    with loaded(options) as llm, proposing(options) as proposed:
        given |= proposed
        if options.message is None:
            Conversation(llm, given, system=options.system, stats=options.stats).run()
            return
        messages = messages_of(options.system, [{"role": "user", "content": options.message}])
        show(
            lambda write: api.chat(llm, messages, on_text=write, **given),
            stats=options.stats, ends=True,
        )  # fmt: skip


def _template_arguments(options: argparse.Namespace) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in options.template_var:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise RecipeError(f"no NAME=VALUE: '{word}'", where="--template-var")
        given[name] = _json_or_text(value)
    if options.thinking is not None:
        given["enable_thinking"] = options.thinking
    for name in ("tools", "documents"):
        if (file := getattr(options, name)) is not None:
            given[name] = _json_list(Path(file), f"--{name}")
    return given


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _json_list(file: Path, flag: str) -> list[Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=f"{flag} {file}") from None
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where=f"{flag} {file}") from None
    return value if isinstance(value, list) else [value]
