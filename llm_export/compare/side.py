"""What the files of a bundle, or saved results of a run, say of it.

Files of earlier versions lack some of it; what is not there is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llm_export.bundle.opened import opened
from llm_export.bundle.roles import ROLES
from llm_export.compare.figure import number, part
from llm_export.config.plain_yaml import read_plain
from llm_export.errors import BundleError, LlmExportError
from llm_export.evaluation.results import Evaluation, TaskResult
from llm_export.files import optional_json, read_json
from llm_export.json_data import from_json
from llm_export.profile.profile_map import ProfileMap
from runtime_py.bundle import MANIFEST
from runtime_py.manifest import is_endless
from runtime_py.packed import is_packed

RUN = "run.json"
UNQUANTIZED = "not quantized"


@dataclass(frozen=True, kw_only=True)
class Side:
    """
    Attributes:
        recipe: with a value for each key, as the version that wrote it knew them.
        context_length: of the program, in tokens; None: not known.
        endless: whether positions may exceed it.
        program_bytes: of the program's file.
        modules: module -> bytes of its weights in the program.
        schemes: scheme -> bytes of the weights that have it.
        proof: positions, comparisons and verdict, as manifest.json has them.
        benchmark: as benchmark.json has it.
        rounds: how often it was measured in turns with the other side; 0: on its own.
    """

    path: str
    name: str
    recipe: Mapping[str, Any] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, object] = field(default_factory=dict)
    context_length: int | None = None
    endless: bool = False
    program_bytes: int | None = None
    bundle_bytes: int | None = None
    modules: Mapping[str, int] = field(default_factory=dict)
    schemes: Mapping[str, int] = field(default_factory=dict)
    proof: Mapping[str, object] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    benchmark: Mapping[str, object] = field(default_factory=dict)
    rounds: int = 0


def read_side(path: str | Path) -> Side:
    """Read a bundle, a packed one too, a folder with some of its files, or run.json or
    benchmark.json.

    Raises:
        BundleError: there is nothing of the kind, or a file is damaged.
    """
    place = Path(path)
    try:
        if is_packed(place):
            return replace(_of_folder(opened(place)), path=str(place))
        if place.is_file():
            return _of_file(place)
        return _of_folder(place)
    except BundleError:
        raise
    except LlmExportError as error:
        raise BundleError(
            error.what, where=error.where, fix="llm-export verify BUNDLE; export it again"
        ) from None


def _of_file(path: Path) -> Side:
    body = read_json(path)
    if "stages" in body:
        return _side(path, run=body)
    if "decode_tokens_per_second" in body or "tests" in body:
        return _side(path, benchmark=body)
    raise BundleError(
        "neither a run.json nor a benchmark.json", where=str(path), fix="a bundle's folder"
    )


def _of_folder(folder: Path) -> Side:
    found = {
        name: optional_json(folder / file)
        for name, file in (
            ("manifest", MANIFEST), ("run", RUN), ("benchmark", ROLES["benchmark"]),
            ("parity", ROLES["parity"]), ("evaluation", ROLES["evaluation"]),
        )
    }  # fmt: skip
    if not any(found.values()):
        missing = "there is no such file or folder" if not folder.exists() else (
            "neither a bundle nor the saved results of a run"
        )  # fmt: skip
        raise BundleError(
            missing, where=str(folder),
            fix="a folder that `llm-export run` made, or one with run.json or benchmark.json",
        )  # fmt: skip
    return _side(folder, **found)


def _side(
    path: Path,
    *,
    run: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
    benchmark: Mapping[str, Any] | None = None,
    parity: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> Side:
    run, manifest = run or {}, manifest or {}
    facts = _facts(run)
    lock = _lock(path)
    # The verify stage notes what parity.json and the manifest have, under the same names.
    proof = part(manifest, "proof")
    if not part(proof, "comparisons"):
        proof = {**(parity or part(facts, "verify")), **proof}
    measured = benchmark or part(facts, "benchmark")
    modules = _modules(path / ROLES["profile_map"])
    recipe = part(lock, "recipe") or part(run, "recipe")
    return Side(
        path=str(path),
        name=str(manifest.get("name") or run.get("name") or measured.get("bundle") or path.stem),
        recipe={k: v for k, v in recipe.items() if k != "out"} or None,
        versions=_texts(part(lock, "versions") or part(run, "versions")),
        machine=part(run, "machine") or part(lock, "platform"),
        context_length=_whole(part(manifest, "program").get("context_length")),
        endless=is_endless(part(manifest, "program")),
        program_bytes=_program_bytes(path, manifest, facts),
        bundle_bytes=_bundle_bytes(manifest),
        modules=modules,
        schemes=_schemes(part(facts, "quantize").get("quantization"), modules),
        proof=proof,
        evaluation=_evaluation(evaluation or part(part(facts, "evaluate"), "evaluation"), path),
        benchmark=measured if part(measured, "decode_tokens_per_second") else {},
    )


def _facts(run: Mapping[str, Any]) -> dict[str, Mapping[str, object]]:
    """Stage -> what it noted."""
    stages = run.get("stages")
    found = stages if isinstance(stages, list) else []
    return {str(s.get("name")): part(s, "facts") for s in found if isinstance(s, Mapping)}


def _lock(path: Path) -> Mapping[str, Any]:
    file = path / ROLES["lock"]
    if not file.is_file():
        return {}
    found = read_plain(file)
    return found if isinstance(found, Mapping) else {}


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def _texts(found: Mapping[str, object]) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.items()}


def _program_bytes(
    path: Path, manifest: Mapping[str, Any], facts: Mapping[str, Mapping[str, object]]
) -> int | None:
    file = str(part(manifest, "roles").get("program") or ROLES["program"])
    listed = number(part(part(manifest, "files"), file).get("bytes"))
    if listed is None and path.is_dir() and (path / file).is_file():
        listed = (path / file).stat().st_size
    noted = number(part(facts, "lower").get("bytes"))
    found = noted if listed is None else listed
    return _whole(found)


def _bundle_bytes(manifest: Mapping[str, Any]) -> int | None:
    sizes = [number(part(part(manifest, "files"), f).get("bytes")) for f in part(manifest, "files")]
    known = [size for size in sizes if size is not None]
    return int(sum(known)) if known else None


def _modules(file: Path) -> dict[str, int]:
    return dict(ProfileMap.read(file).weights) if file.is_file() else {}


def _schemes(noted: object, modules: Mapping[str, int]) -> dict[str, int]:
    """Bytes by scheme: those of the program where they are known by module, otherwise those that
    the quantize stage counted."""
    rows = [r for r in noted if isinstance(r, Mapping)] if isinstance(noted, list) else []
    scheme_of = {str(row.get("name")): str(row.get("scheme")) for row in rows}
    sizes: dict[str, int] = {}
    if modules and scheme_of:
        for module, size in modules.items():
            scheme = scheme_of.get(module, UNQUANTIZED)
            sizes[scheme] = sizes.get(scheme, 0) + size
        return sizes
    for row in rows:
        size = int(number(row.get("bytes")) or 0)
        sizes[str(row.get("scheme"))] = sizes.get(str(row.get("scheme")), 0) + size
    return sizes


def _evaluation(body: Mapping[str, object], path: Path) -> Evaluation | None:
    if not body:
        return None
    try:
        found = from_json(Evaluation, body)
        for task in found.tasks:
            _require_sound(task)
        return found
    except (ValueError, LookupError) as error:  # forms of other values raise LookupError
        raise BundleError(
            f"the evaluation is of another version or damaged: {error}", where=str(path),
            fix="llm-export evaluate BUNDLE measures it anew",
        ) from None  # fmt: skip


def _require_sound(task: TaskResult) -> None:
    """Raises ValueError or LookupError: a scalar is of another type, which ``from_json`` does not
    check, or a format string formats no number."""
    texts = [task.task, task.about]
    for column in task.columns:
        texts += [column.name, column.title, column.unit, column.form]
        if column.higher_is_better not in (True, False, None):
            raise ValueError(f"'{task.task}': higher_is_better is neither true, false nor null")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"'{task.task}': a text is something else")
    for column in task.columns:
        column.text(1.0)
