"""Compare a checkpoint that was just loaded with what another library reads of it."""

from __future__ import annotations

from tokenizers import Tokenizer
from torch import Tensor

from llm_export.bundle.proof import SourceComparison
from llm_export.config.schema import AdapterMode, Recipe, filled
from llm_export.evaluation.eval_text import read_text
from llm_export.memory import released_between
from llm_export.models.contract import LanguageModel, parts_of
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import Source
from llm_export.stages.verification.logits import eager_logits, in_slices
from llm_export.stages.verification.source_check import compare_source


def compare_loaded(recipe: Recipe, source: Source, model: LanguageModel) -> SourceComparison | None:
    """As ``compare_source``, with a model that was just loaded and the first window of the
    verification text.

    Args:
        model: the float32 model of the checkpoint, without a separate adapter. Its caches are
            emptied.

    Returns:
        None also if verification is off.
    """
    if not recipe.verify.enabled:
        return None
    tokenizer = Tokenizer.from_str(source.tokenizer.tokenizer_json)
    ids = tokenizer.encode(read_text(recipe.verify.text), add_special_tokens=False).ids
    ids = ids[: filled(recipe.verify.window)]

    def reference() -> Tensor:
        if (
            recipe.checkpoint.adapter is None
            or recipe.checkpoint.adapter_mode is AdapterMode.merged
        ):
            return _logits_of(model, ids)
        merged = load_model(
            recipe, attention="cacheless", context_length=len(ids), all_logits=True
        ).model
        return _logits_of(merged, ids)

    return compare_source(recipe, source, ids, reference)


def _logits_of(model: LanguageModel, ids: list[int]) -> Tensor:
    with released_between(parts_of(model)), in_slices(model):
        logits = eager_logits(model, ids)
    model.init_buffers()
    return logits
