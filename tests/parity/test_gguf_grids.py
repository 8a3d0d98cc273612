"""A GGUF's own quantization is kept where the scheme's grid can hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import hf_models
import numpy as np
import pytest
import torch
from family_models import MEMBERS, settings
from gguf_models import write_gguf
from parity_tools import recipe_for

from llm_export.config.quant_schema import ModuleKind, QuantRule, RoundingConfig
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.quant.auto.units import units_of
from llm_export.quant.grid import sqnr
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load
from llm_export.stages.quantization.auto.search import with_kept_grids
from llm_export.stages.quantize import quantize
from llm_export.stages.transform import transform
from llm_export.transforms import fuse_projections

FOUR = QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=32, zero_point=True)
SYMMETRIC = QuantRule(scheme="8da4w", kind=ModuleKind.linear, group_size=32)
TABLE = QuantRule(scheme="8w", kind=ModuleKind.embedding, group_size=32)


def llama(**changes: Any) -> Any:
    config = settings("llama", next(iter(MEMBERS["llama"]))) | changes
    return hf_models.build("llama", **config)


@pytest.mark.parametrize(
    ("block", "rule", "kept"),
    [
        ("Q4_1", FOUR, True),
        ("Q4_0", FOUR, True),
        ("Q8_0", TABLE, True),
        ("Q4_1", SYMMETRIC, False),
        ("Q8_0", FOUR, False),
    ],
)
def test_every_tensor_keeps_its_integers(
    block: str, rule: QuantRule, kept: bool, tmp_path: Path
) -> None:
    file = write_gguf(tmp_path / "m.gguf", llama(), block)
    recipe = recipe_for(file)
    model = load_model(recipe, attention="plain", context_length=32, all_logits=True).model
    fuse_projections.TRANSFORM.apply(model)
    choices = resolve_rules(model, [rule], "xnnpack")
    rounded = round_weights(model, choices, RoundingConfig(), outliers={})
    assert len(rounded) >= 1
    assert {one.how for one in rounded.values()} == {"kept" if kept else "minmax"}
    for name, (grid, *_) in rounded.items():
        weight = model.get_parameter(f"{name}.weight").detach()
        assert (sqnr(weight, grid.values()) > 45) == kept
    if kept:
        again = round_weights(
            model, choices, RoundingConfig(keep_grids=False), outliers={}
        )  # fmt: skip
        assert {one.how for one in again.values()} == {"minmax"}


def test_the_integers_are_those_of_the_file(tmp_path: Path) -> None:
    """Rows of the feed-forward are where the file has them: integer by integer."""
    file = write_gguf(tmp_path / "m.gguf", llama(), "Q4_1")
    model = load_model(recipe_for(file), attention="plain", context_length=32, all_logits=True)
    (choice,) = [
        c for c in resolve_rules(model.model, [FOUR], "xnnpack")
        if c.name == "layers.0.feed_forward.down"
    ]  # fmt: skip
    grid, *_ = round_weights(model.model, [choice], RoundingConfig(), outliers={})[choice.name]
    (stored,) = [t for t in gguf.GGUFReader(file).tensors if t.name == "blk.0.ffn_down.weight"]
    blocks = np.asarray(stored.data).reshape(-1, 20)[:, 4:]  # two float16, then 16 bytes
    nibbles = np.concatenate([blocks & 15, blocks >> 4], axis=1).reshape(choice.shape)
    assert torch.equal(grid.q, torch.from_numpy(nibbles.astype(np.int8) - 8))


def test_the_predicted_size_counts_the_columns_of_kept_offsets(tmp_path: Path) -> None:
    """Lowering refuses programs that are larger than predicted."""
    file = write_gguf(tmp_path / "m.gguf", llama(), "Q4_1")
    rule = "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, zero_point: true}]"
    others = []
    for keep in (True, False):
        words = ["backend=xnnpack", rule, f"quant.rounding.keep_grids={str(keep).lower()}"]
        recipe = resolve(recipe_for(file, *words))
        ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
        made = quantize(transform(load(Start(), recipe, ctx), recipe, ctx), recipe, ctx)
        assert {c.rounding for c in made.choices} == {"kept" if keep else "minmax", None}
        others.append(made.predicted_bytes - sum(c.bytes for c in made.choices))
    assert others[0] == others[1], "what is in no matrix"


def test_a_search_counts_what_kept_offsets_take(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "m.gguf", llama(intermediate_size=640), "Q4_1")
    model = load_model(recipe_for(file), attention="plain", context_length=32, all_logits=True)
    units = units_of(model.model, [], [FOUR, SYMMETRIC], "xnnpack")
    # With 20 groups: up to 18 kept offsets take no more columns than rounded ones.
    unit = next(unit for unit in units if unit.options[0].choices[0].shape[1] == 640)
    assert [option.choices[0].zero_point for option in unit.options] == [False, True]
    for keep, rounding in ((True, "kept"), (False, None)):
        found = with_kept_grids(unit, model.model, RoundingConfig(keep_grids=keep))
        assert [option.choices[0].rounding for option in found.options] == [None, rounding]
        assert (found.options[1].bytes > unit.options[1].bytes) is keep
