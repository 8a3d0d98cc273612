"""Positions in several streams, additions after layers, and what refuses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llm_export.errors import CheckpointError, RecipeError
from llm_export.models.components.attention_cores import KINDS
from llm_export.models.components.attention_cores.planners import HIDDEN
from llm_export.models.components.rope import GroupedRotaryTables, RotaryTables
from llm_export.models.config import RopeConfig
from llm_export.models.vision.config import ROTATE_INSIDE, kinds_for
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.families.qwen3_vl import streams
from llm_export.models.vision.model import VisionLanguageModel, build_on_meta
from llm_export.models.vision.step_inputs import step_inputs
from llm_export.models.vision.towers.grid_positions import in_blocks, resampled

QWEN, INTERNVL = VISION_FAMILIES.get("qwen3_vl"), VISION_FAMILIES.get("internvl")


def member(family: Any, part: str = "", **changes: Any) -> dict[str, Any]:
    """config.json of a tiny member, with changes to one part."""
    usual = {"max_position_embeddings": 128, "rms_norm_eps": 1e-6, "hidden_act": "silu"}
    own = {name: dict(values) for name, values in family.tiny.items()}
    own["text_config"] = {**usual, **own["text_config"]}
    whole = {**own.pop(""), **own}
    target = whole[part] if part else whole
    target.update(changes)
    return whole


@pytest.mark.parametrize(
    ("sections", "interleaved", "found"),
    [
        ([4, 2, 2], True, (0, 1, 2, 0, 1, 2, 0, 0)),
        ([2, 3, 3], True, (0, 1, 2, 0, 1, 2, 0, 1)),
        ([4, 2, 2], False, (0, 0, 0, 0, 1, 1, 2, 2)),
    ],
)
def test_streams_of_frequencies(
    sections: list[int], interleaved: bool, found: tuple[int, ...]
) -> None:
    assert streams(sections, 8, interleaved) == found


@given(position=st.lists(st.integers(0, 15), min_size=1, max_size=5))
def test_equal_positions_are_one_position(position: list[int]) -> None:
    for made in (
        RotaryTables(RopeConfig(1e4, 8, streams=(0, 1, 2, 0)), 16),
        GroupedRotaryTables(RopeConfig(1e4, 8, streams=(0, 1, 2, 0)), 16, 2, 12),
    ):
        made.init_buffers()
        at = torch.tensor(position)
        for one, three in zip(made(at), made(at.repeat(3, 1)), strict=True):
            assert torch.equal(one, three)


def test_each_frequency_turns_by_its_stream() -> None:
    plain = RotaryTables(RopeConfig(1e4, 8), 16)
    tables = RotaryTables(RopeConfig(1e4, 8, streams=(0, 1, 2, 0)), 16)
    plain.init_buffers()
    tables.init_buffers()
    cos, _ = tables(torch.tensor([[3], [7], [11]]))
    for channel, position in enumerate([3, 7, 11, 3] * 2):
        assert cos[0, 0, 0, channel] == plain.cos[position, channel]


def test_a_table_of_its_own_size_is_not_changed() -> None:
    table = torch.randn(9, 4)
    assert torch.equal(resampled(table, (3, 3)), table.view(3, 3, 4))
    assert in_blocks(torch.arange(8).view(2, 4), 2).tolist() == [0, 1, 4, 5, 2, 3, 6, 7]


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("text_config", {"rope_parameters": {"rope_theta": 1e4, "mrope_section": [9, 5, 5]}},
         r"mrope_section=\[9, 5, 5\] does not divide 16 frequencies"),
        ("text_config", {"rope_parameters": {"rope_theta": 1e4, "mrope_section": "x"}},
         "mrope_section='x' does not divide"),
        ("text_config", {"rope_parameters": {"rope_theta": 1e4, "mrope_interleaved": False}},
         "mrope_interleaved=false, and models of this family interleave"),
        ("vision_config", {"deepstack_visual_indexes": [2, 0]},
         r"deepstack_visual_indexes=\[2, 0\] are not layers of 3, in order"),
        ("vision_config", {"deepstack_visual_indexes": [0, 1, 2]},
         "3 deepstack_visual_indexes, and 2 layers"),
        ("vision_config", {"out_hidden_size": 48}, "does not implement out_hidden_size=48"),
        ("vision_config", {"num_position_embeddings": 24}, "24 is not a square number"),
        ("vision_config", {"num_heads": 16}, "cannot be rotated by row and column"),
        ("vision_config", {"window_size": 8}, r"does not know the config key\(s\) window_size"),
        ("vision_config", {"rope_parameters": {"rope_type": "yarn"}}, "RoPE 'yarn'"),
        ("vision_config", {"rope_parameters": {"factor": 2}}, "not those of an axial RoPE"),
        ("", {"image_token_id": -1}, "image_token_id=-1 is not a positive"),
        ("", {"text_config": None}, "lacks 'text_config'"),
        ("", {"vision_config": 3}, "lacks 'vision_config'"),
    ],
)  # fmt: skip
def test_what_qwen3_vl_refuses(part: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        QWEN.read(member(QWEN, part, **changes))


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("", {"vision_feature_layer": -2}, "does not implement vision_feature_layer=-2"),
        ("", {"downsample_ratio": 0.3}, "does not implement downsample_ratio=0.3"),
        ("vision_config", {"image_size": 20}, "20 x 20 pixels does not divide into whole tokens"),
        ("vision_config", {"norm_type": "batch"}, "does not implement norm_type='batch'"),
        ("vision_config", {"num_attention_heads": 3}, "32 channels do not divide among 3 heads"),
    ],
)  # fmt: skip
def test_what_internvl_refuses(part: str, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        INTERNVL.read(member(INTERNVL, part, **changes))


def test_image_sizes_are_whole_tokens() -> None:
    assert QWEN.read(member(QWEN), (24, 16)).tokens_per_image == 6
    with pytest.raises(CheckpointError, match="20 x 16 pixels does not divide into whole tokens"):
        QWEN.read(member(QWEN), (20, 16))
    with pytest.raises(CheckpointError, match="learned positions for images of 16 x 16 pixels"):
        INTERNVL.read(member(INTERNVL), (32, 32))


def test_steps_take_positions_and_additions_only_where_the_model_has_them() -> None:
    config = QWEN.read(member(QWEN), (16, 16))
    assert [each.name for each in step_inputs(config.language)] == ["rope_positions", "deepstack"]
    untapped = QWEN.read(member(QWEN, "vision_config", deepstack_visual_indexes=[]), (16, 16))
    assert [each.name for each in step_inputs(untapped.language)] == ["rope_positions"]
    assert step_inputs(INTERNVL.read(member(INTERNVL)).language) == ()
    kinds = ("plain", "custom_op", "static_io", "attention_sink")
    assert kinds_for(config.language, kinds) == ("plain", "custom_op", "static_io")
    assert kinds_for(config.language, kinds, bidirectional=True) == ("plain", "custom_op")
    assert kinds_for(INTERNVL.read(member(INTERNVL)).language, kinds) == kinds
    inside = {n for n, kind in KINDS.items() if getattr(kind.core, "rotates_inside", False)}
    assert inside == ROTATE_INSIDE


def test_programs_with_caches_as_inputs_refuse_other_masks() -> None:
    config = replace(QWEN.read(member(QWEN), (16, 16)), bidirectional=True)
    model = build_on_meta(config, 16, "static_io", False)
    with pytest.raises(RecipeError, match="the decoder takes 'attend_until' of each step"):
        model.as_program(1)


@torch.no_grad()
def test_programs_with_caches_as_inputs_take_positions_and_additions() -> None:
    config = QWEN.read(member(QWEN), (16, 16))
    torch.manual_seed(0)
    model = VisionLanguageModel(config, 16, "plain", True).eval()
    model.init_buffers()
    steps, hidden = 5, config.language.hidden_size
    embeddings, added = torch.randn(1, steps, hidden), torch.randn(2, 1, steps, hidden)
    positions = torch.randint(0, 9, (3, steps))
    wanted = model.decode(embeddings, torch.tensor([0]), positions, added)
    text = model.decode(embeddings, torch.tensor([0]))
    model.set_attention("static_io")
    with model.as_program(steps) as form:
        _, start, mask, *caches = form.inputs[:-2]
        mask = torch.full_like(mask, HIDDEN)
        mask[:, -steps:] = torch.triu(mask[:, -steps:], 1)
        made = form.module(embeddings, start, mask, *caches, positions, added)[0]
    assert torch.allclose(made, wanted, atol=1e-4)
    assert not torch.allclose(text, wanted, atol=1e-2)


def test_a_stream_is_named_for_every_frequency() -> None:
    with pytest.raises(ValueError, match="2 frequencies are assigned to position streams"):
        replace(RopeConfig(1e4, 8), streams=(0, 1))
