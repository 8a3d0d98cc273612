"""The generic tier against transformers: eager, through the cache, and from disk."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_families
import hf_models
import pytest
import torch
from parity.test_ladder import context
from parity_tools import BAR, relative_error, stepwise
from safetensors.torch import load_file, save_file
from stage_tools import exported_of, transformed_of

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.schema import CheckpointConfig, ModelConfig, Recipe
from llm_export.errors import CheckpointError
from llm_export.models.cache_metadata import Rewind
from llm_export.models.detect import detect_model
from llm_export.models.load_model import load_model
from llm_export.predict.size import program_bytes, with_instructions
from llm_export.resolve.recipe import resolve
from llm_export.stages.lower import lower
from llm_export.stages.verification.kv_cache_size import cache_bytes
from llm_export.stages.verification.logits import eager_logits
from llm_export.transforms import active_experts
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from runtime_py.program import Program

CONTEXT = 64
IDS = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(1)).tolist()

# Family -> whether the fused operators compute its attention.
FAMILIES = {
    "gpt_neox": True, "opt": True, "falcon": False, "falcon alibi": False, "cohere": True,
    "glm4": True, "mpt": False, "bloom": False, "gpt2": True, "llama": True, "mistral": False,
    "mixtral": True, "qwen3_moe": True, "gemma2": False, "gemma3_text": False, "gpt_oss": False,
    "deepseek_v3": False,
}  # fmt: skip

# Families with layers of a window, 16 tokens in their tiny members.
WINDOWED = {"mistral", "gemma2", "gemma3_text", "gpt_oss"}
RING_STEP = 7


def recipe_for(folder: Path, *overrides: str) -> Recipe:
    composed = api.compose_recipe(
        None, ["model=tiny", f"runtime.context_length={CONTEXT}", "runtime.prefill_length=32",
               "benchmark=off", "verify.window=64", *overrides]
    )  # fmt: skip
    raw = json.loads((folder / "config.json").read_text())
    model = ModelConfig(name="m", definition="hf", family=raw["model_type"], config=raw)
    return replace(composed.recipe, model=model, checkpoint=CheckpointConfig(path=str(folder)))


def logits_of(reference: Any) -> torch.Tensor:
    with torch.no_grad():
        return reference(torch.tensor([IDS]), use_cache=False).logits[0]


def check_eager(reference: Any, folder: Path, fused: bool | None = None) -> None:
    """Every attention kind that the definition claims against ``reference``: the whole text
    at once, and a chunk and then token by token through the cache."""
    expected, recipe = logits_of(reference), recipe_for(folder)
    assert find_problems(recipe) == []
    kinds = resolve(recipe).model_attention
    assert fused is None or ("custom_op" in kinds) == fused
    load_one = load_model(recipe, attention="cacheless", context_length=CONTEXT, all_logits=True)
    assert relative_error(eager_logits(load_one.model, IDS), expected) < BAR
    model = load_model(recipe, attention="plain", context_length=CONTEXT, all_logits=True).model
    assert relative_error(eager_logits(model, IDS), expected) < BAR, "plain, prefill"
    for kind in (k for k in kinds if k != "cacheless"):
        limits = {"step_length": RING_STEP} if kind == "ring" else {}
        run_transform(exchange(kind, **limits), model)
        assert relative_error(stepwise(model, IDS, RING_STEP), expected) < BAR, f"{kind}, decode"
        # What the cache held before must not show.
        again = stepwise(model, IDS[:9], 5)
        assert relative_error(again, expected[:9]) < BAR, f"{kind}, again"
    if any(active_experts.mixtures(model)):
        run_transform(active_experts.TRANSFORM, model)
        assert relative_error(stepwise(model, IDS, 7), expected) < BAR, "active experts"


def check_program(reference: Any, folder: Path, out: Path, backend: str, *overrides: str) -> None:
    """The program on disk against ``reference``: a chunk, then token by token."""
    expected, ctx = logits_of(reference), context(out)
    recipe = recipe_for(folder, f"backend={backend}", "runtime.logits=all", *overrides)
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    lowered = lower(exported, resolve(recipe), ctx)
    program = Program(
        lowered.program_file,
        context_length=CONTEXT,
        steps=resolve(recipe).methods.lengths,
        dynamic=True,
    )
    rows = [program.step(IDS[:7])[0], *(program.step([i])[0] for i in IDS[7:])]
    assert relative_error(torch.cat(rows), expected) < BAR


def saved(folder: Path, family: str, **changes: Any) -> tuple[Any, Path]:
    reference = hf_families.build(family, **changes)
    return reference, hf_models.save(reference, folder / "m")


@pytest.mark.parametrize(("family", "fused"), FAMILIES.items(), ids=list(FAMILIES))
def test_eager_agrees_with_transformers(family: str, fused: bool, tmp_path: Path) -> None:
    reference, folder = saved(tmp_path, family)
    check_eager(reference, folder, fused)
    kinds = resolve(recipe_for(folder)).model_attention
    assert ("ring" in kinds) == (family in WINDOWED)


def test_a_ring_holds_a_window_and_a_step(tmp_path: Path) -> None:
    """Uneven chunks past the window, again after the text, and after going back as far as the
    limits say."""
    reference, folder = saved(tmp_path, "gemma3_text")
    expected = logits_of(reference)
    recipe = recipe_for(folder, "runtime.kv_cache=ring", f"runtime.prefill_length={RING_STEP}")
    assert find_problems(recipe) == []
    model = load_model(recipe, attention="plain", context_length=CONTEXT, all_logits=True).model
    whole = cache_bytes(model)
    run_transform(exchange("ring", step_length=RING_STEP), model)
    # One of two layers, 16 + 7 - 1 tokens in whole groups of eight.
    assert cache_bytes(model) == whole // 2 * (1 + 24 / CONTEXT)
    rewind = model.cache_metadata().rewind
    assert rewind == Rewind(until=24, tokens=24 - 16 + 1)
    for lengths in ([7, 3, 1, 7, 7, 5, 1, 1, 7, 1], [1, 7, 7, 7, 7, 7, 4]):
        assert relative_error(in_chunks(model, lengths), expected) < BAR, lengths
    start = len(IDS) - rewind.tokens
    with torch.no_grad():
        again = model(torch.tensor([IDS[start : start + 7]]), torch.tensor([start]))[0]
    assert relative_error(again, expected[start : start + 7]) < BAR
    plain = recipe_for(folder, "runtime.kv_cache=ring", f"runtime.context_length={16}")
    assert "no sliding window shorter than the context" in find_problems(plain)[0].what


def in_chunks(model: Any, lengths: Sequence[int]) -> torch.Tensor:
    rows, start = [], 0
    with torch.no_grad():
        for length in lengths:
            tokens = torch.tensor([IDS[start : start + length]])
            rows.append(model(tokens, torch.tensor([start]))[0])
            start += length
    return torch.cat(rows)


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=pytest.mark.slow if family == "opt" else pytest.mark.release)
        for family in ("opt", "gpt_neox", "falcon", "cohere", "glm4", "mpt")
    ],
)
def test_the_program_agrees_with_transformers(family: str, tmp_path: Path) -> None:
    check_program(*saved(tmp_path, family, num_hidden_layers=1), tmp_path, "portable")


@pytest.mark.slow
def test_a_table_of_masks_becomes_part_of_the_program(tmp_path: Path) -> None:
    check_program(*saved(tmp_path, "gpt_neo"), tmp_path, "xnnpack")


# Slow tests have programs of the fast tier with rings, and the default ones these rings in torch.
@pytest.mark.release
@pytest.mark.parametrize(
    ("family", "backend"), [("mistral", "xnnpack"), ("gemma3_text", "portable")]
)
def test_a_program_with_rings_agrees_with_transformers(
    family: str, backend: str, tmp_path: Path
) -> None:
    ring = ("runtime.kv_cache=ring", f"runtime.prefill_length={RING_STEP}")
    check_program(*saved(tmp_path, family), tmp_path, backend, *ring)


# XNNPACK's partitioner takes the maximum over four-dimensional scores that attention sinks need,
# and its serializer then refuses it.
NOT_YET = {
    ("gpt_oss", "xnnpack"): [
        pytest.mark.xfail(
            raises=RuntimeError,
            strict=True,
            reason="amax.default only supports dim == 2 or dim == 3",
        )
    ]
}


@pytest.mark.parametrize(
    ("family", "backend"),
    [
        *(
            pytest.param(
                family,
                "xnnpack",
                marks=[pytest.mark.release, *NOT_YET.get((family, "xnnpack"), ())],
            )
            for family in FAMILIES
        ),
        pytest.param("gpt_oss", "portable", marks=pytest.mark.release),
        *(
            pytest.param(family, "xnnpack", marks=pytest.mark.release)
            for family in ("deepseek_v32", "roberta")
        ),
    ],
)
def test_every_program_agrees_with_transformers(family: str, backend: str, tmp_path: Path) -> None:
    check_program(*saved(tmp_path, family), tmp_path, backend)


@pytest.mark.release  # sizes of each scheme are held in tests/integration/test_scheme_matrix.py
@pytest.mark.parametrize("quant", ["none", "8da4w"])
def test_the_expected_size_is_that_of_the_program(quant: str, tmp_path: Path) -> None:
    wide = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 1}
    _, folder = saved(tmp_path, "gpt_neox", **wide)
    recipe, ctx = recipe_for(folder, "backend=xnnpack", f"quant={quant}"), context(tmp_path)
    with torch.no_grad():
        lowered = lower(exported_of(recipe, ctx), resolve(recipe), ctx)
    size = lowered.program_file.stat().st_size
    expected = program_bytes(resolve(recipe))
    assert expected is not None
    # The instructions of one layer take less than those of a model.
    assert expected - with_instructions(0) == pytest.approx(size, rel=0.05)


def test_a_window_as_long_as_the_context_is_none(tmp_path: Path) -> None:
    reference, folder = saved(tmp_path, "mistral", sliding_window=CONTEXT)
    check_eager(reference, folder, fused=True)
    other = saved(tmp_path / "other", "mistral", sliding_window=CONTEXT - 1)
    assert "custom_op" not in resolve(recipe_for(other[1])).model_attention


def test_both_tiers_say_the_same_of_a_model(tmp_path: Path) -> None:
    reference, folder = saved(tmp_path, "llama")
    generic = recipe_for(folder)
    fast = replace(generic, model=detect_model(generic.checkpoint, CONTEXT))
    assert (fast.model.definition, generic.model.definition) == ("composable", "hf")
    rows = []
    for recipe in (fast, generic):
        loaded = load_model(recipe, attention="plain", context_length=CONTEXT, all_logits=True)
        rows.append(stepwise(loaded.model, IDS, 7))
    assert relative_error(*rows) < BAR
    assert loaded.model.metadata.num_layers == 2
    assert loaded.coverage.parameters == sum(p.numel() for p in reference.parameters())


@pytest.mark.parametrize(
    "family", ["opt", *(pytest.param(f, marks=pytest.mark.slow) for f in ("gpt2", "falcon"))]
)
def test_linears_head_and_table_are_quantized(family: str, tmp_path: Path) -> None:
    reference, folder = saved(tmp_path, family)
    recipe = recipe_for(folder, "quant=8da8w", "quant.smooth=null", "backend=xnnpack")
    ctx = context(tmp_path)
    transformed = transformed_of(recipe, ctx)
    kinds = Counter((c.kind.value, c.scheme) for c in transformed.choices)
    assert (kinds["head", "8da8w"], kinds["embedding", "8w"]) == (1, 1)
    assert kinds["linear", "8da8w"] >= 8
    assert set(kinds) == {("head", "8da8w"), ("embedding", "8w"), ("linear", "8da8w")}
    error = relative_error(eager_logits(transformed.model, IDS, 32), logits_of(reference))
    assert 1e-4 < error < 0.1


def test_rope_that_changes_with_length(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    changes = {"rope_parameters": rope, "max_position_embeddings": CONTEXT}
    reference, folder = saved(tmp_path, "llama", **changes)
    check_eager(reference, folder, fused=True)
    factors = {"short_factor": [1.0] * 8, "long_factor": [3.0] * 8}
    long = {"rope_type": "longrope", "original_max_position_embeddings": CONTEXT, **factors,
            "rope_theta": 10000.0}  # fmt: skip
    reference, folder = saved(tmp_path / "long", "llama", rope_parameters=long)
    check_eager(reference, folder, fused=True)
    problems = find_problems(recipe_for(folder, "runtime.context_length=128"))
    assert len(problems) == 1
    assert "changes its frequencies when a text grows past 64 tokens" in problems[0].what
    assert problems[0].fix == "runtime.context_length=64"


# -- weights that do not fit ---------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


NORM = "gpt_neox.final_layer_norm.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(NORM), f"1 tensors are missing: {NORM}"),
        (lambda t: t.update(extra=torch.ones(2)), "1 tensors have no place in the model: extra"),
        (lambda t: t.update({NORM: torch.ones(3)}), r"has shape \(3,\); the model needs \(64,\)"),
        (lambda t: t[NORM].fill_(float("nan")), "not finite"),
    ],
    ids=["missing", "unused", "shape", "nan"],
)
def test_weights_that_do_not_fit(change: Any, words: str, tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "gpt_neox")
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=words):
        load_model(recipe_for(folder), attention="plain", context_length=64, all_logits=True)


def test_experts_that_do_not_fit(tmp_path: Path) -> None:
    """Mixtral's experts are fused while they are loaded."""
    _, folder = saved(tmp_path, "mixtral")
    name = "model.layers.0.block_sparse_moe.experts.3.w1.weight"
    rewrite(folder, lambda tensors: tensors.pop(name))
    environment = dict(os.environ)
    with pytest.raises(CheckpointError, match="cannot take up the tensors"):
        load_model(recipe_for(folder), attention="plain", context_length=64, all_logits=True)
    assert dict(os.environ) == environment


def test_a_checkpoint_of_another_model(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "gpt_neox")
    recipe = recipe_for(folder)
    recipe.model.config["hidden_act"] = "relu"
    with pytest.raises(CheckpointError, match="hidden_act is gelu there and relu in the model opt"):
        load_model(recipe, attention="plain", context_length=64, all_logits=True)


def test_random_weights_from_a_seed(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "opt")
    recipe = replace(recipe_for(folder), checkpoint=CheckpointConfig(random_seed=3))

    def logits() -> torch.Tensor:
        loaded = load_model(recipe, attention="plain", context_length=64, all_logits=True)
        assert loaded.checkpoint.tokenizer().eos_ids == (319,)
        return eager_logits(loaded.model, IDS)

    first = logits()
    assert torch.equal(first, logits())
    assert float(first.std()) > 0.1
