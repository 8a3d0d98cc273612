"""The model option that a checkpoint's own config amounts to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llm_export.checkpoints.base import Checkpoint
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig, ModelConfig
from llm_export.errors import CheckpointError
from llm_export.models.families import FAMILIES
from llm_export.models.families.facts import INERT, native_facts, unstated
from llm_export.models.families.gguf_facts import families_of


def detect_model(source: CheckpointConfig, context_length: int) -> ModelConfig:
    """Read the checkpoint's config and name family and facts.

    Args:
        context_length: stands for the model's own limit where its format does not say it.

    Raises:
        CheckpointError: the family is not known, or facts are missing.
    """
    checkpoint = open_checkpoint(source, {})
    raw = checkpoint.config()
    name = _name(source)
    if checkpoint.naming == "hf":
        family = _family(str(raw.get("model_type", "")), source)
        return ModelConfig(name=name, family=family, config=_facts_only(raw))
    if checkpoint.naming == "gguf":
        family = families_of(raw, str(source.path))[0]
        facts = native_facts(FAMILIES.get(family), "gguf", raw, str(source.path))
        return ModelConfig(name=name, family=family, config=unstated(facts))
    facts = native_facts(FAMILIES.get("llama"), "meta", raw, str(source.config_path or source.path))
    facts.setdefault("max_position_embeddings", context_length)
    facts.setdefault("vocab_size", _rows(checkpoint, "tok_embeddings.weight"))
    facts.setdefault("tie_word_embeddings", "output.weight" not in checkpoint.names())
    return ModelConfig(name=name, family="llama", config=facts)


def _family(model_type: str, source: CheckpointConfig) -> str:
    """Families are named as config.json names them."""
    if model_type not in FAMILIES:
        raise CheckpointError(
            f"the model type '{model_type}' is not supported",
            where=source.path or source.hf_id,
            fix=f"supported families: {', '.join(FAMILIES)}",
        )
    return model_type


def _facts_only(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in INERT}


def _rows(checkpoint: Checkpoint, name: str) -> int:
    for tensor_name, tensor in checkpoint.tensors():
        if tensor_name == name:
            return int(tensor.shape[0])
    raise CheckpointError(f"the checkpoint has no tensor '{name}'")


def _name(source: CheckpointConfig) -> str:
    text = (source.hf_id or source.path or "model").rstrip("/").split("/")[-1]
    text = re.sub(r"\.(gguf|safetensors|pth|pt)$", "", text)
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_").lower()
