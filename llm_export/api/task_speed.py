"""The speed of bundles whose task has figures of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llm_export.errors import RecipeError


def bench_other_task(
    bundle: str | Path,
    lengths: Mapping[str, Any],
    repeat: Mapping[str, Any],
    progress: Callable[[str], object] = lambda what: None,
) -> dict[str, Any] | None:
    """The figures of a bundle that embeds, transcribes, translates, or is for a plugin's task; None
    for one that generates text.

    Args:
        lengths: settings of ``bench`` that not every task has; None: not stated.
        repeat: those that all have.

    Raises:
        RecipeError: the task does not have a setting, or a number is wrong.
        BundleRuntimeError: the bundle cannot be opened, or its task is not known.
    """
    from llm_export.config.several import several
    from llm_export.models.task import MODEL_TASKS
    from llm_export.tasks.contract import LengthsContract
    from runtime_py.bundle import Bundle
    from runtime_py.bundle_task import require_task, task_name

    opened = Bundle.open(bundle)
    name = task_name(opened)
    if name not in MODEL_TASKS:
        require_task(opened, *MODEL_TASKS)
    task = MODEL_TASKS.get(name)
    if task.decodes:
        return None
    contract = task.load_contract()
    takes = contract.speed_settings if isinstance(contract, LengthsContract) else ()
    for key, value in lengths.items():
        if value is not None and key not in takes:
            raise RecipeError(
                f"the speed of bundles for {name} has no {key.replace('_', ' ')}",
                where=f"--{key.replace('_', '-')}",
                fix=f"it has {', '.join([*takes, *repeat])}",
            )
        if len(several(value)) > 1:
            raise RecipeError(
                f"the speed of bundles for {name} is measured at one {key.replace('_', ' ')}",
                where=f"--{key.replace('_', '-')}", fix="one call for each",
            )  # fmt: skip
    from llm_export.config.benchmark_schema import BenchmarkConfig
    from llm_export.tasks.bench import bench_task

    stated = {key: value for key, value in {**lengths, **repeat}.items() if value is not None}
    try:
        settings = BenchmarkConfig(name="bench", **stated)
    except (TypeError, ValueError) as error:
        raise RecipeError(str(error), where="bench", fix="another value") from None
    return bench_task(opened, contract, settings, progress)
