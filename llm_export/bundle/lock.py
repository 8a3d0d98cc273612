"""recipe.lock.yaml: the exact inputs and versions that a bundle was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_export.config.recipe_files import LOCK_FORMAT, dump, is_place, resolved
from llm_export.config.schema import Recipe
from llm_export.versions import Machine

_HEAD = "# What this bundle was made from, exactly.\n"


@dataclass(frozen=True)
class Provenance:
    """The requested options and overrides, and the machine and versions of the run.

    Attributes:
        choices: config group -> option.
        versions: package -> version.
    """

    choices: Mapping[str, str | None]
    overrides: Sequence[str]
    versions: Mapping[str, str]
    machine: Machine


def lock_yaml(
    recipe: Recipe,
    provenance: Provenance,
    checkpoint: Mapping[str, str],
    files: Mapping[str, str],
) -> str:
    """Versions, hashes, choices, overrides, and the resolved recipe.

    Args:
        checkpoint: weight file -> sha256; the folders of files are dropped.
        files: file of the bundle -> sha256.
    """
    machine = provenance.machine
    return _HEAD + dump(
        {
            "format": LOCK_FORMAT,
            "versions": dict(provenance.versions),
            "platform": {
                "system": machine.system,
                "architecture": machine.architecture,
                "python": machine.python,
                "cpu": machine.cpu,
            },
            "choices": dict(provenance.choices),
            "overrides": [o for o in provenance.overrides if not is_place(o)],
            "checkpoint": {k.rsplit("/", 1)[-1]: v for k, v in checkpoint.items()},
            "files": dict(files),
            "recipe": resolved(recipe),
        }
    )
