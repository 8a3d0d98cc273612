"""Open a bundle, a folder or packed in one file: its manifest contains all that a runtime needs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime_py.bundle_files import check_file
from runtime_py.errors import BundleRuntimeError
from runtime_py.manifest import (
    FORMAT,
    MANIFEST,
    TOKENIZER_ROLES,
    check_manifest,
    manifest_schema,
    read_manifest,
)
from runtime_py.packed import folder_of, named

__all__ = ["FORMAT", "MANIFEST", "Bundle", "check_manifest", "manifest_schema"]


@dataclass(frozen=True)
class Bundle:
    """A bundle's folder and its validated manifest. That of a packed bundle is to be read only."""

    path: Path
    manifest: dict[str, Any]

    def __fspath__(self) -> str:
        """An open bundle is taken wherever the path of one is, and is not opened again."""
        return str(self.path)

    @classmethod
    def open(cls, path: str | Path, *, verify_hashes: bool = False) -> Bundle:
        """Read and check a bundle: a folder, or a file of ``llm-export pack``.

        Args:
            verify_hashes: also compare every file with its digest in the manifest.

        Raises:
            BundleRuntimeError: not a bundle, incomplete, damaged, or of a later format.
        """
        folder = folder_of(path)
        with named(path, folder):
            bundle = cls(folder, read_manifest(folder))
            for name, entry in bundle.manifest["files"].items():
                check_file(folder, name, entry, verify_hash=verify_hashes)
        return bundle

    def check_hashes(self, files: Iterable[Path | None]) -> None:
        """Compare files of the bundle with their SHA-256 in the manifest; None is left out.

        Raises:
            BundleRuntimeError: one is another file.
        """
        for file in files:
            if file is not None:
                name = next(n for n in self.manifest["files"] if self.path / n == file)
                check_file(self.path, name, self.manifest["files"][name], verify_hash=True)

    def digest(self, file: Path | None) -> str:
        """SHA-256 of a file of the bundle, by the manifest; '' for None."""
        if file is None:
            return ""
        return str(self.manifest["files"][file.relative_to(self.path).as_posix()]["sha256"])

    def file(self, role: str) -> Path | None:
        """Path of the file with a given role (program, tokenizer, chat_template); None if there is
        none.
        """
        name = self.manifest["roles"].get(role)
        return self.path / name if name else None

    def adapter_file(self, name: str | None = None) -> Path | None:
        """Path of an adapter's weights. None selects the bundle's default adapter, or no file in a
        bundle without adapters.

        Raises:
            BundleRuntimeError: there is no such adapter.
        """
        adapters = self.manifest.get("adapters", {})
        if name is None and adapters:
            name = self.manifest["default_adapter"]
        if name is None:
            return None
        if name not in adapters:
            near = difflib.get_close_matches(name, list(adapters), n=1, cutoff=0.5)
            fix = f"did you mean '{near[0]}'? " if near else ""
            fix += (
                f"choices: {', '.join(sorted(adapters))}"
                if adapters
                else ("the bundle keeps no separate adapter")
            )
            raise BundleRuntimeError(
                f"the bundle has no adapter '{name}'", where=str(self.path), fix=fix
            )
        return self.path / adapters[name]

    def with_adapter(self, name: str | None = None) -> Bundle:
        """The bundle with the tokenizer and chat templates of one of its adapters."""
        own = self.manifest.get("adapter_tokenizers", {}).get(name)
        if own is None:
            return self
        roles = {r: f for r, f in self.manifest["roles"].items() if r not in TOKENIZER_ROLES}
        manifest = {k: v for k, v in self.manifest.items() if k != "chat"}
        return Bundle(self.path, {**manifest, **own, "roles": {**roles, **own["roles"]}})
