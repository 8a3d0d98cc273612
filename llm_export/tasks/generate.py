"""Text generation: token ids in, logits out."""

from llm_export.models.definitions import DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="generate",
    description="continue a text, answer a conversation",
    definitions=DEFINITIONS,
)
