"""Tab completion of commands, and of overrides by Hydra.

eval "$(llm-export -sc install=bash)"
"""

from __future__ import annotations

import os

from llm_export.cli.verbs import VERBS
from llm_export.config.compose import Composer
from llm_export.errors import LlmExportError, RecipeError

_COMPOSING = ("run", "show", "validate")


def run(words: list[str]) -> int:
    """``install=SHELL``, ``uninstall=SHELL`` or ``query=SHELL``."""
    command, _, shell = (words[0] if words else "").partition("=")
    if command not in ("install", "uninstall", "query") or not shell:
        raise RecipeError(
            "completion needs install=SHELL, uninstall=SHELL or query=SHELL",
            fix='eval "$(llm-export -sc install=bash)"',
        )
    if command == "query":
        print(" ".join(candidates(os.environ.get("COMP_LINE", ""))))
        return 0
    Composer().completion_script(command, shell)
    return 0


def candidates(line: str) -> list[str]:
    """Completions of a command line that begins with the program's name."""
    words = line.split()
    fresh = line.endswith(" ") or len(words) < 2
    if len(words) < 2 or (len(words) == 2 and not fresh):
        typed = "" if fresh else words[1]
        return [verb for verb in VERBS if verb.startswith(typed)]
    if words[1] not in _COMPOSING:
        return []
    rest = words[2:]
    recipe = rest[0] if rest and "=" not in rest[0] and (len(rest) > 1 or fresh) else None
    overrides = rest[1:] if recipe else rest
    tail = " ".join(overrides) + (" " if fresh and overrides else "")
    try:
        composer = Composer(recipe)
        found = composer.complete(tail)
        if recipe is None and len(rest) <= 1:
            typed = "" if fresh else rest[0]
            found += [name for name in composer.options("") if name.startswith(typed)]
    except LlmExportError:
        return []
    return found
