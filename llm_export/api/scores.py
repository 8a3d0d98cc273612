"""Score a bundle's answers to a user's examples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_export.api.bundles import runtime_errors
from llm_export.errors import BundleError, RecipeError


def score(
    bundle: str | Path,
    data: str | Path,
    *,
    max_examples: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Answer the examples of a file with a bundle that embeds, transcribes or translates, and score
    the answers: retrieval or rank correlation, word and character error rate, chrF and BLEU.

    Args:
        data: JSON Lines. Transcribe: audio (a path), text, and language if it is known. Translate:
            text, reference, and prefix. Embed: query and document; or text, other and score.
        progress: called with (examples done, of how many).

    Returns:
        ``measures``: figures with name, title, value and unit.

    Raises:
        BundleError: the bundle's task has no score, or it cannot be run.
        InputError: a line of the file is wrong.
        MissingDependencyError: a score's package is not installed.
        RecipeError: ``max_examples`` is no whole number from 1.
    """
    if max_examples is not None and (type(max_examples) is not int or max_examples < 1):
        raise RecipeError(
            f"max_examples must be a whole number from 1, not {max_examples!r}", where="evaluate"
        )
    with runtime_errors():
        from llm_export.json_data import to_json
        from llm_export.models.task import MODEL_TASKS
        from llm_export.tasks.contract import ScoresContract
        from llm_export.tasks.scoring import read_examples
        from runtime_py.bundle import Bundle
        from runtime_py.bundle_task import task_name

        opened = Bundle.open(bundle)
        task = task_name(opened)
        known = task in MODEL_TASKS and not MODEL_TASKS.get(task).decodes
        contract = MODEL_TASKS.get(task).load_contract() if known else None
        if not isinstance(contract, ScoresContract):
            raise BundleError(
                f"answers of bundles for {task} are not scored by examples", where=str(bundle),
                fix="llm-export evaluate BUNDLE, without --data" if not known else
                "a contract with scores(), in the task's plugin",
            )  # fmt: skip
        forms, scorer = contract.scores()
        examples = read_examples(Path(data), forms, max_examples)
        measures = scorer(opened.path, examples, progress)
        return {
            "bundle": str(bundle), "task": task, "data": str(data), "examples": len(examples),
            "measures": [to_json(measure) for measure in measures],
        }  # fmt: skip
