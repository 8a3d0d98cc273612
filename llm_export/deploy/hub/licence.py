"""The licence of a model's weights, as a card of the hub names it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from llm_export.checkpoints.licence import licence_at_hand
from llm_export.config.schema import CheckpointConfig

_HUB = {
    "apache 2.0": "apache-2.0",
    "bigcode openrail-m": "bigcode-openrail-m",
    "bsd 3 clause": "bsd-3-clause",
    "cc by 4.0": "cc-by-4.0",
    "cc by nc 4.0": "cc-by-nc-4.0",
    "cc by sa 4.0": "cc-by-sa-4.0",
    "gemma": "gemma",
    "gemma terms of use": "gemma",
    "llama 2 community license": "llama2",
    "llama 3.1 community license": "llama3.1",
    "llama 3.2 community license": "llama3.2",
    "llama 3.3 community license": "llama3.3",
    "llama2": "llama2",
    "llama3": "llama3",
    "llama3.1": "llama3.1",
    "llama3.2": "llama3.2",
    "llama3.3": "llama3.3",
    "meta llama 3 community license": "llama3",
    "mit": "mit",
}
"""Name in lower case, with spaces for hyphens -> the hub's word for it:
https://huggingface.co/docs/hub/repositories-licenses."""
_STATED = re.compile(r"# [^\n(]*\(([^();]+)(?:;[^()]*)?\)")


def model_licence(recipe: Mapping[str, Any], said: str | None) -> str | None:
    """Name of the licence: what the user says, else what the checkpoint at hand or the model's
    option says; None: not known.

    Args:
        recipe: every value, as a bundle's recipe.yaml has it.
    """
    if said is not None:
        return said
    return licence_at_hand(_checkpoint(recipe)) or _of_option(recipe)


def front_matter(name: str | None) -> dict[str, str]:
    """The keys of a card that state a licence."""
    if name is None:
        return {}
    known = _HUB.get(name.lower().replace("-", " "), _HUB.get(name.lower()))
    if known is not None:
        return {"license": known}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", name.lower())[:80]}


def _checkpoint(recipe: Mapping[str, Any]) -> CheckpointConfig:
    given = recipe.get("checkpoint")
    words = given if isinstance(given, dict) else {}
    path, hub, revision = (
        found if isinstance(found := words.get(key), str) else None
        for key in ("path", "hf_id", "revision")
    )
    return CheckpointConfig(path=path, hf_id=hub, revision=revision)


def _of_option(recipe: Mapping[str, Any]) -> str | None:
    """In parentheses in the comment at the head of a shipped option."""
    model = recipe.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    if not isinstance(name, str) or not re.fullmatch(r"\w+", name):
        return None
    option = resources.files("llm_export.conf").joinpath("model", f"{name}.yaml")
    if not option.is_file():
        return None
    head = option.read_text(encoding="utf-8").splitlines()[1]
    found = _STATED.match(head)
    return found[1].strip() if found else None
