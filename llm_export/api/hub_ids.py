"""Words that name a checkpoint: a place on this disk, or ORG/NAME on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(word: str) -> bool:
    """ORG/NAME is a repository of the hub, unless there is a folder ORG here."""
    return _HUB_ID.fullmatch(word) is not None and not Path(word).parent.is_dir()
