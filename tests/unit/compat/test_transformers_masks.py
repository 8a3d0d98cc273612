"""How transformers' models ask for their masks."""

from __future__ import annotations

from typing import Any

import hf_models
import pytest
import torch
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from llm_export.compat.transformers_masks import distance_of, is_by_position, masks_of, shown


@pytest.mark.parametrize("window", [None, 3])
def test_masks_follow_from_positions(window: int | None) -> None:
    family, own = ("llama", {}) if window is None else ("mistral", {"sliding_window": window})
    model = hf_models.build(family, **{**hf_models.SIZES, **own})
    asked: list[dict[str, Any]] = []

    def mask(**arguments: Any) -> torch.Tensor:
        asked.append(arguments)
        return eager_mask(**arguments)

    with torch.no_grad(), masks_of(mask):
        model(torch.arange(7)[None], use_cache=False)
    assert AttentionMaskInterface()["eager"] is eager_mask
    (arguments,) = asked
    assert is_by_position(arguments)
    assert distance_of(arguments) == window
    at = torch.arange(7)
    assert torch.equal(shown(arguments, at, at), eager_mask(**arguments) == 0)
