"""Families of models with other methods than a decoder's: facts, as for decoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.families.keymap import KeyMap

if TYPE_CHECKING:
    from torch import Tensor

    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.programs.task_model import TaskModel


@dataclass(frozen=True)
class TaskFamily:
    """
    Attributes:
        name: of the registry; ``model_type`` of config.json where that is enough.
        task: embed, transcribe, translate, ...
        architectures: of config.json that the family builds; the first is written.
        model_types: further ones of config.json that the family builds for its task.
        options: an opened checkpoint -> what its files say of the task's options.
        check_options: (config, the task's options, context length or None) -> nothing; raises
            RecipeError if they do not fit each other.
        from_hf: config.json -> the family's own frozen config dataclass. It requires each key that
            it knows and raises CheckpointError on one that it does not (``ConfigReader``).
        build: (config, context length) -> the model without values. Called on the meta device.
        keys: names of a Hugging Face folder <-> parameters of the model.
        context_limit: config -> (most positions, what limits them); None: nothing does.
        has_head: whether there is an output head, a product with the vocabulary.
        outlier_layers: pattern of linear layers whose inputs have outliers; see ``Definition``.
        smoothing_refusal: why there is nothing to fold SmoothQuant's scales into; None: its model
            is of blocks with norms that feed linear layers alone.
        attention_kinds: config -> kinds of attention besides plain, best first.
        tiny: config.json values of a small member, for tests.
        restore: (name of a parameter, tensor) -> tensor, undoing the layout changes of
            Hugging Face folders.
        opened: what the family reads of an opened Hugging Face folder besides config.json and the
            weights file; see ``checkpoints.base.Checkpoint``.
    """

    name: str
    task: str
    architectures: tuple[str, ...]
    from_hf: Callable[[Mapping[str, Any]], Any]
    build: Callable[[Any, int], TaskModel]
    keys: KeyMap
    model_types: tuple[str, ...] = ()
    options: Callable[[Checkpoint], Mapping[str, Any]] = lambda checkpoint: {}
    context_limit: Callable[[Any], tuple[int, str] | None] = lambda config: None
    has_head: bool = False
    outlier_layers: str | None = None
    smoothing_refusal: str | None = "its parts are not known to SmoothQuant"
    attention_kinds: Callable[[Any], tuple[str, ...]] = lambda config: ()
    tiny: Mapping[str, Any] = field(default_factory=dict)
    check_options: Callable[[Any, Any, int | None], None] = lambda config, options, length: None
    restore: Callable[[str, Tensor], Tensor] | None = None
    opened: Callable[[Checkpoint], Checkpoint] = lambda checkpoint: checkpoint

    def read(self, config: Mapping[str, Any]) -> Any:
        """``from_hf``, with an error that says where for values that do not fit each other.

        Raises:
            CheckpointError: the family does not implement the config, or it is not valid.
        """
        try:
            return self.from_hf(config)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise CheckpointError(
                f"a value does not fit: {type(error).__name__}: {error}", where="model.config"
            ) from None
