"""Load what is served: by the bundle's task a language model, or one that embeds or transcribes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime_py.bundle import Bundle
from runtime_py.bundle_task import EMBED, TRANSCRIBE, task_name
from runtime_py.errors import ArgumentError
from runtime_py.foreign import opened
from runtime_py.foreign.hub import fetched, is_hub_id
from runtime_py.manifest import MANIFEST
from runtime_py.packed import is_packed
from runtime_py.server.settings import Settings

if TYPE_CHECKING:
    from runtime_py.embedding import Embedder
    from runtime_py.llm import LLM
    from runtime_py.speech.transcriber import Transcriber
    from runtime_py.task_bundle import TaskBundle


def loading(bundle: str | Path, settings: Settings) -> Callable[[], LLM | TaskBundle]:
    """A function that loads the bundle."""

    def load() -> LLM | TaskBundle:
        return _LOADERS.get(_task(bundle), _llm)(bundle, settings)

    return load


def require_bundle(bundle: str | Path, settings: Settings) -> None:
    """Raises BundleRuntimeError if the path is not that of a bundle; one of the hub is not fetched
    for that."""
    if not is_hub_id(bundle):
        opened(bundle, settings.tokenizer)


def _task(bundle: str | Path) -> str | None:
    """None: there is no manifest to tell it."""
    local = fetched(bundle) if is_hub_id(bundle) else Path(bundle)
    if not is_packed(local) and not (local / MANIFEST).is_file():
        return None
    return task_name(Bundle.open(local))


def _llm(bundle: str | Path, settings: Settings) -> LLM:
    from runtime_py.llm import LLM

    return LLM.load(
        bundle, engine=settings.engine, tokenizer=settings.tokenizer, threads=settings.threads,
        adapter=settings.adapter, verify_hashes=settings.verify_hashes,
    )  # fmt: skip


def _embedder(bundle: str | Path, settings: Settings) -> Embedder:
    from runtime_py.embedding import Embedder

    _refuse_settings_of_texts(bundle, settings, "embeds texts")
    return Embedder.load(bundle, threads=settings.threads, verify_hashes=settings.verify_hashes)


def _transcriber(bundle: str | Path, settings: Settings) -> Transcriber:
    from runtime_py.server.forms import require_multipart
    from runtime_py.speech.transcriber import Transcriber

    _refuse_settings_of_texts(bundle, settings, "transcribes speech")
    require_multipart()
    return Transcriber.load(bundle, threads=settings.threads, verify_hashes=settings.verify_hashes)


def _refuse_settings_of_texts(bundle: str | Path, settings: Settings, does: str) -> None:
    for name in ("adapter", "tokenizer", "store"):
        if getattr(settings, name) is not None:
            raise ArgumentError(
                f"the bundle {does}; {name} is for bundles that generate text",
                where=str(bundle), fix=f"leave --{name} out",
            )  # fmt: skip


_LOADERS: dict[str | None, Callable[[str | Path, Settings], LLM | TaskBundle]] = {
    EMBED: _embedder, TRANSCRIBE: _transcriber,
}  # fmt: skip
"""Task -> what loads its bundles; all others are for ``LLM``, which refuses what it cannot load."""
