"""Embed texts with a bundle, or search the lines of a file by meaning.

  llm-export embed outputs/minilm_l6_xnnpack_8da8w "A text" "Another one"
  llm-export embed BUNDLE --file lines.txt --format npy --out vectors.npy
  llm-export embed BUNDLE --file lines.txt --query "How do bees make honey?" --top 3
  llm-export embed BUNDLE --batch in.jsonl --out out.jsonl

Without texts and --file the lines of standard input are embedded. Empty lines are left out.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.waiting import waiting
from llm_export.errors import LlmExportError
from runtime_py.cli import embed
from runtime_py.cli.batch_jsonl import ITEM_ERRORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    embed.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    with api.runtime_errors():
        return embed.run(options, errors=(*ITEM_ERRORS, LlmExportError), waiting=waiting)
