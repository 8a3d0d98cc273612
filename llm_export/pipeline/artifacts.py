"""The artifacts passed between stages. They are frozen, and the only input of the next stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    # A run that finds all stages done shows what they made without any of these.
    from torch.export import ExportedProgram

    from llm_export.bundle.adapter_file import Place
    from llm_export.bundle.manifest import Manifest
    from llm_export.bundle.program_state import ProgramState
    from llm_export.bundle.proof import ComparisonResult, Proof, SourceComparison
    from llm_export.checkpoints.adapter import Adapter
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.evaluation.results import Evaluation
    from llm_export.layer_reuse.plan import LayerPlan
    from llm_export.models.contract import LanguageModel, ModelMetadata
    from llm_export.pipeline.speed import Speed
    from llm_export.pipeline.summary import RunSummary
    from llm_export.quant.observers import Ranges
    from llm_export.quant.rules import LayerQuantSpec
    from llm_export.tokenizers.base import TokenizerAssets
    from llm_export.transforms.base import Transform

ProgramConstant: TypeAlias = "bool | int | list[int] | str"
"""What a constant method of a program returns."""

NOT_RUN = "not run on its target"
"""How the reason begins where this machine cannot run the program."""


@dataclass(frozen=True)
class Start:
    """Nothing but the recipe."""


@dataclass(frozen=True)
class Source:
    """The source of the model, recorded in the manifest and the lock."""

    checkpoint: Checkpoint
    tokenizer: TokenizerAssets
    metadata: ModelMetadata
    parameters: int
    digests: dict[str, str]
    """Weight file -> sha256."""
    adapter: Adapter | None = None
    """The separate adapter; ``checkpoint`` is merged with it nevertheless."""
    comparison: SourceComparison | None = None
    """What another library reads of the checkpoint. None: the recipe of the run that loaded it did
    not ask."""


@dataclass(frozen=True)
class Loaded:
    """An eager float32 model with plain attention."""

    model: LanguageModel
    source: Source


@dataclass(frozen=True)
class Prepared:
    """A float model equivalent to the loaded one, and the quantization spec of each module.

    ``ranges``: activation ranges that training found for modules with static schemes.
    """

    model: LanguageModel
    source: Source
    transforms: tuple[Transform, ...]
    choices: tuple[LayerQuantSpec, ...]
    ranges: Ranges = field(default_factory=dict)


@dataclass(frozen=True)
class Transformed:
    """The model as it will be exported: quantized, with its kind of attention."""

    model: LanguageModel
    source: Source
    transforms: tuple[Transform, ...]
    choices: tuple[LayerQuantSpec, ...]
    predicted_bytes: int
    ranges: Ranges = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """Graphs of one model: of the method that steps through a text, with fixed shapes one for each
    other length, and of the model's further methods."""

    programs: dict[str, ExportedProgram]
    transformed: Transformed
    constants: dict[str, ProgramConstant]
    """Constant methods of the program, as the C++ LLM runner reads them."""
    plan: LayerPlan | None = None
    """Which layers the graphs contain, and how they are cloned for the others; None: all."""
    whole_because: str = ""
    further_plans: Mapping[str, LayerPlan] = field(default_factory=dict)
    """The same of further methods that have repeated layers."""

    @property
    def program(self) -> ExportedProgram:
        """Of the method that steps through a text."""
        return next(iter(self.programs.values()))


@dataclass(frozen=True)
class Delegation:
    """Result of delegation. ``outside``: operator -> number of calls that are not delegated;
    ``by_backend``: delegate -> number of subgraphs."""

    subgraphs: int
    delegated_nodes: int
    outside: dict[str, int]
    backends: tuple[str, ...]
    operators: tuple[str, ...]
    by_backend: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Lowered:
    program_file: Path
    delegation: Delegation
    transformed: Transformed
    adapter_places: dict[str, Place] = field(default_factory=dict)
    """Parameter of a separate adapter -> where its file holds it."""
    edge_check: ComparisonResult | None = None
    """The lowered graph in Python against the eager model, where the program does not run here."""
    state: ProgramState | None = None
    """None: the program has no method that returns its state."""


@dataclass(frozen=True)
class Packaged:
    """A bundle that a runtime can load. ``eager`` is the model as exported."""

    bundle: Path
    manifest: Manifest
    transformed: Transformed
    edge_check: ComparisonResult | None = None
    digests: dict[str, str] = field(default_factory=dict)
    """Weight file of the checkpoint -> sha256."""


@dataclass(frozen=True)
class Verified:
    packaged: Packaged
    proof: Proof


@dataclass(frozen=True)
class Benchmarked:
    packaged: Packaged
    proof: Proof
    speed: Speed | None
    """None: it was not measured."""
    evaluation: Evaluation | None = None
    """None: it was not evaluated, or not yet."""


@dataclass(frozen=True)
class Reported:
    """The finished bundle, still under its temporary name."""

    bundle: Path
    summary: RunSummary


Artifact = (
    Start | Loaded | Prepared | Transformed | Exported | Lowered | Packaged | Verified | Benchmarked
    | Reported
)  # fmt: skip
"""What any stage takes or makes."""
