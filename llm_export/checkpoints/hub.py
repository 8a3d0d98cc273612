"""Checkpoints on the Hugging Face hub, and folders in its cache layout."""

from __future__ import annotations

import errno
from pathlib import Path

from llm_export.errors import InputError, MissingDependencyError
from llm_export.tokenizers.folder import PATTERNS as VOCABULARY_FILES

PATTERNS = [
    "*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", *VOCABULARY_FILES,
]  # fmt: skip
# Downloaded only if there are no safetensors: repositories often contain the same weights twice.
OTHER_WEIGHTS = ["pytorch_model*.bin", "consolidated.*.pth"]


def fetch_snapshot(hf_id: str, revision: str | None) -> Path:
    """Download (or find in the local cache) the files that an export needs from a repository.

    huggingface_hub shows the progress. If the hub cannot be reached, the local cache is used.

    Raises:
        InputError: no such repository or revision, or access is not granted.
        MissingDependencyError: the hub cannot be reached and the cache lacks the files.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"checkpoint.hf_id={hf_id}" + (f" revision {revision}" if revision else "")
    try:
        folder = Path(snapshot_download(hf_id, revision=revision, allow_patterns=PATTERNS))
        if any(folder.glob("*.safetensors")):
            return folder
        return Path(
            snapshot_download(hf_id, revision=revision, allow_patterns=PATTERNS + OTHER_WEIGHTS)
        )
    except GatedRepoError:
        raise InputError(
            "the model is gated",
            where=where,
            fix=f"accept its licence at https://huggingface.co/{hf_id}, then `hf auth login`",
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise InputError(
            f"the hub has no such model: {str(error).splitlines()[0]}", where=where
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MissingDependencyError(
            "the hub cannot be reached, and its cache here lacks the model",
            where=where,
            fix="check the network, or give a folder: checkpoint.path=FOLDER",
        ) from None


def cached_snapshot(hf_id: str, revision: str | None) -> Path | None:
    """Path of a repository's weights in the local cache; None if they are not there. Downloads
    nothing.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(hf_id, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    weights = ("*.safetensors", *OTHER_WEIGHTS)
    return folder if any(any(folder.glob(p)) for p in weights) else None


def snapshot_in_cache_layout(folder: Path) -> Path:
    """The snapshot folder inside ``models--org--name``; ``folder`` itself if it has no cache
    layout.

    Raises:
        InputError: the cache entry names a revision whose files are not there.
    """
    if not (folder / "snapshots").is_dir():
        return folder
    reference = folder / "refs" / "main"
    if reference.is_file():
        snapshot = folder / "snapshots" / reference.read_text(encoding="utf-8").strip()
        if snapshot.is_dir():
            return snapshot
    snapshots = sorted(p for p in (folder / "snapshots").iterdir() if p.is_dir())
    if len(snapshots) == 1:
        return snapshots[0]
    raise InputError(
        f"the hub cache entry has {len(snapshots)} snapshots and refs/main names none of them",
        where=str(folder),
        fix="give the snapshot's own folder",
    )
