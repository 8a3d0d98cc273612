"""@huggingface/jinja in Node"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_export.template_engines.base import Missing, Rendering
from llm_export.template_engines.child import rendered

VERSION = "0.5.11"
"""Of the file in ``vendor``."""
_HERE = Path(__file__).parent
_OLDEST = 18
_MEGABYTES = 512


class HuggingFaceJinja:
    title = "@huggingface/jinja"
    used_by = "react-native-executorch, Transformers.js"

    def missing(self) -> Missing | None:
        program, major = _node()
        if program is None:
            return Missing("Node is not installed", f"install Node {_OLDEST} or later: nodejs.org")
        if major < _OLDEST:
            return Missing(
                f"{program} is not Node {_OLDEST} or later", "install a later Node: nodejs.org"
            )
        return None

    def version(self) -> str:
        return VERSION

    def render(
        self, sources: Sequence[str], cases: Sequence[Mapping[str, Any]]
    ) -> list[list[Rendering]]:
        program, major = _node()
        command = [
            program or "node", "--no-warnings", f"--max-old-space-size={_MEGABYTES}",
            "--disallow-code-generation-from-strings", *_permissions(major),
            str(_HERE / "render.mjs"),
        ]  # fmt: skip
        return rendered(command, sources, cases)


ENGINE = HuggingFaceJinja()


@functools.cache
def _node() -> tuple[str | None, int]:
    """(path, major version; 0 if it does not say)."""
    program = shutil.which("node") or shutil.which("nodejs")
    if program is None:
        return None, 0
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, timeout=10, check=False, text=True
        ).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return program, 0
    match = re.match(r"v(\d{1,4})\.", said)
    return program, int(match[1]) if match else 0


def _permissions(major: int) -> list[str]:
    """Node's permission model: no files but this folder, no processes, no threads."""
    if major < 20:
        return []
    switch = "--experimental-permission" if major < 23 else "--permission"
    return [switch, f"--allow-fs-read={_HERE}/*"]
