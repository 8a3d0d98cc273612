"""Ask a bundle about images; the answer is streamed to standard output.

  llm-export see BUNDLE photo.jpg
  llm-export see BUNDLE before.png after.png --prompt "What has changed?"
  curl -s https://example.org/a.png | llm-export see BUNDLE -
  llm-export see BUNDLE --batch photos.jsonl --out captions.jsonl

A line of --batch is {"id": 1, "image": "photo.jpg", "prompt": "..."}; "image" is a path, a data URL
or a list of them, and without "prompt" that of the command line is asked. Its result is
{"id": 1, "text": "..."}.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from llm_export import api
from llm_export.cli.batch_jsonl import add_batch, each, run_batch
from llm_export.cli.constraint_args import constraint_of
from llm_export.cli.runtime_args import add_sampling, loaded, proposing, sampling_of
from llm_export.errors import RecipeError
from runtime_py.cli.printing import ended, write
from runtime_py.errors import ArgumentError, shown

if TYPE_CHECKING:
    from runtime_py import LLM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_sampling(parser)
    parser.add_argument("images", nargs="*", metavar="IMAGE",
                        help="files; - is standard input")  # fmt: skip
    parser.add_argument("--prompt", metavar="TEXT",
                        help="the question; default: What is in this image?")  # fmt: skip
    parser.add_argument("--system", metavar="TEXT", help="a system message")
    add_batch(parser, '{"id": 1, "image": "photo.jpg", "prompt": "..."}')


def run(options: argparse.Namespace) -> int:
    if bool(options.images) == (options.batch is not None):
        raise RecipeError(
            "name images, or a file of --batch",
            where="see",
            fix="llm-export see BUNDLE IMAGE; - is an image on standard input",
        )
    if options.out and options.batch is None:
        raise RecipeError("--out is for --batch", where="see", fix="send standard output to a file")
    given = {**sampling_of(options), **constraint_of(options)}
    given |= {"stop": options.stop, "seed": options.seed, "system": options.system}
    with loaded(options) as llm, proposing(options) as proposed:
        given |= proposed
        if options.batch is not None:
            answers = each(lambda data: _answered(llm, data, options.prompt, given))
            return run_batch(options, answers, needs=["image"], takes=["prompt"])
        images = [sys.stdin.buffer.read() if name == "-" else name for name in options.images]
        result = api.see(llm, images, options.prompt, on_text=write, **given)
    print(flush=True)
    ended(result, stats=options.stats)
    return 0


def _answered(
    llm: LLM, data: dict[str, Any], prompt: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    asked = data.get("prompt", prompt)
    if asked is not None and not isinstance(asked, str):
        raise ArgumentError(f"prompt must be a text, not {shown(asked)}")
    if not data["image"]:
        raise ArgumentError("there is no image", fix="a path, a data URL, or a list of them")
    result = api.see(llm, data["image"], asked, **given)
    return {"text": result.text, "finish": result.finish}
