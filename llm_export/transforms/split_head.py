"""Take the first rows of the output head, and of a tied embedding, as matrices of their own."""

from __future__ import annotations

from torch import nn

from llm_export.errors import PostConditionError
from llm_export.models.components.row_parts import SplitEmbedding, SplitHead
from llm_export.models.decoder import Decoder
from llm_export.transforms.base import Transform


def split_head(rows: int) -> Transform:
    """Args:
    rows: of the first part; fewer than the vocabulary has.
    """

    def apply(model: nn.Module) -> int:
        assert isinstance(model, Decoder)
        tied = model.head.weight is model.embed.weight
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
