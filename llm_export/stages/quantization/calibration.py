"""The calibration tokens."""

from __future__ import annotations

from tokenizers import Tokenizer

from llm_export.config.quant_schema import CalibrationConfig
from llm_export.config.schema import Recipe
from llm_export.errors import InputError
from llm_export.evaluation.eval_text import read_text
from llm_export.models.contract import TextReader
from llm_export.models.task import task_of
from llm_export.pipeline.artifacts import Source
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.rounding.base import Needs
from llm_export.stages.quantization.calibration_dataset import dataset_text

_WORD = "text"
_CHARACTERS = 16
"""Characters of a dataset to read per token: four times the average of English."""


def rounding_calibrates(recipe: Recipe) -> bool:
    """Whether weights are rounded by what they read on the calibration text."""
    needs = ROUNDERS.get(recipe.quant.rounding.method).needs
    return needs is not Needs.nothing and task_of(recipe.model).reads_text


def calibration_windows(
    settings: CalibrationConfig, source: Source, model: TextReader
) -> list[list[int]]:
    """Windows of ids from the end of the text, because verification reads its beginning. For a
    dataset, from its beginning. Of a model that reads whole texts, each window is one.

    Raises:
        InputError: the text is missing, not UTF-8, or too short.
        MissingDependencyError: the dataset is out of reach, or the package that reads datasets.
    """
    tokenizer = Tokenizer.from_str(source.tokenizer.tokenizer_json)
    ids = calibration_ids(settings, tokenizer)
    length = min(settings.window, model.context_length)
    before, after = _special_tokens(tokenizer) if model.whole_texts else ([], [])
    length = max(length - len(before) - len(after), 1)
    parts = (ids[start : start + length] for start in range(0, len(ids), length))
    return [[*before, *part, *after] for part in parts]


def calibration_ids(settings: CalibrationConfig, tokenizer: Tokenizer) -> list[int]:
    """The ids of the text or dataset that the settings name.

    Raises:
        InputError: it has too few; see ``calibration_windows``.
    """
    key = "text" if settings.dataset is None else "dataset"
    if settings.dataset is None:
        text = read_text(settings.text)
    else:
        text = dataset_text(settings, settings.tokens * _CHARACTERS)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) < settings.tokens:
        raise InputError(
            f"the {key} has {len(ids)} tokens; calibration asks for {settings.tokens}",
            where="quant.calibration.tokens",
            fix=f"fewer quant.calibration.tokens, or a longer quant.calibration.{key}",
        )
    return ids[-settings.tokens :] if settings.dataset is None else ids[: settings.tokens]


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    found = tokenizer.encode(_WORD)
    own = [i for i, special in enumerate(found.special_tokens_mask) if not special]
    return found.ids[: own[0]], found.ids[own[-1] + 1 :]
