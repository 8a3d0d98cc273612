"""The conversations that each engine renders; ``conversations.json`` has them.

An entry is named, and has the variables of a template: ``messages``, ``tools``,
``add_generation_prompt`` (true if it says nothing), and others. ``passes`` are those that the app
passes; without it all, with the special tokens. A conversation does not count where Jinja2's text
holds ``unless``: the list itself, from a template that takes texts only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from runtime_py.template_data import message_data


@dataclass(frozen=True)
class Case:
    """Attributes:
    given: variables of the template, with the special tokens.
    passed: those of them that an app passes to its engine.
    """

    name: str
    given: Mapping[str, Any]
    passed: Mapping[str, Any]
    unless: str = ""


def cases(special_tokens: Mapping[str, str]) -> list[Case]:
    """All conversations, for a model with these special tokens (bos_token, ... -> text)."""
    text = resources.files(__package__).joinpath("conversations.json").read_text("utf-8")
    return [_case(dict(entry), special_tokens) for entry in json.loads(text)]


def _case(entry: dict[str, Any], special_tokens: Mapping[str, str]) -> Case:
    name, passes, unless = entry.pop("name"), entry.pop("passes", None), entry.pop("unless", "")
    given = {
        "add_generation_prompt": True, "tools": None, "documents": None, **special_tokens, **entry,
        "messages": [message_data(message) for message in entry["messages"]],
    }  # fmt: skip
    passed = given if passes is None else {key: given[key] for key in passes}
    return Case(name, given, passed, unless)
