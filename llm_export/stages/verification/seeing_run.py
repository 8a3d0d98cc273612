"""The comparison of what is seen, step by step, as its models are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.bundle.measures import Measure
from llm_export.bundle.processor_file import write_processor
from llm_export.checkpoints.base import Checkpoint
from llm_export.config.schema import Thresholds
from llm_export.errors import InputError
from llm_export.models.contract import LanguageModel
from llm_export.models.vision.options import SeeOptions
from llm_export.models.vision.seeing_model import SeeingModel
from llm_export.models.vision.seen import task_settings
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.logits import in_slices
from llm_export.stages.verification.picture_text import slots
from llm_export.stages.verification.seeing import (
    Seen,
    measures,
    seeing_limits,
    seen_by_model,
    seen_by_program,
    sight,
)
from llm_export.tasks.beside_text import BesideText

if TYPE_CHECKING:
    from runtime_py.vision.program import SeeingProgram


class Seeing:
    """
    Args:
        model: as exported.
        text: token ids, some of which stand around each picture.

    Raises:
        InputError: the context has no room for an image.
    """

    def __init__(self, model: SeeingModel, text: Sequence[int]) -> None:
        self.shown, self.slots = sight(model, text), slots(model.config.tokens_per_image)
        if self.slots > model.context_length:
            raise InputError(
                f"an image takes {model.config.tokens_per_image} tokens, and the context has "
                f"{model.context_length}",
                where="runtime.context_length", fix=f"at least {self.slots}",
            )  # fmt: skip
        self._reference: Seen | None = None
        self._program: Seen | None = None
        self._exported: Seen | None = None
        self._noisy: Seen | None = None

    def look_at_reference(self, model: LanguageModel) -> None:
        """See ``Look``."""
        assert isinstance(model, SeeingModel)
        self._reference = seen_by_model(model, self.shown)

    def look(self, model: LanguageModel, program: Any, *, noisy: bool) -> None:
        """See ``Look``."""
        assert isinstance(model, SeeingModel)
        with in_slices(model):
            self._exported = seen_by_model(model, self.shown)
            if noisy:
                self._noisy = seen_by_model(model, self.shown, noise=True)
        if program is not None:
            seeing: SeeingProgram = program
            self._program = seen_by_program(seeing, self.shown, model.config.tokens_per_image)

    def measures(self, resolved: ResolvedRecipe, quality: Thresholds) -> tuple[Measure, ...]:
        """See ``Look``."""
        assert self._exported is not None
        assert self._reference is not None
        return measures(
            self._program, self._exported, self._reference, self._noisy, self.shown,
            seeing_limits(resolved, quality),
        )  # fmt: skip


def _write(folder: Path, checkpoint: Checkpoint, options: SeeOptions) -> None:
    write_processor(folder, checkpoint, options.processor)


BESIDE_TEXT = BesideText(write=_write, settings=task_settings, look=Seeing)
"""Of the task ``see``."""
