"""Keys of the group ``evaluate``: the quality of the program, by pipeline layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from omegaconf import MISSING

from llm_export.config.quant_schema import require, require_length


class EvaluatedLayer(str, Enum):
    """The model at a point of the pipeline."""

    float = "float"
    transformed = "transformed"
    quantized = "quantized"
    program = "program"


@dataclass
class EvaluateConfig:
    """Evaluation of the finished program, and of the model at earlier points of the pipeline."""

    name: str = MISSING
    enabled: bool = False
    """Whether to evaluate."""
    tasks: list[str] = field(default_factory=lambda: ["text"])
    """What to evaluate: text (perplexity, KL divergence, top-1 agreement), tool_calls, the tasks of
    plugins, or any task, group or tag of lm-evaluation-harness, e.g. arc_easy; its datasets come
    from the hub. ``llm-export ls evaluations`` lists the first kinds."""
    layers: list[EvaluatedLayer] = field(
        default_factory=lambda: [EvaluatedLayer.float, EvaluatedLayer.program]
    )
    """Which models to evaluate. float: the float32 model of the checkpoint, to which the others are
    compared. transformed: after the float transforms. quantized: the eager model as exported.
    program: the .pte, run by ``runtime_py``."""
    text: str | None = None
    """A UTF-8 text file for the task text; null is the English text that ships with the package."""
    positions: int = 1000
    """Least number of positions of text to evaluate, in whole windows; fewer where the text is
    shorter."""
    window: int | None = None
    """Tokens per window; each window starts with an empty KV cache. null is 512, or the context if
    that is shorter."""
    task_paths: list[str] = field(default_factory=list)
    """Folders with tasks in the YAML format of lm-evaluation-harness."""
    max_examples: int | None = None
    """Most examples of a task; null is all of them."""
    few_shot: int | None = None
    """Solved examples before each question of a task of lm-evaluation-harness; null is the task's
    own number."""
    description: str = ""

    def __post_init__(self) -> None:
        require(self.positions > 0, "positions", "must be positive", self.positions)
        require_length(self, "window", at_least=2)
        require_length(self, "max_examples")
        require(self.few_shot is None or self.few_shot >= 0, "few_shot", "must not be negative",
                self.few_shot)  # fmt: skip
