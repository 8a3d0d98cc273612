"""The comparison of what is seen, step by step, as its models are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_export.bundle.measures import Measure
from llm_export.config.schema import Thresholds
from llm_export.errors import InputError
from llm_export.models.contract import LanguageModel
from llm_export.models.vision.model import VisionLanguageModel
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.logits import in_slices
from llm_export.stages.verification.seeing import (
    Seen,
    measures,
    seeing_limits,
    seen_by_model,
    seen_by_program,
    sight,
    slots,
)

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

    def __init__(self, model: VisionLanguageModel, text: Sequence[int]) -> None:
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
        assert isinstance(model, VisionLanguageModel)
        self._reference = seen_by_model(model, self.shown)

    def look(self, model: LanguageModel, program: Any, *, noisy: bool) -> None:
        """
        Args:
            model: as exported.
            program: None where it cannot run here.
            noisy: whether anything is rounded at run time.
        """
        assert isinstance(model, VisionLanguageModel)
        with in_slices(model):
            self._exported = seen_by_model(model, self.shown)
            if noisy:
                self._noisy = seen_by_model(model, self.shown, noise=True)
        if program is not None:
            seeing: SeeingProgram = program
            self._program = seen_by_program(seeing, self.shown, model.config.tokens_per_image)

    def measures(self, resolved: ResolvedRecipe, quality: Thresholds) -> tuple[Measure, ...]:
        """What was found.

        Args:
            quality: the limits of text.
        """
        assert self._exported is not None
        assert self._reference is not None
        return measures(
            self._program, self._exported, self._reference, self._noisy, self.shown,
            seeing_limits(resolved, quality),
        )  # fmt: skip
