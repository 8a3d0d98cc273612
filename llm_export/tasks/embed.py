"""Embeddings: a text to a vector, by which texts are compared."""

from llm_export.models.definitions import PROGRAM_DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="embed",
    description="turn texts into vectors for search and comparison",
    definitions=PROGRAM_DEFINITIONS,
    options="llm_export.models.encoders.options:EmbedOptions",
    contract="llm_export.tasks.embedding.contract:CONTRACT",
    measures=(
        "lowering_cosine_min",
        "lowering_cosine_mean",
        "padding_cosine_min",
        "cosine_mean",
        "cosine_min",
        "same_nearest",
    ),
    calibrates=True,
    try_it='llm-export embed {bundle} "A text"',
)
