"""Batch mode of a verb: JSON objects in, one per line; one result per line out, in order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from llm_export import api
from llm_export.errors import LlmExportError
from runtime_py.cli import batch_jsonl
from runtime_py.cli.batch_jsonl import Answers
from runtime_py.cli.batch_jsonl import add_batch as add_batch
from runtime_py.cli.batch_jsonl import each as each


def run_batch(
    options: argparse.Namespace, answers: Answers, *, needs: Sequence[str] = (),
    takes: Sequence[str] | None = None, group: int = 1,
) -> int:  # fmt: skip
    """As ``runtime_py.cli.batch_jsonl.run_batch``; a line may also fail by an error of this
    package.

    Raises:
        InputError: a file cannot be opened.
    """
    errors = (*batch_jsonl.ITEM_ERRORS, LlmExportError)
    with api.runtime_errors():
        return batch_jsonl.run_batch(
            options, answers, needs=needs, takes=takes, group=group, errors=errors
        )
