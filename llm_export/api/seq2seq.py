"""Transcribe speech and translate texts with bundles of these tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.api.bundles import runtime_errors

if TYPE_CHECKING:
    from runtime_py import Transcriber, Transcript, Translator
    from runtime_py.seq2seq.answer import Searched


def load_transcriber(bundle: str | Path, *, threads: int | None = None) -> Transcriber:
    """Load a bundle of the task transcribe into the Python runtime.

    Args:
        bundle: a folder, a file of ``pack``, or ORG/NAME on the hub.
        threads: size of ExecuTorch's thread pool; None keeps its choice.

    Raises:
        BundleError: it is damaged, of another task, or cannot run on this machine.
    """
    with runtime_errors():
        from runtime_py import Transcriber

        return Transcriber.load(bundle, threads=threads)


def transcribe(bundle: str | Path | Transcriber, audio: Any, **settings: Any) -> Transcript:
    """Write down what is said in an audio; see ``runtime_py.Transcriber.transcribe``.

    Raises:
        BundleError: the bundle cannot be loaded, the audio not be read, or an argument is wrong.
    """
    from runtime_py import Transcriber

    with runtime_errors():
        if isinstance(bundle, Transcriber):
            return bundle.transcribe(audio, **settings)
        with Transcriber.load(bundle) as transcriber:
            return transcriber.transcribe(audio, **settings)


def load_translator(bundle: str | Path, *, threads: int | None = None) -> Translator:
    """Load a bundle of the task translate into the Python runtime; as ``load_transcriber``."""
    with runtime_errors():
        from runtime_py import Translator

        return Translator.load(bundle, threads=threads)


def translate(bundle: str | Path | Translator, text: str, **settings: Any) -> Searched:
    """The answer to a text; see ``runtime_py.Translator.translate``.

    Raises:
        BundleError: the bundle cannot be loaded, or an argument is wrong.
    """
    from runtime_py import Translator

    with runtime_errors():
        if isinstance(bundle, Translator):
            return bundle.translate(text, **settings)
        with Translator.load(bundle) as translator:
            return translator.translate(text, **settings)
