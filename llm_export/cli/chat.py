"""Chat with a bundle in the terminal; with --message, print one answer and exit.

  llm-export chat outputs/smollm2_135m_xnnpack_8da8w
  llm-export chat outputs/smollm2_135m_xnnpack_8da8w --message "What does a compiler do?"
  llm-export chat BUNDLE --message "What is the weather?" --tools tools.json --no-thinking
  llm-export chat BUNDLE --image photo.jpg --message "What is this?"
  llm-export chat BUNDLE --tools tools.py --thinking-budget 200
  llm-export chat BUNDLE --store chats.db --session last   go on where the last one ended

In a conversation, /help lists the commands, /exit or Ctrl-D ends, Ctrl-C stops an answer. Lines
that are piped in are answered one after another; only the answers go to standard output, and
reasoning and calls of tools to standard error. With --message, calls whose results a person would
be asked for go to standard output, each as a line of JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from llm_export import api
from llm_export.cli.answering import Answering
from llm_export.cli.constraint_args import constraint_of
from llm_export.cli.conversation import Conversation, messages_of
from llm_export.cli.kept_session import add_store, kept
from llm_export.cli.runtime_args import add_sampling, loaded, proposing, sampling_of
from llm_export.cli.tools import Toolbox, json_list
from llm_export.errors import RecipeError
from runtime_py.message_parts import user_message


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("--message", metavar="TEXT", help="ask this, print the answer, exit")
    parser.add_argument("--image", action="append", default=[], metavar="FILE",
                        help="attach an image to the first message; may be repeated")  # fmt: skip
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")
    parser.add_argument("--thinking", action=argparse.BooleanOptionalAction, default=None,
                        help="for chat templates that can switch reasoning on or off")  # fmt: skip
    parser.add_argument("--thinking-budget", type=int, metavar="N",
                        help="end reasoning after N tokens; 0: no reasoning")  # fmt: skip
    parser.add_argument("--tools", metavar="FILE",
                        help="a Python file with functions, which are called, or a JSON list of "
                        "tool schemas, whose results are asked for")  # fmt: skip
    parser.add_argument("--documents", metavar="FILE", help="a JSON list of documents")
    parser.add_argument("--template-var", action="append", default=[], metavar="NAME=VALUE",
                        help="another variable of the chat template; may be repeated")  # fmt: skip
    add_store(parser)


def run(options: argparse.Namespace) -> None:
    sampling = sampling_of(options)
    given = {**sampling, **constraint_of(options), **_template_arguments(options)}
    given |= {"stop": options.stop, "seed": options.seed}
    if options.thinking_budget is not None:
        given["thinking_budget"] = options.thinking_budget
    toolbox = Toolbox.read(Path(options.tools)) if options.tools is not None else None
    with (
        loaded(options) as llm,
        proposing(options) as proposed,
        kept(options, llm, sampling) as session,
    ):
        given |= proposed
        before = []
        if session is not None:
            given |= session.settings
            before = session.messages
        if options.message is None:
            Conversation(
                llm, given, toolbox=toolbox, system=options.system, stats=options.stats,
                session=session, images=options.image,
            ).run()  # fmt: skip
            return
        with api.runtime_errors():
            asked = user_message(options.message, options.image)
        messages = messages_of(options.system, [*before, asked])
        answering = Answering(llm, given, toolbox=toolbox, stats=options.stats)
        said = answering.answer(messages)
        if session is not None and said:
            session.save([*messages, *said], answering.last)


def _template_arguments(options: argparse.Namespace) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in options.template_var:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise RecipeError(f"no NAME=VALUE: '{word}'", where="--template-var")
        given[name] = _json_or_text(value)
    if options.thinking is not None:
        given["enable_thinking"] = options.thinking
    if options.documents is not None:
        file = Path(options.documents)
        given["documents"] = json_list(file, f"--documents {file}")
    return given


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
