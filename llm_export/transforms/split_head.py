"""Take the first rows of the output head, and of a tied embedding, as matrices of their own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from llm_export.errors import PostConditionError
from llm_export.models.components.row_parts import SplitEmbedding, SplitHead
from llm_export.models.decoder import Decoder
from llm_export.transforms.base import Transform


def split_head(rows: int, *, tied: bool) -> Transform:
    """Args:
    rows: of the first part; fewer than the vocabulary has.
    tied: whether the rules have parts of the embedding, too.
    """

    def apply(model: nn.Module) -> int:
        assert isinstance(model, Decoder)
        why = _changed(model, rows, tied)
        if why is not None:
            raise PostConditionError(
                f"{why}, so that its first {rows} rows cannot be taken apart",
                where="quant.head_split", fix="quant.head_split=0",
            )  # fmt: skip
        head = SplitHead(model.head, rows)
        if tied:
            table = SplitEmbedding(model.embed, rows)
            table.first.weight, table.rest.weight = head.first.weight, head.rest.weight
            model.embed = table  # type: ignore[assignment]
        model.head = head  # type: ignore[assignment]
        return 1 + tied

    def check(model: nn.Module) -> None:
        if not isinstance(model.head, SplitHead):
            raise PostConditionError("the output head is still one matrix")

    return Transform("split_head", apply, check)


def _changed(model: Decoder, rows: int, tied: bool) -> str | None:
    """What a transform before this one made of the head that does not let it be split."""
    if type(model.head) is not nn.Linear:
        return f"the output head became a {type(model.head).__name__}"
    if model.head.out_features <= rows:
        return f"the output head has {model.head.out_features} rows"
    if tied and model.head.weight is not model.embed.weight:
        return "the output head and the embedding are no longer one matrix"
    return None


def share_words(rows: int, windows: Sequence[Sequence[int]]) -> str:
    """How much of a text the first rows are, and what to do if that is less than half."""
    ids = [token for window in windows for token in window]
    share = sum(token < rows for token in ids) / max(len(ids), 1)
    said = f"ids below {rows} are {share:.0%} of the calibration text"
    few = "; the ids are not in the order of their frequency: set quant.head_split=0"
    return said if share >= _ENOUGH else said + few


_ENOUGH = 0.5
"""In byte-pair vocabularies a sixth of the ids is four fifths of a text."""
