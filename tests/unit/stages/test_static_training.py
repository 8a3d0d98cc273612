"""Training for static schemes: a graph with the backend's fake quantizers (PT2E QAT)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hf_models
import pytest
import qat_tools as tools
import torch

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems, require_sound
from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError
from llm_export.pipeline.artifacts import Prepared, Transformed
from llm_export.quant.observers import collect_ranges, load_ranges, observers
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.training.student import Student, captured
from llm_export.stages.verification.logits import eager_logits

IDS = tools.IDS[0].tolist()
RULES = "quant.rules=[{kind: linear, scheme: 8a8w}, {kind: head, scheme: 8a8w}]"
WORDS = ["backend=xnnpack", "quant=8a8w", RULES, "runtime=static", "runtime.attention=plain",
         "runtime.context_length=64", "benchmark=off", "verify=off", "quant.tied=untied",
         "quant.calibration.tokens=64", "train.window=32", "train.batch=2", "train.steps=6",
         "train.warmup=1", "train.learning_rate=2e-3", "train.max_windows=12"]  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose logits are far apart, so that a bad range hurts it."""
    return hf_models.save(hf_models.llama(), tmp_path_factory.mktemp("llama"))


def recipe_of(folder: Path, *words: str) -> Recipe:
    source = ["model=auto", f"checkpoint.path={folder}"]
    recipe = api.compose_recipe(None, [*source, *WORDS, *words]).recipe
    assert find_problems(recipe) == []
    return recipe


def student_of(recipe: Recipe, prepared: Prepared) -> Student:
    """The graph that the stage trains, before it is trained."""
    prepared.model.set_attention("cacheless")
    names = [c.name for c in prepared.choices if c.scheme == "8a8w"]
    quantizer = BACKENDS.get("xnnpack").quantizer(resolve(recipe), names, training=True)
    return captured(prepared.model, 32, quantizer)


def exported(recipe: Recipe, prepared: Prepared) -> tuple[Transformed, dict[str, int]]:
    """The converted graph in the form of the program, and where its ranges come from."""
    ctx = tools.context()
    model = export(tools.quantized_of(recipe, prepared)[0], resolve(recipe), ctx).transformed
    return model, ctx.record.facts["ranges"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("qat", marks=pytest.mark.slow),
        pytest.param("qat_lora", marks=pytest.mark.release),
    ],
)
def test_the_program_computes_what_was_trained(kind: str, llama: Path) -> None:
    recipe = recipe_of(llama, f"train={kind}", "train.learning_rate=2e-3", "train.steps=6",
                       "train.loss=cross_entropy",
                       "train.warmup=1")  # fmt: skip
    prepared = tools.prepared_of(recipe)
    before = {n: p.detach().clone() for n, p in prepared.model.named_parameters()}
    trained, facts = tools.trained_of(recipe, prepared)
    linears = {f"{c.name}.weight" for c in trained.choices if c.kind.value == "linear"}
    changed = {n for n, p in trained.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == linears
    assert facts["loss_after"] < facts["loss_before"]
    ranges = trained.ranges

    # The same fake quantizers on the trained weights: what training computed in the end.
    student = student_of(recipe, replace(trained))
    known, unknown = load_ranges(student.module, ranges)  # type: ignore[arg-type]
    assert known
    assert not unknown
    with torch.no_grad():
        expected = student.forward(tools.IDS)[0]
    trained.model.set_attention("plain")
    model, origin = exported(recipe, trained)
    assert origin == {"trained": known, "calibrated": 0}
    close = tools.mean_kl(expected, eager_logits(model.model, IDS))
    assert close < 1e-5

    # The same weights with ranges from the calibration text.
    again = replace(tools.prepared_of(recipe), ranges={})
    again.model.load_state_dict(trained.model.state_dict(), strict=False)
    other, origin = exported(recipe, again)
    assert origin["trained"] == 0 < origin["calibrated"]
    assert tools.mean_kl(expected, eager_logits(other.model, IDS)) > 10 * close


def test_ranges_are_of_the_weights_as_they_are(llama: Path) -> None:
    recipe = recipe_of(llama, "train=qat")
    student = student_of(recipe, tools.prepared_of(recipe))
    graph = student.module
    windows = torch.tensor([[*IDS, 5]])
    student.observe(windows)
    name = student.names("layers.0.attention.out.weight")
    weight = graph.get_parameter(name)
    place = ("layers.0.attention.out", "aten.linear.default", 0, "1")
    assert torch.allclose(collect_ranges(graph)[place]["scale"], weight.abs().amax(1) / 127)  # type: ignore[arg-type]
    weight.data.mul_(2)
    student.settle(windows)
    settled = collect_ranges(graph)  # type: ignore[arg-type]
    assert torch.allclose(settled[place]["scale"], weight.abs().amax(1) / 127)
    weight.data.mul_(2)
    with torch.no_grad():
        student.forward(tools.IDS)
    for key, state in collect_ranges(graph).items():  # type: ignore[arg-type]
        assert all(torch.equal(v, settled[key][n]) for n, v in state.items()), key


def test_what_training_did_not_see_is_calibrated(llama: Path) -> None:
    recipe = recipe_of(llama, "train=qat", "train.steps=1")
    trained, _ = tools.trained_of(recipe)
    head = {place for place in trained.ranges if place[0] == "head"}
    fewer = {place: state for place, state in trained.ranges.items() if place not in head}
    _, origin = exported(recipe, replace(trained, ranges=fewer))
    assert origin["calibrated"] == len(head) == 3


def test_observers_of_a_graph_are_found(llama: Path) -> None:
    recipe = recipe_of(llama, "train=qat")
    prepared = tools.prepared_of(recipe)
    student = student_of(recipe, prepared)
    linears = [c for c in prepared.choices if c.scheme == "8a8w"]
    seen = collect_ranges(student.module)  # type: ignore[arg-type]
    assert {place[0] for place in seen} == {c.name for c in linears}
    assert len(seen) == 3 * len(linears), "input, weight and output"
    assert len(observers(student.module)) == 3 * len(linears)  # type: ignore[arg-type]


MISTAKES = [
    ("quant.rules=[{kind: linear, scheme: 8da8w}, {kind: head, scheme: 8a8w}]",
     "8da8w rounds activations where 8a8w is trained in a graph",
     "quant.rules.0.scheme=8a8w, or quant.rules.0.scheme=none"),
    ("train.kinds=[linear,embedding]", "an embedding is not trained beside 8a8w",
     "train.kinds=[linear], or train=off"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "what", "fix"), MISTAKES)
def test_what_no_gradient_passes_is_refused(word: str, what: str, fix: str) -> None:
    recipe = api.compose_recipe(None, ["model=tiny", *WORDS, "train=qat", word]).recipe
    with pytest.raises(RecipeError) as caught:
        require_sound(recipe)
    assert what in str(caught.value)
    assert fix in str(caught.value)
