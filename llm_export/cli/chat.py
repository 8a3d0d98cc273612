"""Chat with a bundle in the terminal; with --message, print one answer and exit.

  llm-export chat outputs/smollm2_135m_xnnpack_8da8w
  llm-export chat outputs/smollm2_135m_xnnpack_8da8w --message "What does a compiler do?"
  llm-export chat BUNDLE --message "What is the weather?" --tools tools.json --no-thinking

In a conversation, /help lists the commands, /exit or Ctrl-D ends, Ctrl-C stops an answer. Lines
that are piped in are answered one after another; only the answers go to standard output.
"""

from __future__ import annotations

import argparse

from llm_export import api
from runtime_py.cli import chat

add_arguments = chat.add_arguments


def run(options: argparse.Namespace) -> None:
    with api.runtime_errors():
        chat.run(options)
