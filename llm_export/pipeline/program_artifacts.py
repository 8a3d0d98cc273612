"""The artifacts passed between the stages of programs that are no decoders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from llm_export.bundle.manifest import Manifest
    from llm_export.bundle.measures import Measure
    from llm_export.bundle.proof import Proof
    from llm_export.layer_reuse.plan import LayerPlan
    from llm_export.models.programs.task_model import Method, TaskModel
    from llm_export.pipeline.artifacts import Delegation, ProgramConstant, Source
    from llm_export.quant.rules import LayerQuantSpec


@dataclass(frozen=True)
class ProgramLoaded:
    """An eager float32 model."""

    model: TaskModel
    source: Source


@dataclass(frozen=True)
class ProgramQuantized:
    """The model as it will be exported."""

    model: TaskModel
    source: Source
    choices: tuple[LayerQuantSpec, ...]
    predicted_bytes: int


@dataclass(frozen=True)
class ProgramExported:
    """A graph for each method.

    Attributes:
        plans: method -> which layers its graph has, where it has not all.
        whole: method -> why its graph has all layers, where it names repeated ones.
    """

    programs: dict[str, ExportedProgram]
    methods: tuple[Method, ...]
    constants: dict[str, ProgramConstant]
    quantized: ProgramQuantized
    plans: Mapping[str, LayerPlan] = field(default_factory=dict)
    whole: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ProgramLowered:
    program_file: Path
    delegation: Delegation
    quantized: ProgramQuantized


@dataclass(frozen=True)
class ProgramPackaged:
    """A bundle that a runtime can load."""

    bundle: Path
    manifest: Manifest
    quantized: ProgramQuantized


@dataclass(frozen=True)
class ProgramVerified:
    packaged: ProgramPackaged
    proof: Proof


@dataclass(frozen=True)
class ProgramMeasured:
    """``speed``: empty if it was not measured."""

    packaged: ProgramPackaged
    proof: Proof
    speed: tuple[Measure, ...] = ()
