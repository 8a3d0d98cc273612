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
        task: ``model.task`` of its models.
        pairs: whether these are encoder–decoders.
        unlike: what models of the mapping are that are no encoder–decoders, if there are such.
    """

    name: str
    mapping: str
    what: str
    task: str
    pairs: bool = False
    unlike: str = ""

    def classes(self) -> Any:
        """Importing it imports no model."""
        import transformers

        return getattr(transformers, self.mapping)

    def load(self) -> Any:
        import transformers

        return getattr(transformers, self.name)


CAUSAL = AutoClass(
    "AutoModelForCausalLM",
    "MODEL_FOR_CAUSAL_LM_MAPPING",
    "decoder-only language model",
    "generate",
)
ENCODER = AutoClass("AutoModel", "MODEL_MAPPING", "encoder of texts", "embed")
SEQ2SEQ = AutoClass(
    "AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING", "encoder–decoder of texts",
    "translate", pairs=True,
)  # fmt: skip
SPEECH = AutoClass(
    "AutoModelForSpeechSeq2Seq", "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING",
    "encoder–decoder of speech", "transcribe", pairs=True,
    unlike="a decoder that takes embeddings of audio among those of its tokens",
)  # fmt: skip
IMAGE_TEXT = AutoClass(
    "AutoModelForImageTextToText", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING", "vision-language model",
    "see",
)  # fmt: skip


def task_for(config: Any) -> str | None:
    """The task whose auto class builds a config's models; None if none of them does."""
    for auto in (CAUSAL, SEQ2SEQ, SPEECH, IMAGE_TEXT, ENCODER):
        if type(config) in auto.classes() and config.is_encoder_decoder == auto.pairs:
            return auto.task if auto is not ENCODER or _reads_text(config) else None
    return None


def _reads_text(config: Any) -> bool:
    """Whether the library's model without a head takes token ids, and no audio or image."""
    found = ENCODER.classes()[type(config)]
    first = found[0] if isinstance(found, tuple | list) else found
    return bool(first.main_input_name == "input_ids")
