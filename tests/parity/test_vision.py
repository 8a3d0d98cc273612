"""Vision-language models of our components against transformers', method by method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import vision_models
from parity_tools import relative_error, sample_ids
from torch import Tensor

from llm_export.models.vision.model import VisionLanguageModel

_BAR = 1e-4
MEMBERS = ("smolvlm", "lfm2_vl", "gemma3", "llava")
SIZES: dict[str, tuple[int, int] | None] = {"lfm2_vl": (32, 48)}
"""Of images. Not square: rows and columns differ."""


@dataclass
class Pair:
    """transformers' model and ours with its weights, and an image."""

    reference: Any
    model: VisionLanguageModel
    pixels: Tensor

    @property
    def prompt(self) -> list[int]:
        """Token ids of a text with two images in it."""
        config = self.model.config
        ids = [i for i in sample_ids(16) if i != config.image_token_id]
        image = [config.image_token_id] * config.tokens_per_image
        return [*ids[:4], *image, *ids[4:7], *image, *ids[7:]]

    def pictured(self) -> dict[str, Tensor]:
        """The image as transformers' model takes it."""
        config = self.model.config
        if config.family in ("smolvlm", "idefics3"):
            return {"pixel_values": self.pixels[None]}
        if config.family != "lfm2_vl":
            return {"pixel_values": self.pixels}
        (rows, columns), p = config.tower.grid, config.tower.patch
        patches = self.pixels.reshape(1, 3, rows, p, columns, p).permute(0, 2, 4, 3, 5, 1)
        return {
            "pixel_values": patches.reshape(1, rows * columns, -1),
            "spatial_shapes": torch.tensor([[rows, columns]]),
            "pixel_attention_mask": torch.ones(1, rows * columns, dtype=torch.int64),
        }

    @torch.no_grad()
    def features(self) -> Tensor:
        """[n, H] of transformers' tower and projector."""
        found: Tensor = self.reference.model.get_image_features(**self.pictured()).pooler_output
        return found[0]

    @torch.no_grad()
    def embedded(self, ids: list[int]) -> Tensor:
        tokens = torch.tensor([ids])
        embeddings = self.model.embed_tokens(tokens)
        image = self.model.encode_image(self.pixels)
        assert isinstance(image, Tensor)
        places = tokens[0] == self.model.config.image_token_id
        embeddings[0, places] = image[0].repeat(int(places.sum()) // image.shape[1], 1)
        return embeddings

    @torch.no_grad()
    def logits(self, ids: list[int]) -> Tensor:
        """[S, V] of transformers' model of a text with two of the same image."""
        twice = {
            key: torch.cat([x, x], dim=int(self.model.config.family == "smolvlm"))
            for key, x in self.pictured().items()
        }
        if self.model.config.bidirectional:
            twice["token_type_ids"] = (
                torch.tensor([ids]) == self.model.config.image_token_id
            ).long()
        found: Tensor = self.reference(input_ids=torch.tensor([ids]), **twice).logits[0]
        return found

    @torch.no_grad()
    def stepped(self, ids: list[int]) -> Tensor:
        """[S, V] of ours: all but the last tokens in one step, the others one by one."""
        embeddings, rows, start = self.embedded(ids), [], 0
        until = torch.tensor(attend_until(ids, self.model.config.image_token_id))
        for length in [len(ids) - 4] + [1] * 4:
            part = slice(start, start + length)
            further = [until[part]] if self.model.config.bidirectional else []
            rows.append(self.model.decode(embeddings[:, part], torch.tensor([start]), *further)[0])
            start += length
        return torch.cat(rows)


def attend_until(ids: list[int], image_token: int) -> list[int]:
    """For each token the last position that it attends to."""
    until = list(range(len(ids)))
    for i in reversed(range(len(ids) - 1)):
        if ids[i] == ids[i + 1] == image_token:
            until[i] = until[i + 1]
    return until


def pair(name: str, folder: Path, **members: Any) -> Pair:
    size = members.pop("size", SIZES.get(name))
    attention = members.pop("attention", "plain")
    reference = vision_models.build(name, **members)
    model = vision_models.ours(reference, folder, size=size, attention=attention)
    return Pair(reference, model, vision_models.picture(model))


def check(found: Pair) -> None:
    """Hold every method to transformers'."""
    image = found.model.encode_image(found.pixels)
    assert isinstance(image, Tensor)
    assert relative_error(image[0], found.features()) < _BAR
    ids = found.prompt
    plain = [i for i in ids if i != found.model.config.image_token_id]
    table = found.reference.get_input_embeddings()(torch.tensor([plain]))
    assert relative_error(found.model.embed_tokens(torch.tensor([plain])), table) < _BAR
    assert relative_error(found.stepped(ids), found.logits(ids)) < _BAR


@pytest.mark.parametrize("name", MEMBERS)
def test_methods_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    check(pair(name, tmp_path / "m"))
