"""What a vision-language model makes of an image and a text, and what a runtime must know to do
the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llm_export.models.vision.model import VisionLanguageModel
from llm_export.models.vision.step_inputs import DEEPSTACK, ROPE_POSITIONS
from runtime_py.vision.mrope import TEXT, stream_positions

_GRID = "token_grid"
"""Of a config's settings: rows and columns of an image's tokens, where positions count them."""


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
    model: VisionLanguageModel, pixels: Tensor, before: Sequence[int], after: Sequence[int]
) -> AfterImage:
    """Feed an image between two texts, in steps as long as the caches take.

    Args:
        pixels: [1, 3, h, w] of the model's size.
        before, after: token ids.
    """
    found = model.encode_image(pixels)
    rows, additions = found if isinstance(found, tuple) else (found, None)
    count = rows.shape[1]
    texts = [model.embed_tokens(torch.tensor([list(ids)], dtype=torch.int64)) for ids in
             (before, after)]  # fmt: skip
    embeddings = torch.cat((texts[0], rows, texts[1]), 1)
    further: dict[str, Tensor] = {}
    for each in model.step_inputs:
        if each.name == ROPE_POSITIONS:
            inside = [*[TEXT] * len(before), *range(count), *[TEXT] * len(after)]
            grid = tuple(model.config.settings[_GRID])
            further[each.name] = torch.from_numpy(stream_positions(inside, grid).positions)
        elif each.name == DEEPSTACK and additions is not None:
            placed = additions.new_zeros(len(additions), *embeddings.shape)
            placed[:, :, len(before) : len(before) + count] = additions
            further[each.name] = placed
    wanted, model.all_logits = model.all_logits, True
    model.init_buffers()
    try:
        logits = torch.cat(list(_stepped(model, embeddings, further)))
    finally:
        model.all_logits = wanted
        model.init_buffers()
    return AfterImage(rows[0], logits[len(before) + count - 1 :])


def task_settings(model: VisionLanguageModel) -> dict[str, Any]:
    """The manifest's ``task.settings``."""
    config = model.config
    inputs = [each.name for each in model.step_inputs]
    return {
        "image_token_id": config.image_token_id,
        "image_size": list(config.image_size),
        "tokens_per_image": config.tokens_per_image,
        **({"decoder_inputs": inputs} if inputs else {}),
        **({"grid": config.settings[_GRID]} if _GRID in config.settings else {}),
        **config.settings,
    }


def _stepped(
    model: VisionLanguageModel, embeddings: Tensor, further: Mapping[str, Tensor]
) -> Iterator[Tensor]:
    """Logits [S, V] of each step."""
    count = embeddings.shape[1]
    size = model.step_length or count
    dims = {each.name: each.token_dim for each in model.step_inputs}
    for start in range(0, count, size):
        length = min(size, count - start)
        given = {name: x.narrow(dims[name], start, length) for name, x in further.items()}
        some = embeddings[:, start : start + length]
        yield model.decode(some, torch.tensor([start]), **given)[0]
