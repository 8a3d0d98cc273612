"""The auto classes of transformers by which the generic tier builds models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AutoClass:
    """
    Attributes:
        name: in ``transformers``.
        mapping: config class -> model class, in ``transformers``.
        what: the models that it builds, for messages.
        pairs: whether these are encoder–decoders.
    """

    name: str
    mapping: str
    what: str
    pairs: bool = False

    def classes(self) -> Any:
        """Importing it imports no model."""
        import transformers

        return getattr(transformers, self.mapping)

    def load(self) -> Any:
        import transformers

        return getattr(transformers, self.name)


CAUSAL = AutoClass(
    "AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING", "decoder-only language model"
)
ENCODER = AutoClass("AutoModel", "MODEL_MAPPING", "encoder of texts")
SEQ2SEQ = AutoClass(
    "AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING", "encoder–decoder of texts",
    pairs=True,
)  # fmt: skip
