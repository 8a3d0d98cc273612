"""Transcribe speech.

  transcribe BUNDLE meeting.wav
  transcribe BUNDLE film.wav --format srt > film.srt
  transcribe BUNDLE talk.wav --task translate --language de
  transcribe BUNDLE --batch in.jsonl --out out.jsonl

- is a file on standard input. WAV is read as it is; other formats need soundfile. Text is printed
segment by segment.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from runtime_py.cli.batch_jsonl import ITEM_ERRORS, Errors, each, run_batch
from runtime_py.cli.printing import printable
from runtime_py.cli.task_args import Waiting, add_batch_and_speed, add_bundle, check_out
from runtime_py.errors import ArgumentError
from runtime_py.speech.transcript import FORMATS, Transcript

if TYPE_CHECKING:
    from runtime_py.speech.transcriber import Transcriber

_TIMED = ("srt", "vtt")
_OWN = ("language", "task", "prompt")
"""Options that a line of ``--batch`` may state."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--language", metavar="CODE",
                        help="code or English name; default: detected")  # fmt: skip
    parser.add_argument("--task", default="transcribe", metavar="NAME",
                        help="transcribe (default), or translate into English")  # fmt: skip
    parser.add_argument("--timestamps", action="store_true",
                        help="print the time of each segment")  # fmt: skip
    parser.add_argument("--format", choices=tuple(FORMATS), default="text",
                        help="text (default), srt, vtt or json")  # fmt: skip
    parser.add_argument("--beams", type=int, default=1, metavar="N",
                        help="sequences that are followed at once; default 1")  # fmt: skip
    parser.add_argument("--prompt", metavar="TEXT",
                        help="a text before the audio: spellings that it has")  # fmt: skip
    parser.add_argument("--max-new-tokens", type=int, metavar="N",
                        help="most tokens of a window of audio")  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N",
                        help="makes attempts at higher temperatures reproducible")  # fmt: skip
    parser.add_argument("--greedy", action="store_true",
                        help="no attempts at higher temperatures")  # fmt: skip
    add_batch_and_speed(parser, '{"id": 1, "audio": "FILE.wav"}', "length and speed")


def run(
    options: argparse.Namespace, *, errors: Errors = ITEM_ERRORS,
    waiting: Waiting = lambda what: contextlib.nullcontext(),
) -> int:  # fmt: skip
    """
    Args:
        errors: what a line of ``--batch`` may fail with.
        waiting: shows a text while the bundle is loaded.

    Raises:
        BundleRuntimeError: the bundle cannot be loaded, or an option or a file is wrong.
    """
    if bool(options.files) == (options.batch is not None):
        raise ArgumentError("give files or --batch", fix="transcribe BUNDLE FILE.wav")
    if len(options.files) > 1 and options.format != "text":
        raise ArgumentError(
            f"--format {options.format} is for one file, not for {len(options.files)}",
            fix="one call for each file, or --batch",
        )
    check_out(options)
    from runtime_py.speech.transcriber import Transcriber

    with waiting(f"loading {options.bundle}"):
        transcriber = Transcriber.load(options.bundle, threads=options.threads)
    with transcriber:
        if options.batch:
            return _batch(transcriber, options, errors)
        for name in options.files:
            _file(transcriber, name, options)
    return 0


def _file(transcriber: Transcriber, name: str, options: argparse.Namespace) -> None:
    audio: Any = sys.stdin.buffer.read() if name == "-" else name
    several = len(options.files) > 1 and options.format == "text"
    if several:
        print(f"# {printable(name)}", flush=True)
    streamed = options.format == "text"
    with _progress() as progress:
        stream = transcriber.stream(audio, on_progress=progress, **_arguments(options))
        for segment in stream:
            if streamed:
                _clear()
                time = f"[{segment.start:8.2f} - {segment.end:8.2f}] " if options.timestamps else ""
                print(time + printable(segment.text.strip()), flush=True)
    if not streamed:
        print(stream.result.format(options.format), flush=True)
    if options.stats:
        print(described(stream.result), file=sys.stderr)


def described(found: Transcript) -> str:
    """Length, language and speed, as one line."""
    stats = found.stats
    language = f", {found.language}" if found.language else ""
    return (
        f"[{stats.audio_seconds:.1f} s of audio{language}, {stats.windows} windows, "
        f"{stats.generated_tokens} tokens, {stats.seconds:.1f} s: "
        f"{stats.times_real_time:.1f} times real time]"
    )


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    timed = options.timestamps or options.format in _TIMED
    given = {
        name: getattr(options, name) for name in ("language", "prompt", "max_new_tokens", "seed")
    }
    found = {name: value for name, value in given.items() if value is not None}
    greedy = {"temperatures": (0.0,)} if options.greedy else {}
    return {**found, **greedy, "task": options.task, "timestamps": timed, "beams": options.beams}


def _batch(transcriber: Transcriber, options: argparse.Namespace, errors: Errors) -> int:
    def answer(data: dict[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = {k: data[k] for k in _OWN if k in data}
        if not isinstance(data["audio"], str):
            raise ArgumentError(f"audio must be a path, not {type(data['audio']).__name__}")
        stated: dict[str, Any] = {**_arguments(options), **own}
        found = transcriber.transcribe(data["audio"], **stated)
        made = found.as_dict()
        return made if options.timestamps else {k: v for k, v in made.items() if k != "segments"}

    return run_batch(options, each(answer), needs=("audio",), takes=_OWN, errors=errors)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[float, float], None] | None]:
    """Seconds that are done, on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return

    def show(done: float, total: float) -> None:
        print(f"\r\x1b[K{done:.0f}/{total:.0f} s", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        _clear()


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
