"""Recipes on the Hugging Face hub: fetch their text files, and upload them."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import InputError, MissingDependencyError
from llm_export.sharing.folder import read_bounded
from llm_export.sharing.members import (
    PATTERNS,
    Budget,
    Files,
    is_hidden,
    is_known,
    require_distinct,
    require_name,
)  # fmt: skip

PREFIX = "hf:"
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")


@dataclass(frozen=True)
class HubSource:
    """``hf:ORG/NAME@REVISION``; revision None is the repository's main branch."""

    repository: str
    revision: str | None

    @classmethod
    def parse(cls, text: str) -> HubSource:
        """Raises InputError: not of that form."""
        repository, at, revision = text.removeprefix(PREFIX).partition("@")
        good = _ID.fullmatch(repository) and ".." not in text and "--" not in repository
        if not good or (at and not _REVISION.fullmatch(revision)):
            raise InputError("this is no repository of the hub", where=text[:200],
                             fix=f"{PREFIX}ORG/NAME or {PREFIX}ORG/NAME@COMMIT")  # fmt: skip
        return cls(repository, revision or None)


def read_hub(source: HubSource) -> tuple[Files, str]:
    """(text files, full commit); the other files of the repository are not fetched.

    Where the hub cannot be reached, the local cache of huggingface_hub is read.

    Raises:
        InputError: no such repository or revision; too many or too large files.
        MissingDependencyError: the hub cannot be reached and the cache lacks the repository.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(source):
        _require_small(source)
        # By the name that was given: then the cache knows later, offline, what it stands for.
        folder = Path(
            snapshot_download(source.repository, revision=source.revision, allow_patterns=PATTERNS)
        )
    return _read_snapshot(folder, str(source.repository)), folder.name


def _require_small(source: HubSource) -> None:
    """Look at the sizes before anything is fetched, where the hub can be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        info = HfApi().model_info(source.repository, revision=source.revision, files_metadata=True)
    except HfHubHTTPError:
        raise
    except (OfflineModeIsEnabled, HTTPError, OSError):
        return
    budget = Budget(source.repository)
    for entry in info.siblings or []:
        if is_known(entry.rfilename) and not is_hidden(entry.rfilename):
            budget.file()
            budget.take(entry.rfilename, entry.size or 0)


def _read_snapshot(folder: Path, where: str) -> Files:
    """In the cache a file is a link to a blob of the same repository, and nothing else."""
    files: Files = {}
    budget = Budget(where)
    repository = folder.resolve().parent.parent
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if is_hidden(name) or path.is_dir() or not is_known(name):
            continue
        if not path.resolve().is_relative_to(repository):
            raise InputError("the hub's cache holds a link that leads out of it", where=str(path))
        budget.file()
        require_name(name, where)
        files[name] = read_bounded(path, name, budget)
    require_distinct(files, where)
    return files


def upload(folder: Path, repository: str, private: bool) -> str:
    """Upload a packed recipe to a repository, which is created if needed. Returns its address.

    Raises:
        InputError, MissingDependencyError: the hub does not take it, or cannot be reached.
    """
    from huggingface_hub import HfApi

    source = HubSource.parse(PREFIX + repository)
    with _hub_errors(source):
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Share a recipe of llm_export"
        )
    return str(done.commit_url)


@contextlib.contextmanager
def _hub_errors(source: HubSource) -> Iterator[None]:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = PREFIX + source.repository + (f"@{source.revision}" if source.revision else "")
    try:
        yield
    except GatedRepoError:
        raise InputError(
            "the repository is gated", where=where, fix="accept its terms, then `hf auth login`"
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the hub has no such repository or revision: {reason}", where=where,
            fix="check the name; a private one needs `hf auth login`",
        ) from None  # fmt: skip
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        raise MissingDependencyError(
            f"the hub answered {status}", where=where, fix="`hf auth login`, or try again later"
        ) from None
    except LocalEntryNotFoundError:
        raise MissingDependencyError(
            "the hub cannot be reached, and the local cache lacks the repository", where=where,
            fix="check the network, or give a folder or an archive",
        ) from None  # fmt: skip
    except (HTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MissingDependencyError(
            f"the hub cannot be reached: {type(error).__name__}", where=where,
            fix="check the network; `hf auth login`, if it asks who you are",
        ) from None  # fmt: skip
