"""Read the files of a git repository at a commit, without a checkout.

Objects are read by hash. Without a work tree no hooks, filters, submodules or links take effect.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from llm_export.errors import InputError, MissingDependencyError
from llm_export.sharing.members import Budget, Files, is_hidden, require_distinct, require_name

PREFIX = "git+"
_SCHEMES = ("https", "ssh", "file")
_SECONDS = 120
_REVISION = re.compile(r"[A-Za-z0-9][\w./+-]*")
_KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
_PACK = 512_000_000
"""Bytes of the largest file that git may write: it fetches before it can be asked for sizes."""
_BLOCK = 512
"""Bytes of the unit of POSIX's ``ulimit -f``."""


@dataclass(frozen=True)
class GitSource:
    """``git+URL@REVISION#FOLDER``. Without a revision, what the repository's HEAD names."""

    url: str
    revision: str
    folder: str

    @classmethod
    def parse(cls, text: str) -> GitSource:
        """Raises InputError: no URL of a known scheme, or parts that git would misread."""
        rest, _, folder = text.removeprefix(PREFIX).partition("#")
        scheme, _, after = rest.partition("://")
        server, slash, path = after.partition("/")
        path, at, revision = path.partition("@")
        user, _, host = server.rpartition("@")
        url = f"{scheme}://{server}{slash}{path}"
        fix = f"{PREFIX}https://HOST/REPOSITORY@COMMIT#FOLDER"
        if scheme not in _SCHEMES:
            raise InputError(
                f"git is asked by {', '.join(_SCHEMES)} only", where=text[:200], fix=fix
            )
        if ":" in user:
            raise InputError(
                "the address holds a password, which would be kept in a file",
                where=f"{scheme}://{host}", fix="let git's credential helper give it",
            )  # fmt: skip
        odd = not path or any(c.isspace() or not c.isprintable() for c in url)
        if odd or host.startswith("-") or user.startswith("-") or bool(host) == (scheme == "file"):
            raise InputError("this is no address of a repository", where=text[:200], fix=fix)
        revision = revision if at else "HEAD"
        if not _REVISION.fullmatch(revision) or ".." in revision:
            raise InputError(
                "this is no revision", where=revision[:200], fix="a branch, a tag or a full commit"
            )
        if ".." in folder.split("/") or folder.startswith(("/", "-")) or not folder.isprintable():
            raise InputError("the folder leads out of the repository", where=f"#{folder[:200]}")
        return cls(url, revision, folder.strip("/"))

    @property
    def scheme(self) -> str:
        return self.url.split("://")[0]


def read_git(source: GitSource) -> tuple[Files, str]:
    """(files, full commit). Hidden files are left out.

    Raises:
        MissingDependencyError: git is not installed, or the repository cannot be reached.
        InputError: no such revision or folder; a link or submodule; too many or too large
            files; a kind that no shared recipe holds.
    """
    with tempfile.TemporaryDirectory(prefix="llm_export-git-") as scratch:
        git = _Git(Path(scratch), source)
        git("init", "--quiet", "--bare", "--template=", ".")
        git("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules",
            "--", source.url, source.revision)  # fmt: skip
        commit = git("rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()
        tree = f"{commit}:{source.folder}" if source.folder else f"{commit}^{{tree}}"
        return _files(git, tree, source), commit


class _Git:
    """Runs git in an empty repository, without user settings that could run a program."""

    def __init__(self, folder: Path, source: GitSource) -> None:
        self._folder, self._source = folder, source
        self._environment = {
            k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in _KEPT
        } | {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": source.scheme,
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "LC_ALL": "C",
        }

    def __call__(self, *words: str, limit: int | None = None) -> bytes:
        git = shutil.which("git", path=self._environment.get("PATH"))
        if git is None:
            raise MissingDependencyError("git is not installed", fix="install git")
        # By a shell, which starts without a copy of this process, as a function of Python's to run
        # before git would need; that takes a tenth of a second where models have been read.
        command = [
            "/bin/sh", "-c", 'ulimit -f "$0" && exec "$@"', str(_most_bytes() // _BLOCK),
            git, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
            "-c", "fetch.fsckObjects=true", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
            *words,
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise MissingDependencyError(
                f"git took more than {_SECONDS} s", where=self._source.url,
                fix="a smaller repository, or the recipe as an archive",
            ) from None  # fmt: skip
        if done.returncode:
            raise self._failure(words[0], done.stderr.decode("utf-8", "replace"))
        return done.stdout

    def _failure(self, verb: str, said: str) -> InputError | MissingDependencyError:
        lines = [line for line in said.splitlines() if line.startswith(("fatal:", "error:"))]
        reason = (lines or said.splitlines() or ["no reason given"])[0].split(":", 1)[-1].strip()
        where = f"{self._source.url}@{self._source.revision}"
        if "remote ref" in said or "not our ref" in said:
            return InputError("the repository has no such revision", where=where,
                              fix="a branch, a tag or a full commit")  # fmt: skip
        if verb == "ls-tree":
            return InputError("the repository has no such folder", where=f"#{self._source.folder}")
        return MissingDependencyError(
            f"git {verb} failed: {reason[:200]}", where=where,
            fix="check the address, the network and your rights",
        )  # fmt: skip


def _most_bytes() -> int:
    """Of a file that git writes."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return _PACK if hard == resource.RLIM_INFINITY else min(_PACK, hard)


def _files(git: _Git, tree: str, source: GitSource) -> Files:
    where = f"{source.url}@{source.revision}"
    files: Files = {}
    budget = Budget(where)
    for row in git("ls-tree", "-r", "-l", "-z", tree).split(b"\0"):
        if not row:
            continue
        facts, _, raw = row.partition(b"\t")
        mode, _, digest, size = facts.decode().split()
        name = raw.decode("utf-8", "replace")
        if is_hidden(name):
            continue
        if mode not in ("100644", "100755"):
            raise InputError(
                f"the repository holds a link or submodule: {name[:120]!r}", where=where,
                fix="#FOLDER, one that holds a recipe only",
            )  # fmt: skip
        budget.file()
        require_name(name, where)
        budget.take(name, int(size))
        files[name] = git("cat-file", "blob", digest)
    require_distinct(files, where)
    return files
