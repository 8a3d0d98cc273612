"""Embed texts, or search the lines of a file by meaning.

  embed BUNDLE "A text" "Another one"
  embed BUNDLE --file lines.txt --format npy --out vectors.npy
  embed BUNDLE --file lines.txt --query "How do bees make honey?" --top 3
  embed BUNDLE --batch in.jsonl --out out.jsonl

Without texts and --file the lines of standard input are embedded. Empty lines are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from runtime_py.cli.batch_jsonl import ITEM_ERRORS, Errors, run_batch
from runtime_py.cli.printing import printable
from runtime_py.cli.task_args import Waiting, add_batch_and_speed, add_bundle
from runtime_py.cli.text_input import read_text
from runtime_py.errors import ArgumentError, check_whole

if TYPE_CHECKING:
    from torch import Tensor

    from runtime_py.embedding import Embedder, Embeddings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    parser.add_argument("--file", metavar="FILE", help="embed its lines; - is standard input")
    parser.add_argument("--query", metavar="TEXT",
                        help="print the texts that are nearest to this one")  # fmt: skip
    parser.add_argument("--top", type=int, default=3, metavar="N",
                        help="texts that --query prints; default 3")  # fmt: skip
    parser.add_argument("--prompt", metavar="NAME",
                        help="query, document, another name of the bundle's prompts, or a text "
                        "before each text; default: none, and document with --query")  # fmt: skip
    parser.add_argument("--dimensions", type=int, metavar="N",
                        help="cut embeddings, where the model allows it")  # fmt: skip
    parser.add_argument("--format", choices=("json", "npy"), default="json",
                        help="json (default): an object per text; npy: a NumPy array")  # fmt: skip
    parser.add_argument("--no-truncate", dest="truncate", action="store_false",
                        help="refuse texts that are too long instead of cutting them")  # fmt: skip
    add_batch_and_speed(parser, '{"id": 1, "text": "..."}', "texts and speed")


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
    _check(options)
    texts = [] if options.batch else _texts(options)
    from runtime_py.embedding import Embedder

    with waiting(f"loading {options.bundle}"):
        embedder = Embedder.load(options.bundle, threads=options.threads)
    with embedder:
        if options.batch:
            return _batch(embedder, options, errors)
        search = options.query is not None
        prompt = options.prompt or ("document" if search else None)
        found = _embedded(embedder, texts, options, prompt)
        if options.stats:
            print(described(found), file=sys.stderr)
        if search:
            _search(embedder, texts, found.values, options)
        else:
            _write(texts, found, options)
    return 0


def described(found: Embeddings) -> str:
    """Texts, tokens and speed, as one line."""
    cut = f", {len(found.truncated)} cut off" if found.truncated else ""
    return (
        f"[{len(found.tokens)} texts of {found.total_tokens} tokens{cut}, "
        f"{found.texts_per_second:.1f} texts/s]"
    )


def _check(options: argparse.Namespace) -> None:
    check_whole("--top", options.top, 1)
    sources = [bool(options.texts), options.file is not None, options.batch is not None]
    if sum(sources) > 1:
        raise ArgumentError("give texts, --file or --batch, not several of them")
    if options.batch and options.query is not None:
        raise ArgumentError("--query searches texts or --file, not --batch")
    other = options.batch or options.query is not None
    if options.format == "npy" and other:
        raise ArgumentError("--format npy is for embeddings of texts or --file")
    if options.format == "npy" and not options.out and sys.stdout.isatty():
        raise ArgumentError("an array is not for a terminal", fix="--out FILE.npy, or a pipe")


def _texts(options: argparse.Namespace) -> list[str]:
    if options.texts:
        return list(options.texts)
    # Not splitlines, which also splits at form feeds and U+2028.
    lines = read_text(options.file, "the lines to embed,").split("\n")
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise ArgumentError("there is no text", where=options.file,
                            fix="give texts, --file FILE, or lines on standard input")  # fmt: skip
    return texts


def _embedded(
    embedder: Embedder, texts: Sequence[str], options: argparse.Namespace, prompt: str | None
) -> Embeddings:
    return embedder.embed_with_stats(
        texts, prompt=prompt, dimensions=options.dimensions, truncate=options.truncate
    )


def _batch(embedder: Embedder, options: argparse.Namespace, errors: Errors) -> int:
    def answers(group: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        texts = [data["text"] for data in group]
        found = _embedded(embedder, texts, options, options.prompt)
        for index, row in enumerate(found.values):
            cut = {"truncated": True} if index in found.truncated else {}
            yield {"embedding": numbers(row), "tokens": found.tokens[index], **cut}

    return run_batch(
        options,
        answers,
        needs=("text",),
        takes=(),
        group=embedder.settings.max_batch,
        errors=errors,
    )


def _search(
    embedder: Embedder, texts: Sequence[str], values: Tensor, options: argparse.Namespace
) -> None:
    query = embedder.embed(options.query, prompt="query", dimensions=options.dimensions)
    near, places = embedder.similarity(query, values)[0].topk(min(options.top, len(texts)))
    with _out(options) as out:
        for value, place in zip(near.tolist(), places.tolist(), strict=True):
            out.write(f"{value:.4f}  {printable(texts[place])}\n")


def _write(texts: Sequence[str], found: Embeddings, options: argparse.Namespace) -> None:
    if options.format == "npy":
        import numpy

        with contextlib.ExitStack() as stack:
            to = sys.stdout.buffer
            if options.out:
                to = stack.enter_context(_opened(options.out, "wb"))
            numpy.save(to, found.values.numpy())
        return
    with _out(options) as out:
        for index, (text, row) in enumerate(zip(texts, found.values, strict=True)):
            cut = {"truncated": True} if index in found.truncated else {}
            line = {"text": text, **cut, "embedding": numbers(row)}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def numbers(row: Tensor) -> list[float]:
    """The values of an embedding with as many digits as float32 has."""
    return [float(f"{value:.9g}") for value in row.tolist()]


@contextlib.contextmanager
def _out(options: argparse.Namespace) -> Iterator[IO[str]]:
    if not options.out:
        yield sys.stdout
        return
    with _opened(options.out, "w") as file:
        yield file


def _opened(name: str, mode: str) -> IO[Any]:
    try:
        return open(name, mode, encoding=None if "b" in mode else "utf-8")
    except OSError as error:
        raise ArgumentError(f"{name} cannot be written: {error.strerror}") from None
