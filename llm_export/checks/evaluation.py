"""Rules of the group ``evaluate``; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llm_export.config.evaluate_schema import EvaluateConfig
from llm_export.config.schema import Recipe
from llm_export.errors import Problem, did_you_mean
from llm_export.evaluation import TASKS
from llm_export.evaluation.harness_names import NEEDS, folder_of, is_installed, known_names
from llm_export.home import expanded

_TASKS, _LAYERS, _PATHS = "evaluate.tasks", "evaluate.layers", "evaluate.task_paths"


def evaluation_findings(recipe: Recipe) -> Iterator[Problem]:
    """Problems with tasks and layers of a recipe that evaluates."""
    settings = recipe.evaluate
    if settings.enabled:
        yield from settings_findings(settings)


def settings_findings(settings: EvaluateConfig) -> Iterator[Problem]:
    """The same for settings from elsewhere."""
    for key, said, example in (
        (_TASKS, settings.tasks, "[text]"),
        (_LAYERS, [layer.value for layer in settings.layers], "[float,program]"),
    ):
        if not said:
            yield Problem("there is nothing to evaluate", key, f"{key}={example}, or evaluate=off")
        for name in dict.fromkeys(n for n in said if said.count(n) > 1):
            once = ",".join(dict.fromkeys(said))
            yield Problem(f"'{name}' is there twice", key, f"{key}=[{once}]")
    missing = [path for path in settings.task_paths if not expanded(path).is_dir()]
    for path in missing:
        yield Problem(f"there is no such folder: {path}", _PATHS, f"{_PATHS}=[FOLDER], or without")
    for name in dict.fromkeys(settings.tasks):
        yield from _task_findings(name, settings.task_paths, readable=not missing)


def _task_findings(name: str, paths: Sequence[str], *, readable: bool) -> Iterator[Problem]:
    if name in TASKS:
        fault = TASKS.fault(name)
        if fault is not None:
            yield Problem(fault.what, fault.where or _TASKS, fault.fix or "", environment=True)
    elif not is_installed():
        what = f"'{name}' needs the package 'lm-eval' (lm-evaluation-harness), not installed here"
        yield Problem(what, _TASKS, NEEDS, environment=True)
    elif readable and folder_of(name, paths) is None:
        fix = did_you_mean(name, [*TASKS, *known_names(paths)])
        yield Problem(f"there is no evaluation task '{name}'", _TASKS, fix)
