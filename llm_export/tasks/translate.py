"""Text to text: an encoder of the input and a decoder of the output."""

from llm_export.models.definitions import PROGRAM_DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="translate",
    description="turn a text into another: translate, summarise",
    definitions=PROGRAM_DEFINITIONS,
    options="llm_export.models.seq2seq.options:TranslateOptions",
    contract="llm_export.tasks.translation.contract:CONTRACT",
    measures=(
        "lowering_kl",
        "lowering_top1",
        "lowering_encoder",
        "lowering_logits",
        "mean_kl",
        "top1_agreement",
    ),
    try_it='llm-export translate {bundle} "A text"',
)
