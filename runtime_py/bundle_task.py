"""What a bundle is for, by its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError, shown

GENERATE, SEE, EMBED, TRANSCRIBE, TRANSLATE = (
    "generate", "see", "embed", "transcribe", "translate",
)  # fmt: skip

_LOADED_BY = {
    GENERATE: ("generates text", "runtime_py.LLM.load(BUNDLE), or llm-export chat BUNDLE"),
    SEE: ("answers about images", "runtime_py.LLM.load(BUNDLE), or llm-export see BUNDLE IMAGE"),
    EMBED: ("embeds texts", "runtime_py.Embedder.load(BUNDLE), or llm-export embed BUNDLE TEXT"),
    TRANSCRIBE: (
        "transcribes speech",
        "runtime_py.Transcriber.load(BUNDLE), or llm-export transcribe BUNDLE FILE.wav",
    ),
    TRANSLATE: (
        "turns a text into another",
        "runtime_py.Translator.load(BUNDLE), or llm-export translate BUNDLE TEXT",
    ),
}


def task_name(bundle: Bundle) -> str:
    """The bundle's task; one without the manifest's entry generates text."""
    task = bundle.manifest.get("task")
    return GENERATE if task is None else str(task["name"])


def task_settings(bundle: Bundle) -> Mapping[str, Any]:
    """What the manifest says of the task."""
    task = bundle.manifest.get("task")
    return {} if task is None else dict(task["settings"])


def require_task(bundle: Bundle, *tasks: str) -> None:
    """Raises BundleRuntimeError if the bundle is for none of the tasks; it says what loads it."""
    name = task_name(bundle)
    if name in tasks:
        return
    does, how = _LOADED_BY.get(
        name, (f"is for the task {shown(name)}", "the runtime of the plugin that made it")
    )
    raise BundleRuntimeError(f"this bundle {does}", where=str(bundle.path), fix=how)
