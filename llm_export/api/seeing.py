"""Ask a bundle about images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.api.bundles import load, runtime_errors

if TYPE_CHECKING:
    from runtime_py import LLM, Generation

QUESTION = "What is in this image?"


def see(
    bundle: str | Path | LLM,
    images: Any,
    prompt: str | None = None,
    *,
    system: str | None = None,
    threads: int | None = None,
    on_text: Callable[[str], None] | None = None,
    **settings: Any,
) -> Generation:
    """Answer a question about one image or several.

    Args:
        bundle: a bundle's path, which is loaded for this call, or the result of ``load``.
        images: a path, bytes, a data URL, an image of Pillow or an array, or a list of them.
        prompt: the question; by default what is in the image. A model without a chat template
            continues it, behind the images.
        system: a system message.
        on_text: called with each piece of text as it is decoded.
        settings: those of ``chat``.

    Raises:
        BundleError: the bundle has no vision encoder or cannot be run, an image cannot be read, or
            all does not fit the context.
    """
    with runtime_errors():
        from runtime_py import LLM
        from runtime_py.errors import ArgumentError

        if prompt is not None and not isinstance(prompt, str):
            raise ArgumentError(f"the prompt must be a text, not {type(prompt).__name__}")
        if isinstance(images, list | tuple) and not images:
            raise ArgumentError("there is no image", fix="give one, or a list of several")
        if isinstance(bundle, LLM):
            return _answer(bundle, images, prompt, system, on_text, settings)
    with load(bundle, threads=threads) as llm, runtime_errors():
        return _answer(llm, images, prompt, system, on_text, settings)


def _answer(
    llm: LLM, images: Any, prompt: str | None, system: str | None,
    on_text: Callable[[str], None] | None, settings: Mapping[str, Any],
) -> Generation:  # fmt: skip
    from runtime_py.message_parts import user_message

    several: Sequence[Any] = images if isinstance(images, list | tuple) else [images]
    text = QUESTION if prompt is None else prompt
    if llm.template is None:
        raw = "<image>" * len(several) + text
        return llm.generate(raw, images=several, on_text=on_text, **settings)
    before = [{"role": "system", "content": system}] if system else []
    asked = [*before, user_message(text, several)]
    return llm.chat(asked, on_text=on_text, **settings)
