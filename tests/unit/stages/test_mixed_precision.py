"""Automatic mixed precision: what is measured, what is chosen, and what is written down."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
import yaml

from llm_export import api
from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError
from llm_export.models.decoder import Decoder
from llm_export.pipeline.artifacts import Loaded, Prepared, Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.quant.auto.units import key_of, units_of
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import resolve
from llm_export.stages.load import load
from llm_export.stages.quantization.auto import measurements, sensitivity
from llm_export.stages.quantization.auto.measurements import Store
from llm_export.stages.quantization.auto.reference import Reference, without_cache
from llm_export.stages.quantization.auto.search import search
from llm_export.stages.quantization.constant_bytes import predict_bytes
from llm_export.stages.quantize import quantize
from llm_export.stages.transform import transform

FEW = (
    "quant.auto.candidates=[{scheme: 8da4w, group_size: 32}, {scheme: 8da8w}, "
    "{scheme: 8da8w, outliers: 4}, {kind: embedding, scheme: 4w, group_size: 32}, "
    "{kind: embedding, scheme: 8w}]",
    "quant.group_size=null",
)
SHORT = ("quant.auto.tokens=48", "quant.auto.window=24", "quant.calibration.tokens=48",
         "runtime.context_length=96", "runtime.prefill_length=32", "verify.enabled=false",
         "benchmark.enabled=false")  # fmt: skip


@pytest.fixture(autouse=True)
def _an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))


def recipe_of(*overrides: str) -> Recipe:
    recipe = unchecked(*overrides)
    assert api.check_recipe(recipe) == []
    return recipe


def unchecked(*overrides: str) -> Recipe:
    words = ["model=tiny", "backend=xnnpack", "quant=auto", *SHORT, *FEW, *overrides]
    return api.compose_recipe(None, words).recipe


def context(folder: Path) -> RunContext:
    folder.mkdir(exist_ok=True)
    return RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))


def loaded(recipe: Recipe, folder: Path, planted: str | None = None) -> Loaded:
    """The tiny model; what one matrix writes makes up most of the last hidden state."""
    result = load(Start(), resolve(recipe), context(folder))
    if planted is not None:
        with torch.no_grad():
            result.model.get_submodule(planted).weight.mul_(30)  # type: ignore[operator]
    return result


def bits(prepared: Prepared) -> dict[str, float]:
    return {c.name: c.bits_per_weight for c in prepared.choices}


PLANTED = "layers.1.attention.out"


def test_a_sensitive_matrix_gets_more_bits(tmp_path: Path) -> None:
    recipe, ctx = recipe_of("quant.bits_per_weight=5.1"), context(tmp_path / "b")
    usual = bits(transform(loaded(recipe, tmp_path), resolve(recipe), ctx))
    prepared = transform(loaded(recipe, tmp_path, PLANTED), resolve(recipe), ctx)
    assert usual[PLANTED] == 4.5
    assert bits(prepared)[PLANTED] > 8
    assert bits(prepared)["layers.1.feed_forward.down"] == 4.5
    size = sum(c.bytes for c in prepared.choices)
    weights = sum(c.shape[0] * c.shape[1] for c in prepared.choices)
    assert 5.0 < 8 * size / weights <= 5.1
    facts = ctx.record.facts["auto"]
    assert facts["bits_per_weight"] == pytest.approx(8 * size / weights, abs=1e-4)
    assert 0 < facts["measured_kl"] < 2 * facts["estimated_kl"]
    assert len(quantize(prepared, resolve(recipe), ctx).choices) == len(usual)


def test_a_budget_in_megabytes_is_of_all_constants(tmp_path: Path) -> None:
    recipe, ctx = recipe_of("quant.file_megabytes=0.15"), context(tmp_path / "b")
    prepared = transform(loaded(recipe, tmp_path), resolve(recipe), ctx)
    assert 0.145e6 < predict_bytes(prepared.model, prepared.choices) <= 0.15e6


def test_losses_are_those_of_the_whole_model(tmp_path: Path) -> None:
    """Beginning with a later layer gives what a whole forward pass does."""
    recipe = recipe_of("quant.bits_per_weight=6")
    model = loaded(recipe, tmp_path).model
    assert isinstance(model, Decoder)
    windows = [list(range(20)), list(range(40, 70))]
    before = dict(model.named_parameters())
    assert recipe.quant.auto is not None
    units = units_of(model, [], recipe.quant.auto.candidates, "xnnpack")
    with without_cache(model):
        reference = Reference(model, windows)
        for unit in reversed(units):
            choices = unit.options[0].choices
            reference.start_at(sensitivity.start_of(unit, 2))
            part = sensitivity.loss_of(reference, choices, recipe.quant.rounding, {})
            reference.start_at(None)
            whole = sensitivity.loss_of(reference, choices, recipe.quant.rounding, {})
            assert part == pytest.approx(whole, rel=1e-5)
            assert part > 1e-7
        assert reference.mean_kl() == pytest.approx(0, abs=1e-9)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert model.attention_kind == "plain"
    assert math.isfinite(float(model.run_text(torch.tensor([windows[0]])).sum()))


def test_more_budget_loses_no_more(tmp_path: Path) -> None:
    estimates = []
    for budget in (4.8, 6.0, 9.0, 30.0):
        recipe = recipe_of(f"quant.bits_per_weight={budget}", "quant.auto.keep_measurements=true")
        model = loaded(recipe, tmp_path)
        found = search(model.model, model.source, resolve(recipe), context(tmp_path / "b"))
        assert found.spent["bits_per_weight"] <= budget
        estimates.append(found.estimated_kl)
    assert estimates == sorted(estimates, reverse=True)
    assert estimates[-1] < estimates[0] / 10


def test_a_stopped_search_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("quant.bits_per_weight=6")
    measured: list[str] = []
    real = sensitivity.loss_of

    def counted(reference, choices, settings, ranges):  # type: ignore[no-untyped-def]
        choices = list(choices)
        if len(choices) == 1:
            measured.append(choices[0].name)
        if len(measured) == stop_after:
            raise KeyboardInterrupt
        return real(reference, choices, settings, ranges)

    monkeypatch.setattr(sensitivity, "loss_of", counted)
    stop_after = 9
    with pytest.raises(KeyboardInterrupt):
        transform(loaded(recipe, tmp_path), resolve(recipe), context(tmp_path / "b"))
    (kept,) = (tmp_path / "cache" / "auto").iterdir()
    first, stop_after, measured[:] = set(measured[:-1]), -1, []
    transform(loaded(recipe, tmp_path), resolve(recipe), context(tmp_path / "b"))
    # Of the unit that was interrupted nothing is known; the ones before it are not asked again.
    assert len(first & set(measured)) <= 1
    assert len(set(measured)) > 5
    assert not kept.exists()
    assert list((tmp_path / "cache" / "auto").iterdir()) == []


def test_another_text_is_another_measurement(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 8)
    for more in ((), (f"quant.calibration.text={text}",)):
        recipe = recipe_of("quant.bits_per_weight=6", "quant.auto.keep_measurements=true", *more)
        transform(loaded(recipe, tmp_path), resolve(recipe), context(tmp_path / "b"))
    assert len(list((tmp_path / "cache" / "auto").iterdir())) == 2


def test_other_code_that_rounds_is_another_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of("quant.bits_per_weight=6")
    model = loaded(recipe, tmp_path).model
    before = measurements.digest_of(model, recipe, [])
    assert measurements.digest_of(model, recipe, []) == before
    monkeypatch.setattr(measurements, "code", lambda: "changed")
    assert measurements.digest_of(model, recipe, []) != before


def test_the_option_makes_the_same_choices(tmp_path: Path) -> None:
    """Both as an option of the group and as a recipe's own section."""
    recipe, ctx = recipe_of("quant.bits_per_weight=5.6"), context(tmp_path / "quant")
    prepared = transform(loaded(recipe, tmp_path, PLANTED), resolve(recipe), ctx)
    wanted = {c.name: (key_of(c), c.bytes) for c in prepared.choices}
    assert len({key for key, _ in wanted.values()}) > 2
    text = (ctx.bundle / "quant_auto.yaml").read_text()
    (ctx.bundle / "auto_5.6bpw.yaml").write_text(text)
    again = api.compose_recipe(
        None, ["model=tiny", "backend=xnnpack", "quant=auto_5.6bpw", *SHORT[3:]], str(tmp_path)
    ).recipe
    section = "".join(f"  {line}" for line in text.splitlines(keepends=True))
    file = tmp_path / "mine.yaml"
    file.write_text(
        "defaults: [export_base, override quant: 8da8w, override backend: xnnpack, _self_]\n"
        f"quant:\n{section}"
    )
    for other in (again, api.compose_recipe(str(file)).recipe):
        assert api.check_recipe(other) == []
        assert (other.quant.auto, other.quant.smooth) == (None, None)
        assert "mean KL" in other.quant.description
        assert "budget of 5.6 bits per weight" in other.quant.description
        chosen = resolve_rules(prepared.model, other.quant.rules, "xnnpack")
        assert {c.name: (key_of(c), c.bytes) for c in chosen} == wanted
    assert max(map(len, text.splitlines())) < 200


def test_the_table_tells_what_was_measured(tmp_path: Path) -> None:
    recipe, ctx = recipe_of("quant.bits_per_weight=6"), context(tmp_path / "b")
    prepared = transform(loaded(recipe, tmp_path), resolve(recipe), ctx)
    with (ctx.bundle / "quant_sensitivity.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = {row["module"]: row["candidate"] for row in rows if row["chosen"]}
    assert {c.name for c in prepared.choices} == set(chosen)
    assert {row["candidate"] for row in rows if row["module"] == "embed"} == {"4w g32", "8w"}
    assert len(rows) == len(ctx.record.facts["auto"]["sensitivity"]) == 2 + 9 * 3
    assert "quant_auto.yaml" in ctx.record.facts["summary"]


def test_rules_come_before_the_search(tmp_path: Path) -> None:
    recipe = recipe_of(
        "quant.bits_per_weight=10.5",
        "quant.rules=[{kind: embedding, scheme: none}, {kind: linear, layers: '0', scheme: 8da8w}]",
    )
    prepared = transform(loaded(recipe, tmp_path), resolve(recipe), context(tmp_path / "b"))
    schemes = {c.name: c.scheme for c in prepared.choices}
    assert schemes["embed"] == "none"
    assert schemes["layers.0.attention.out"] == "8da8w"
    assert "8da4w" in schemes.values()


def test_what_does_not_divide_is_left_out() -> None:
    recipe = recipe_of(
        "quant.bits_per_weight=10", "model.config.intermediate_size=80",
        "quant.auto.candidates=[{scheme: 8da4w, group_size: 32}, {scheme: 8da8w}]",
    )  # fmt: skip
    from llm_export.models.build import build_on_meta
    from llm_export.models.families.llama import from_hf

    assert recipe.quant.auto is not None
    model = build_on_meta(from_hf(recipe.model.config), 64, "plain", False)
    units = units_of(model, [], recipe.quant.auto.candidates, "xnnpack")
    words = {unit.name: [option.words for option in unit.options] for unit in units}
    assert words["layers.0.feed_forward.down"] == ["8da8w"]
    assert words["layers.0.attention.out"] == ["8da4w g32", "8da8w"]
    assert words["embed"] == ["none"]


def test_an_impossible_budget_is_said_before_any_measurement(tmp_path: Path) -> None:
    for override, key in (("bits_per_weight=3", "bits"), ("file_megabytes=0.1", "MB")):
        recipe = unchecked(f"quant.{override}")
        (problem,) = api.check_recipe(recipe)
        model = loaded(recipe, tmp_path)
        with pytest.raises(RecipeError) as caught:
            search(model.model, model.source, resolve(recipe), context(tmp_path / "b"))
        assert f"cannot be as small as {override.partition('=')[2]} {key}" in caught.value.what
        assert "the smallest choice has" in caught.value.what
        assert "the largest" in caught.value.what
        assert problem.what.partition(", the largest")[0] in caught.value.what
        assert problem.fix == caught.value.fix
        least = str(caught.value.fix).split("=")[1].split()[0]
        again = recipe_of(f"quant.{override.partition('=')[0]}={least}")
        model = loaded(again, tmp_path)
        search(model.model, model.source, resolve(again), context(tmp_path / "b"))


def test_a_cache_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "file"))
    store = Store("abc")
    store.add("unit", {"8da8w": 0.5})
    assert store.losses == {"unit": {"8da8w": 0.5}}
    assert store.problem is not None
    assert "not kept" in store.problem
    store.remove()


def test_a_text_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option may be used from another folder than the search was."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 8)
    recipe = recipe_of("quant.bits_per_weight=6", "quant.calibration.text=text.txt")
    ctx = context(tmp_path / "b")
    transform(loaded(recipe, tmp_path), resolve(recipe), ctx)
    option = yaml.safe_load((ctx.bundle / "quant_auto.yaml").read_text())
    assert option["calibration"]["text"] == str(tmp_path / "text.txt")
