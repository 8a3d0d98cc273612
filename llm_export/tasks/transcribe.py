"""Speech to text: an encoder of audio and a decoder of tokens."""

from llm_export.models.definitions import PROGRAM_DEFINITIONS
from llm_export.models.task import Task

TASK = Task(
    name="transcribe",
    description="write down speech",
    definitions=PROGRAM_DEFINITIONS,
    options="llm_export.models.speech.options:TranscribeOptions",
    contract="llm_export.tasks.transcription.contract:CONTRACT",
    measures=(
        "lowering_kl",
        "lowering_top1",
        "lowering_encoder",
        "lowering_logits",
        "mean_kl",
        "top1_agreement",
        "lowering_features",
    ),
    try_it="llm-export transcribe {bundle} FILE.wav",
)
