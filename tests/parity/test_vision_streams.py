"""Qwen3-VL, Qwen3.5 and InternVL of our components against transformers', method by method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import vision_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parity_tools import relative_error, sample_ids
from torch import Tensor

from llm_export.models.vision.model import VisionLanguageModel
from llm_export.models.vision.step_inputs import DEEPSTACK, ROPE_POSITIONS
from runtime_py.vision.mrope import TEXT, stream_positions

_BAR = 1e-4
# Not square: rows and columns differ.
SIZES: dict[str, tuple[int, int] | None] = {
    "internvl": None,
    "qwen3_5": (16, 24),
    "qwen3_vl": (24, 16),
}


@dataclass
class Pair:
    """transformers' model and ours with its weights, and an image."""

    reference: Any
    model: VisionLanguageModel
    pixels: Tensor

    @property
    def grid(self) -> tuple[int, int] | None:
        found = self.model.config.settings.get("token_grid")
        return None if found is None else tuple(found)

    def pictured(self) -> dict[str, Tensor]:
        """The image as transformers' model takes it."""
        if self.grid is None:
            return {"pixel_values": self.pixels}
        p, m = self.model.config.tower.patch, 2
        rows, columns = self.grid
        both = self.pixels[:, None].repeat(1, 2, 1, 1, 1).reshape(2, 3, rows, m, p, columns, m, p)
        patches = both.permute(2, 5, 3, 6, 1, 0, 4, 7).reshape(rows * columns * m * m, -1)
        sizes = torch.tensor([[1, rows * m, columns * m]])
        return {"pixel_values": patches, "image_grid_thw": sizes}

    def features(self) -> tuple[Tensor, ...]:
        """What transformers' tower makes of it: embeddings, then what is added after layers."""
        if self.grid is None:
            return (self.reference.model.get_image_features(self.pixels).pooler_output,)
        given = self.pictured()
        found = self.reference.model.get_image_features(*given.values())
        added = [each[0] for each in getattr(found, "deepstack_features", None) or ()]
        embeddings = found.pooler_output[0][None]
        return (embeddings, torch.stack(added)[:, None]) if added else (embeddings,)

    def prompt(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Text around two images, and further inputs of transformers' model."""
        image = self.model.config.image_token_id
        text = [i for i in sample_ids(14) if i < image]
        middle = [image] * self.model.config.tokens_per_image
        ids = torch.tensor([[*text[:5], *middle, *text[5:8], *middle, *text[8:]]])
        pictured = {name: x.repeat_interleave(1, 0) for name, x in self.pictured().items()}
        pictured = {name: torch.cat((x, x)) for name, x in pictured.items()}
        if self.grid is not None:
            pictured["mm_token_type_ids"] = (ids == image).long()
        return ids, pictured

    def inputs(self, ids: Tensor) -> list[Tensor]:
        """The inputs of ``decode`` after the position, embeddings first."""
        image, count = self.model.config.image_token_id, self.model.config.tokens_per_image
        at = ids[0] == image
        encoded = self.model.encode_image(self.pixels)
        features = encoded if isinstance(encoded, tuple) else (encoded,)
        repeat = int(at.sum()) // count
        embeddings = self.model.embed_tokens(ids)
        embeddings[:, at] = features[0].repeat(1, repeat, 1)
        made = [embeddings]
        for each in self.model.step_inputs:
            if each.name == ROPE_POSITIONS:
                assert self.grid is not None
                inside = torch.where(at, (at.cumsum(0) - 1) % count, TEXT).numpy()
                made.append(torch.from_numpy(stream_positions(inside, self.grid).positions))
            if each.name == DEEPSTACK:
                added = torch.zeros(features[1].shape[0], *embeddings.shape)
                added[:, :, at] = features[1].repeat(1, 1, repeat, 1)
                made.append(added)
        return made

    def logits(self, ids: Tensor, prefill: int) -> Tensor:
        """[S, V] of a chunk, then one by one."""
        given = self.inputs(ids)
        dims = (1, *(each.token_dim for each in self.model.step_inputs))
        ends = [prefill, *range(prefill + 1, ids.shape[1] + 1)]
        rows, begin = [], 0
        for end in ends:
            first, *further = (
                x.narrow(dim, begin, end - begin) for x, dim in zip(given, dims, strict=True)
            )
            rows.append(self.model.decode(first, torch.tensor([begin]), *further)[0])
            begin = end
        return torch.cat(rows)


def pair(name: str, folder: Path, size: tuple[int, int] | None, **parts: Any) -> Pair:
    reference = vision_models.build(name, **parts)
    model = vision_models.ours(reference, folder, size=size)
    return Pair(reference, model, vision_models.picture(model))


@torch.no_grad()
def require_parity(both: Pair) -> None:
    encoded = both.model.encode_image(both.pixels)
    made = encoded if isinstance(encoded, tuple) else (encoded,)
    for ours, theirs in zip(made, both.features(), strict=True):
        assert relative_error(ours, theirs) < _BAR
    ids, pictured = both.prompt()
    table = both.reference.get_input_embeddings()(ids)
    assert relative_error(both.model.embed_tokens(ids), table) < _BAR
    whole = both.reference(input_ids=ids, **pictured).logits[0]
    assert relative_error(both.logits(ids, ids.shape[1] - 3), whole) < _BAR
    text = ids[ids != both.model.config.image_token_id][None]
    alone = both.model(text, torch.tensor([0]))[0]
    assert relative_error(alone, both.reference(input_ids=text).logits[0]) < _BAR


@pytest.mark.parametrize("name", SIZES)
def test_methods_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    require_parity(pair(name, tmp_path, SIZES[name]))
