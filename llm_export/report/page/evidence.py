"""What a bundle's files say of it. Bundles of earlier versions lack some of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_export.bundle.roles import ROLES
from llm_export.config.schema import Recipe
from llm_export.errors import BundleError
from llm_export.profile.profile_map import ProfileMap

RECORD = "run.json"
_MAX_BYTES = 64_000_000


@dataclass(frozen=True)
class Evidence:
    """Plain data, {} or [] where a file is missing or is no JSON of that kind.

    Attributes:
        recipe: None: the bundle's recipe cannot be composed by this version.
        sizes: role -> bytes of its file.
        speed: figures of a task that has its own.
        program_map: None: earlier versions wrote none.
    """

    manifest: Mapping[str, Any]
    record: Mapping[str, Any]
    recipe: Recipe | None
    proof: Mapping[str, Any]
    benchmark: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    answers: list[Any]
    profiles: list[Any]
    program_map: ProfileMap | None
    sizes: Mapping[str, int]
    speed: list[Any] = field(default_factory=list)

    def stage(self, name: str) -> Mapping[str, Any]:
        """What run.json says of a stage; {} if it says nothing."""
        found = (s for s in self.record.get("stages") or [] if s.get("name") == name)
        return next(found, {})

    def facts(self, name: str) -> Mapping[str, Any]:
        """What a stage noted."""
        return self.stage(name).get("facts") or {}

    @property
    def settings(self) -> Mapping[str, Any]:
        """The recipe as run.json has it, with a value for each key."""
        return self.record.get("recipe") or {}


def read_evidence(
    folder: Path,
    manifest: Mapping[str, Any],
    recipe: Recipe | None,
    record: Mapping[str, Any] | None = None,
) -> Evidence:
    """Read a bundle's files.

    Args:
        record: of a run that goes on; None reads run.json.
    """
    profiles = _read(folder / ROLES["profile"], list)
    return Evidence(
        manifest=manifest,
        record=_read(folder / RECORD, dict) if record is None else record,
        recipe=recipe,
        proof=_read(folder / ROLES["parity"], dict) or manifest.get("proof") or {},
        benchmark=_read(folder / ROLES["benchmark"], dict),
        evaluation=_read(folder / ROLES["evaluation"], dict),
        answers=_read(folder / ROLES["answers"], list),
        profiles=[one for one in profiles if isinstance(one, dict)],
        program_map=_map(folder / ROLES["profile_map"]),
        sizes={
            role: (folder / name).stat().st_size
            for role, name in ROLES.items()
            if (folder / name).is_file()
        },
        speed=_read(folder / ROLES["speed"], list),
    )


def _read(path: Path, kind: type) -> Any:
    """The JSON of a file; an empty ``kind`` if there is none of that kind."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return kind()
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return kind()
    return body if isinstance(body, kind) else kind()


def _map(path: Path) -> ProfileMap | None:
    try:
        return ProfileMap.read(path)
    except BundleError:
        return None
