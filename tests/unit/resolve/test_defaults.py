"""What a recipe leaves open is filled in to fit the model and what it states, and said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_export import api
from llm_export.bundle.lock import lock_yaml
from llm_export.config.recipe_files import recipe_yaml
from llm_export.config.schema import BenchmarkConfig, Recipe, VerifyConfig, filled
from llm_export.models.definitions.base import ContextLimit
from llm_export.pipeline.record import Provenance
from llm_export.resolve.lengths import fill_lengths
from llm_export.resolve.recipe import ResolvedRecipe, resolve
from llm_export.versions import machine


def resolved(*words: str) -> ResolvedRecipe:
    return resolve(api.compose_recipe(None, ["model=tiny", *words]).recipe)


def lengths(recipe: Recipe) -> tuple[int | None, ...]:
    return (
        recipe.runtime.context_length, recipe.verify.window, recipe.verify.prefill,
        recipe.benchmark.prompt_length, recipe.benchmark.decode_length,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), (2048, 256, 32, 512, 128)),
        (("runtime=static",), (1024, 256, 32, 512, 128)),
        (("runtime.context_length=128",), (128, 128, 32, 103, 25)),
        (("runtime.context_length=32",), (32, 32, 16, 26, 6)),
        (("model.config.max_position_embeddings=1024",), (1024, 256, 32, 512, 128)),
        (("model.config.max_position_embeddings=100",), (100, 100, 32, 80, 20)),
        (("verify.window=4096",), (4096, 4096, 32, 512, 128)),
        (("verify.window=40",), (2048, 40, 20, 512, 128)),
        (("benchmark.prompt_length=4096",), (4224, 256, 32, 4096, 128)),
        (("runtime.prefill_length=4096",), (4096, 256, 32, 512, 128)),
        (("runtime.context_length=300", "benchmark.prompt_length=280"), (300, 256, 32, 280, 20)),
        (
            ("benchmark.prompt_length=[64,1024]", "benchmark.depth=[0,1500]"),
            (2652, 256, 32, [64, 1024], 128),
        ),
        (("runtime.context_length=1100", "benchmark.depth=1000"), (1100, 256, 32, 80, 20)),
    ],
)
def test_lengths_fit_each_other(words: tuple[str, ...], wanted: tuple[int, ...]) -> None:
    assert lengths(resolved(*words).recipe) == wanted


def test_what_differs_from_its_usual_value_is_said() -> None:
    assert resolved("backend=xnnpack", "quant=8da8w").notes == ()
    assert resolved("model.config.max_position_embeddings=200", "benchmark=off").notes == (
        "runtime.context_length: 200 instead of 2048, the model has 200 positions",
        "verify.window: 200 instead of 256, to fit a context of 200",
    )
    assert resolved("benchmark.prompt_length=4096").notes == (
        "runtime.context_length: 4224 instead of 2048, as benchmark.prompt_length asks for",
    )
    assert resolved("benchmark=full", "runtime.context_length=1200").notes == (
        "benchmark.depth: [0, 512] instead of [0, 512, 1024], to fit a context of 1200",
    )
    words = ("backend=xnnpack", "quant=8da8w", "quant.awq={}", "train=qat")
    assert resolved(*words).notes == (
        "quant.smooth: off, AWQ chooses the scale of each channel",
        "quant.outliers: 0 instead of 8, what is beside the quantized product is not trained",
    )
    (note, *_) = resolved("backend=mlx", "quant=8da4w").notes
    assert note == "quant.rules[2].group_size: 32 instead of null, which mlx runs"


@pytest.mark.parametrize(
    ("backend", "tied", "more", "scheme"),
    [
        ("openvino", True, (), "4w"), ("mlx", True, (), "4w"), ("coreml", True, (), "4w"),
        ("openvino", True, ("quant.tied=untied",), "8w"), ("openvino", False, (), "8w"),
        ("vulkan", True, (), "8w"), ("mlx", True, ("quant.qat.enabled=true",), "8w"),
        ("openvino", True, ("quant.group_size=64",), "4w"),
    ],
)  # fmt: skip
def test_a_table_is_as_its_output_matrix_where_both_are_stored_once(
    backend: str, tied: bool, more: tuple[str, ...], scheme: str
) -> None:
    words = f"model.config.tie_word_embeddings={str(tied).lower()}"
    found = resolved(f"backend={backend}", "quant=4w", words, *more)
    head, table = found.recipe.quant.rules[1:]
    note = ("quant.rules[2].scheme: 4w instead of 8w, so that the output matrix and the table are "
            "stored once")  # fmt: skip
    assert table.scheme == scheme
    assert (note in found.notes) == (scheme == "4w")
    assert scheme == "8w" or replace(table, kind=head.kind) == head


def test_options_that_fit_are_what_they_were() -> None:
    quant = resolved("backend=xnnpack", "quant=8da8w").recipe.quant
    assert quant.smooth is not None
    assert (quant.smooth.alpha, quant.outliers, quant.rules[1].outliers) == (0.5, 8, 8)


def test_a_stated_block_takes_its_own_defaults() -> None:
    stated = resolved("backend=xnnpack", "quant=8da8w", "quant.smooth={}").stated
    assert stated.quant.smooth is not None
    assert stated.quant.smooth.alpha == 0.5


def test_a_recipe_keeps_what_was_said_and_a_lock_what_it_came_to() -> None:
    found = resolved("backend=xnnpack", "quant=8da8w")
    stated = yaml.safe_load(recipe_yaml(found.stated))
    assert stated["runtime"]["context_length"] is None
    assert stated["quant"]["smooth"]["alpha"] is None
    made = Provenance({}, [], {}, machine())
    lock = yaml.safe_load(lock_yaml(found.recipe, made, {}, {}))["recipe"]
    assert (lock["runtime"]["context_length"], lock["quant"]["smooth"]["alpha"]) == (2048, 0.5)
    again = resolve(found.recipe)
    assert (again.recipe, again.notes) == (found.recipe, ())


@given(
    positions=st.none() | st.integers(2, 9000), context=st.none() | st.integers(2, 9000),
    window=st.none() | st.integers(2, 9000), prefill=st.none() | st.integers(1, 9000),
    prompt=st.none() | st.integers(1, 9000), decode=st.none() | st.integers(1, 9000),
)  # fmt: skip
@settings(deadline=None)
def test_open_lengths_fit_and_stated_ones_are_kept(
    positions: int | None, context: int | None, window: int | None, prefill: int | None,
    prompt: int | None, decode: int | None,
) -> None:  # fmt: skip
    limit = None if positions is None else ContextLimit(positions, "the model")
    recipe = Recipe(
        verify=VerifyConfig(window=window, prefill=prefill),
        benchmark=BenchmarkConfig(prompt_length=prompt, decode_length=decode),
    )
    recipe = replace(recipe, runtime=replace(recipe.runtime, context_length=context))
    made, _ = fill_lengths(recipe, limit)
    stated = (context, window, prefill, prompt, decode)
    for said, value in zip(stated, lengths(made), strict=True):
        assert said in (None, value)
    room = filled(made.runtime.context_length)
    if context is None and positions is not None:
        assert room <= positions
    if window is None and prefill is None:
        assert filled(made.verify.prefill) < filled(made.verify.window) <= room
    if prompt is None and decode is None:
        assert filled(made.benchmark.prompt_length) + filled(made.benchmark.decode_length) <= room


def test_a_ring_cache_shortens_the_steps_that_are_left_open() -> None:
    """A window of 512 and a step of 512 are more than a context of 600."""
    words = ["model=gemma3_270m", "checkpoint.random_seed=0", "runtime.kv_cache=ring"]
    ring = resolved(*words, "runtime.context_length=600")
    assert ring.methods.prefill_length == 64
    assert ring.notes[-1] == (
        "runtime.prefill_length: 64 instead of 512, for a ring cache that is shorter than the "
        "context"
    )
    assert "ring" in ring.model_attention
    stated = resolved(*words, "runtime.context_length=600", "runtime.prefill_length=256")
    assert stated.methods.prefill_length == 256
    assert "ring" not in stated.model_attention
    # No step is short enough: the window is the whole context.
    short = resolved(*words, "runtime.context_length=512")
    assert short.methods.prefill_length == 512
    assert resolved(*words, "runtime.context_length=4096").methods.prefill_length == 512
