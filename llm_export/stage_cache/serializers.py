"""Codecs that write stage artifacts to cache entries and read them back.

There is one codec per kind of artifact. The runner stores the files in the bundle's folder; the
codecs store the rest. Artifacts of late stages do not store the model: on first access it is read
from the entry of the stage that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from llm_export.bundle.manifest import Manifest
from llm_export.bundle.program_state import ProgramState
from llm_export.bundle.proof import ComparisonResult, Proof
from llm_export.config.schema import Recipe
from llm_export.evaluation.results import Evaluation
from llm_export.json_data import from_json, to_json
from llm_export.pipeline.artifacts import (
    Benchmarked,
    Delegation,
    Lowered,
    Packaged,
    Reported,
    Transformed,
    Verified,
)
from llm_export.pipeline.speed import Speed
from llm_export.pipeline.summary import RunSummary
from llm_export.stage_cache.lazy_artifact import lazy, once

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")

Facts = dict[str, Any]


class NotCacheable(Exception):
    """An artifact cannot be cached; the message says why."""


class ReadContext(Protocol):
    """Files and artifacts that a codec may read besides its metadata."""

    recipe: Recipe
    bundle: Path

    def file(self, name: str) -> Path:
        """A file of the entry, with verified sha256."""
        ...

    def artifact(self, stage: str) -> Any:
        """The artifact of an earlier stage: from the cache, or recomputed if it is not there."""
        ...


@dataclass(frozen=True)
class Codec:
    """
    Attributes:
        write: (artifact, folder for its files) -> metadata as plain data; raises NotCacheable.
        read: (metadata, read context) -> the artifact.
    """

    write: Callable[[Any, Path], Facts]
    read: Callable[[Facts, ReadContext], Any]


def _transformed(past: ReadContext) -> Transformed:
    """The model as exported; loaded on first access."""
    read = once(lambda: past.artifact("export").transformed)
    return lazy(Transformed, {f.name: _field(read, f.name) for f in fields(Transformed)})


def _field(read: Callable[[], Any], name: str) -> Callable[[], Any]:
    return lambda: getattr(read(), name)


def _write_lowered(artifact: Lowered, folder: Path) -> Facts:
    return {
        "program_file": artifact.program_file.name,
        "delegation": asdict(artifact.delegation),
        "adapter_places": {name: asdict(p) for name, p in artifact.adapter_places.items()},
        "edge_check": optional_to_json(artifact.edge_check),
        "state": optional_to_json(artifact.state),
    }


def _read_lowered(facts: Facts, past: ReadContext) -> Lowered:
    places = {}
    if facts["adapter_places"]:
        from llm_export.bundle.adapter_file import Place

        places = {
            name: Place(p["key"], tuple(p["shape"]), p["tensor"])
            for name, p in facts["adapter_places"].items()
        }
    delegation: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in facts["delegation"].items()
    }
    return Lowered(
        past.bundle / facts["program_file"], Delegation(**delegation), _transformed(past), places,
        optional_from_json(ComparisonResult, facts["edge_check"]),
        optional_from_json(ProgramState, facts["state"]),
    )  # fmt: skip


def _write_packaged(artifact: Packaged, folder: Path) -> Facts:
    return {
        "manifest": artifact.manifest.as_dict(),
        "edge_check": optional_to_json(artifact.edge_check),
        "digests": artifact.digests,
    }


def _read_packaged(facts: Facts, past: ReadContext) -> Packaged:
    return Packaged(
        past.bundle,
        Manifest.from_dict(facts["manifest"]),
        _transformed(past),
        optional_from_json(ComparisonResult, facts["edge_check"]),
        facts["digests"],
    )


def _write_verified(artifact: Verified, folder: Path) -> Facts:
    return {
        "packaged": _write_packaged(artifact.packaged, folder),
        "proof": to_json(artifact.proof),
    }


def _read_verified(facts: Facts, past: ReadContext) -> Verified:
    return Verified(_read_packaged(facts["packaged"], past), from_json(Proof, facts["proof"]))


def _write_benchmarked(artifact: Benchmarked, folder: Path) -> Facts:
    packaged = _write_packaged(artifact.packaged, folder)
    return {
        "packaged": packaged,
        "proof": to_json(artifact.proof),
        "speed": optional_to_json(artifact.speed),
        "evaluation": optional_to_json(artifact.evaluation),
    }


def _read_benchmarked(facts: Facts, past: ReadContext) -> Benchmarked:
    return Benchmarked(
        _read_packaged(facts["packaged"], past),
        from_json(Proof, facts["proof"]),
        optional_from_json(Speed, facts["speed"]),
        optional_from_json(Evaluation, facts["evaluation"]),
    )


def _write_reported(artifact: Reported, folder: Path) -> Facts:
    return {"summary": to_json(artifact.summary)}


def _read_reported(facts: Facts, past: ReadContext) -> Reported:
    return Reported(past.bundle, from_json(RunSummary, facts["summary"]))


def optional_to_json(instance: DataclassInstance | None) -> Facts | None:
    return None if instance is None else to_json(instance)


def optional_from_json(kind: type[T], value: object) -> T | None:
    return None if value is None else from_json(kind, value)


LOWERED = Codec(_write_lowered, _read_lowered)
PACKAGED = Codec(_write_packaged, _read_packaged)
VERIFIED = Codec(_write_verified, _read_verified)
BENCHMARKED = Codec(_write_benchmarked, _read_benchmarked)
REPORTED = Codec(_write_reported, _read_reported)
