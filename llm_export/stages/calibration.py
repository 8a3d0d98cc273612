"""The tokens that calibration reads."""

from __future__ import annotations

from tokenizers import Tokenizer

from llm_export.config.quant_schema import CalibrationConfig
from llm_export.errors import InputError
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Source
from llm_export.stages.text import read_text


def calibration_windows(
    settings: CalibrationConfig, source: Source, model: LanguageModel
) -> list[list[int]]:
    """Windows of ids from the end of the text: verification reads it from the beginning.

    Raises:
        InputError: the text is missing, not UTF-8, or too short.
    """
    tokenizer = Tokenizer.from_str(source.tokenizer.tokenizer_json)
    ids = tokenizer.encode(read_text(settings.text), add_special_tokens=False).ids
    if len(ids) < settings.tokens:
        raise InputError(
            f"the text has {len(ids)} tokens; calibration asks for {settings.tokens}",
            where="quant.calibration.tokens",
            fix="fewer quant.calibration.tokens, or a longer quant.calibration.text",
        )
    ids = ids[-settings.tokens :]
    length = min(settings.window, model.context_length)
    return [ids[start : start + length] for start in range(0, len(ids), length)]
