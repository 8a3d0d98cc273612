"""Images and text in, text out: a decoder with a vision tower."""

from llm_export.models.definitions import VISION_DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="see",
    description="answer about images",
    definitions=VISION_DEFINITIONS,
    options="llm_export.models.vision.options:SeeOptions",
    measures=(
        "encoder_error",
        "image_kl",
        "encoder_cosine",
        "image_quality_kl",
        "image_top1",
    ),
    try_it="llm-export see {bundle} IMAGE",
)
