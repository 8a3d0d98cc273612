"""Training windows of text, disjoint from those of verification."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from llm_export.config.schema import Recipe, filled
from llm_export.errors import InputError
from llm_export.evaluation.eval_text import read_text
from llm_export.home import expanded
from llm_export.pipeline.artifacts import Source
from llm_export.stages.verification.metrics import window_count


def training_windows(recipe: Recipe, source: Source) -> Tensor:
    """int64 [N, window + 1], side by side; the last id of each is only a target.

    Raises:
        InputError: the text is missing, not UTF-8, or too short.
    """
    settings, window = recipe.train, filled(recipe.train.window)
    tokenizer = Tokenizer.from_str(source.tokenizer.tokenizer_json)
    ids = tokenizer.encode(read_text(settings.text), add_special_tokens=False).ids
    taken = verified_tokens(recipe)
    left = ids[taken:]
    count = (len(left) - 1) // window
    if count < 1:
        apart = f", of which verification reads {taken}" if taken else ""
        raise InputError(
            f"the text has {len(ids)} tokens{apart}; a window of training needs {window + 1}",
            where="train.text",
            fix="a longer train.text, a smaller train.window, or fewer verify.positions",
        )
    count = min(count, settings.max_windows or count)
    spans = [left[i * window : (i + 1) * window + 1] for i in range(count)]
    return torch.tensor(spans, dtype=torch.int64)


def verified_tokens(recipe: Recipe) -> int:
    """Number of tokens at the start of the training text that verification also reads."""
    if not recipe.verify.enabled or not _same_file(recipe.train.text, recipe.verify.text):
        return 0
    # One extra window: verification may start with a BOS, and its last target is one token further.
    return (window_count(recipe.verify) + 1) * filled(recipe.verify.window)


def _same_file(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return expanded(one).resolve() == expanded(other).resolve()
