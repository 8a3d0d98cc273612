"""Fetching recipes from git: one commit, no hook, no link, and no other program."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from shared_files import RECIPE, folder_of, shared

from llm_export.cli.main import main
from llm_export.config.library import ORIGIN
from llm_export.errors import InputError, MissingDependencyError
from llm_export.sharing.git import GitSource, read_git
from llm_export.sharing.source import fetch


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = folder_of(tmp_path / "theirs", {f"r/{n}": d for n, d in shared().items()})
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1/first")
    return folder


def test_git_pins_the_commit(repository: Path, library: Path) -> None:
    one = git(repository, "rev-parse", "HEAD")
    (repository / "r" / "README.md").write_text("# changed\n")
    git(repository, "commit", "-qam", "two")
    two = git(repository, "rev-parse", "HEAD")
    url = f"git+{repository.as_uri()}"
    for revision, commit in (("@v1/first", one), (f"@{one}", one), ("@main", two), ("", two)):
        files, found = read_git(GitSource.parse(f"{url}{revision}#r"))
        assert found == commit
        assert files["mine.yaml"] == RECIPE
    assert main(["get", f"{url}@{one}#r", "--yes"]) == 0
    origin = json.loads((library / "local" / "mine" / ORIGIN).read_text())
    assert origin["revision"] == one
    assert origin["origin"] == f"{url}#r"
    with pytest.raises(InputError, match=r"not what share\.json says"):
        fetch(f"{url}@main#r")


def test_git_runs_nothing_and_follows_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {made}\n")
    script.chmod(0o755)
    (repository / "r" / ".gitattributes").write_text("* filter=evil\n")
    git(repository, "add", "-f", ".")
    git(repository, "commit", "-qm", "attributes")
    config = tmp_path / "gitconfig"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-checkout", "reference-transaction", "post-index-change"):
        (hooks / hook).symlink_to(script)
    config.write_text(f"[core]\nhooksPath={hooks}\nfsmonitor={script}\n"
                      f'[filter "evil"]\nsmudge={script}\nrequired=true\n'
                      f"[init]\ntemplateDir={tmp_path}\n")  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    config.rename(tmp_path / ".gitconfig")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(script))
    files, _ = read_git(GitSource.parse(f"git+{repository.as_uri()}#r"))
    assert files["mine.yaml"] == RECIPE
    assert ".gitattributes" not in files
    assert not made.exists()
    (repository / "r" / "link.txt").symlink_to("/etc/passwd")
    git_env_free = {k: v for k, v in os.environ.items() if k != "GIT_DIR"}
    for words in (["add", "."], ["-c", f"core.hooksPath={tmp_path}/none", "commit", "-qm", "link"]):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.fsmonitor=false",
             "-c", "filter.evil.required=false", "-c", "filter.evil.smudge=cat", *words],
            cwd=repository, check=True, env=git_env_free, capture_output=True,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"link or submodule: 'link\.txt'"):
        read_git(GitSource.parse(f"git+{repository.as_uri()}#r"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("git+http://h/r", "https, ssh, file only"),
        ("git+ext::sh -c id", "https, ssh, file only"),
        ("git+file://host/r", "no address"),
        ("git+https:///r", "no address"),
        ("git+ssh://-oProxyCommand=id/r", "no address"),
        ("git+ssh://-x@h/r", "no address"),
        ("git+https://u:secret@h/r", "holds a password"),
        ("git+https://h/r@--upload-pack=id", "no revision"),
        ("git+https://h/r@a..b", "no revision"),
        ("git+https://h/r@a:b", "no revision"),
        ("git+https://h/r@main#../x", "leads out"),
        ("git+https://h/r@main#-x", "leads out"),
        ("hf:name", "no repository of the hub"),
        ("hf:../x", "no repository of the hub"),
        ("hf:a/b@-x", "no repository of the hub"),
        ("nowhere.zip", "no such place"),
        ("x" * 5000, "no such place"),
    ],
)
def test_addresses_that_are_none(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        fetch(text)
    assert "secret" not in str(caught.value)


def test_git_that_cannot(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such revision"):
        fetch(f"git+{repository.as_uri()}@{'0' * 40}")
    with pytest.raises(InputError, match="no such revision"):
        fetch(f"git+{repository.as_uri()}@nowhere")
    with pytest.raises(InputError, match="no such folder"):
        fetch(f"git+{repository.as_uri()}@main#nowhere")
    with pytest.raises(MissingDependencyError, match="git fetch failed"):
        fetch(f"git+{tmp_path.as_uri()}/nowhere")


def test_git_writes_no_larger_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "r" / "large").write_bytes(os.urandom(20_000))
    git(repository, "add", "-f", ".")
    git(repository, "commit", "-qm", "large")
    monkeypatch.setattr("llm_export.sharing.git._PACK", 8192)
    with pytest.raises(MissingDependencyError, match="git fetch failed"):
        read_git(GitSource.parse(f"git+{repository.as_uri()}#r"))


def test_without_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match="git is not installed"):
        read_git(GitSource.parse(f"git+{repository.as_uri()}#r"))
