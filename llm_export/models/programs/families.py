"""The registry of task families: (task, family) -> where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_export.registry import Registry

if TYPE_CHECKING:
    from llm_export.models.programs.family import TaskFamily

TASK_FAMILIES: Registry[TaskFamily] = Registry("task family", needs=("task", "from_hf", "build"))
_FAMILIES: dict[str, str] = {
    "moonshine": "speech.moonshine_family:FAMILY",
    "t5": "seq2seq.t5_family:FAMILY",
    "whisper": "speech.whisper_family:FAMILY",
    "bert": "encoders.bert:BERT",
    "roberta": "encoders.bert:ROBERTA",
    "xlm-roberta": "encoders.bert:XLM_ROBERTA",
    "modernbert": "encoders.modernbert:FAMILY",
    "gemma3_text": "encoders.decoders:GEMMA3",
    "qwen3": "encoders.decoders:QWEN3",
}
for _name, _target in _FAMILIES.items():
    TASK_FAMILIES.register(_name, f"llm_export.models.{_target}")
TASK_FAMILIES.take_from_plugins("task_families")
