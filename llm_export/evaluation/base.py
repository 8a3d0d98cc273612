"""The interface of evaluation tasks and of the models that they measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llm_export.config.evaluate_schema import EvaluateConfig
from llm_export.evaluation.results import Score
from llm_export.metrics.value import Value

if TYPE_CHECKING:
    from torch import Tensor

    from runtime_py.chat_template import ChatTemplate
    from runtime_py.tokenizer import TextTokenizer


class Subject(Protocol):
    """A model under evaluation.

    Attributes:
        layer: its point in the pipeline.
        context_length: most tokens of a text.
    """

    layer: str
    context_length: int

    def rows(self, ids: Sequence[int], first: int) -> Iterator[Tensor]:
        """Logits [n, V] float32 after each of ``ids[first:]``, some positions at a time.

        Texts that begin like the last one are continued where the model can.
        """
        ...


@dataclass(frozen=True)
class Request:
    """What a task is given.

    Attributes:
        tokenizer: of the bundle.
        tokenizer_file: its tokenizer.json.
        template, tool_template: chat templates, for conversations without and with tools; None if
            the model has none.
        folder: for temporary files.
        progress: called with (done, total) of the work on one model.
    """

    settings: EvaluateConfig
    tokenizer: TextTokenizer
    tokenizer_file: Path
    vocab_size: int
    template: ChatTemplate | None
    tool_template: ChatTemplate | None
    folder: Path
    progress: Callable[[int, int], None] = lambda done, total: None


class Evaluator(Protocol):
    """One task at work.

    Attributes:
        about: what is measured on what, for people; complete after the first score.
        columns: the values of the scores; complete after the last score.
    """

    about: str

    @property
    def columns(self) -> tuple[Value, ...]: ...

    def score(self, subject: Subject) -> Score:
        """Measure one model: the float model first, if it is there at all.

        Raises:
            LlmExportError: the model cannot be measured; the message says why.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class EvaluationTask:
    """A task, defined by data and a function.

    Attributes:
        name: as in ``evaluate.tasks``.
        start: begins a task. Raises LlmExportError if it does not fit the model, for example
            because it has no chat template.
    """

    name: str
    start: Callable[[Request], Evaluator]
