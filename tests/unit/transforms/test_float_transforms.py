"""What smoothing, AWQ and rotations are for, on a model with planted outliers, and refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import (
    AwqConfig,
    QuantRule,
    RotateConfig,
    RoundingConfig,
    SmoothConfig,
    TiedKind,
)
from llm_export.config.schema import AdapterMode, Recipe
from llm_export.errors import PostConditionError, RecipeError
from llm_export.models.load_model import load_model
from llm_export.models.walk import layer_inputs
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.quant.inputs import input_ranges
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load
from llm_export.stages.transform import transform
from llm_export.transforms.awq import awq
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.equivalence import checked_equivalent
from llm_export.transforms.quantize import by_grids
from llm_export.transforms.rotate import rotate
from llm_export.transforms.scale_folding import folding_pairs, norm_readers, untie
from llm_export.transforms.smooth import smooth

GENERATOR = torch.Generator().manual_seed(3)
WINDOWS = [torch.randint(0, 300, (24,), generator=GENERATOR).tolist() for _ in range(2)]
PROBE = torch.randint(0, 300, (1, 32), generator=GENERATOR)

SHORT = ("quant.calibration.tokens=64", "quant.calibration.window=32",
         "model.config.tie_word_embeddings=true")  # fmt: skip
"""Of a tied model, with little to read."""


def recipe_of(*overrides: str) -> Recipe:
    sizes = ("runtime.context_length=64", "runtime.prefill_length=32", "verify=off",
             "benchmark=off")  # fmt: skip
    return api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *sizes, *overrides]).recipe


def decoder() -> Any:
    """A random model with channels that are large where they are made and small where they are
    read: some of every vector that linears read, and one of the residual stream."""
    model = load_model(recipe_of(), attention="plain", context_length=64, all_logits=True).model
    with torch.no_grad():
        untie(model)  # type: ignore[arg-type]
        for edge in folding_pairs(model):
            scale = torch.ones(len(edge.producers[0][edge.rows]))
            scale[3::16] = 1 / 20
            edge.fold(scale)
        model.embed.weight[:, 5] *= 30  # type: ignore[index,operator,union-attr]
        for layer in model.layers:  # type: ignore[union-attr]
            for _, readers in norm_readers(layer):
                for reader in readers:
                    reader.weight[:, 5] /= 30  # type: ignore[index,operator]
    return model


def choices_of(model: Any, scheme: str, group: int | None) -> list[LayerQuantSpec]:
    return resolve_rules(model, [QuantRule(scheme=scheme, group_size=group, pattern="layers.*")])


def loss(scheme: str, group: int | None, *steps: Any) -> float:
    """Relative squared error of the logits after transforms and min-max rounding."""
    model = decoder()
    expected = model.run_text(PROBE)
    choices = choices_of(model, scheme, group)
    for step in steps:
        run_transform(step(choices) if not isinstance(step, Transform) else step, model)
    grids = round_weights(model, choices, RoundingConfig(keep_grids=False), outliers={})
    run_transform(by_grids(choices, {n: one.grid for n, one in grids.items()}, {}), model)
    error = model.run_text(PROBE) - expected
    return float(error.square().sum() / expected.square().sum())


def searched(choices: list[LayerQuantSpec]) -> Transform:
    return awq(WINDOWS, choices, steps=8)


@pytest.mark.parametrize(("scheme", "group"), [("8da4w", 32), ("8da8w", None)])
def test_searched_scales_lose_less_where_inputs_have_outliers(
    scheme: str, group: int | None
) -> None:
    plain, scaled = loss(scheme, group), loss(scheme, group, searched)
    smoothed = loss(scheme, group, smooth(WINDOWS, 0.5))
    assert scaled < smoothed < 0.3 * plain, (scaled, smoothed, plain)


def test_rotated_models_lose_less() -> None:
    plain, rotated = loss("8da8w", None), loss("8da8w", None, rotate(True, True, 0))
    both = loss("8da8w", None, rotate(True, True, 0), searched)
    assert both < 0.5 * rotated < 0.25 * plain, (both, rotated, plain)


def test_the_search_is_deterministic_and_tells_its_powers() -> None:
    found: list[dict[str, float]] = []
    weights = []
    for _ in range(2):
        model, powers = decoder(), {}  # type: ignore[var-annotated]
        choices = choices_of(model, "8da4w", 32)
        calls: list[tuple[int, int]] = []
        run_transform(
            awq(WINDOWS, choices, steps=4, found=powers, progress=lambda *n: calls.append(n)),  # noqa: B023
            model,
        )
        found.append(powers)
        weights.append(model.layers[1].feed_forward.down.weight.clone())
        assert calls == [(1, 3), (2, 3), (3, 3)]
    assert found[0] == found[1]
    assert torch.equal(*weights)
    assert set(found[0]) == {
        f"layers.{i}.{name}"
        for i in (0, 1)
        for name in ("attention.qkv.q", "attention.out", "feed_forward.gate_up.gate",
                     "feed_forward.down")
    }  # fmt: skip
    assert set(found[0].values()) <= {0, 0.25, 0.5, 0.75, 1}
    assert max(found[0].values()) > 0


def test_weights_on_a_grid_stay_there() -> None:
    """A checkpoint that was quantized loses nothing by its own grid; scales would leave it."""
    model = load_model(recipe_of(), attention="plain", context_length=64, all_logits=True).model
    choices = choices_of(model, "8da4w", 32)
    generator = torch.Generator().manual_seed(1)
    before = {}
    for choice in choices:
        if choice.scheme != "none":
            q = torch.randint(
                -8, 8, (choice.shape[0], choice.shape[1] // 32, 32), generator=generator
            ).float()
            q[..., 0] = -8  # as Q4_0 does it
            weight = (q * 0.01 * torch.rand(*q.shape[:2], 1, generator=generator)).view(
                choice.shape
            )
            model.get_submodule(choice.name).weight.data = weight
            before[choice.name] = weight.clone()
    powers: dict[str, float] = {}
    run_transform(awq(WINDOWS, choices, steps=4, found=powers), model)
    assert set(powers.values()) == {0}
    assert all(torch.equal(model.get_submodule(n).weight, w) for n, w in before.items())  # type: ignore[arg-type]
    run_transform(awq(WINDOWS, choices, steps=4, found=powers, keep_grids=False), model)
    assert max(powers.values()) > 0


def residual_peak(model: Any) -> float:
    """Largest magnitude of the residual stream relative to its root mean square."""
    streams: list[Tensor] = []
    handles = [layer.register_forward_pre_hook(lambda _, x: streams.append(x[0]))
               for layer in model.layers]  # fmt: skip
    model.run_text(PROBE)
    for handle in handles:
        handle.remove()
    x = torch.cat(streams)
    return float((x.abs().amax(-1) / x.square().mean(-1).sqrt()).mean())


def test_rotation_makes_outliers_of_the_residual_stream_vanish() -> None:
    model = decoder()
    before = residual_peak(model)
    run_transform(rotate(True, False, 0), model)
    assert before > 6
    assert residual_peak(model) < 4
    assert torch.equal(model.norm.weight, torch.ones(64))


def test_rotation_of_values_evens_them_out() -> None:
    model = decoder()
    (before,) = input_ranges(model, ["layers.0.attention.out"], WINDOWS).values()
    run_transform(rotate(False, True, 0), model)
    (after,) = input_ranges(model, ["layers.0.attention.out"], WINDOWS).values()
    assert before.max() / before.median() > 10 > 3 * after.max() / after.median(), (before, after)


def test_smoothing_of_some_places_leaves_the_others() -> None:
    model = decoder()
    before = {n: p.clone() for n, p in model.named_parameters()}
    run_transform(smooth(WINDOWS, 0.5, r".*\.down"), model)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    places = ("feed_forward.down.weight", "feed_forward.gate_up.up.weight")
    assert changed == {f"layers.{i}.{place}" for i in (0, 1) for place in places}
    with pytest.raises(RecipeError, match=r"\.\*nowhere matches no linear whose inputs can"):
        smooth(WINDOWS, 0.5, ".*nowhere").apply(model)


def test_only_scales_of_rounded_places_are_refined() -> None:
    formula, model = decoder(), decoder()
    choices = [
        c for c in choices_of(model, "8da8w", None) if c.name == "layers.1.feed_forward.down"
    ]
    run_transform(smooth(WINDOWS, 0.5), formula)
    run_transform(smooth(WINDOWS, 0.5, choices=choices, steps=2), model)
    others = dict(formula.named_parameters())
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, others[n])}
    assert changed == {f"layers.1.feed_forward.{n}.weight" for n in ("down", "gate_up.up")}


def test_a_changed_model_is_noticed() -> None:
    def spoil(model: Any) -> int:
        edge = folding_pairs(model)[0]
        edge.fold(torch.full((64,), 2.0))
        edge.producers[0].data.mul_(1.01)
        return 1

    with pytest.raises(PostConditionError, match="spoiling changed the float model: relative"):
        run_transform(checked_equivalent("spoil", "spoiling", spoil), decoder())


def test_layers_are_run_once_each_with_the_inputs_of_the_float_model() -> None:
    model = decoder()
    names = ["layers.0.attention.out", "layers.1.feed_forward.down", "head"]
    expected = input_ranges(model, names, WINDOWS)
    wanted = {model.get_submodule(n): n for n in names}
    runs: list[Any] = []
    model.layers[1].register_forward_pre_hook(lambda *_: runs.append(1))
    seen: dict[Any, Any] = {}
    for layer, inputs in layer_inputs(
        model, WINDOWS, lambda layer: [m for m in layer.modules() if m in wanted]
    ):
        seen |= {wanted[m]: x.abs().amax(0) for m, x in inputs.items()}
        for parameter in layer.parameters():  # later layers have had their inputs already
            parameter.data.zero_()
    assert set(seen) == set(names)
    assert len(runs) == len(WINDOWS)
    for name in names[:2]:
        assert torch.allclose(seen[name], expected[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("quant", "words", "key"),
    [
        ({"smooth": SmoothConfig(), "awq": AwqConfig()}, "both choose the one scale",
         "quant.awq"),
    ],
)  # fmt: skip
def test_what_excludes_each_other_is_refused(quant: dict[str, Any], words: str, key: str) -> None:
    recipe = recipe_of("quant=8da4w")
    for name, value in quant.items():
        setattr(recipe.quant, name, value)
    (problem,) = find_problems(recipe)
    assert words in str(problem)
    assert problem.key == key
    assert problem.fix


def test_an_adapter_kept_apart_excludes_all_three(tmp_path: Path) -> None:
    recipe = recipe_of("quant=8da4w", f"checkpoint.adapter={tmp_path}")
    recipe.checkpoint.adapter_mode = AdapterMode.separate
    recipe.quant.awq, recipe.quant.rotate = AwqConfig(), RotateConfig()
    found = {p.key: str(p) for p in find_problems(recipe)}
    assert "AWQ rescales what the adapter reads and writes" in found["quant.awq"]
    assert "rotating turns what the adapter reads and writes" in found["quant.rotate"]
    assert "quant.rotate=null, or checkpoint.adapter_mode=merged" in found["quant.rotate"]


@pytest.mark.parametrize("definition", ["hf", "torchtune"])
def test_other_definitions_have_none_of_them(definition: str) -> None:
    recipe = recipe_of("model=llama3_2_1b", "quant=8da4w")
    recipe.quant.awq, recipe.quant.rotate = AwqConfig(), RotateConfig()
    from llm_export.checks.float_transforms import findings

    recipe.model.definition = definition
    found = {p.key: p.what for p in findings(resolve(recipe))}
    assert found["quant.awq"] == f"models of definition '{definition}' cannot be scaled by AWQ"
    assert found["quant.rotate"] == f"models of definition '{definition}' cannot be rotated"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RotateConfig(r1=False, r2=False), "r1 or r2 must be true"),
        (lambda: AwqConfig(steps=0), "awq.steps=0: must be positive"),
        (lambda: AwqConfig(pattern="("), "not a regular expression"),
        (lambda: SmoothConfig(pattern="["), "not a regular expression"),
    ],
)
def test_settings_that_mean_nothing(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


@pytest.mark.parametrize("tied", [TiedKind.auto, TiedKind.untied])
def test_the_stage_rotates_then_scales_and_says_so(tied: TiedKind, tmp_path: Path) -> None:
    recipe = recipe_of("quant=8da4w", *SHORT)
    recipe.quant.tied = tied
    recipe.quant.rotate, recipe.quant.awq = RotateConfig(seed=4), AwqConfig(steps=2)
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("transform"))
    loaded = load(Start(), resolve(recipe), ctx)
    expected = loaded.model.run_text(PROBE)
    prepared = transform(loaded, resolve(recipe), ctx)
    assert [t.name for t in prepared.transforms] == ["fuse_projections", "rotate", "awq"]
    assert torch.allclose(prepared.model.run_text(PROBE), expected, atol=1e-3)
    facts = ctx.record.facts
    assert set(facts["awq_powers"].values()) <= {0, 0.5, 1}
    model: Any = prepared.model
    shared = model.head.weight is model.embed.weight
    assert shared == (tied is TiedKind.auto) == ("head" not in facts["awq_powers"])
    assert prepared.source.metadata.tied_embeddings


@pytest.mark.parametrize("name", ["smooth", "awq"])
def test_an_embedding_that_is_to_be_shared_is_left_alone(name: str, tmp_path: Path) -> None:
    recipe = recipe_of("quant=8da4w", *SHORT)
    recipe.quant.tied = TiedKind.share
    setattr(recipe.quant, name, {"smooth": SmoothConfig(), "awq": AwqConfig(steps=1)}[name])
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("transform"))
    model: Any = transform(load(Start(), resolve(recipe), ctx), resolve(recipe), ctx).model
    tied = model.head.weight is model.embed.weight
    assert tied
