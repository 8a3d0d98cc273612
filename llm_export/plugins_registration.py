"""The registries that plugins extend, and checks of the entries that plugins add."""

from __future__ import annotations

from typing import Any

from llm_export.backends import BACKENDS
from llm_export.checkpoints.readers import READERS
from llm_export.consumers.named import CONSUMERS
from llm_export.deploy import DEPLOY_TARGETS
from llm_export.evaluation import TASKS
from llm_export.metrics import METRICS
from llm_export.models.families import FAMILIES
from llm_export.models.programs.families import TASK_FAMILIES
from llm_export.models.task import MODEL_TASKS
from llm_export.plugins.discover import Provider
from llm_export.quant.schemes import TABLES
from llm_export.registry import OWN, Registry
from llm_export.runtimes import RUNTIMES
from llm_export.targets import TARGETS
from llm_export.template_engines import ENGINES
from llm_export.transforms import TRANSFORMS

REGISTRIES: dict[str, Registry[Any]] = {
    "families": FAMILIES,
    "tasks": MODEL_TASKS,
    "task_families": TASK_FAMILIES,
    "backends": BACKENDS,
    "transforms": TRANSFORMS,
    "checkpoint_readers": READERS,
    "metrics": METRICS,
    "evaluation_tasks": TASKS,
    "target_kinds": TARGETS,
    "runtimes": RUNTIMES,
    "deploy_targets": DEPLOY_TARGETS,
    "template_engines": ENGINES,
    "consumers": CONSUMERS,
}
"""Field of ``Plugin`` -> registry of its entries."""


def faults(provider: Provider) -> list[str]:
    """Import a plugin's entries and return one line per faulty entry."""
    if provider.plugin is None:
        return []
    found = []
    for kind, name, _ in provider.plugin.targets():
        registry = REGISTRIES[kind]
        if registry.origin(name) != provider.origin or registry.origin(name) == OWN:
            continue
        fault = registry.fault(name) or (TABLES.fault(name) if kind == "backends" else None)
        found += [fault.what] if fault is not None else []
    return found
