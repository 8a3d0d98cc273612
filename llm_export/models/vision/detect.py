"""Derive the model option of a vision-language model from a checkpoint's own config."""

from __future__ import annotations

from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import CheckpointError
from llm_export.models.detect import FAST, checkpoint_name, facts_only
from llm_export.models.task import SEE
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.families.base import completed


def detect_vision(source: CheckpointConfig) -> ModelConfig:
    """The model option of a composed checkpoint, with all its parts.

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
    kind = str(raw.get("model_type", ""))
    if kind not in VISION_FAMILIES:
        raise CheckpointError(
            f"no family of the task {SEE} builds '{kind}'",
            where="config.json: model_type",
            fix=f"its families: {', '.join(VISION_FAMILIES)}",
        )
    facts = facts_only(completed(raw))
    VISION_FAMILIES.get(kind).read(facts)
    return ModelConfig(
        definition=FAST, family=kind, config=facts, name=checkpoint_name(source), task=SEE
    )
