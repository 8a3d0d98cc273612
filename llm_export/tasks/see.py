"""Images and text in, text out: a decoder with a vision tower."""

from llm_export.models.definitions import VISION_DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="see",
    description="answer about images",
    definitions=VISION_DEFINITIONS,
    options="llm_export.models.vision.options:SeeOptions",
    try_it="llm-export see {bundle} IMAGE",
)
