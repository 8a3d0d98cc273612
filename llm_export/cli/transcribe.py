"""Transcribe speech.

  llm-export transcribe BUNDLE meeting.wav
  llm-export transcribe BUNDLE film.wav --format srt > film.srt
  llm-export transcribe BUNDLE talk.wav --task translate --language de
  llm-export transcribe BUNDLE --batch in.jsonl --out out.jsonl

- is a file on standard input. WAV is read as it is; other formats need soundfile. Text is printed
segment by segment.
"""

from __future__ import annotations

import argparse

from llm_export import api
from llm_export.cli.waiting import waiting
from llm_export.errors import LlmExportError
from runtime_py.cli import transcribe
from runtime_py.cli.batch_jsonl import ITEM_ERRORS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    transcribe.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    with api.runtime_errors():
        return transcribe.run(options, errors=(*ITEM_ERRORS, LlmExportError), waiting=waiting)
