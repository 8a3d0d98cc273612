"""Derive the model option from a checkpoint's own config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_export.checkpoints.base import Checkpoint, describe_tensors
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import CheckpointError, LlmExportError
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import Family, native_facts, to_option
from llm_export.models.families.gguf_metadata import families_of
from llm_export.models.families.inert_keys import INERT, is_inert

FAST, GENERIC, AUTO = "composable", "hf", "auto"
"""Our own components, transformers, and the first of the two that supports the model."""


def detect_model(
    source: CheckpointConfig, context_length: int, definition: str = FAST
) -> ModelConfig:
    """Read the checkpoint's config and select definition, family and config values.

    Args:
        context_length: the model's context limit if its format does not state it.
        definition: FAST or GENERIC; AUTO prefers FAST and stores in ``reason`` why it
            does not support the model.

    Raises:
        CheckpointError: no definition can build it, or config values are missing.
    """
    return model_option(open_checkpoint(source, {}), source, context_length, definition)


def model_option(
    checkpoint: Checkpoint, source: CheckpointConfig, context_length: int, definition: str = FAST
) -> ModelConfig:
    """Like ``detect_model``, for a checkpoint that is already open."""
    raw = checkpoint.config()
    if checkpoint.naming == "hf":
        model = _from_hf(raw, definition)
    elif definition == GENERIC:
        raise CheckpointError(
            f"the generic tier needs Hugging Face's tensor names; {checkpoint.format} has others",
            where=source.path,
            fix="give the model's Hugging Face folder: checkpoint.path=FOLDER",
        )
    elif checkpoint.naming == "gguf":
        model = _from_gguf(raw, str(source.path))
    else:
        model = _from_meta(checkpoint, source, context_length)
    return replace(model, name=checkpoint_name(source))


def _from_hf(raw: Mapping[str, Any], definition: str) -> ModelConfig:
    model_type, facts = str(raw.get("model_type", "")), facts_only(raw)
    reason = f"asked for by model.definition={GENERIC}"
    if definition != GENERIC:
        try:
            _family(model_type).read(facts, "the checkpoint's config.json")
            return ModelConfig(definition=FAST, family=model_type, config=facts)
        except LlmExportError as error:
            if definition == FAST:
                raise
            reason = error.what
    return ModelConfig(
        definition=GENERIC, family=model_type or "unknown", config=dict(raw), reason=reason
    )


def _from_gguf(raw: Mapping[str, Any], where: str) -> ModelConfig:
    try:
        name = families_of(raw, where)[0]
    except CheckpointError as error:
        raise CheckpointError(
            f"{error.what}, and the generic tier cannot read GGUF",
            where=where,
            fix="give the model's Hugging Face folder (safetensors): checkpoint.path=FOLDER",
        ) from None
    facts = native_facts(FAMILIES.get(name), "gguf", raw, where)
    return ModelConfig(definition=FAST, family=name, config=to_option(facts))


def _from_meta(
    checkpoint: Checkpoint, source: CheckpointConfig, context_length: int
) -> ModelConfig:
    where = str(source.config_path or source.path)
    facts = native_facts(FAMILIES.get("llama"), "meta", checkpoint.config(), where)
    facts.setdefault("max_position_embeddings", context_length)
    facts.setdefault("vocab_size", _rows(checkpoint, "tok_embeddings.weight"))
    facts.setdefault("tie_word_embeddings", "output.weight" not in checkpoint.names())
    return ModelConfig(definition=FAST, family="llama", config=facts)


def _family(model_type: str) -> Family:
    """Families have the names that config.json uses."""
    if model_type not in FAMILIES:
        raise CheckpointError(
            f"no fast tier for '{model_type}'", fix=f"its families: {', '.join(FAMILIES)}"
        )
    return FAMILIES.get(model_type)


def facts_only(raw: Mapping[str, Any]) -> dict[str, object]:
    """The keys of a config.json that a model depends on."""
    # A null key stays where the family's default for an absent one may be another.
    return {k: v for k, v in raw.items() if (v is None and k not in INERT) or not is_inert(k, v)}


def _rows(checkpoint: Checkpoint, name: str) -> int:
    info = describe_tensors(checkpoint).get(name)
    if info is None:
        raise CheckpointError(f"the checkpoint has no tensor '{name}'")
    return info.shape[0]


def checkpoint_name(source: CheckpointConfig) -> str:
    """A name for a checkpoint's model, from where it is."""
    text = (source.hf_id or source.path or "model").rstrip("/").split("/")[-1]
    text = re.sub(r"\.(gguf|safetensors|bin|pth|pt)$", "", text)
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("._").lower() or "model"
