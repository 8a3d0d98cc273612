"""Rounding with inputs: what a layer is given, what becomes of a run that is killed, and that
a whole model is the better for it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from parity_tools import recipe_for
from stage_tools import transformed_of
from tokenizers import Tokenizer
from torch import Tensor, nn

from llm_export import api
from llm_export.config.quant_schema import QuantRule, RoundingConfig
from llm_export.config.schema import Recipe
from llm_export.models.contract import LanguageModel
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.quant.inputs import group_mean_squares, input_squares
from llm_export.quant.rounding.gptq import GPTQ
from llm_export.quant.rounding.resume import FinishedLayers
from llm_export.quant.rounding.walk import Walk, container_of
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.quant.trained import with_training
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load

GENERATOR = torch.Generator().manual_seed(1)
WINDOWS = [torch.randint(0, 300, (n,), generator=GENERATOR).tolist() for n in (48, 48, 17)]
SCHEME = ["backend=xnnpack", "quant=8da4w", "quant.calibration.tokens=256"]
GPTQ_WORDS = [*SCHEME, "quant.rounding.method=gptq"]


def tiny(*overrides: str) -> Recipe:
    words = ["model=tiny", "runtime.context_length=256", "runtime.prefill_length=256"]
    return api.compose_recipe(None, [*words, "verify=off", *overrides]).recipe


def loaded(recipe: Recipe) -> LanguageModel:
    return load_model(recipe, attention="plain", context_length=64, all_logits=False).model


def moe(tmp_path: Path) -> LanguageModel:
    model = hf_models.build(
        "mixtral", **{**hf_models.SIZES, "num_local_experts": 4, "num_experts_per_tok": 1}
    )
    return loaded(recipe_for(hf_models.save(model, tmp_path)))


def choices_of(model: LanguageModel, recipe: Recipe) -> list[LayerQuantSpec]:
    return resolve_rules(model, recipe.quant.rules, recipe.backend.name)


def inputs_seen(model: LanguageModel, name: str) -> Tensor:
    """x x^T by the plain way: whole forward passes."""
    rows: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_pre_hook(
        lambda module, inputs: rows.append(inputs[0].flatten(0, -2))
    )
    for window in WINDOWS:
        model.run_text(torch.tensor([window]))
    handle.remove()
    x = torch.cat(rows)
    return x.t() @ x


# -- the walk ------------------------------------------------------------------------------


def test_modules_are_grouped_by_layer() -> None:
    assert container_of("layers.3.attention.out") == "layers.3"
    assert container_of("hf.transformer.h.11.mlp.c_fc") == "hf.transformer.h.11"
    assert container_of("layers.0.feed_forward.experts.5.up") == "layers.0"
    assert container_of("head") == container_of("hf.lm_head") == ""


def test_a_layer_sees_what_the_rounded_layers_before_it_make() -> None:
    """Hidden states that are kept between layers are those of whole passes."""
    model = loaded(tiny())
    walk = Walk(model, WINDOWS)
    for name in ("layers.0.feed_forward.down", "layers.1.attention.qkv.q", "head"):
        found = walk.hessians([name])
        torch.testing.assert_close(found[name], inputs_seen(model, name), rtol=1e-4, atol=1e-4)
        module = model.get_submodule(name)
        module.weight = nn.Parameter(module.weight.round(decimals=1))  # type: ignore[operator]


def test_passes_are_linear_in_depth() -> None:
    model = loaded(tiny("model.config.num_hidden_layers=4"))
    calls = [0] * 4
    for i, layer in enumerate(model.layers):  # type: ignore[arg-type]
        layer.register_forward_hook(lambda *_, i=i: calls.__setitem__(i, calls[i] + 1))
    walk = Walk(model, WINDOWS)
    for i in range(4):
        walk.hessians([f"layers.{i}.attention.out"])
    # Once for the sums, and once more with the rounded weights for the next layer.
    assert calls == [2 * len(WINDOWS)] * 3 + [len(WINDOWS)]


def test_the_generic_tier_is_walked_too(tmp_path: Path) -> None:
    _, folder = (m := hf_models.llama()), hf_models.save(m, tmp_path)
    recipe = recipe_for(folder, "model.definition=hf")
    model = loaded(replace(recipe, model=replace(recipe.model, definition="hf", family="llama")))
    assert list(model.layer_chain()) == []
    walk = Walk(model, WINDOWS)
    for name in ("hf.model.layers.0.mlp.down_proj", "hf.model.layers.1.self_attn.q_proj",
                 "hf.lm_head"):  # fmt: skip
        found = walk.hessians([name])
        torch.testing.assert_close(found[name], inputs_seen(model, name), rtol=1e-4, atol=1e-4)


def test_an_expert_sees_its_own_tokens(tmp_path: Path) -> None:
    model = moe(tmp_path)
    router = model.get_submodule("layers.0.feed_forward.router")
    weights: list[Tensor] = []
    inputs: list[Tensor] = []

    def watch(module: nn.Module, x: tuple[Tensor, ...], y: Tensor) -> None:
        inputs.append(x[0].flatten(0, -2))
        weights.append(y.flatten(0, -2))

    router.register_forward_hook(watch)
    names = [f"layers.0.feed_forward.experts.{i}.gate_up.up" for i in range(4)]
    found = Walk(model, WINDOWS).hessians([*names, "layers.0.attention.out"])
    x, routed = torch.cat(inputs), torch.cat(weights) != 0
    assert int(routed.sum()) == sum(map(len, WINDOWS))
    for i, name in enumerate(names):
        rows = x[routed[:, i]]
        assert (name in found) == (len(rows) > 0)
        if len(rows):
            torch.testing.assert_close(found[name], rows.t() @ rows, rtol=1e-4, atol=1e-4)


def test_an_expert_that_no_token_reached_is_rounded_by_minmax(tmp_path: Path) -> None:
    model = moe(tmp_path)
    rules = [QuantRule(scheme="8da4w", group_size=32, pattern=r"layers\.0\.feed_forward\..*down")]
    chosen = resolve_rules(model, rules, "xnnpack")
    rounded = round_weights(model, chosen, RoundingConfig("gptq"), outliers={},
                            windows=[WINDOWS[0][:2]])  # fmt: skip
    how = [one.how for one in rounded.values()]
    assert 1 <= how.count("gptq") <= 2
    assert how.count("gptq") + how.count("minmax") == 4


def test_wide_linears_are_rounded_by_mse() -> None:
    model = loaded(tiny())
    rules = [QuantRule(scheme="8da4w", group_size=32, pattern=r"layers\.0\.feed_forward\..*")]
    chosen = resolve_rules(model, rules, "xnnpack")
    narrow = min(c.shape[1] for c in chosen if c.scheme != "none")
    rounded = round_weights(
        model, chosen, RoundingConfig("gptq", widest=narrow), outliers={}, windows=WINDOWS
    )
    assert {one.how for one in rounded.values()} == {"gptq", "mse"}


def test_of_wide_linears_only_the_diagonal_is_kept() -> None:
    model, name = loaded(tiny()), "layers.0.feed_forward.down"
    whole = Walk(model, WINDOWS).hessians([name])[name]
    found = Walk(model, WINDOWS, widest=len(whole) - 1).hessians([name])[name]
    torch.testing.assert_close(found, whole.diagonal())


def test_mean_squares_are_those_of_the_inputs() -> None:
    model, name = loaded(tiny()), "layers.1.feed_forward.down"
    found = input_squares(model, [name], WINDOWS)[name]
    tokens = sum(map(len, WINDOWS))
    products = inputs_seen(model, name) / tokens
    torch.testing.assert_close(found, products.diagonal())
    # Of groups of 32, without a channel.
    found = group_mean_squares(model, {name: 4}, WINDOWS, {name: torch.tensor([5])})[name]
    products[5] = products[:, 5] = 0
    blocks = products.reshape(4, 32, 4, 32).mean((1, 3))
    torch.testing.assert_close(found, blocks.diagonal(), rtol=1e-4, atol=1e-9)


# -- in the stage --------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rounding"


def context(folder: Path) -> RunContext:
    return RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))


TEXT = bytes(torch.randint(32, 127, (1300,), generator=GENERATOR).tolist()).decode()
"""A random model makes of English what it makes of noise; noise has all the letters."""


def divergence(recipe: Recipe, tmp_path: Path) -> tuple[float, dict[str, Any], dict[str, str]]:
    """Mean KL to the float model, what the stage noted, and how each matrix was rounded."""
    ctx = context(tmp_path)
    reference = load_model(recipe, attention="plain", context_length=256, all_logits=True).model
    done = transformed_of(recipe, ctx)
    tokenizer = Tokenizer.from_str(done.source.tokenizer.tokenizer_json)
    ids = torch.tensor([tokenizer.encode(TEXT).ids[:200]])
    expected, found = (torch.log_softmax(m.run_text(ids)[0], -1) for m in (reference, done.model))
    how = {c.name: c.rounding or "" for c in done.choices}
    return float((expected.exp() * (expected - found)).sum(-1).mean()), ctx.record.facts, how


def test_gptq_makes_a_better_model_than_minmax(tmp_path: Path, cache: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    words = [f"quant.calibration.text={text}", "quant.calibration.tokens=1024"]
    plain, _, _ = divergence(tiny(*SCHEME, *words), tmp_path)
    better, facts, how = divergence(tiny(*GPTQ_WORDS, *words), tmp_path)
    assert better < 0.9 * plain
    assert how.pop("embed") == "minmax"
    assert set(how.values()) == {"gptq"}
    assert facts["rounding"] == {
        "methods": {"minmax": 1, "gptq": len(how)}, "tokens": 1024, "without_inputs": [],
        "layers_resumed": 0, "not_resumable": None,
    }  # fmt: skip
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("method", ["hqq", "gptq"])
def test_methods_go_with_zero_points_and_outliers(method: str, tmp_path: Path) -> None:
    rules = "[{kind: linear, scheme: 8da4w, group_size: 32, zero_point: true, outliers: 3}]"
    words = ["backend=xnnpack", f"quant.rules={rules}", "quant.calibration.tokens=256",
             f"quant.rounding.method={method}"]  # fmt: skip
    error, _, how = divergence(tiny(*words), tmp_path)
    assert error < 0.02
    assert {how[name] for name in how if name.startswith("layers")} == {method}


# -- a run that is killed ------------------------------------------------------------------


class _Killed(Exception):
    pass


class _Dies(RunContext):
    """A run that ends when so many matrices are done."""

    limit = 0

    def progress(self, done: int, total: int) -> None:
        assert done <= total
        if self.limit and done >= self.limit:
            raise _Killed


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the matrices that GPTQ has rounded: the method itself, counted."""
    shapes: list[tuple[int, ...]] = []
    real = GPTQ.round

    def counted(self: GPTQ, weight: Tensor, *rest: Any) -> Any:
        shapes.append(tuple(weight.shape))
        return real(self, weight, *rest)

    monkeypatch.setattr(GPTQ, "round", counted)
    return shapes


def run(recipe: Recipe, folder: Path, limit: int = 0) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything that the quantized model holds, and what was noted."""
    ctx = _Dies(folder, Reporter(1, quiet=True), StageRecord("test"))
    start = load(Start(), resolve(recipe), ctx)
    ctx.limit = limit
    model = transformed_of(recipe, ctx, start).model
    state: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        data: Any = parameter.data
        inner = ("qdata", "scale") if hasattr(data, "qdata") else ()
        state |= {f"{name}.{part}": getattr(data, part) for part in inner} or {name: data}
    return state, ctx.record.facts["rounding"]


def test_a_killed_run_goes_on_at_the_next_layer(
    tmp_path: Path, cache: Path, computed: list[tuple[int, ...]]
) -> None:
    recipe = tiny(*GPTQ_WORDS)
    whole, _ = run(recipe, tmp_path)
    assert len(computed) == 9  # four matrices of each layer, and the head
    assert sum(name.endswith(".qdata") for name in whole) == 10
    computed.clear()
    with pytest.raises(_Killed):
        run(recipe, tmp_path, limit=6)  # the table, layer 0, and one matrix of layer 1
    assert len(computed) == 5
    (folder,) = cache.iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["0.safetensors", "1.safetensors"]
    computed.clear()
    resumed, facts = run(recipe, tmp_path)
    assert len(computed) == 5
    assert facts["layers_resumed"] == 2
    assert facts["methods"] == {"minmax": 1, "gptq": 9}
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert not folder.exists()


def test_a_damaged_layer_is_computed_again(
    tmp_path: Path, cache: Path, computed: list[tuple[int, ...]]
) -> None:
    recipe = tiny(*GPTQ_WORDS)
    whole, _ = run(recipe, tmp_path)
    for damage in ("cut", "flip", "garbage", "other"):
        with pytest.raises(_Killed):
            run(recipe, tmp_path, limit=6)
        (folder,) = cache.iterdir()
        file = folder / "1.safetensors"
        data = bytearray(file.read_bytes())
        if damage == "cut":
            file.write_bytes(data[:-100])
        elif damage == "flip":
            data[-50] ^= 1
            file.write_bytes(data)
        elif damage == "garbage":
            file.write_bytes(b"not a layer")
        else:
            file.write_bytes((folder / "0.safetensors").read_bytes())
        computed.clear()
        again, facts = run(recipe, tmp_path)
        assert (len(computed), facts["layers_resumed"]) == (9, 1), damage
        assert all(torch.equal(again[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    "change",
    [
        "quant.rounding.damping=0.02", "quant.group_size=64", "quant.calibration.tokens=500",
        "checkpoint.random_seed=1", "quant.rounding.method=hqq",
    ],
)  # fmt: skip
def test_layers_of_another_computation_are_not_taken(
    change: str, tmp_path: Path, cache: Path
) -> None:
    recipe = tiny(*GPTQ_WORDS)
    with pytest.raises(_Killed):
        run(recipe, tmp_path, limit=6)
    _, facts = run(tiny(*GPTQ_WORDS, change), tmp_path)
    assert facts["layers_resumed"] == 0
    assert len(list(cache.iterdir())) == 1  # the first one's, which may go on


def test_a_cache_that_cannot_be_written_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(blocked))
    _, facts = run(tiny(*GPTQ_WORDS), tmp_path)
    assert "Not a directory" in facts["not_resumable"]


def test_a_layer_on_disk_is_the_layer(tmp_path: Path) -> None:
    recipe = tiny(*SCHEME)
    model = loaded(recipe)
    chosen = choices_of(model, recipe)
    rounded = round_weights(model, chosen, RoundingConfig("hqq"), outliers={})
    store = FinishedLayers(tmp_path)
    assert store.load(0, chosen) is None
    store.save(0, rounded)
    found = store.load(0, chosen)
    assert found is not None
    assert store.taken == [0]
    for name, (grid, how, sqnr_db, _) in rounded.items():
        assert (found[name].how, found[name].sqnr_db) == (how, sqnr_db)
        assert torch.equal(found[name].grid.values(), grid.values())
    other = replace(chosen[0], shape=(7, 64))
    assert store.load(0, [other]) is None


def test_a_trained_weight_is_compared_with_training_before_gptq_replaces_it(tmp_path: Path) -> None:
    recipe = tiny(*SCHEME, "quant.rules=[{scheme: 8da4w, kind: linear}]", "quant.qat.enabled=true")
    model = loaded(recipe)
    chosen = [c for c in with_training(choices_of(model, recipe), recipe.quant.qat) if c.qat]
    before = model.get_submodule(chosen[0].name).weight
    settings = RoundingConfig("gptq")
    rounded = round_weights(model, chosen, settings, outliers={}, windows=WINDOWS)
    assert {rounded[c.name].training_db for c in chosen} == {math.inf}
    assert model.get_submodule(chosen[0].name).weight is not before
    store = FinishedLayers(tmp_path)
    store.save(0, rounded)
    found = store.load(0, chosen)
    assert found is not None
    assert {one.training_db for one in found.values()} == {math.inf}
