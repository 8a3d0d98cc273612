"""Give every model to every task, one model in memory at a time."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from llm_export.config.evaluate_schema import EvaluateConfig, EvaluatedLayer
from llm_export.errors import LlmExportError, first_line
from llm_export.evaluation import task_named
from llm_export.evaluation.base import Evaluator, Request
from llm_export.evaluation.results import Evaluation, Score, TaskResult
from llm_export.memory import release_memory
from llm_export.metrics.value import Value
from llm_export.pipeline.record import utc_now
from llm_export.stages.evaluation.layers import Opener
from runtime_py.bundle import Bundle
from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError
from runtime_py.llm import load_tokenizer

Progress = Callable[[int, int], None]


def evaluate_layers(
    settings: EvaluateConfig,
    bundle: Path,
    folder: Path,
    layers: Mapping[EvaluatedLayer, Opener | str],
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Evaluate; what cannot be is named in ``missing``, and takes nothing else with it.

    Args:
        folder: for temporary files.
        layers: see ``layers.openers``.

    Raises:
        LlmExportError: nothing at all could be evaluated.
    """
    wanted = [layer for layer in EvaluatedLayer if layer in settings.layers]
    steps, missing = _Steps(progress, len(wanted) * len(settings.tasks)), {}
    scores: dict[str, list[Score]] = {}
    with ExitStack() as stack:
        started: dict[str, Evaluator] = {}
        request = _request(settings, bundle, folder, steps.within)
        for name in settings.tasks:
            try:
                started[name] = task_named(name).start(request)
                stack.callback(started[name].close)
            except Exception as error:
                missing[name] = _reason(error)
        for layer in wanted if started else ():
            opener = layers[layer]
            if isinstance(opener, str):
                missing[layer.value] = opener
                continue
            try:
                with opener() as subject:
                    for name, evaluator in started.items():
                        steps.begin()
                        try:
                            scores.setdefault(name, []).append(evaluator.score(subject))
                        except Exception as error:
                            steps.pass_on(error)
                            missing[f"{name}, {layer.value}"] = _reason(error)
            except Exception as error:
                steps.pass_on(error)
                missing[layer.value] = _reason(error)
            finally:
                release_memory()
        results = tuple(
            TaskResult(name, evaluator.about, _present(evaluator, scores[name]),
                       tuple(scores[name]))
            for name, evaluator in started.items()
            if scores.get(name)
        )  # fmt: skip
    if not results:
        told = "; ".join(f"{what}: {why}" for what, why in missing.items())
        raise LlmExportError(f"nothing could be evaluated: {told}", where="evaluate")
    return Evaluation(utc_now(), results, missing)


def _present(evaluator: Evaluator, scores: Sequence[Score]) -> tuple[Value, ...]:
    found = {name for score in scores for name in score.values}
    return tuple(column for column in evaluator.columns if column.name in found)


def _request(settings: EvaluateConfig, path: Path, folder: Path, progress: Progress) -> Request:
    bundle = Bundle.open(path)
    file = bundle.file("tokenizer")
    assert file is not None, "every bundle has a tokenizer"
    template, tools = (_template(bundle, role) for role in ("chat_template", "tool_use_template"))
    return Request(
        settings, load_tokenizer(path), file, bundle.manifest["program"]["vocab_size"],
        template, tools or template, folder, progress,
    )  # fmt: skip


def _template(bundle: Bundle, role: str) -> ChatTemplate | None:
    """None also for one that is not valid, which ``package`` notes."""
    file = bundle.file(role)
    if file is None:
        return None
    try:
        specials = bundle.manifest["tokenizer"]["special_tokens"]
        return ChatTemplate(file.read_text(encoding="utf-8"), specials)
    except BundleRuntimeError:
        return None


def _reason(error: Exception) -> str:
    if not isinstance(error, LlmExportError | BundleRuntimeError):
        traceback.print_exception(error)  # to the log of a run
    return first_line(error)


class _Steps:
    """Progress over all tasks of all models, in hundredths of one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, max(1, total), -1
        self._raised: Exception | None = None

    def begin(self) -> None:
        self._done += 1

    def within(self, done: int, total: int) -> None:
        share = 100 * done // max(1, total)
        try:
            self._progress(100 * max(0, self._done) + share, 100 * self._total)
        except Exception as error:
            self._raised = error
            raise

    def pass_on(self, error: Exception) -> None:
        """Raise an error of the caller's own, whose progress callback wants to end the work."""
        if error is self._raised:
            raise error
