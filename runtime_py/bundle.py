"""Read a bundle folder: its manifest contains all that a runtime needs."""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from runtime_py.errors import BundleRuntimeError

MANIFEST = "manifest.json"
FORMAT = 1


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of manifest.json."""
    text = resources.files("runtime_py").joinpath("manifest.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def check_manifest(manifest: Any, where: str) -> None:
    """Raises BundleRuntimeError, naming the key, if the manifest does not match the schema."""
    import jsonschema

    errors = sorted(
        jsonschema.Draft202012Validator(manifest_schema()).iter_errors(manifest),
        key=lambda e: list(e.absolute_path),
    )
    if errors:
        key = ".".join(str(p) for p in errors[0].absolute_path) or "manifest"
        # The message quotes the value, which may be megabytes long.
        raise BundleRuntimeError(
            f"the manifest is not valid: {key[:200]}: {errors[0].message[:300]}", where=where
        )


@dataclass(frozen=True)
class Bundle:
    """A bundle folder and its validated manifest."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, *, verify_hashes: bool = False) -> Bundle:
        """Read and check a bundle.

        Args:
            verify_hashes: also compare every file with its digest in the manifest.

        Raises:
            BundleRuntimeError: not a bundle, incomplete, damaged, or of a later format.
        """
        folder = Path(path)
        file = folder / MANIFEST
        if not file.is_file():
            raise BundleRuntimeError(
                "this is not a bundle: it has no manifest.json"
                if folder.exists() else "there is no such bundle", where=str(folder),
                fix="llm-export run RECIPE makes one",
            )  # fmt: skip
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise BundleRuntimeError(
                f"the manifest is not valid JSON: {error}", where=str(file)
            ) from None
        version = manifest.get("format") if isinstance(manifest, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise BundleRuntimeError(
                f"the bundle has format {version}; this runtime reads up to {FORMAT}",
                where=str(file), fix="pip install -U llm_export",
            )  # fmt: skip
        check_manifest(manifest, str(file))
        bundle = cls(folder, manifest)
        adapters = manifest.get("adapters", {})
        named = {*manifest["roles"].values(), *adapters.values()}
        unlisted = named - set(manifest["files"])
        if unlisted:
            raise BundleRuntimeError(
                f"the manifest gives a role to a file that it does not list: {min(unlisted)}",
                where=str(file),
            )
        if adapters and manifest["default_adapter"] not in adapters:
            raise BundleRuntimeError(
                f"the manifest names no file for its default adapter "
                f"'{manifest['default_adapter']}'",
                where=str(file),
            )
        for name, entry in manifest["files"].items():
            bundle._check_file(name, entry, verify_hashes)
        return bundle

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

    def _check_file(self, name: str, entry: dict[str, Any], verify_hashes: bool) -> None:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleRuntimeError("the manifest names a file outside the bundle", where=name)
        path = self.path / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            state = (
                "is missing" if not path.is_file() else "has another size than the manifest says"
            )
            raise BundleRuntimeError(
                f"the bundle is damaged: {name} {state}", where=str(self.path),
                fix="copy or export it again",
            )  # fmt: skip
        if verify_hashes:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest != entry["sha256"]:
                raise BundleRuntimeError(
                    f"the bundle is damaged: {name} has another sha256", where=str(self.path)
                )
