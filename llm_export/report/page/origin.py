"""What a program was made from: model, checkpoint, licence, recipe, versions, machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePath
from typing import Any

from llm_export.checkpoints.licence import licence_at_hand
from llm_export.report.description import describe_model, describe_quant
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import bytes_text, count_text

_PARENTHESES = re.compile(r"\(([^()]+)\)")
_VERSIONS = ("llm_export", "torch", "executorch", "torchao", "transformers")
"""Those that are named; run.json and the lock have all."""


def origin(found: Evidence) -> dict[str, list[tuple[str, str]]]:
    """Title of a group -> (name, value) of its rows."""
    groups = {"Model": _model(found), "Made with": _made_with(found), "Program": _program(found)}
    return {title: rows for title, rows in groups.items() if rows}


def _model(found: Evidence) -> list[tuple[str, str]]:
    model = found.manifest.get("model") or {}
    recipe, load = found.recipe, found.facts("load")
    told = describe_model(recipe) if recipe else f"{model.get('name')} ({model.get('family')})"
    rows = [("model", told)]
    if model.get("parameters"):
        rows.append(("parameters", count_text(model["parameters"])))
    rows.append(("checkpoint", _last(str(model.get("checkpoint", "unknown")))))
    files = load.get("files") or {}
    if load.get("format"):
        names = ", ".join(PurePath(name).name for name in list(files)[:3])
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        rows.append(("format", f"{load['format']}: {names}{more}" if names else load["format"]))
    rows.append(("licence", licence(found) or "not known here: see the model's card"))
    return rows


def licence(found: Evidence) -> str | None:
    """Of the model: by the card beside its checkpoint, or as the model's option says."""
    recipe = found.recipe
    at_hand = licence_at_hand(recipe.checkpoint) if recipe else None
    if at_hand is not None or (recipe and recipe.checkpoint.path is not None):
        return at_hand
    option = (found.record.get("choices") or {}).get("model")
    return None if not option else _licence_of_option(str(option))


def _licence_of_option(name: str) -> str | None:
    """The second line of a model's option has it in parentheses."""
    if not re.fullmatch(r"\w+", name):
        return None
    file = resources.files("llm_export.conf").joinpath("model", f"{name}.yaml")
    if not file.is_file():
        return None
    lines = file.read_text("utf-8").splitlines()
    said = _PARENTHESES.search(lines[1]) if len(lines) > 1 and lines[1].startswith("#") else None
    return said[1] if said else None


def _program(found: Evidence) -> list[tuple[str, str]]:
    recipe, manifest, settings = found.recipe, found.manifest, found.settings
    quant, backend = settings.get("quant") or {}, settings.get("backend") or {}
    rows = [("recipe", str(manifest.get("name", "")))]
    if task := manifest.get("task"):
        rows.append(("task", str(task["name"])))
    changed = list(map(shown_override, found.record.get("overrides") or []))
    if changed:
        rows.append(("overrides", " ".join(changed)))
    if recipe:
        rows.append(("quantization", f"{recipe.quant.name}: {describe_quant(recipe.quant)}"))
    elif quant.get("name"):
        rows.append(("quantization", str(quant["name"])))
    if backend.get("name"):
        rows.append(("backend", ", then ".join([backend["name"], *backend.get("fallbacks", [])])))
    program = manifest.get("program") or {}
    if program:
        rows.append(("context", f"{program['context_length']:,} tokens"))
        if program.get("cache"):
            cache = program["cache"]
            rows.append(("cache", f"{bytes_text(cache['bytes'])}, {cache['dtype']}"))
    for name in manifest.get("adapters") or {}:
        rows.append(("LoRA adapter", name))
    return rows


def _made_with(found: Evidence) -> list[tuple[str, str]]:
    versions = found.record.get("versions") or found.manifest.get("producer") or {}
    named = [f"{name} {versions[name]}" for name in _VERSIONS if name in versions]
    rows = [("versions", ", ".join(named))] if named else []
    machine: Mapping[str, Any] = found.record.get("machine") or {}
    if machine:
        parts = [machine.get("cpu"), machine.get("architecture")]
        if machine.get("logical_cpus"):
            parts.append(f"{machine['logical_cpus']} CPUs")
        if machine.get("memory_bytes"):
            parts.append(bytes_text(machine["memory_bytes"]))
        parts += [" ".join(str(machine[k]) for k in ("system", "release") if machine.get(k))]
        rows.append(("machine", ", ".join(str(part) for part in parts if part)))
        if machine.get("python"):
            rows.append(("Python", str(machine["python"])))
    return rows


def _last(text: str) -> str:
    """A local path by its name: the page may be shared."""
    return f"…/{PurePath(text).name}" if text.startswith(("/", "~")) else text


def shown_override(text: object) -> str:
    """An override; of a local path only the name."""
    key, equals, value = str(text).partition("=")
    return f"{key}{equals}{_last(value)}"
