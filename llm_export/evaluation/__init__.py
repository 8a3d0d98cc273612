"""Tasks that measure how good a model is, by name. Importing this package does not import torch.

A task is fed models one after the other: the float model first, then what the pipeline made of it,
last the program. Tasks of lm-evaluation-harness are looked up there; see ``harness``.
"""

from llm_export.evaluation.base import EvaluationTask
from llm_export.registry import Registry

TASKS: Registry[EvaluationTask] = Registry("evaluation task", needs=("name", "start"))

TASKS.register("text", "llm_export.evaluation.text:TASK")
TASKS.register("tool_calls", "llm_export.evaluation.tool_calls:TASK")
TASKS.take_from_plugins("evaluation_tasks")


def task_named(name: str) -> EvaluationTask:
    """A task of the registry, or else one of lm-evaluation-harness.

    Raises:
        MissingDependencyError: it is of a plugin and cannot be used.
    """
    if name in TASKS:
        return TASKS.get(name)
    from llm_export.evaluation.harness import harness_task

    return harness_task(name)
