"""What a task of language models adds to the decoder's stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_export.bundle.measures import Measure
from llm_export.config.schema import Thresholds

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.contract import LanguageModel
    from llm_export.resolve.recipe import ResolvedRecipe


class Look(Protocol):
    """A comparison beside that of texts, step by step, as its models are at hand.

    Attributes:
        slots: of a KV cache that it needs.
    """

    slots: int

    def look_at_reference(self, model: LanguageModel) -> None:
        """Take what the float32 model makes of it."""

    def look(self, model: LanguageModel, program: Any, *, noisy: bool) -> None:
        """Take what the model as exported and the program make of it.

        Args:
            program: None where it cannot run here.
            noisy: whether anything is rounded at run time.
        """

    def measures(self, resolved: ResolvedRecipe, quality: Thresholds) -> tuple[Measure, ...]:
        """What was found.

        Args:
            quality: the limits of text.
        """
        ...


@dataclass(frozen=True)
class BesideText:
    """
    Attributes:
        write: (folder of the bundle, checkpoint, options of the task): writes files of the task.
        settings: the model -> ``task.settings`` of the manifest.
        look: (the model as exported, token ids of a text) -> what is compared.
    """

    write: Callable[[Path, Checkpoint, Any], None]
    settings: Callable[[Any], dict[str, Any]]
    look: Callable[[Any, Sequence[int]], Look]
