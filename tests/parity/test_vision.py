"""Vision-language models of our components against transformers', method by method."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import vision_models
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_tools import relative_error, sample_ids
from torch import Tensor

from llm_export.models.vision.model import VisionLanguageModel
from llm_export.models.vision.sequences import narrowed, sequence_inputs, sequence_logits
from llm_export.transforms.attention import require_custom_ops

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

    def twice(self, ids: list[int]) -> dict[str, Tensor]:
        """Further inputs of transformers' model for a text with two of the same image."""
        twice = {
            key: torch.cat([x, x], dim=int(self.model.config.family == "smolvlm"))
            for key, x in self.pictured().items()
        }
        if self.model.config.bidirectional:
            twice["token_type_ids"] = (
                torch.tensor([ids]) == self.model.config.image_token_id
            ).long()
        return twice

    @torch.no_grad()
    def logits(self, ids: list[int]) -> Tensor:
        """[S, V] of transformers' model."""
        found: Tensor = self.reference(input_ids=torch.tensor([ids]), **self.twice(ids)).logits[0]
        return found

    def parts(self) -> list[list[int] | Tensor]:
        """The prompt with pixels for its images."""
        runs = itertools.groupby(self.prompt, lambda i: i == self.model.config.image_token_id)
        return [self.pixels if image else list(ids) for image, ids in runs]


def pair(name: str, folder: Path, **members: Any) -> Pair:
    size = members.pop("size", SIZES.get(name))
    attention = members.pop("attention", "plain")
    reference = vision_models.build(name, **members)
    model = vision_models.ours(reference, folder, size=size, attention=attention)
    return Pair(reference, model, vision_models.picture(model))


@torch.no_grad()
def check(found: Pair) -> None:
    """Hold every method to transformers'."""
    image = found.model.encode_image(found.pixels)
    assert isinstance(image, Tensor)
    assert relative_error(image[0], found.features()) < _BAR
    ids = found.prompt
    plain = [i for i in ids if i != found.model.config.image_token_id]
    table = found.reference.get_input_embeddings()(torch.tensor([plain]))
    assert relative_error(found.model.embed_tokens(torch.tensor([plain])), table) < _BAR
    inputs = sequence_inputs(found.model, found.parts())
    stepped = sequence_logits(found.model, inputs, len(ids) - 4)
    assert relative_error(stepped, found.logits(ids)) < _BAR


@pytest.mark.parametrize("name", MEMBERS)
def test_methods_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    check(pair(name, tmp_path / "m"))


@st.composite
def odd_members(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Sizes that no published model has."""
    heads, head_dim = draw(st.sampled_from([1, 3])), draw(st.sampled_from([8, 20]))
    vision: dict[str, Any] = {
        "num_attention_heads": heads, "hidden_size": heads * head_dim,
        "intermediate_size": draw(st.sampled_from([24, 56])),
        "num_hidden_layers": draw(st.integers(2, 3)),
        "patch_size": draw(st.sampled_from([3, 4])),
        "hidden_act": draw(st.sampled_from(["gelu", "gelu_pytorch_tanh", "quick_gelu"])),
        "layer_norm_eps": draw(st.sampled_from([1e-6, 1e-3])),
    }  # fmt: skip
    patch, members = vision["patch_size"], dict[str, Any]()
    if name == "lfm2_vl":
        factor = draw(st.integers(1, 3))
        sides = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
        members["size"] = (patch * factor * sides[0], patch * factor * sides[1])
        members |= {
            "downsample_factor": factor, "projector_hidden_size": draw(st.sampled_from([10, 33])),
            "projector_use_layernorm": draw(st.booleans()),
        }  # fmt: skip
        vision["num_patches"] = draw(st.sampled_from([1, 9, 49]))
    elif name == "gemma3":
        side, factor = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        vision["image_size"] = patch * side * factor
        members["mm_tokens_per_image"] = side * side
    elif name == "llava":
        vision["image_size"] = patch * draw(st.integers(1, 3))
        members["vision_feature_layer"] = draw(st.sampled_from([-3, -2, -1, 1]))
    else:
        factor = draw(st.integers(1, 3))
        vision["image_size"] = patch * factor * draw(st.integers(1, 2))
        members["scale_factor"] = factor
        # Not the trained size: positions of the table are selected.
        members["size"] = (patch * factor * draw(st.integers(1, 3)),) * 2
    return {**members, "vision": vision}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
@given(data=st.data())
@settings(max_examples=8)
def test_odd_members(name: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(pair(name, Path(folder), **data.draw(odd_members(name))))


@pytest.mark.parametrize("kind", ["custom_op", "custom_op_by_head", "ring", "cacheless"])
@torch.no_grad()
def test_images_are_seen_in_both_directions_whatever_the_attention(
    kind: str, tmp_path: Path
) -> None:
    """Gemma 3: with masks that differ by window, and the whole image in one step."""
    found = pair("gemma3", tmp_path)
    inputs = sequence_inputs(found.model, found.parts())
    behind = len(found.prompt) if kind == "cacheless" else len(found.prompt) - 4
    require_custom_ops()
    found.model.set_attention(kind, step_length=32)
    logits = sequence_logits(found.model, inputs, behind)
    expected = found.logits(found.prompt)
    assert relative_error(logits, expected) < _BAR
    embeddings, until = inputs
    causal = torch.arange(len(until))
    assert not torch.equal(until, causal)
    found.model.init_buffers()
    blind = sequence_logits(found.model, (embeddings, causal), behind)
    assert relative_error(blind, expected) > 100 * _BAR


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMBERS)
@torch.no_grad()
def test_greedy_answers_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    found = pair(name, tmp_path)
    ids, inputs = found.prompt, sequence_inputs(found.model, found.parts())
    found.reference.generation_config.eos_token_id = None
    answer = found.reference.generate(
        input_ids=torch.tensor([ids]), **found.twice(ids), do_sample=False, max_new_tokens=32,
        attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
    )[0, len(ids) :].tolist()  # fmt: skip
    first, *further = narrowed(found.model, inputs, 0, len(ids))
    logits = found.model.decode(first, torch.tensor([0]), *further)
    mine: list[int] = []
    for position in range(len(ids), len(ids) + len(answer)):
        mine.append(int(logits[0, -1].argmax()))
        place = torch.tensor([position])
        further = [place] if found.model.config.bidirectional else []
        embedded = found.model.embed_tokens(torch.tensor([mine[-1:]]))
        logits = found.model.decode(embedded, place, *further)
    assert mine == answer
