"""A plugin that adds a task: texts to scores of labels."""

from llm_export.plugins import Plugin

PLUGIN = Plugin(
    tasks={"classify": "classify_task:TASK"},
    task_families={"bag_of_words": "classify_task:FAMILY"},
)
