"""Transforms of a model that do not change its function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.errors import PostConditionError
from llm_export.models.contract import TextReader
from llm_export.transforms.base import Transform

# Relative to the largest logit: float32 error from different scales and summation order.
_TOLERANCE = 1e-3
_PROBE = 32  # tokens


def checked_equivalent(
    name: str, doing: str, apply: Callable[[Any], int], probe: Sequence[int] | None = None
) -> Transform:
    """Wrap ``apply`` in a transform whose post-condition is unchanged logits, or
    hidden states where the model has none.

    Args:
        doing: subject of the error message's sentence.
        probe: token ids for the comparison; None for a fixed random sample.
    """
    before: list[Tensor] = []

    def run(model: nn.Module) -> int:
        assert isinstance(model, TextReader)
        before.append(model.run_text(tokens_of(model)))
        return apply(model)

    def check(model: nn.Module) -> None:
        assert isinstance(model, TextReader)
        reference = before[-1]
        error = model.run_text(tokens_of(model)) - reference
        relative = float(error.abs().max() / reference.abs().max())
        if not relative <= _TOLERANCE:
            raise PostConditionError(
                f"{doing} changed the float model: relative error {relative:.2g} of the logits"
            )

    def tokens_of(model: TextReader) -> Tensor:
        if probe is not None:
            return torch.tensor([list(probe)])
        count = min(_PROBE, model.context_length)
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, model.metadata.vocab_size, (1, count), generator=generator)

    return Transform(name, run, check)
