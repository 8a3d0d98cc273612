"""Derive the model option of a vision-language model from a checkpoint's own config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import CheckpointError, LlmExportError
from llm_export.models.detect import FAST, GENERIC, checkpoint_name, facts_only
from llm_export.models.task import SEE
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.families.base import completed


def detect_vision(source: CheckpointConfig, definition: str = FAST) -> ModelConfig:
    """The model option of a composed checkpoint, with all its parts.

    Args:
        definition: FAST or GENERIC; AUTO prefers FAST and stores in ``reason`` why it does not
            support the model.

    Raises:
        CheckpointError: it is not that of a vision-language model that a family builds, or config
            values are missing.
    """
    checkpoint = open_checkpoint(source, {}, whole=True)
    if checkpoint.naming != "hf":
        raise CheckpointError(
            f"model.task={SEE} needs Hugging Face's tensor names; {checkpoint.format} has others",
            where=source.path,
            fix="give the model's Hugging Face folder: checkpoint.path=FOLDER",
        )
    raw = checkpoint.config()
    name, reason = checkpoint_name(source), f"asked for by model.definition={GENERIC}"
    if definition != GENERIC:
        try:
            kind, facts = _of_family(raw)
            return ModelConfig(definition=FAST, family=kind, config=facts, name=name, task=SEE)
        except LlmExportError as error:
            if definition == FAST:
                raise
            reason = error.what
    return ModelConfig(
        definition=GENERIC, family=str(raw.get("model_type") or "unknown"), config=dict(raw),
        name=name, reason=reason, task=SEE,
    )  # fmt: skip


def _of_family(raw: Mapping[str, Any]) -> tuple[str, dict[str, object]]:
    """(the family, the keys of config.json that a model depends on)"""
    kind = str(raw.get("model_type", ""))
    if kind not in VISION_FAMILIES:
        raise CheckpointError(
            f"no family of the task {SEE} builds '{kind}'",
            where="config.json: model_type",
            fix=f"its families: {', '.join(VISION_FAMILIES)}; or model.definition={GENERIC}",
        )
    facts = facts_only(completed(raw))
    VISION_FAMILIES.get(kind).read(facts)
    return kind, facts
