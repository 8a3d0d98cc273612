"""The profile that a run keeps: of a step of the prompt, and of a generated token after it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_export.bundle.roles import ROLES
from llm_export.files import write_json
from llm_export.pipeline.child_errors import reason_of


def profile_steps(bundle: Path, prompt_length: int) -> dict[str, Any]:
    """Profile each phase in a process of its own, and write profile.json.

    Returns:
        for the report: "lines", a sentence for each phase, and "kinds", rows of a table with its
        head; or "error": why there is none.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for phase, depth in (("prefill", 0), ("decode", prompt_length)):
        command = [sys.executable, "-m", "llm_export", "profile", str(bundle), "--json",
                   "--phase", phase, "--depth", str(depth)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return {"error": reason_of(done.stderr)}
        # The bundle's folder still has its temporary name.
        found[phase] = {**json.loads(done.stdout), "bundle": ""}
    write_json(bundle / ROLES["profile"], list(found.values()))
    return {"lines": [one["summary"] for one in found.values()], "kinds": _table(found)}


def _table(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows: dict[str, dict[str, str]] = {}
    for phase, one in found.items():
        for kind in one["kinds"]:
            said = f"{kind['seconds'] * 1e3:.2f} ms ({kind['share']:.1%})"
            rows.setdefault(kind["name"], {})[phase] = said
    return [["", *found], *([name, *(of.get(p, "") for p in found)] for name, of in rows.items())]
