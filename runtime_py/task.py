"""What a bundle is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runtime_py.errors import BundleRuntimeError

if TYPE_CHECKING:
    from runtime_py.bundle import Bundle

GENERATE = "generate"
USES = {
    "generate": ("generates text", "LLM.load(...), or llm-export chat BUNDLE"),
    "embed": ("embeds texts", "Embedder.load(...), or llm-export embed BUNDLE"),
    "see": ("answers to images and text", "LLM.load(...), or llm-export see BUNDLE"),
    "transcribe": ("transcribes speech", "Transcriber.load(...), or llm-export transcribe BUNDLE"),
    "translate": ("rewrites texts", "Translator.load(...), or llm-export translate BUNDLE"),
}
"""Task -> (what its bundles do, how to use them)."""


def task_of(manifest: Mapping[str, Any]) -> str:
    """The task of a manifest; one without it is of a bundle that generates text."""
    entry = manifest.get("task")
    return str(entry["name"]) if isinstance(entry, Mapping) and "name" in entry else GENERATE


def require_task(bundle: Bundle, *tasks: str) -> None:
    """
    Raises:
        BundleRuntimeError: the bundle is for none of the tasks.
    """
    found = task_of(bundle.manifest)
    if found not in tasks:
        does, use = USES.get(found, (f"is for the task '{found[:50]}'", None))
        wanted = " or ".join(tasks)
        raise BundleRuntimeError(
            f"the bundle {does}; this needs one of the task {wanted}", where=str(bundle.path),
            fix=use,
        )  # fmt: skip
