"""Repositories of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path

from runtime_py.errors import BundleRuntimeError
from runtime_py.foreign.find import one_program
from runtime_py.manifest import MANIFEST

_ID = re.compile(r"([\w.-]+/[\w.-]+?)(@[\w./-]+|(?:/[^/@]+)*\.pte)?", re.ASCII)
_DOTS = {".", ".."}
_TOKENIZER = ["*.json", "*.jinja"]
"""Also those that ``tokens`` reads; none of them is large."""


def is_hub_id(word: str | Path) -> bool:
    """Whether a path that does not exist here has the form ORG/NAME, ORG/NAME@REVISION or
    ORG/NAME/.../FILE.pte."""
    if not isinstance(word, str) or _ID.fullmatch(word) is None or _DOTS & {*word.split("/")}:
        return False
    try:
        return not Path(word).exists() and not Path(word.split("/")[0]).is_dir()
    except (OSError, ValueError):
        return False


def fetched(word: str | Path, *, tokenizer: bool = False) -> Path:
    """The local copy of a bundle, of a program and its tokenizer, or of a tokenizer alone.
    huggingface_hub shows the progress; without a network its cache is used.

    Raises:
        BundleRuntimeError: it is not there, or cannot be reached.
    """
    found = _ID.fullmatch(str(word))
    assert found is not None
    repository, rest = found[1], found[2] or ""
    revision = rest[1:] if rest.startswith("@") else None
    program = rest[1:] if rest.startswith("/") else None
    folder = _snapshot(repository, revision, _TOKENIZER)
    if tokenizer:
        return folder
    if (folder / MANIFEST).is_file():
        return _snapshot(repository, revision, None)
    if program is None:
        program = one_program(_names(repository, revision, folder), f"hub: {repository}")
    beside = f"{Path(program).parent}/".removeprefix("./")
    _snapshot(repository, revision, [*_TOKENIZER, program, f"{beside}*.ptd"])
    return folder / program if rest.startswith("/") or "/" in program else folder


def _names(repository: str, revision: str | None, folder: Path) -> list[str]:
    """Files of a repository, or of its copy in the cache if the hub cannot be reached."""
    from huggingface_hub import HfApi

    try:
        return HfApi().list_repo_files(repository, revision=revision)
    except Exception:  # of the network, of which there are many kinds
        return [file.relative_to(folder).as_posix() for file in folder.rglob("*.pte")]


def _snapshot(repository: str, revision: str | None, patterns: list[str] | None) -> Path:
    where = f"hub: {repository}" + (f"@{revision}" if revision else "")
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError:
        raise BundleRuntimeError(
            f"there is no such bundle here, and the hub needs the package huggingface_hub: "
            f"{repository}", where=where, fix="pip install huggingface_hub",
        ) from None  # fmt: skip
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except GatedRepoError:
        raise BundleRuntimeError(
            "the repository is gated", where=where,
            fix=f"accept its licence at https://huggingface.co/{repository}, then `hf auth login`",
        ) from None  # fmt: skip
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError):
        raise BundleRuntimeError(
            "there is no such bundle, neither here nor on the hub", where=where,
            fix="a folder of `llm-export run`, or ORG/NAME of a repository",
        ) from None  # fmt: skip
    except Exception as error:  # of the network, of which there are many kinds
        raise BundleRuntimeError(
            "there is no such bundle here, and the hub cannot be reached "
            f"({type(error).__name__})", where=where,
            fix="check the path, or the network",
        ) from None  # fmt: skip
