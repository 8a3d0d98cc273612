"""Load what is served: by the bundle's task a language model, or one that embeds or transcribes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import EMBED, TRANSCRIBE, task_name
from runtime_py.errors import ArgumentError
from runtime_py.foreign import opened
from runtime_py.foreign.hub import is_hub_id
from runtime_py.packed import named
from runtime_py.server.settings import Settings

if TYPE_CHECKING:
    from runtime_py.embedding import Embedder
    from runtime_py.llm import LLM
    from runtime_py.speech.transcriber import Transcriber
    from runtime_py.task_bundle import TaskBundle


class Loading:
    """Loads a bundle when it is called. What ``open`` has opened is not opened again.

    Args:
        path: of the bundle.
    """

    def __init__(self, path: str | Path, settings: Settings) -> None:
        self._path, self._settings = path, settings
        self._bundle: Bundle | None = None

    def open(self) -> Bundle:
        """Raises BundleRuntimeError if the path is not that of a bundle."""
        if self._bundle is None:
            self._bundle = opened(self._path, self._settings.tokenizer)
        return self._bundle

    def open_local(self) -> None:
        """As ``open``, of what is on this machine: a bundle of the hub is not fetched for that."""
        if not is_hub_id(self._path):
            self.open()

    def __call__(self) -> LLM | TaskBundle:
        bundle = self.open()
        with named(self._path, bundle.path):
            return _LOADERS.get(task_name(bundle), _llm)(bundle, self._settings)


def _llm(bundle: Bundle, settings: Settings) -> LLM:
    from runtime_py.llm import LLM

    return LLM.load(
        bundle, engine=settings.engine, threads=settings.threads, adapter=settings.adapter,
        verify_hashes=settings.verify_hashes,
    )  # fmt: skip


def _embedder(bundle: Bundle, settings: Settings) -> Embedder:
    from runtime_py.embedding import Embedder

    _refuse_settings_of_texts(bundle, settings, "embeds texts")
    return Embedder.load(bundle, threads=settings.threads, verify_hashes=settings.verify_hashes)


def _transcriber(bundle: Bundle, settings: Settings) -> Transcriber:
    from runtime_py.server.forms import require_multipart
    from runtime_py.speech.transcriber import Transcriber

    _refuse_settings_of_texts(bundle, settings, "transcribes speech")
    require_multipart()
    return Transcriber.load(bundle, threads=settings.threads, verify_hashes=settings.verify_hashes)


def _refuse_settings_of_texts(bundle: Bundle, settings: Settings, does: str) -> None:
    for name in ("adapter", "tokenizer", "store"):
        if getattr(settings, name) is not None:
            raise ArgumentError(
                f"the bundle {does}; {name} is for bundles that generate text",
                where=str(bundle.path), fix=f"leave --{name} out",
            )  # fmt: skip


_LOADERS: dict[str, Callable[[Bundle, Settings], LLM | TaskBundle]] = {
    EMBED: _embedder, TRANSCRIBE: _transcriber,
}  # fmt: skip
"""Task -> what loads its bundles; all others are for ``LLM``, which refuses what it cannot load."""
