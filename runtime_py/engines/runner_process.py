"""The process of the engine ``runner``: ExecuTorch's TextLLMRunner, whose C++ code writes to the
standard output of its process.

Reads one JSON object per line, and writes one per line to the file descriptor that is its standard
output at first: {"token": id}..., then {"stats": {...}} or {"error": text}. A line that arrives
during an answer ends the answer.
"""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from runtime_py.compat import load_operator_libraries, reset_thread_pool
from runtime_py.engines.raw_tokens import raw_ids

Write = Callable[[dict[str, Any]], None]


class Loaded(NamedTuple):
    """``tokens``: text of a token -> its id. ``encoder``: the tokenizer of the runner, in C++."""

    library: Any
    runner: Any
    encoder: Any
    tokens: dict[str, int]


def _load(given: dict[str, Any]) -> Loaded:
    if given["threads"] is not None:
        reset_thread_pool(given["threads"])
    load_operator_libraries()
    from executorch.extension.llm import runner as library
    from pytorch_tokenizers.pytorch_tokenizers_cpp import HFTokenizer

    file = given["tokenizer"]
    encoder = HFTokenizer()
    encoder.load(file)
    runner = library.TextLLMRunner(given["program"], file, given["data"])
    runner.get_vocab_size()
    return Loaded(library, runner, encoder, raw_ids(Path(file).read_text(encoding="utf-8")))


def _answer(loaded: Loaded, asked: dict[str, Any], write: Write) -> dict[str, Any]:
    """The statistics of an answer, whose tokens are written as they come."""
    if list(loaded.encoder.encode(asked["text"], 0, 0)) != asked["ids"]:
        raise ValueError("its tokenizer, in C++, makes other tokens of this prompt")
    runner = loaded.runner
    found: list[Any] = []
    stopped = False

    def on_token(text: str) -> None:
        nonlocal stopped
        if stopped:
            return
        if select.select([sys.stdin.fileno()], [], [], 0)[0]:
            os.read(sys.stdin.fileno(), 4096)
            stopped = True
            runner.stop()
            return
        write({"token": loaded.tokens[text]})

    def on_stats(stats: Any) -> None:
        found.append({"prefill": (stats.prompt_eval_end_ms - stats.inference_start_ms) / 1e3})

    runner.reset()
    config = loaded.library.GenerationConfig(
        max_new_tokens=asked["max_new_tokens"], temperature=asked["temperature"], echo=False
    )
    runner.generate(asked["text"], config, on_token, on_stats)
    return found[0] if found else {"prefill": 0.0}


def _serve(given: dict[str, Any], out: TextIO) -> None:
    def write(line: dict[str, Any]) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    try:
        loaded = _load(given)
    except Exception as error:
        return write({"error": str(error) or type(error).__name__})
    finally:
        Path(given["tokenizer"]).unlink(missing_ok=True)
    write({"ready": True})
    # Not by buffered reading: ``_answer`` looks at the descriptor itself.
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as lines:
        while line := lines.readline():
            if not line.strip():  # to end an answer that has ended already
                continue
            try:
                write({"stats": _answer(loaded, json.loads(line), write)})
            except Exception as error:
                write({"error": str(error) or type(error).__name__})


def main() -> None:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    hidden = os.open(os.devnull, os.O_WRONLY)
    os.dup2(hidden, 1)
    _serve(json.loads(sys.argv[1]), out)


if __name__ == "__main__":
    main()
