"""Turn texts into others: translate, summarise, and what else the model was trained for.

  translate BUNDLE "translate English to German: The house is wonderful."
  translate BUNDLE --prefix summarization --file article.txt --beams 4
  translate BUNDLE --batch in.jsonl --out out.jsonl

The text is printed as it is decoded. Without a text and --file standard input is read.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from runtime_py.cli.batch_jsonl import ITEM_ERRORS, Errors, each, run_batch
from runtime_py.cli.printing import describe, write
from runtime_py.cli.task_args import Waiting, add_batch_and_speed, add_bundle, check_out
from runtime_py.cli.text_input import read_text
from runtime_py.errors import ArgumentError

if TYPE_CHECKING:
    from runtime_py.seq2seq.translator import Translator


_NUMBERS: dict[str, tuple[type, str]] = {
    "beams": (int, "sequences that are followed at once; 1 (default) is greedy or sampled"),
    "length_penalty": (float, "of beam search: more than 0 prefers long answers; default 1"),
    "max_new_tokens": (int, "most tokens of an answer"),
    "temperature": (float, "0 is greedy"),
    "top_k": (int, "0 is off"),
    "top_p": (float, "1 is off"),
    "repetition_penalty": (float, "1 is off"),
    "seed": (int, "makes sampling reproducible"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--file", metavar="FILE", help="one text; - is standard input")
    parser.add_argument("--prefix", metavar="NAME",
                        help="one of the bundle's prefixes, or a text before each")  # fmt: skip
    for name, (kind, text) in _NUMBERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)
    add_batch_and_speed(parser, '{"id": 1, "text": "..."}', "tokens and speed")


def run(
    options: argparse.Namespace, *, errors: Errors = ITEM_ERRORS,
    waiting: Waiting = lambda what: contextlib.nullcontext(),
) -> int:  # fmt: skip
    """
    Args:
        errors: what a line of ``--batch`` may fail with.
        waiting: shows a text while the bundle is loaded.

    Raises:
        BundleRuntimeError: the bundle cannot be loaded, or an option or a text is wrong.
    """
    if sum([bool(options.texts), options.file is not None, options.batch is not None]) > 1:
        raise ArgumentError("give texts, --file or --batch, not several of them")
    check_out(options)
    texts = [] if options.batch else _texts(options)
    from runtime_py.seq2seq.translator import Translator

    with waiting(f"loading {options.bundle}"):
        translator = Translator.load(options.bundle, threads=options.threads)
    with translator:
        if options.batch:
            return _batch(translator, options, errors)
        for text in texts:
            found = translator.translate(text, on_text=write, **_settings(options))
            print(flush=True)
            if options.stats:
                print(describe(found.stats, found.finish), file=sys.stderr)
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in (*_NUMBERS, "prefix")}
    return {name: value for name, value in given.items() if value is not None}


def _batch(translator: Translator, options: argparse.Namespace, errors: Errors) -> int:
    def answer(data: dict[str, Any]) -> dict[str, Any]:
        prefix = {"prefix": data["prefix"]} if "prefix" in data else {}
        if not isinstance(data["text"], str):
            raise ArgumentError(f"text must be a str, not {type(data['text']).__name__}")
        found = translator.translate(data["text"], **{**_settings(options), **prefix})
        return {"text": found.text, "finish": found.finish, "tokens": len(found.tokens)}

    return run_batch(options, each(answer), needs=("text",), takes=("prefix",), errors=errors)


def _texts(options: argparse.Namespace) -> list[str]:
    if options.texts:
        return list(options.texts)
    text = read_text(options.file, "the text to translate,")
    if not text.strip():
        raise ArgumentError("there is no text", where=options.file,
                            fix="give a text, --file FILE, or standard input")  # fmt: skip
    return [text.strip()]
