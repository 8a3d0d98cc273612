"""What the generic tier must know of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_export.registry import Registry

if TYPE_CHECKING:
    from llm_export.checkpoints.base import Checkpoint
    from llm_export.models.hf.auto_class import AutoClass
    from llm_export.models.load_weights import Coverage
    from llm_export.models.programs.task_model import TaskModel


@dataclass(frozen=True)
class LibraryTask:
    """
    Attributes:
        auto: the auto class of transformers that builds its models.
        build: (transformers config, opened checkpoint, config.json values of the option, context
            length, seed of random weights) -> the model with its weights.
        outline: (transformers config, config.json values, context length) -> the model without
            values. Raises CheckpointError: it does not take what the task gives.
        check: (model without values, task options, context length or None); raises RecipeError.
        opened: an opened folder, with what the task reads beside config.json and weights: itself,
            or a ``WithOtherFiles``.
        options: an opened checkpoint -> what its files say of the task's options.
        added_keys: of a model option, that are not of config.json.
        has_head: whether its models have an output head, a product with the vocabulary.
    """

    auto: AutoClass
    build: Callable[[Any, Checkpoint, Mapping[str, Any], int, int], tuple[TaskModel, Coverage]]
    outline: Callable[[Any, Mapping[str, Any], int], TaskModel]
    check: Callable[[TaskModel, Any, int | None], object]
    opened: Callable[[Checkpoint], Checkpoint] = lambda checkpoint: checkpoint
    options: Callable[[Checkpoint], Mapping[str, Any]] = lambda checkpoint: {}
    added_keys: tuple[str, ...] = ()
    has_head: bool = False


LIBRARY_TASKS: Registry[LibraryTask] = Registry("task of the generic tier")
LIBRARY_TASKS.register("embed", "llm_export.models.encoders.library:LIBRARY")
LIBRARY_TASKS.register("transcribe", "llm_export.models.speech.library_build:LIBRARY")
LIBRARY_TASKS.register("translate", "llm_export.models.seq2seq.library:LIBRARY")
