"""Words of a recipe that have another name now, said in a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterable


def warn(warnings: Iterable[str]) -> None:
    """Print each warning of composition once, on standard error."""
    for line in dict.fromkeys(warnings):
        print(f"warning: {line}", file=sys.stderr)
