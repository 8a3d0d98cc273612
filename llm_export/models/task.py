"""Tasks: what a program is for. The registry, and what a recipe says of its task."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import ModelConfig, Recipe
from llm_export.errors import RecipeError, did_you_mean, excerpt
from llm_export.json_data import from_json, to_json
from llm_export.models.families import FAMILIES
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.registry import Registry

if TYPE_CHECKING:
    from llm_export.models.definitions.base import Definition

AUTO, GENERATE, EMBED, SEE = "auto", "generate", "embed", "see"
_FAST = "composable"
"""The definition that builds the models of families."""


@dataclass(frozen=True)
class NoOptions:
    """Of a task without options."""


@dataclass(frozen=True)
class Task:
    """What programs are for.

    Attributes:
        description: one line.
        definitions: ``model.definition`` -> the source of its models' code.
        options: "module:attribute" of the dataclass that ``model.task_options`` is read into; each
            field has a default.
        contract: "module:attribute" of a ``tasks.contract.TaskContract``. Empty: the model is a
            decoder, and goes through the decoder's stages.
        beside_text: "module:attribute" of a ``tasks.beside_text.BesideText``, for decoders whose
            programs take more than text.
        measures: names of the figures that verification limits, which ``verify.limits`` may have.
        calibrates: whether calibration text can run through its models; those of decoders can.
        try_it: a command for people, with {bundle} for the bundle.
    """

    name: str
    description: str
    definitions: Registry[Definition]
    options: str = "llm_export.models.task:NoOptions"
    contract: str = ""
    beside_text: str = ""
    measures: tuple[str, ...] = ()
    calibrates: bool = False
    try_it: str = 'llm-export chat {bundle} --message "Hello"'

    @property
    def decodes(self) -> bool:
        """Whether its models are ``LanguageModel``s, and pass the decoder's stages."""
        return not self.contract

    @property
    def reads_text(self) -> bool:
        """Whether its models are ``TextReader``s through which text can run."""
        return self.decodes or self.calibrates

    def load_contract(self) -> Any:
        return _named(self.contract)

    def load_beside_text(self) -> Any:
        """None if programs take text alone."""
        return _named(self.beside_text) if self.beside_text else None

    def load_options(self) -> type[Any]:
        found: type[Any] = _named(self.options)
        return found


MODEL_TASKS: Registry[Task] = Registry("task", needs=("name", "definitions", "contract"))
_OF_FAMILIES = ("generate", "see", "embed", "transcribe", "translate")
"""The tasks whose models the families here are."""
for _name in _OF_FAMILIES:
    MODEL_TASKS.register(_name, f"llm_export.tasks.{_name}:TASK")
MODEL_TASKS.take_from_plugins("tasks")


def task_name(model: ModelConfig) -> str:
    """``model.task``, or where it is auto the task of the model's family."""
    if model.task != AUTO:
        return model.task
    if model.family in TASK_FAMILIES and model.family not in FAMILIES:
        return TASK_FAMILIES.get(model.family).task
    return GENERATE


def task_of(model: ModelConfig) -> Task:
    """Raises RecipeError if there is no such task."""
    return MODEL_TASKS.get(task_name(model))


def definition_of(model: ModelConfig) -> Definition:
    """The model definition of a recipe's task.

    Raises:
        RecipeError: there is no such task, or no such definition for it.
    """
    task = task_of(model)
    if model.definition not in task.definitions:
        raise RecipeError(
            f"there is no model definition '{model.definition}' for the task {task.name}",
            where="model.definition", fix=did_you_mean(model.definition, task.definitions),
        )  # fmt: skip
    if model.definition == _FAST:
        _require_task_of_family(model, task.name)
    return task.definitions.get(model.definition)


def _require_task_of_family(model: ModelConfig, task: str) -> None:
    """Refuse a family whose models are known to have other tasks only."""
    from llm_export.models.vision.families import VISION_FAMILIES

    tasks = [GENERATE] if model.family in FAMILIES else []
    tasks += [SEE] if model.family in VISION_FAMILIES else []
    if model.family in TASK_FAMILIES:
        tasks.append(TASK_FAMILIES.get(model.family).task)
    if tasks and task not in tasks and task in _OF_FAMILIES:
        text = "; model=auto takes the text part of a checkpoint" if tasks == [SEE] else ""
        raise RecipeError(
            f"models of the family '{model.family}' {' or '.join(tasks)}, and cannot {task}",
            where="model.task", fix=f"model.task={tasks[0]}{text}",
        )  # fmt: skip


def task_options(recipe: Recipe) -> Any:
    """``model.task_options`` as the options dataclass of the recipe's task.

    Raises:
        RecipeError: an unknown key, or a value of another kind.
    """
    task = task_of(recipe.model)
    kind, stated = task.load_options(), recipe.model.task_options
    known = [each.name for each in fields(kind)]
    for key in stated:
        if key not in known:
            raise RecipeError(
                f"the task {task.name} has no option '{excerpt(str(key))}'",
                where=f"model.task_options.{excerpt(str(key))}",
                fix=did_you_mean(str(key), known) if known else "remove it",
            )
    try:
        return from_json(kind, {**to_json(kind()), **stated}, scalars=True)
    except RecipeError:
        raise
    except (TypeError, ValueError) as error:
        what = str(error).removeprefix(f"{kind.__name__}: ").removeprefix(f"{kind.__name__}.")
        raise RecipeError(
            f"the options of the task {task.name} are not valid: {what}", where="model.task_options"
        ) from None


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)
