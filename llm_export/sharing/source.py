"""Parse the source of a shared recipe, and fetch its files."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_export.errors import InputError
from llm_export.home import expanded
from llm_export.sharing import archive, git, hub
from llm_export.sharing.folder import read_folder, read_single
from llm_export.sharing.index import listed
from llm_export.sharing.members import PAGE, Files

_FORMS = "hf:ORG/NAME@REVISION, git+https://HOST/REPOSITORY@REVISION, a .zip, .tar.gz or folder"


@dataclass(frozen=True)
class Fetched:
    """Files of a shared recipe in memory; nothing of them was run or written.

    Attributes:
        origin: where they are from, without the revision.
        revision: full commit; of an archive its sha256; empty for a folder.
        index: body of share.json, if there was one, which agrees with the files.
        author, name: of the library's entry.
    """

    files: Files
    origin: str
    revision: str
    index: dict[str, Any] | None
    author: str
    name: str


def fetch(text: str) -> Fetched:
    """Read a shared recipe into memory.

    Raises:
        InputError: the source does not exist, or is no shared recipe.
        MissingDependencyError: it cannot be reached.
    """
    if text.startswith(hub.PREFIX):
        at_hub = hub.HubSource.parse(text)
        files, revision = hub.read_hub(at_hub)
        origin = hub.PREFIX + at_hub.repository
        author, name = at_hub.repository.split("/")
    elif text.startswith(git.PREFIX):
        in_git = git.GitSource.parse(text)
        files, revision = git.read_git(in_git)
        origin = git.PREFIX + in_git.url + (f"#{in_git.folder}" if in_git.folder else "")
        words = re.split(r"[/:]", in_git.url.removesuffix("/").removesuffix(".git"))
        author = words[-2] if in_git.scheme != "file" and len(words) > 3 else "local"
        name = in_git.folder.split("/")[-1] or words[-1]
    else:
        files, revision, origin = _from_disk(text)
        author = "local"
        name = Path(origin).name.split(".")[0]
    kept, index = listed(files, origin)
    kept.pop(PAGE, None)
    if author == "local" and index is not None:
        name = index["name"]
    return Fetched(kept, origin, revision, index, _word(author), _word(name))


def _from_disk(text: str) -> tuple[Files, str, str]:
    path = expanded(text)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError:  # a name that is too long
        is_folder = is_file = False
    if is_folder:
        return read_folder(path), "", str(path.absolute())
    if not is_file:
        raise InputError("there is no such place", where=text[:200], fix=f"give {_FORMS}")
    if path.name.endswith(archive.SUFFIXES):
        files = archive.read_archive(path)
    elif path.suffix in (".yaml", ".yml"):
        files = read_single(path)
    else:
        raise InputError("this is no shared recipe", where=text[:200], fix=f"give {_FORMS}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            digest.update(data)
    return files, digest.hexdigest(), str(path.absolute())


def _word(text: str) -> str:
    """What may name a folder of the library."""
    plain = re.sub(r"[^\w.-]+", "_", text).strip("._-")
    return plain[:100] or "recipe"
