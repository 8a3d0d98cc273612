"""RoPE that transformers reads otherwise than a published model was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_export.models.families import lfm3_rope

_READERS = {"lfm3": lfm3_rope.as_trained}
"""Model type -> what turns the published ``rope_parameters`` into those of the training."""


def with_trained_rope(config: Any) -> Any:
    """A transformers config, whose text part is corrected in place."""
    text = config.get_text_config(decoder=True)
    read = _READERS.get(text.model_type)
    if read is not None and isinstance(text.rope_parameters, Mapping):
        text.rope_parameters = read(text.rope_parameters)
    return config
