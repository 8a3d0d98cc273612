"""Derive the model option of an encoder or encoder–decoder from a checkpoint's own config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import CheckpointError, LlmExportError
from llm_export.models.detect import FAST, GENERIC, checkpoint_name, facts_only
from llm_export.models.families import FAMILIES
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.programs.library_task import LIBRARY_TASKS
from llm_export.models.task import AUTO, EMBED

if TYPE_CHECKING:
    from llm_export.models.programs.family import TaskFamily

SENTENCE_TRANSFORMERS = "modules.json"
"""The file of a folder whose model embeds, whatever its config says."""


def detect_program(
    source: CheckpointConfig, task: str, definition: str = FAST
) -> ModelConfig | None:
    """The model option of a checkpoint; None if it is a decoder's.

    Args:
        task: ``model.task``; with auto, a checkpoint that decoders and others can be made of
            is a decoder's.
        definition: FAST or GENERIC; AUTO prefers FAST and stores in ``reason`` why it does not
            support the model.

    Raises:
        CheckpointError: no family of the task builds it, or config values are missing.
    """
    checkpoint = open_checkpoint(source, {}, whole=True)
    if checkpoint.naming != "hf":
        if task == AUTO:
            return None
        raise CheckpointError(
            f"model.task={task} needs Hugging Face's tensor names; {checkpoint.format} has others",
            where=source.path,
            fix="give the model's Hugging Face folder: checkpoint.path=FOLDER",
        )
    raw = checkpoint.config()
    told = _told(task, checkpoint)
    reason = f"asked for by model.definition={GENERIC}"
    if definition != GENERIC:
        try:
            return _of_family(checkpoint, source, told, said=task != AUTO)
        except LlmExportError as error:
            if definition == FAST or told not in LIBRARY_TASKS:
                raise
            reason = error.what
    if told not in LIBRARY_TASKS:
        return None
    checkpoint = LIBRARY_TASKS.get(told).opened(checkpoint)
    return ModelConfig(
        definition=GENERIC, family=str(raw.get("model_type") or "unknown"),
        config=dict(checkpoint.config()), name=checkpoint_name(source), reason=reason, task=told,
        task_options=dict(LIBRARY_TASKS.get(told).options(checkpoint)),
    )  # fmt: skip


def _of_family(
    checkpoint: Checkpoint, source: CheckpointConfig, task: str, *, said: bool
) -> ModelConfig | None:
    family = _family(checkpoint.config(), task, said=said or task != AUTO)
    if family is None:
        return None
    checkpoint = family.opened(checkpoint)
    raw = checkpoint.config()
    # A decoder does not depend on token ids; what pads a batch or begins an answer does.
    tokens = {k: v for k, v in raw.items() if k.endswith("_token_id") and v is not None}
    facts = {**facts_only(raw), **tokens}
    family.read(facts)
    return ModelConfig(
        definition=FAST, family=family.name, config=facts, name=checkpoint_name(source),
        task=family.task, task_options=dict(family.options(checkpoint)),
    )  # fmt: skip


def _told(task: str, checkpoint: Checkpoint) -> str:
    folders = {file.parent for file in checkpoint.files}
    if task == AUTO and any((folder / SENTENCE_TRANSFORMERS).is_file() for folder in folders):
        return EMBED
    return task


def _family(raw: Mapping[str, Any], task: str, *, said: bool) -> TaskFamily | None:
    kind, architectures = str(raw.get("model_type", "")), raw.get("architectures") or ()
    if task == AUTO and kind in FAMILIES:
        return None
    known = [TASK_FAMILIES.get(name) for name in TASK_FAMILIES.sound()]
    fitting = [f for f in known if task in (AUTO, f.task)]
    for family in fitting:
        if family.name == kind or kind in family.model_types:
            return family
    for family in fitting:
        if set(family.architectures) & {str(each) for each in architectures}:
            return family
    if not said:
        return None
    names = ", ".join(family.name for family in fitting) or "none"
    raise CheckpointError(
        f"no family of the task {task} builds '{kind}'", where="config.json: model_type",
        fix=f"its families: {names}",
    )  # fmt: skip
