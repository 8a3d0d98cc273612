"""Read manifest.json and check all that it says: types and ranges by its JSON Schema, and how its
entries fit together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from runtime_py.errors import BundleRuntimeError
from runtime_py.guard import guarded

MANIFEST = "manifest.json"
FORMAT = 1
TOKENIZER_ROLES = ("tokenizer", "chat_template", "tool_use_template")
"""Roles of files that an adapter may have of its own."""

MAX_BYTES = 64_000_000


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of manifest.json."""
    text = resources.files("runtime_py").joinpath("manifest.schema.json").read_text("utf-8")
    return dict(json.loads(text))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest of a bundle.

    Raises:
        BundleRuntimeError: there is none, it is of a later format, or not valid.
    """
    file = folder / MANIFEST
    with guarded("the manifest cannot be read", where=str(file)):
        if not _is_file(file):
            raise BundleRuntimeError(
                "this is not a bundle: it has no manifest.json"
                if _exists(folder) else "there is no such bundle", where=str(folder),
                fix="llm-export run RECIPE makes one",
            )  # fmt: skip
        if file.stat().st_size > MAX_BYTES:
            raise BundleRuntimeError(
                f"the manifest is larger than {MAX_BYTES // 1_000_000} MB",
                where=str(file),
                fix=_DAMAGED,
            )
        data = file.read_bytes()
    manifest = _parsed(data, str(file))
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise BundleRuntimeError(
            f"the bundle has format {version}; this runtime reads up to {FORMAT}",
            where=str(file), fix="pip install -U llm_export",
        )  # fmt: skip
    check_manifest(manifest, str(file), fix=_DAMAGED)
    return dict(manifest)


_DAMAGED = "copy the bundle again; or llm-export run RECIPE makes one"


def check_manifest(manifest: Any, where: str, *, fix: str | None = None) -> None:
    """Raises BundleRuntimeError, naming the key, if the manifest does not match the schema or
    contradicts itself.

    Args:
        fix: what the error says of a manifest that was read, and not just made.
    """
    with guarded("the manifest is not valid", where=where):
        errors = sorted(_validator().iter_errors(manifest), key=lambda e: list(e.absolute_path))
    if errors:
        key = ".".join(str(p) for p in errors[0].absolute_path) or "manifest"
        # The message quotes the value, which may be megabytes long.
        raise BundleRuntimeError(
            f"the manifest is not valid: {key[:200]}: {errors[0].message[:300]}",
            where=where,
            fix=fix,
        )
    for what in _contradictions(manifest):
        raise BundleRuntimeError(what, where=where, fix=fix)


def files_with_a_role(manifest: Mapping[str, Any]) -> set[str]:
    """Every file that a valid manifest refers to, apart from its list of files."""
    named = {*manifest["roles"].values(), *manifest.get("adapters", {}).values()}
    for own in manifest.get("adapter_tokenizers", {}).values():
        named.update(own["roles"].values())
    return named


def _contradictions(manifest: Mapping[str, Any]) -> list[str]:
    adapters, program = manifest.get("adapters", {}), manifest["program"]
    found = []
    if unlisted := files_with_a_role(manifest) - set(manifest["files"]):
        found.append(
            f"the manifest gives a role to a file that it does not list: {min(unlisted)[:200]}"
        )
    if adapters and manifest["default_adapter"] not in adapters:
        found.append(
            "the manifest names no file for its default adapter "
            f"'{manifest['default_adapter'][:200]}'"
        )
    steps = program.get("steps", {"forward": program["prefill_length"]})
    if unknown := set(steps) - set(program["methods"]):
        found.append(
            f"the manifest gives steps to a method that it does not list: {min(unknown)[:200]}"
        )
    if "verify_length" in program and VERIFY not in program["methods"]:
        found.append(f"the manifest gives a length to the method {VERIFY}, which it does not list")
    state = program.get("state", {"tensors": ()})["tensors"]
    for each in state:
        if each.get("slots", 0) >= len(each["shape"]):
            found.append(
                f"the manifest's state {each['name'][:200]} has no dimension {each['slots']}"
            )
    if len({each["name"] for each in state}) != len(state):
        found.append("the manifest's state has two tensors of one name")
    if max(steps.values()) != program["prefill_length"]:
        found.append(
            f"the manifest's steps take up to {max(steps.values())} tokens, but its prefill_length "
            f"is {program['prefill_length']}"
        )
    return found


def _parsed(data: bytes, where: str) -> Any:
    try:
        manifest = json.loads(data.decode("utf-8"), parse_constant=_no_number)
        # A \u escape can give half a surrogate pair, which no file, token or terminal takes.
        json.dumps(manifest, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BundleRuntimeError(
            f"the manifest is not valid JSON: {str(error)[:200]}", where=where, fix=_DAMAGED
        ) from None
    return manifest


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _is_integer(checker: object, value: Any) -> bool:
    """A whole number of 64 bits. JSON Schema's own integers are unbounded, and include 1.0."""
    return type(value) is int and -(2**63) <= value < 2**63


def _is_number(checker: object, value: Any) -> bool:
    return _is_integer(checker, value) or (type(value) is float and math.isfinite(value))


def _validator() -> Any:
    import jsonschema

    plain = jsonschema.Draft202012Validator
    types = plain.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number})
    return jsonschema.validators.extend(plain, type_checker=types)(manifest_schema())


def _exists(folder: Path) -> bool:
    try:
        return folder.exists()
    except (OSError, ValueError):  # a name that no folder can have
        return False


def _is_file(path: Path) -> bool:
    """Raises OSError for a name that the file system cannot take."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError:  # a zero byte, or half a surrogate pair
        return False
    return path.is_file()


VERIFY = "verify"
"""The method that returns the logits of all tokens of a short step."""


def rows_length(facts: Mapping[str, Any]) -> int:
    """Of the manifest's entry ``program``: tokens of the longest step that returns the logits after
    each. A method that may get padding returns all logits."""
    if facts.get("verify_length"):
        return int(facts["verify_length"])
    every = facts.get("logits") == "all" or not facts["dynamic_shapes"]
    return int(facts["prefill_length"]) if every else 1


def is_endless(program: Mapping[str, Any]) -> bool:
    """Whether positions may exceed the context, by the manifest's entry ``program``. Version 0.1
    had another key."""
    return bool(program.get("attention_sink") or program.get("endless"))
