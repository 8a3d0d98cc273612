"""Programs of repeated layers compute what programs that were lowered whole compute, exactly, and
their maps name the same modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from family_models import MEMBERS, settings
from gguf_models import write_gguf
from parity_tools import program_at, recipe_for, sample_ids
from stage_tools import exported_of

from llm_export import api
from llm_export.config.schema import Recipe
from llm_export.json_data import to_json
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.profile.profile_map import PROFILE_MAP, ProfileMap
from llm_export.resolve.recipe import resolve
from llm_export.stages.lower import lower

SHAPES = ["runtime.context_length=64", "runtime.prefill_length=32"]


def logits(recipe: Recipe, out: Path) -> tuple[torch.Tensor, dict[str, Any]]:
    """Of a chunk of prompt and of single tokens after it; and what lowering noted of layers."""
    ctx = RunContext(out, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    made = lower(exported, resolve(recipe), ctx)
    program = program_at(
        made.program_file, recipe, **to_json(exported.transformed.model.cache_metadata())
    )
    ids, cut = sample_ids(20), 7 if resolve(recipe).methods.dynamic else 1
    rows = [program.step(ids[:cut])[0, -1].clone()]
    rows += [program.step([token])[0, -1].clone() for token in ids[cut:]]
    return torch.stack(rows), ctx.record.facts["layers"]


def same_both_ways(words: list[str], tmp_path: Path, folder: Path | None = None) -> dict[str, Any]:
    found = []
    for way in ("true", "false"):
        out = tmp_path / way
        out.mkdir()
        overrides = [*words, *SHAPES, f"backend.repeat_layers={way}"]
        if folder is None:
            recipe = api.compose_recipe(None, overrides).recipe
        else:
            recipe = recipe_for(folder, *overrides)
        found.append(logits(recipe, out))
    (repeated, note), (whole, other) = found
    assert other["path"] == "whole"
    assert other["why"] == "backend.repeat_layers=false"
    assert torch.equal(repeated, whole)
    maps = [ProfileMap.read(tmp_path / way / PROFILE_MAP) for way in ("true", "false")]
    # What lowering makes of parameters has its layer's name only where the layer is a graph.
    assert sum(maps[0].weights.values()) == sum(maps[1].weights.values())
    inside = [
        [(o.operator, o.module, o.bytes) for call in calls.values() for o in call.inside]
        for calls in (one.methods["forward"] for one in maps)
    ]
    assert inside[0] == inside[1]
    return note


@pytest.mark.release  # of what 8da4w repeats, only the linear layers' constants are others
def test_float_on_xnnpack(tmp_path: Path) -> None:
    words = ["model=tiny", "model.config.num_hidden_layers=5", "backend=xnnpack"]
    note = same_both_ways(words, tmp_path)
    assert note == {"lowered": 3, "of": 5, "path": "repeated"}


@pytest.mark.slow
def test_states_and_views_on_xnnpack(tmp_path: Path) -> None:
    """Convolutions, whose taps lowering makes constants of, with projections that are views of a
    joint one, and states that are copied beside caches that are written in place.
    """
    kinds = ["conv", "full_attention"] * 3
    changes = {"num_hidden_layers": 6, "layer_types": kinds}
    model = hf_models.build("lfm2", **settings("lfm2", "convolutions") | changes)
    folder = hf_models.save(model, tmp_path / "lfm2")
    note = same_both_ways(["backend=xnnpack"], tmp_path, folder)
    assert note == {"lowered": 4, "of": 6, "path": "repeated"}


def test_portable_is_lowered_whole(tmp_path: Path) -> None:
    """Its constants are transposed weights that lowering folds."""
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    words = ["model=tiny", "model.config.num_hidden_layers=5", *SHAPES]
    with torch.no_grad():
        exported = exported_of(api.compose_recipe(None, words).recipe, ctx)
    assert exported.plan is None
    assert exported.whole_because == "portable does not lower layer by layer"


@pytest.mark.release
def test_what_does_not_repeat_is_lowered_whole(tmp_path: Path) -> None:
    """With fixed shapes the layers of a chunk's method are not lowered alike."""
    words = ["model=tiny", "model.config.num_hidden_layers=5", "backend=xnnpack"]
    note = same_both_ways([*words, "runtime=static"], tmp_path)
    assert note["path"] == "whole"
    assert "layer 1" in note["why"]
    assert "layer 2" in note["why"]


@pytest.mark.release
def test_kept_offsets_on_xnnpack(tmp_path: Path) -> None:
    """Of 576 inputs some groups share a column, as the inputs of the layers say."""
    config = {**settings("llama", next(iter(MEMBERS["llama"]))), "num_hidden_layers": 5}
    config |= {"hidden_size": 576, "intermediate_size": 64, "num_attention_heads": 2,
               "num_key_value_heads": 1, "head_dim": 64}  # fmt: skip
    file = write_gguf(tmp_path / "m.gguf", hf_models.build("llama", **config), "Q4_1")
    note = same_both_ways(["backend=xnnpack", "quant=8da4w_asym"], tmp_path, file)
    assert note == {"lowered": 3, "of": 5, "path": "repeated"}


# Quantized layers that repeat are in each run of a real model, which verification measures.
@pytest.mark.release
@pytest.mark.parametrize("quant", ["8da4w", "8da8w", "8da4w_asym"])
def test_xnnpack(quant: str, tmp_path: Path) -> None:
    words = ["model=tiny", "model.config.num_hidden_layers=5", "backend=xnnpack"]
    note = same_both_ways([*words, f"quant={quant}"], tmp_path)
    assert note == {"lowered": 3, "of": 5, "path": "repeated"}


@pytest.mark.release
@pytest.mark.parametrize("family", ["qwen3", "llama", "qwen2", "olmo2", "granite", "gemma", "phi3"])
def test_families_on_xnnpack(family: str, tmp_path: Path) -> None:
    config = {**settings(family, next(iter(MEMBERS[family]))), "num_hidden_layers": 6}
    config.pop("layer_types", None)
    folder = hf_models.save(hf_models.build(family, **config), tmp_path / "m")
    note = same_both_ways(["backend=xnnpack", "quant=8da8w"], tmp_path, folder)
    assert note["path"] == "repeated", note
    assert note["lowered"] < note["of"]


@pytest.mark.release
def test_layers_with_and_without_a_window(tmp_path: Path) -> None:
    """Gemma 3: they differ in what they attend to, and in nothing that holds a tensor."""
    config = settings("gemma3_text", next(iter(MEMBERS["gemma3_text"])))
    kinds = ["sliding_attention", "sliding_attention", "full_attention"] * 3
    config = {**config, "num_hidden_layers": len(kinds), "layer_types": kinds}
    folder = hf_models.save(hf_models.build("gemma3_text", **config), tmp_path / "m")
    note = same_both_ways(["backend=xnnpack", "quant=8da8w"], tmp_path, folder)
    assert note["path"] == "repeated", note
    assert note["lowered"] < note["of"]


@pytest.mark.release
def test_layers_that_borrow_keys_and_values(tmp_path: Path) -> None:
    """Gemma 4: of six layers that attend to what the third keeps, three repeat another."""
    kinds = ["sliding_attention"] * 2 + ["full_attention"] * 7
    config = {**settings("gemma4_text", next(iter(MEMBERS["gemma4_text"]))), "layer_types": kinds}
    config |= {"num_hidden_layers": len(kinds), "num_kv_shared_layers": 6}
    folder = hf_models.save(hf_models.build("gemma4_text", **config), tmp_path / "m")
    note = same_both_ways(["backend=xnnpack", "quant=8da8w"], tmp_path, folder)
    assert note == {"lowered": 6, "of": 9, "path": "repeated"}


@pytest.mark.release
def test_smollm2(tmp_path: Path) -> None:
    note = same_both_ways(["model=smollm2_135m", "backend=xnnpack", "quant=8da4w"], tmp_path)
    assert note == {"lowered": 3, "of": 30, "path": "repeated"}
