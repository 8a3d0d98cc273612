"""What lies in a bundle, read once for all contracts: program, tokenizer, configuration."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from llm_export.compat.program_methods import Constant, ProgramMethod, read_methods
from llm_export.errors import BundleError, bundle_errors
from runtime_py.bundle import MANIFEST
from runtime_py.manifest import read_manifest

PROGRAM, TOKENIZER, RECIPE = "model.pte", "tokenizer.json", "recipe.yaml"
"""Files of a bundle that rules speak of."""

MOST_BYTES = 200_000_000
"""Of a JSON file that is read."""


class Unreadable(Exception):
    """A file cannot be read: why."""


class BundleFacts:
    """Reads only what is asked for. The manifest is not needed: any folder with a program can be
    compared with contracts.

    Args:
        rerun: the command that makes the bundle again, to which fixes add keys; None: that of its
            recipe. '': fixes are keys alone.

    Raises:
        BundleError: there is neither a program nor a manifest, or the manifest is not valid.
    """

    def __init__(self, folder: Path, rerun: str | None = None) -> None:
        self.folder = folder
        recipe = folder / RECIPE
        named = shlex.quote(str(recipe)) if recipe.is_file() else "RECIPE"
        self.rerun = f"llm-export run {named}" if rerun is None else rerun
        self.manifest: Mapping[str, Any] = {}
        if (folder / MANIFEST).is_file():
            with bundle_errors():
                self.manifest = read_manifest(folder)
        elif not self.program_path.is_file():
            raise BundleError(
                f"there is neither {MANIFEST} nor {PROGRAM}", where=str(folder),
                fix="name a folder that llm-export run made, or a file of llm-export pack",
            )  # fmt: skip
        self._json: dict[str, Any] = {}

    @property
    def program_path(self) -> Path:
        return self.folder / PROGRAM

    @cached_property
    def program_problem(self) -> str:
        """Why the program cannot be read; '' if it can."""
        try:
            self.methods  # noqa: B018
        except Unreadable as error:
            return str(error)
        return ""

    @cached_property
    def methods(self) -> dict[str, ProgramMethod]:
        """
        Raises:
            Unreadable: the program is missing or damaged.
        """
        try:
            return read_methods(self.program_path)
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        except ValueError as error:
            raise Unreadable(f"is damaged: {error}") from None

    def constants(self, name: str) -> tuple[Constant, ...] | None:
        """What a constant method returns; None if there is no such method."""
        method = self.methods.get(name)
        return None if method is None else method.constants

    def constant(self, name: str) -> Constant | None:
        """The same of one that returns a single value."""
        found = self.constants(name)
        return found[0] if found is not None and len(found) == 1 else None

    @property
    def vocabulary(self) -> int | None:
        """Tokens of the program, as it says itself."""
        found = self.constant("get_vocab_size")
        return found if isinstance(found, int) else None

    @cached_property
    def tokens(self) -> int:
        """Tokens of the tokenizer: one more than its largest id.

        Raises:
            Unreadable: there is none, or it is not a Hugging Face tokenizer.
        """
        body = self.json(TOKENIZER)
        try:
            vocabulary = body["model"]["vocab"]
            ids = (
                list(vocabulary.values())
                if isinstance(vocabulary, dict)
                else list(range(len(vocabulary)))
            )
            ids += [each["id"] for each in body.get("added_tokens") or ()]
            return 1 + max(int(each) for each in ids)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            raise Unreadable("is no tokenizer of Hugging Face's form") from None

    def json(self, path: str) -> Any:
        """
        Raises:
            Unreadable: there is no such file, or it is not JSON.
        """
        if path not in self._json:
            self._json[path] = self._read_json(self.folder / path)
        return self._json[path]

    def _read_json(self, file: Path) -> Any:
        try:
            if file.stat().st_size > MOST_BYTES:
                raise Unreadable(f"has more than {MOST_BYTES:,} bytes")
            return json.loads(file.read_bytes())
        except FileNotFoundError:
            raise Unreadable("is missing") from None
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from None
        except (ValueError, RecursionError):
            raise Unreadable("is not JSON") from None
