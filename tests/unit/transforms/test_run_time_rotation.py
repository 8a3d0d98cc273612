"""Rotations at run time: before ``down``, and before an output matrix that stays tied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stage_tools import beside_eager

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import RotateConfig, TiedKind
from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.components.run_time_rotation import BlockRotation, RotatedNorm
from llm_export.models.config import NormConfig
from llm_export.models.decoder import Decoder
from llm_export.models.load_model import load_model
from llm_export.predict.model_shapes import decoder_shapes
from llm_export.quant.inputs import input_ranges
from llm_export.resolve.recipe import resolve
from llm_export.stages.verification.logits import eager_logits
from llm_export.transforms.base import run_transform
from llm_export.transforms.hadamard import rotation
from llm_export.transforms.rotate import rotate
from llm_export.transforms.scale_folding import folding_pairs

IDS = [(i * 37 + 11) % 300 for i in range(16)]
ROTATED = "quant.rotate={r1: true, r2: true, r4: 32}"


def recipe_of(*overrides: str) -> Recipe:
    small = ("model.config.tie_word_embeddings=true", "model.config.num_hidden_layers=1",
             "runtime=static", "runtime.context_length=32", "verify=off", "benchmark=off",
             "quant.calibration.tokens=64", "quant.calibration.window=32")  # fmt: skip
    return api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *small, *overrides]).recipe


def decoder() -> Any:
    """A tied model with a gain of the last norm, and a feature that is large."""
    model: Any
    model = load_model(recipe_of(), attention="plain", context_length=32, all_logits=True).model
    with torch.no_grad():
        model.norm.weight.copy_(torch.rand(64) + 0.5)
        model.layers[0].feed_forward.gate_up.up.weight[3] *= 50
    return model


def test_a_rotation_in_blocks_is_that_of_each_block() -> None:
    q = rotation(4, torch.Generator().manual_seed(1))
    x = torch.randn(2, 3, 12)
    turned = BlockRotation(q.matrix())(x)
    assert torch.allclose(turned, q(x), atol=1e-6)
    assert torch.allclose(BlockRotation(q.matrix().t())(turned), x, atol=1e-6)


def test_the_product_reads_the_blocks_as_they_are_cut() -> None:
    """Another view before it has a computed size in a program of any length: Vulkan's passes move
    that before its computation."""
    node: Any = BlockRotation(torch.eye(4))(torch.ones(1, 8, 12, requires_grad=True)).grad_fn
    names = []
    while node.next_functions:
        names.append(node.name())
        node = node.next_functions[0][0]
    assert names == ["ViewBackward0", "MmBackward0", "ViewBackward0"]


def test_a_tied_model_stays_tied_and_says_the_same() -> None:
    model = decoder()
    before = eager_logits(model, IDS)
    run_transform(rotate(True, False, 0), model)
    assert isinstance(model.norm, RotatedNorm)
    assert model.head.weight is model.embed.weight
    assert torch.allclose(eager_logits(model, IDS), before, atol=1e-4)
    assert all(model.head not in pair.consumers for pair in folding_pairs(model))


@pytest.mark.parametrize("bias", [True, False])
def test_layer_norms_part_the_table_from_the_output_matrix(bias: bool) -> None:
    """Without the mean that the norms subtract, the output matrix would be another."""
    tied = decoder().config
    norm = NormConfig(1e-5, kind="layer", bias=bias)
    layers = tuple(replace(layer, norm=norm) for layer in tied.layers)
    model = Decoder(replace(tied, norm=norm, layers=layers), 32, "plain", True)
    torch.manual_seed(0)
    for parameter in model.requires_grad_(False).parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.head.weight = model.embed.weight
    model.init_buffers()
    before = eager_logits(model, IDS)
    run_transform(rotate(True, False, 0), model)
    after = eager_logits(model, IDS)
    assert float((after - before).abs().max() / before.abs().max()) < 1e-5
    assert model.head.weight is not model.embed.weight


@pytest.mark.parametrize(("words", "tied"), [((), True), (("quant.tied=untied",), False)])
def test_shapes_count_what_a_rotation_adds(words: tuple[str, ...], tied: bool) -> None:
    plain = decoder_shapes(resolve(recipe_of("quant=8da8w", *words)))
    rotated = decoder_shapes(resolve(recipe_of("quant=8da8w", ROTATED, *words)))
    assert plain is not None
    assert rotated is not None
    assert (plain.tied, rotated.tied) == (True, tied)
    assert rotated.tables - plain.tables == 32 * 32 + (64 * 64 if tied else 0)


def test_what_down_reads_is_evened_out() -> None:
    model, name = decoder(), "layers.0.feed_forward.down"
    (before,) = input_ranges(model, [name], [IDS]).values()
    run_transform(rotate(False, False, 0, r4=32), model)
    (after,) = input_ranges(model, [name], [IDS]).values()
    assert before.max() > 4 * after.max()
    # Scales of its channels can no longer be folded into up.
    down = model.layers[0].feed_forward.down
    assert all(down not in pair.consumers for pair in folding_pairs(model))


def test_blocks_that_do_not_fit_are_refused() -> None:
    recipe = recipe_of("quant=8da8w")
    recipe.quant.rotate = RotateConfig(r4=48)
    (problem,) = find_problems(recipe)
    words = "feed-forward networks of 128 channels have no blocks of 48"
    assert (problem.key, problem.what) == ("quant.rotate.r4", words)
    assert problem.fix == "quant.rotate.r4=null, or quant.rotate=null"
    with pytest.raises(PostConditionError, match=words):
        rotate(True, True, 0, r4=48).apply(decoder())


def test_a_table_may_be_shared() -> None:
    recipe = recipe_of("quant=8da8w", ROTATED)
    recipe.quant.tied = TiedKind.share
    assert find_problems(recipe) == []


def test_blocks_of_one_channel_rotate_nothing() -> None:
    with pytest.raises(ValueError, match=r"rotate\.r4=1: must be at least 2"):
        RotateConfig(r4=1)


@pytest.mark.slow
def test_the_program_rotates_as_the_eager_model(tmp_path: Path) -> None:
    recipe = recipe_of("quant=8da8w", ROTATED, "quant.outliers=0")
    done, said, eager = beside_eager(recipe, IDS, tmp_path)
    assert float((said - eager).abs().max() / eager.abs().max()) < 0.05
    assert not {"linear", "addmm", "mm"} & {
        name.split("::")[-1].split(".")[0] for name in done.delegation.operators
    }
    # The table is stored once.
    assert 0 < done.program_file.stat().st_size - done.transformed.predicted_bytes < 60_000
