"""Try a bundle that is not loaded as a language model: load it, and give it one input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import EMBED, TRANSCRIBE, TRANSLATE, task_name
from runtime_py.method_program import MethodProgram

Attempts = Iterator[tuple[str, Callable[[], str]]]


def task_attempts(bundle: Bundle) -> Attempts:
    """(what, attempt) of a bundle's task; of a plugin's, that its methods can be loaded."""
    yield from _OF.get(task_name(bundle), _methods)(bundle.path)


def _embed(path: Path) -> Attempts:
    from runtime_py.embedding import Embedder

    made: list[Embedder] = []

    def load() -> str:
        made[:] = [Embedder.load(path, verify_hashes=False)]
        return f"{made[0].settings.max_length} tokens a text"

    def embed() -> str:
        return f"{made[0].embed(['Hello']).shape[1]} dimensions"

    yield "load", load
    yield "embed", embed


def _transcribe(path: Path) -> Attempts:
    from runtime_py.speech.transcriber import Transcriber

    made: list[Transcriber] = []

    def load() -> str:
        made[:] = [Transcriber.load(path, verify_hashes=False)]
        return f"samples at {made[0].settings.sample_rate} Hz"

    def transcribe() -> str:
        silence = [0.0] * int(made[0].settings.sample_rate)
        made[0].transcribe(silence, max_new_tokens=1)
        return "a second of silence"

    yield "load", load
    yield "transcribe", transcribe


def _translate(path: Path) -> Attempts:
    from runtime_py.seq2seq.translator import Translator

    made: list[Translator] = []

    def load() -> str:
        made[:] = [Translator.load(path, verify_hashes=False)]
        return f"{made[0].settings.source_length} tokens a text"

    def translate() -> str:
        made[0].translate("Hello", max_new_tokens=1)
        return "one token"

    yield "load", load
    yield "translate", translate


def _methods(path: Path) -> Attempts:
    made: list[Any] = []

    def load() -> str:
        bundle = Bundle.open(path)
        file = bundle.file("program")
        assert file is not None
        made[:] = [MethodProgram(file)]
        methods = list(bundle.manifest["program"]["methods"])
        for name in methods:
            made[0].load(name)
        return f"methods {', '.join(methods)}"

    yield "load", load


_OF: dict[str, Callable[[Path], Attempts]] = {
    EMBED: _embed,
    TRANSCRIBE: _transcribe,
    TRANSLATE: _translate,
}
