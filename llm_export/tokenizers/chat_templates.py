"""The chat templates of a folder, in each of the places where they may be.

transformers 5 reads ``chat_template.jinja`` and ``additional_chat_templates/*.jinja``, else the
``chat_template`` of tokenizer_config.json: one, or several with names. ``chat_template.json``
belongs to processors of multimodal models; their tokenizers have no other. Of templates with names
``apply_chat_template`` takes ``tool_use`` if it is given tools, else ``default``; others are chosen
by name, which no runtime of a bundle does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.errors import CheckpointError
from llm_export.files import optional_json

FILE, FOLDER, PROCESSOR = (
    "chat_template.jinja", "additional_chat_templates", "chat_template.json",
)  # fmt: skip
_DEFAULT, _TOOL_USE = "default", "tool_use"


@dataclass(frozen=True)
class ChatTemplates:
    """Jinja sources; None: there is none.

    Attributes:
        tool_use: for conversations with tools; None: ``default`` is for them too.
    """

    default: str | None = None
    tool_use: str | None = None


def read_chat_templates(folder: Path, stated: Any) -> ChatTemplates:
    """The folder's templates.

    Args:
        stated: ``chat_template`` of tokenizer_config.json.

    Raises:
        CheckpointError: there are several, and none is the default.
    """
    extra = sorted((folder / FOLDER).glob("*.jinja"))
    named = {file.stem: file.read_text(encoding="utf-8") for file in extra}
    if (folder / FILE).is_file():
        named[_DEFAULT] = (folder / FILE).read_text(encoding="utf-8")
    where = f"{folder / FOLDER}; {FILE}"
    if not named and stated is not None:
        if isinstance(stated, str):
            return ChatTemplates(stated)
        named, where = _named(stated, folder), str(folder / "tokenizer_config.json")
    if not named:
        processor = optional_json(folder / PROCESSOR).get("chat_template")
        if processor is None or isinstance(processor, str):
            return ChatTemplates(processor)
        named, where = _named(processor, folder), str(folder / PROCESSOR)
    if _DEFAULT not in named:
        raise CheckpointError(
            f"the chat templates {', '.join(sorted(named))} are there, and none is the default",
            where=where,
            fix=f"save the one for plain chats as {folder / FILE}",
        )
    return ChatTemplates(named[_DEFAULT], named.get(_TOOL_USE))


def _named(value: Any, folder: Path) -> dict[str, str]:
    """A list of {name, template}, or name -> template."""
    try:
        if isinstance(value, Mapping):
            return {str(name): str(text) for name, text in value.items()}
        return {str(entry["name"]): str(entry["template"]) for entry in value}
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"the chat_template is neither a text nor a list of named ones: {error!r}",
            where=str(folder),
        ) from None
