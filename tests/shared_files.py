"""Recipes as somebody shares them: files, and the archives and folders that hold them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from llm_export.sharing.index import make_index

RECIPE = b"defaults: [export_base, {override backend: xnnpack}, _self_]\ndescription: Theirs\n"
FILES = {"mine.yaml": RECIPE, "README.md": b"# mine\n", "texts/verify.txt": b"text\n",
         "LICENSE": b"MIT\n"}  # fmt: skip


def shared(files: dict[str, bytes] = FILES) -> dict[str, bytes]:
    return {**files, "share.json": make_index("mine", "mine.yaml", files)}


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tar_of(path: Path, files: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for entry in special:
            archive.addfile(entry)
    return path
