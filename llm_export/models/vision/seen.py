"""What a vision-language model makes of an image and a text, and what a runtime must know to do
the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llm_export.models.vision.config import GRID
from llm_export.models.vision.seeing_model import SeeingModel
from llm_export.models.vision.sequences import narrowed, sequence_inputs


class AfterImage(NamedTuple):
    """
    Attributes:
        encoded: [n, H], the image's embeddings.
        logits: [T + 1, V], after the image and after each of the T tokens behind it.
    """

    encoded: Tensor
    logits: Tensor


@torch.no_grad()
def after_image(
    model: SeeingModel, pixels: Tensor, before: Sequence[int], after: Sequence[int]
) -> AfterImage:
    """Feed an image between two texts, in steps as long as the caches take.

    Args:
        pixels: [1, 3, h, w] of the model's size.
        before, after: token ids.
    """
    whole = model.whole_logits(before, pixels, after)
    inputs = sequence_inputs(model, (before, pixels, after))
    behind = inputs[0].shape[1] - len(after)
    wanted, model.all_logits = model.all_logits, True
    model.init_buffers()
    try:
        logits = torch.cat(list(_stepped(model, inputs))) if whole is None else whole
    finally:
        model.all_logits = wanted
        model.init_buffers()
    return AfterImage(inputs[0][0, len(before) : behind], logits[behind - 1 :])


def task_settings(model: SeeingModel) -> dict[str, Any]:
    """The manifest's ``task.settings``."""
    config = model.config
    inputs = [each.name for each in model.step_inputs]
    return {
        "image_token_id": config.image_token_id,
        "image_size": list(config.image_size),
        "tokens_per_image": config.tokens_per_image,
        **({"decoder_inputs": inputs} if inputs else {}),
        **{"grid" if key == GRID else key: value for key, value in config.settings.items()},
    }


def _stepped(model: SeeingModel, inputs: Sequence[Tensor]) -> Iterator[Tensor]:
    """Logits [S, V] of each step."""
    count = inputs[0].shape[1]
    size = model.step_length or count
    for start in range(0, count, size):
        first, *further = narrowed(model, inputs, start, min(start + size, count))
        yield model.decode(first, torch.tensor([start]), *further)[0]
