"""What transformers knows of the audio that its models take. Written for transformers 5.23."""

from __future__ import annotations

from typing import Any


def extractor_of(model_type: str) -> str | None:
    """The class that computes a model type's features; None if the library names none."""
    from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING_NAMES

    found = FEATURE_EXTRACTOR_MAPPING_NAMES.get(model_type)
    return None if found is None else str(found)


def outputs_for(model: Any, size: int) -> int | None:
    """Outputs of an encoder for so many samples or frames; None if the model does not say."""
    count = getattr(model, "_get_feat_extract_output_lengths", None)
    return None if count is None else int(count(size))
