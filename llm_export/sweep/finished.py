"""Check whether a bundle is the finished result of a variant, and read its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from llm_export.config.quant_schema import CacheDtype
from llm_export.config.recipe_files import made_from
from llm_export.config.schema import Recipe
from llm_export.errors import LlmExportError
from llm_export.evaluation.results import PROGRAM, Evaluation
from llm_export.json_data import from_json
from llm_export.resolve.recipe import resolve, with_cache
from llm_export.sweep.state import Evaluated, Results
from llm_export.versions import package_versions


def is_finished(bundle: Path, recipe: Recipe) -> bool:
    """Whether the bundle is whole, with all its evidence, and was made from this recipe, from the
    same checkpoint and with the versions that are installed."""
    try:
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        sizes = {name: entry["bytes"] for name, entry in manifest["files"].items()}
        lock = yaml.safe_load((bundle / manifest["roles"]["lock"]).read_text(encoding="utf-8"))
        if any((bundle / name).stat().st_size != size for name, size in sizes.items()):
            return False
        if any(stage["state"] == "failed" for stage in _read(bundle / "run.json")["stages"]):
            return False  # a benchmark or a report, without which the bundle was kept
        if lock["versions"] != package_versions() or not made_from(lock, _as_locked(recipe, lock)):
            return False
        return bool(lock["checkpoint"] == _digests(recipe))
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, LlmExportError):
        return False


def _as_locked(recipe: Recipe, lock: Mapping[str, Any]) -> Recipe:
    """The resolved recipe, with the KV cache that was measured to be the best for the lock, if the
    recipe leaves that to a measurement."""
    resolved = resolve(recipe)
    if resolved.cache_choice is None:
        return resolved.recipe
    return with_cache(resolved.recipe, CacheDtype(lock["recipe"]["quant"]["kv_cache"]))


def _digests(recipe: Recipe) -> dict[str, str]:
    """Weight file -> sha256, as locks have them."""
    source = recipe.checkpoint
    if (source.path, source.hf_id, source.package, source.adapter) == (None,) * 4:
        return {}  # random weights
    from llm_export.checkpoints.open import open_checkpoint
    from llm_export.files import sha256_of

    return {path.name: sha256_of(path) for path in open_checkpoint(source, {}).files}


def results_of(bundle: Path) -> Results:
    manifest = _read(bundle / "manifest.json")
    proof, speed = _read(bundle / "parity.json"), _read(bundle / "benchmark.json")
    quality = proof.get("comparisons", {}).get("quality", {})
    values = {k: v for k, v in quality.items() if k not in ("positions", "intervals")}
    size = manifest["files"][manifest["roles"]["program"]]["bytes"]
    return Results(
        size / 1e6,
        speed.get("prefill_tokens_per_second", {}).get("median"),
        speed.get("decode_tokens_per_second", {}).get("median"),
        verdict=proof.get("verdict", {}).get("word"),
        first_token=speed.get("time_to_first_token_seconds", {}).get("median"),
        memory=speed.get("peak_memory_bytes"),
        disturbed=speed.get("conditions", {}).get("disturbed", False),
        evaluated=_evaluated(bundle, values),
        values=values,
    )


def _evaluated(bundle: Path, verified: Mapping[str, float]) -> dict[str, Evaluated]:
    """The brief values of the program, but those that verification has too."""
    body = _read(bundle / "evaluation.json")
    if not body:
        return {}
    return {
        f"{result.task}.{column.name}": Evaluated(score.values[column.name], column)
        for result in from_json(Evaluation, body).tasks
        if (score := result.of(PROGRAM)) is not None
        for column in result.columns
        if column.brief and column.name in score.values and column.name not in verified
    }


def stages_of(bundle: Path) -> tuple[float, list[str]]:
    """Seconds of all stages when the bundle was made, and the stages that were reused then."""
    stages = _read(bundle / "run.json")["stages"]
    return round(sum(s["seconds"] for s in stages), 1), [s["name"] for s in stages if _reused(s)]


def _reused(stage: Mapping[str, Any]) -> bool:
    return bool(stage.get("reused") or stage["facts"].get("reused"))


def _read(path: Path) -> Mapping[str, Any]:
    """A file of JSON; {} if it is not there."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
