"""Distinguish local checkpoint paths from Hugging Face hub ids (ORG/NAME)."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(word: str) -> bool:
    """Whether ``word`` is a hub id: it has the form ORG/NAME, and there is no local folder ORG."""
    return _HUB_ID.fullmatch(word) is not None and not Path(word).parent.is_dir()
