"""Tasks of lm-evaluation-harness (Gao et al., doi:10.5281/zenodo.12608602), with their own prompts,
data and metrics."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from llm_export.errors import InputError, MissingDependencyError
from llm_export.evaluation.base import EvaluationTask, Request, Subject
from llm_export.evaluation.harness_names import NEEDS, folder_of, is_installed
from llm_export.evaluation.results import Score
from llm_export.metrics.value import Value

_RESAMPLES = 1000
"""Of bootstrap, for the standard errors of metrics that are not means."""
_SEED = 1234


def harness_task(name: str) -> EvaluationTask:
    """The task, group or tag ``name``.

    Raises (when it is started):
        MissingDependencyError: the harness is not installed.
        InputError: it has no such task, or the task's data cannot be had.
    """
    return EvaluationTask(name, lambda request: HarnessEvaluator(name, request))


class HarnessEvaluator:
    """The tasks are loaded once, before any model is."""

    def __init__(self, name: str, request: Request) -> None:
        if not is_installed():
            raise MissingDependencyError(
                f"'{name}' needs the package 'lm-eval' (lm-evaluation-harness)", fix=NEEDS
            )
        self._name, self._request = name, request
        self._manager = _manager(name, request.settings.task_paths)
        self._tasks = self._load()
        self._columns: dict[str, Value] = {}
        examples = request.settings.max_examples
        shots = request.settings.few_shot
        self.about = (
            f"{name} of lm-evaluation-harness {_version()}, "
            f"{'all examples' if examples is None else f'the first {examples} examples'}"
            f"{'' if shots is None else f', {shots} solved examples before each'}. Errors are "
            "standard errors."
        )

    def _load(self) -> Any:
        try:
            with _quiet():
                return self._manager.load([self._name])
        except Exception as error:
            raise InputError(
                f"the task '{self._name}' cannot be loaded: {type(error).__name__}: {error}",
                where="evaluate.tasks",
                fix="its data come from the hub; without it, data in evaluate.task_paths",
            ) from error

    @property
    def columns(self) -> tuple[Value, ...]:
        return tuple(self._columns.values())

    def score(self, subject: Subject) -> Score:
        from lm_eval.evaluator import simple_evaluate

        from llm_export.evaluation.harness_model import HarnessModel

        settings, model = self._request.settings, HarnessModel(subject, self._request)
        with _quiet():
            found = simple_evaluate(
                model, tasks=[self._name], task_manager=self._manager,
                limit=settings.max_examples, num_fewshot=settings.few_shot, log_samples=False,
                bootstrap_iters=_RESAMPLES, random_seed=_SEED, numpy_random_seed=_SEED,
                torch_random_seed=_SEED, fewshot_random_seed=_SEED,
            )  # fmt: skip
        assert found is not None, "one process has all results"
        return self._score(subject.layer, found)

    def _score(self, layer: str, found: Mapping[str, Any]) -> Score:
        values: dict[str, float] = {}
        errors: dict[str, float] = {}
        for entry, results in found["results"].items():
            better = found.get("higher_is_better", {}).get(entry, {})
            for key, value in results.items():
                metric, _, kind = key.partition(",")
                if not isinstance(value, int | float) or not kind or metric.endswith("_stderr"):
                    continue
                column = self._column(entry, metric, kind, better.get(metric))
                values[column.name] = float(value)
                error = results.get(f"{metric}_stderr,{kind}")
                if isinstance(error, int | float):
                    errors[column.name] = float(error)
        counts = found.get("n-samples", {}).values()
        return Score(
            layer, sum(int(count["effective"]) for count in counts), values, errors=errors or None
        )

    def _column(self, entry: str, metric: str, kind: str, better: bool | None) -> Value:
        """``kind`` is the harness's filter of answers; none is the usual one."""
        own = entry == self._name
        name = metric if kind == "none" else f"{metric}_{kind}"
        title = name if own else f"{entry} {name}"
        column = Value(
            name if own else f"{entry}.{name}", title, "", better,
            short_title=f"{self._name} {name}", form="{:.4g}", brief=own,
        )  # fmt: skip
        return self._columns.setdefault(column.name, column)

    def close(self) -> None:
        pass


def _manager(name: str, task_paths: list[str]) -> Any:
    """Only the folder that has the task is indexed: all of them take half a minute."""
    from lm_eval.tasks import TaskManager

    folder = folder_of(name, task_paths)
    if folder is None:
        raise InputError(
            f"there is no evaluation task '{name}'", where="evaluate.tasks",
            fix="llm-export ls evaluations, or lm-eval ls tasks",
        )  # fmt: skip
    return TaskManager(include_path=[folder], include_defaults=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the harness's progress bars and hints, which are for its own command line."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _version() -> str:
    from importlib.metadata import version

    return version("lm_eval")
