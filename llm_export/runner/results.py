"""The objects that a run returns: one step per stage, and the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.errors import LlmExportError

if TYPE_CHECKING:
    from llm_export.pipeline.artifacts import Artifact
    from llm_export.pipeline.record import RunRecord
    from llm_export.pipeline.summary import RunSummary
    from runtime_py import LLM


@dataclass(frozen=True)
class RunResult:
    """Result of a run: the bundle's folder, its summary and its record (run.json).

    Attributes:
        lock: if a lock was run, one line that says whether the program is the same.
    """

    bundle: Path
    summary: RunSummary
    record: RunRecord
    lock: str = ""

    def load(self, *, threads: int | None = None, adapter: str | None = None) -> LLM:
        """Load the bundle into the Python runtime.

        Args:
            threads: size of the thread pool; None keeps ExecuTorch's choice.
            adapter: one of the bundle's adapters, or base; None is the bundle's default.

        Raises:
            BundleRuntimeError: this machine cannot run the program.
        """
        from runtime_py import LLM

        return LLM.load(self.bundle, threads=threads, adapter=adapter)


@dataclass(eq=False)
class Step:
    """One finished stage.

    Attributes:
        number: 1 to ``total``.
        reused: whether the result came from the stage cache.
        seconds: duration, measured in the run that executed the stage.
    """

    name: str
    number: int
    total: int
    reused: bool
    seconds: float
    read: Callable[[], Any] | None
    """Returns the artifact; None once it is released."""

    @property
    def artifact(self) -> Artifact:
        """The stage's artifact. It and its files are available until the next step: the next stage
        may modify the model in place, and only one model is kept in memory.

        Raises:
            LlmExportError: a later step was taken, or the run was closed.
        """
        if self.read is None:
            raise LlmExportError(
                "the artifact is released once the next step is taken", where=f"step '{self.name}'",
                fix="read step.artifact before the next step",
            )  # fmt: skip
        return self.read()

    def release(self) -> None:
        self.read = None
