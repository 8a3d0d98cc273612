"""Images and text in, text out: a decoder with a vision tower."""

from llm_export.models.definitions import VISION_DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="see",
    description="answer about images",
    definitions=VISION_DEFINITIONS,
    options="llm_export.models.vision.options:SeeOptions",
    beside_text="llm_export.stages.verification.seeing_run:BESIDE_TEXT",
    measures=(
        "encoder_error",
        "image_kl",
        "encoder_cosine",
        "image_quality_kl",
        "image_top1",
    ),
    try_it="llm-export see {bundle} IMAGE",
)
