"""Read the licence of a recipe's model from the local checkpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from llm_export.config.schema import CheckpointConfig
from llm_export.home import expanded

_FRONT = re.compile(r"\A---\s*\n(.{0,20000}?)\n---\s*\n", re.DOTALL)


def licence_at_hand(source: CheckpointConfig) -> str | None:
    """The licence in the local model card; the network is not used."""
    if source.path is source.hf_id is source.package is None and source.random_seed is not None:
        return "none; its weights are random"
    card = _card(source)
    try:
        front = _FRONT.match(card.read_text(encoding="utf-8")) if card else None
        facts: Any = yaml.safe_load(front[1]) if front else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return None
    if not isinstance(facts, dict):
        return None
    found = facts.get("license_name") or facts.get("license")
    return str(found)[:80] if isinstance(found, str) else None


def _card(source: CheckpointConfig) -> Path | None:
    if source.path is not None:
        path = expanded(source.path)
        return (path if path.is_dir() else path.parent) / "README.md"
    if source.hf_id is not None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(source.hf_id, "README.md", revision=source.revision)
        return Path(found) if isinstance(found, str) else None
    return None
