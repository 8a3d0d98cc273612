"""Turn texts into others: translate, summarise, and what else the model was trained for.

  llm-export translate BUNDLE "translate English to German: The house is wonderful."
  llm-export translate BUNDLE --prefix summarization --file article.txt --beams 4
  llm-export translate BUNDLE --batch in.jsonl --out out.jsonl

The text is printed as it is decoded. Without a text and --file standard input is read.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.waiting import waiting
from llm_export.errors import LlmExportError
from runtime_py.cli import translate
from runtime_py.cli.batch_jsonl import ITEM_ERRORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    translate.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    with api.runtime_errors():
        return translate.run(options, errors=(*ITEM_ERRORS, LlmExportError), waiting=waiting)
