"""The output head, and a table tied to it, in two matrices with schemes of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_decoder import tiny_decoder
from torch import nn

import llm_export.backends  # noqa: F401  (registers what they run)
from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import ModuleKind, QuantRule, RoundingConfig, TiedKind
from llm_export.errors import PostConditionError
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.predict.model_shapes import shapes_of
from llm_export.predict.size import resolve_rules as predicted_rules
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import resolve_rules
from llm_export.quant.tied import share_table
from llm_export.resolve.recipe import ResolvedRecipe, resolve
from llm_export.stages.load import load
from llm_export.stages.transform import transform
from llm_export.transforms import TRANSFORMS
from llm_export.transforms.base import NamedTransform, Transform, run_transform
from llm_export.transforms.cast import casts
from llm_export.transforms.quantize import by_grids
from llm_export.transforms.split_head import share_words, split_head

SCALED: Any = None  # the transform of a plugin
ROWS = 64
TIED = "model.config.tie_word_embeddings=true"
SPLIT = ["backend=xnnpack", "quant=8da4w_asym_split", f"quant.head_split={ROWS}"]
TOKENS = torch.tensor([[0, 5, ROWS - 1, ROWS, 319]])
HEADS = [
    QuantRule(scheme="8da8w", kind=ModuleKind.head, pattern=r".*\.first"),
    QuantRule(scheme="8da4w", kind=ModuleKind.head, group_size=32),
]
TABLES = [
    QuantRule(scheme="8w", kind=ModuleKind.embedding, pattern=r".*\.first"),
    QuantRule(scheme="4w", kind=ModuleKind.embedding, group_size=32),
]


def resolved(*words: str) -> ResolvedRecipe:
    return resolve(api.compose_recipe(None, ["model=tiny", TIED, *SPLIT, *words]).recipe)


@pytest.mark.parametrize("tied", [True, False])
def test_the_parts_compute_what_the_whole_does(tied: bool) -> None:
    model = tiny_decoder(tied)
    whole = model(TOKENS, torch.zeros(1, dtype=torch.int64))
    assert run_transform(split_head(ROWS, tied=tied), model) == 1 + tied
    model.init_buffers()
    torch.testing.assert_close(model(TOKENS, torch.zeros(1, dtype=torch.int64)), whole)
    names = {name for name, _ in model.named_modules() if name.startswith(("head.", "embed."))}
    assert names == {f"{n}.{p}" for n in ("embed", "head")[not tied :] for p in ("first", "rest")}


def test_each_part_of_the_table_has_the_integers_of_its_part_of_the_head() -> None:
    model = tiny_decoder(True)
    run_transform(split_head(ROWS, tied=True), model)
    choices, words = share_table(
        model, resolve_rules(model, [*HEADS, *TABLES], "xnnpack"), TiedKind.auto, raw_weights=True
    )
    rounded = round_weights(model, choices, RoundingConfig(), outliers={})
    grids = {name: one.grid for name, one in rounded.items()}
    run_transform(by_grids(choices, grids, {}), model)
    assert words is not None
    assert words.count("stored once") == 2
    found = model.embed(TOKENS)[0]
    for row, token in zip(found, TOKENS[0].tolist(), strict=True):
        part, index = ("first", token) if token < ROWS else ("rest", token - ROWS)
        torch.testing.assert_close(row, grids[f"head.{part}"].values()[index])


def test_half_precision_keeps_the_integers_of_each_part() -> None:
    model = tiny_decoder(True)
    run_transform(split_head(ROWS, tied=True), model)
    casting = QuantRule(scheme="fp16")
    choices = resolve_rules(model, [*TABLES, casting], "portable")
    grids = round_weights(model, choices, RoundingConfig(), outliers={})
    run_transform(by_grids(choices, {name: one.grid for name, one in grids.items()}, {}), model)
    whole = model(TOKENS, torch.zeros(1, dtype=torch.int64))
    for step in casts(choices):
        run_transform(step, model)
    model.init_buffers()
    half = model(TOKENS, torch.zeros(1, dtype=torch.int64))
    torch.testing.assert_close(half, whole, atol=0.02, rtol=0.02)
    assert model.embed(TOKENS).dtype == torch.float16


def test_only_one_part_may_be_shared() -> None:
    model = tiny_decoder(True)
    run_transform(split_head(ROWS, tied=True), model)
    rules = [*HEADS, TABLES[0], QuantRule(scheme="8w", kind=ModuleKind.embedding)]
    choices, words = share_table(
        model, resolve_rules(model, rules, "xnnpack"), TiedKind.auto, raw_weights=True
    )
    shared = {c.name: c.shared_with for c in choices if c.kind is ModuleKind.embedding}
    assert shared == {"embed.first": "head.first", "embed.rest": None}
    assert words is not None
    assert "stored twice" in words


def test_a_head_that_a_transform_changed_is_not_split() -> None:
    model = tiny_decoder(True)
    model.embed.weight = nn.Parameter(model.embed.weight.detach().clone())
    with pytest.raises(PostConditionError, match="are no longer one matrix") as raised:
        run_transform(split_head(ROWS, tied=True), model)
    assert raised.value.fix == "quant.head_split=0"
    with pytest.raises(PostConditionError, match=r"the output head has 320 rows, so that its fir"):
        run_transform(split_head(400, tied=False), model)
    model.head = nn.Sequential(model.head)
    with pytest.raises(PostConditionError, match="the output head became a Sequential"):
        run_transform(split_head(ROWS, tied=False), model)


def test_a_plugins_transform_meets_the_head_whole(tmp_path: Path, monkeypatch: Any) -> None:
    def scaled(model: Any) -> int:
        model.norm.weight.data.mul_(2)
        model.head.weight.data.mul_(0.5)
        return 2

    step = Transform("scaled", scaled, lambda model: None)
    named = NamedTransform(lambda options, recipe: step)
    monkeypatch.setattr(f"{__name__}.SCALED", named)
    monkeypatch.setitem(TRANSFORMS._entries, "scaled", f"{__name__}:SCALED")
    monkeypatch.setitem(TRANSFORMS._origins, "scaled", "test")
    words = ["model=tiny", *SPLIT, "model.config.num_hidden_layers=1",
             "quant.calibration.tokens=64", "runtime.transforms=[scaled]"]  # fmt: skip
    recipe = api.compose_recipe(None, words).recipe
    context = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("transform"))
    prepared = transform(load(Start(), resolve(recipe), context), resolve(recipe), context)
    assert list(context.record.facts["transforms"])[-2:] == ["scaled", "split_head"]
    assert {c.name for c in prepared.choices} >= {"head.first", "head.rest", "embed"}


@pytest.mark.parametrize("tied", ["true", "false"])
def test_shapes_and_rules_are_known_before_the_model_is(tied: str) -> None:
    found = resolved(f"model.config.tie_word_embeddings={tied}")
    shapes = shapes_of(found)
    assert shapes is not None
    choices = predicted_rules(shapes, found)
    model = tiny_decoder(tied == "true")
    run_transform(split_head(ROWS, tied=tied == "true"), model)
    ours = {c.name: c for c in resolve_rules(model, found.recipe.quant.rules, "xnnpack")}
    known = {c.name: c for c in choices if c.kind is not ModuleKind.linear}
    assert all((ours[n].scheme, ours[n].shape) == (c.scheme, c.shape) for n, c in known.items())
    shared = {n: c.shared_with for n, c in known.items() if c.shared_with}
    both = {"embed.first": "head.first", "embed.rest": "head.rest"}
    assert shared == (both if tied == "true" else {})


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("quant.head_split=320", "the output matrix has 320 rows"),
        ("quant.smooth={}", "smoothing, AWQ and rotations scale the output matrix whole"),
        (
            "quant.rules.0.scheme=8a8w",
            "calibrated activations are those of the whole output matrix",
        ),
        ("train=qat", "training quantizes the output matrix whole"),
    ],
)
def test_a_head_stays_whole_where_parts_cannot_be(word: str, why: str) -> None:
    found = resolved(word)
    assert found.recipe.quant.head_split == 0
    notes = [note for note in found.notes if note.startswith("quant.head_split: 0 instead of")]
    assert [note.partition(", ")[2] for note in notes] == [why]
    heads = [r for r in found.recipe.quant.rules if r.kind is ModuleKind.head]
    tables = [r for r in found.recipe.quant.rules if r.kind is ModuleKind.embedding]
    assert [(r.pattern, r.scheme) for r in (*heads, *tables)] == [(".*", "8da8w"), (".*", "8w")]


def test_an_option_with_parts_may_be_asked_for_whole_matrices() -> None:
    found = resolved("quant.head_split=0")
    assert any("the first part for the whole matrix" in note for note in found.notes)
    rules = [(r.kind, r.pattern, r.scheme) for r in found.recipe.quant.rules[1:]]
    assert rules == [(ModuleKind.head, ".*", "8da8w"), (ModuleKind.embedding, ".*", "8w")]
    assert not find_problems(found.stated)


@pytest.mark.parametrize(
    ("model", "why"),
    [("smolvlm2_256m", "only decoders of the fast tier"), ("bge_small_en", "has no output matrix")],
)
def test_other_models_keep_whole_matrices(model: str, why: str) -> None:
    words = [f"model={model}", "backend=xnnpack", "quant=8da4w_asym_split"]
    found = resolve(api.compose_recipe(None, words).recipe)
    assert any(n.startswith("quant.head_split: 0") and why in n for n in found.notes)
    assert not any("first" in rule.pattern for rule in found.recipe.quant.rules)


def test_a_vocabulary_in_another_order_is_told() -> None:
    assert share_words(10, [[1, 2, 3, 40]]) == "ids below 10 are 75% of the calibration text"
    assert "set quant.head_split=0" in share_words(10, [[1, 20, 30, 40]])


@pytest.mark.slow
def test_the_program_computes_with_both_parts(tmp_path: Path) -> None:
    words = ["model=tiny", "model.config.num_hidden_layers=1", TIED, *SPLIT, "runtime=static",
             "benchmark=off", "verify.positions=50", "quant.max_mean_kl=1"]  # fmt: skip
    result = api.run_recipe(api.compose_recipe(None, [*words, f"out={tmp_path / 'b'}"]), quiet=True)
    proof = json.loads((result.bundle / "manifest.json").read_text())["proof"]
    assert proof["comparisons"]["lowering"]["mean_kl"] < 1e-6
    facts = {stage.name: stage.facts for stage in result.record.stages}
    assert facts["quantize"]["tied_embedding"].count("stored once") == 2
    assert f"ids below {ROWS} are" in facts["transform"]["summary"]
    # The graph of so small a model is a tenth of its program.
    assert facts["lower"]["bytes"] < 1.12 * facts["quantize"]["predicted_bytes"]
