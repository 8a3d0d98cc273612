"""The KV cache in int8 against the cache in float, eagerly and as programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from family_models import settings
from parity_tools import BAR, recipe_for, relative_error, sample_ids, stepwise
from program_tools import ends, fed
from stage_tools import exported_of

from llm_export.models.load_model import load_model
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.lower import lower
from llm_export.stages.verification.logits import eager_logits
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from runtime_py.program import Program

INT8 = ("quant.kv_cache=int8", "runtime.context_length=64", "runtime.prefill_length=16",
        "verify=off", "benchmark=off")  # fmt: skip
KINDS = {
    ("llama", "grouped"): ("custom_op_int8", "plain_int8"),
    ("llama", "one kv head"): ("custom_op_int8", "plain_int8"),
    ("llama", "no grouping"): ("custom_op_int8",),
    ("llama", "wide heads"): ("custom_op_int8", "plain_int8"),
    ("mistral", "window"): ("custom_op_int8", "plain_int8"),
    ("qwen3", "mixed layers"): ("custom_op_int8",),
    ("gemma2", "mixed layers"): ("plain_int8",),
    ("gpt_oss", "sinks"): ("plain_int8",),
}
CASES = [(*member, kind) for member, kinds in KINDS.items() for kind in kinds]


def folder_of(family: str, variant: str, path: Path, **changes: Any) -> Path:
    built = hf_models.build(family, **{**settings(family, variant), **changes})
    return hf_models.save(built, path / "m")


def caches(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: b.clone() for n, b in model.named_buffers() if "_cache" in n}


@pytest.mark.parametrize(("family", "variant", "kind"), CASES)
def test_a_cache_in_int8(family: str, variant: str, kind: str, tmp_path: Path) -> None:
    folder, ids = folder_of(family, variant, tmp_path), sample_ids(60)
    recipe = recipe_for(folder)
    model = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    expected = stepwise(model, ids, 60)
    run_transform(exchange(kind), model)
    assert {b.dtype for n, b in caches(model).items() if n.endswith("_cache")} == {torch.int8}
    whole = stepwise(model, ids, 60)
    assert 1e-5 < relative_error(whole, expected) < 0.02, "quantized, and not by more than that"
    kept = caches(model)
    model.init_buffers()
    assert not any(b.any() for b in caches(model).values())
    chunked = stepwise(model, ids, 7)
    # Another order of summation may turn the last bit of a key here and there.
    turned = any((b != kept[n]).any() for n, b in caches(model).items() if b.dtype is torch.int8)
    assert relative_error(chunked, whole) < (5e-3 if turned else 1e-5)
    assert relative_error(chunked, expected) < 0.02


@pytest.mark.parametrize(
    ("family", "variant", "kind"),
    [("llama", "grouped", "custom_op_int8"), ("mistral", "window", "custom_op_int8"),
     ("gemma2", "mixed layers", "plain_int8")],
)  # fmt: skip
def test_going_back_leaves_no_trace(family: str, variant: str, kind: str, tmp_path: Path) -> None:
    ids = sample_ids(90)
    first, other = ids[:50], [*ids[:20], *ids[60:80]]
    recipe = recipe_for(folder_of(family, variant, tmp_path))
    model = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    run_transform(exchange(kind), model)
    fresh = stepwise(model, other, 20)
    model.init_buffers()
    stepwise(model, first, 20)
    again = [model(torch.tensor([[token]]), torch.tensor([i]))[0] for i, token in
             enumerate(other[20:], start=20)]  # fmt: skip
    assert torch.equal(torch.cat(again), fresh[20:])


def test_the_exported_cache_is_int8(tmp_path: Path) -> None:
    recipe = recipe_for(folder_of("llama", "grouped", tmp_path), *INT8)
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    program, heads, layers = exported.program, 2, 2
    values = {n.name: n.meta["val"] for n in program.graph.nodes if n.op == "placeholder"}
    buffers = program.graph_signature.inputs_to_buffers
    found = {name: values[place] for place, name in buffers.items() if "_cache" in name}
    assert len(found) == 6 * layers
    for name, value in found.items():
        assert value.dtype == (torch.float32 if name.endswith("_scale") else torch.int8)
        assert tuple(value.shape) == (1, 64, heads, 16 if name.endswith("_cache") else 1)
    facts = ctx.record.facts
    in_float = 2 * 64 * heads * 16 * 4 * layers
    in_int8 = 2 * 64 * heads * (16 + 4 + 1) * layers
    assert facts["kv_cache"] == {"dtype": "int8", "bytes": in_int8, "float32_bytes": in_float}
    assert facts["cache_bytes"] == in_int8
    assert exported.constants["use_sdpa_with_kv_cache"] is True
    assert exported.constants["use_kv_cache"] is True
    tables = 2 * 64 * 16 * 4
    parameters = sum(p.numel() * 4 for p in exported.transformed.model.parameters())
    assert facts["predicted_bytes"] < parameters + 2 * tables, "caches are not stored"


@pytest.mark.parametrize(
    ("family", "variant", "backend"),
    [
        # Whole bundles with this cache are in tests/integration/test_run.py.
        pytest.param("llama", "grouped", "portable", marks=pytest.mark.release),
        pytest.param("mistral", "window", "xnnpack", marks=pytest.mark.release),
        pytest.param("gemma2", "mixed layers", "xnnpack", marks=pytest.mark.release),
        pytest.param("gpt_oss", "sinks", "portable", marks=pytest.mark.release),
    ],
)
def test_a_program_is_its_eager_model(
    family: str, variant: str, backend: str, tmp_path: Path
) -> None:
    """Fed in chunks, gone back in, and again token by token."""
    ids, sizes = sample_ids(60), [9, 16, 1, 5]
    layers = {"num_hidden_layers": 1} if variant == "grouped" else {}  # lowers in half the time
    folder = folder_of(family, variant, tmp_path, **layers)
    # So long that caches in the file would be more than all that is in it besides the weights.
    recipe = recipe_for(folder, f"backend={backend}", *INT8, "runtime.context_length=4096")
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    lowered = lower(exported, resolve(recipe), ctx)
    program = Program(
        lowered.program_file, context_length=4096, steps={"forward": 16}, dynamic=True
    )
    expected = eager_logits(exported.transformed.model, ids, 16)
    for fed_in in (sizes, []):
        error = relative_error(fed(program, ids, fed_in), expected[ends(60, fed_in)])
        assert error < BAR, fed_in
    size = lowered.program_file.stat().st_size
    facts = ctx.record.facts
    assert size < facts["predicted_bytes"] + facts["cache_bytes"] / 2, "caches are not stored"
