"""Resolve whether a program can give out its caches and recurrent states."""

from __future__ import annotations

from llm_export.backends.capabilities import Capabilities
from llm_export.compat.versions import lowering_untested


def obstacle(capabilities: Capabilities, attention: str) -> str:
    """Why it cannot; empty if it can. A program that takes and returns its state needs nothing."""
    if attention == "static_io":
        return ""
    if attention in capabilities.holds_state:
        return "delegates of the backend hold the caches"
    return lowering_untested()
