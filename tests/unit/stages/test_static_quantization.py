"""Static quantization of captured graphs, without lowering."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stage_tools import transformed_of

from llm_export import api
from llm_export.backends import BACKENDS
from llm_export.checks.rules import find_problems
from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import Recipe
from llm_export.errors import PostConditionError
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.artifacts import Exported, Loaded, Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.quant.nodes import modules_of
from llm_export.quant.rules import LayerQuantSpec
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.load import load
from llm_export.stages.lowering.graph_model import GraphModel
from llm_export.stages.quantization.pt2e import drop_upper_bounds, require_quantized
from llm_export.stages.verification.logits import eager_logits, perturbed

IDS = [(i * 37 + 11) % 300 for i in range(64)]
SMALL = [
    "model=tiny", "model.config.num_hidden_layers=1", "backend=xnnpack", "benchmark=off",
    "runtime.context_length=64", "verify.window=32", "verify.prefill=8",
    "quant.calibration.tokens=64", "quant.calibration.window=64",
]  # fmt: skip
STATIC = ["runtime=static", "runtime.attention=plain"]


def recipe_of(*words: str) -> Recipe:
    recipe = api.compose_recipe(None, [*SMALL, *words]).recipe
    assert find_problems(recipe) == []
    return recipe


def context(folder: Path) -> RunContext:
    return RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))


def captured(model: LanguageModel, limit: int, dynamic: bool) -> GraphModel:
    shapes = ({1: torch.export.Dim("tokens", min=1, max=limit)}, None) if dynamic else None
    with torch.no_grad(), model.as_program(3 if dynamic else limit) as form:
        graph = torch.export.export(
            form.module, form.inputs, dynamic_shapes=shapes, strict=False
        ).module(check_guards=False)
        drop_upper_bounds(graph)
        return GraphModel(graph, model, form, limit)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exported, LanguageModel]:
    """A program with static int8 linears, down apart; and the float model, of which one matrix
    is as small as some of real models are."""
    recipe = recipe_of(
        *STATIC,
        "quant.rules=[{scheme: none, pattern: '.*down'}, {scheme: 8a8w, kind: linear},"
        "{scheme: 8a8w, kind: head}, {scheme: 8w, kind: embedding}]",
    )
    folder = tmp_path_factory.mktemp("static")

    def loaded() -> Loaded:
        source = load(Start(), resolve(recipe), context(folder))
        source.model.get_submodule("layers.0.attention").out.weight.data.mul_(0.01)  # type: ignore[union-attr,operator]
        return source

    exported = export(
        transformed_of(recipe, context(folder), loaded()), resolve(recipe), context(folder)
    )
    return exported, loaded().model


def test_the_converted_graph_is_near_the_float_model(
    made: tuple[Exported, LanguageModel],
) -> None:
    exported, reference = made
    model = exported.transformed.model
    assert isinstance(model, GraphModel)
    got, expected = eager_logits(model, IDS), eager_logits(reference, IDS)
    error = float((got - expected).norm() / expected.norm())
    assert 1e-4 < error < 0.05, "quantized, and not much worse"
    model.init_buffers()
    assert torch.equal(eager_logits(model, IDS), got), "caches are emptied"


def test_the_exported_program_computes_what_the_graph_does(
    made: tuple[Exported, LanguageModel],
) -> None:
    exported, _ = made
    model, program = exported.transformed.model, exported.program.module()
    expected = eager_logits(model, IDS[:8])
    with torch.no_grad():
        rows = [program(torch.tensor([[t]]), torch.tensor([i]))[0] for i, t in enumerate(IDS[:8])]
    assert torch.equal(torch.cat(rows), expected)


def test_rules_choose_the_modules(made: tuple[Exported, LanguageModel]) -> None:
    exported, _ = made
    graph = exported.transformed.model.graph
    assert isinstance(graph, torch.fx.GraphModule)
    linears = {
        name: n for n in graph.graph.nodes if "aten.linear" in str(n.target)
        for name in (c.name for c in exported.transformed.choices) if name in modules_of(n)
    }  # fmt: skip
    assert len(linears) == 5
    for name, node in linears.items():
        assert ("dequantize" in str(node.args[0])) == (not name.endswith("down"))
    weights = {c.name: c.bytes for c in exported.transformed.choices}
    assert weights["layers.0.attention.out"] == 64 * 128 + 4 * 64, "a scale a channel"
    small = [
        v for n, v in graph.named_buffers()
        if "scale" in n and v.dtype == torch.float32 and 0 < float(v.max()) < 2**-12
    ]  # fmt: skip
    assert small, "small weights have scales below the quantizer's default floor"


def test_noise_reaches_the_graph(made: tuple[Exported, LanguageModel]) -> None:
    model = made[0].transformed.model
    quiet = eager_logits(model, IDS[:8])
    with perturbed(model):
        noisy = eager_logits(model, IDS[:8])
    assert torch.equal(eager_logits(model, IDS[:8]), quiet), "nothing of it stays"
    # So small a noise may round to nothing; a larger one shows that it stands in the path.
    handle = model.input_embedding().register_forward_hook(lambda m, i, o: o * 2)
    louder = eager_logits(model, IDS[:8])
    handle.remove()
    assert not torch.equal(louder, quiet)
    assert noisy.shape == quiet.shape


def test_a_module_that_the_quantizer_left_out_is_named(
    made: tuple[Exported, LanguageModel],
) -> None:
    graph = made[0].transformed.model.graph
    assert isinstance(graph, torch.fx.GraphModule)
    require_quantized(graph, ["head"])
    with pytest.raises(PostConditionError, match=r"left out 'layers\.0\.feed_forward\.down'"):
        require_quantized(graph, ["layers.0.feed_forward.down"])


@pytest.mark.parametrize(
    "runtime",
    [("runtime.prefill_length=16",), ("runtime.prefill_length=16", "runtime.attention=plain"),
     ("runtime=npu", "runtime.prefill_length=6", "runtime.logits=all")],
)  # fmt: skip
def test_a_graph_is_the_model_that_it_was_captured_of(
    runtime: tuple[str, ...], tmp_path: Path
) -> None:
    """Up to the last slot of the context, in chunks and one by one."""
    words = ["runtime.context_length=64", "backend=portable"]
    recipe = recipe_of(*runtime, *words)
    model = transformed_of(recipe, context(tmp_path)).model
    expected = eager_logits(model, IDS, 6)
    model.init_buffers()
    graph = captured(model, resolve(recipe).methods.prefill_length, resolve(recipe).methods.dynamic)
    torch.testing.assert_close(eager_logits(graph, IDS), expected, rtol=1e-4, atol=1e-4)
    graph.init_buffers()
    with torch.no_grad():
        chunks = [
            graph(torch.tensor([IDS[i : i + 6]]), torch.tensor([i]))[0, -1] for i in range(0, 60, 6)
        ]
    torch.testing.assert_close(torch.stack(chunks), expected[5:60:6], rtol=1e-4, atol=1e-4)


def test_a_backend_of_static_schemes_brings_a_quantizer() -> None:
    recipe = recipe_of(*STATIC, "quant=8a8w")
    made = BACKENDS.get("xnnpack").quantizer(resolve(recipe), ["head"])
    assert set(made.operator_type_config) == {torch.ops.aten.linear.default}
    choice = LayerQuantSpec("head", ModuleKind.head, (320, 64), "8a8w", None, 0)
    assert not choice.on_grid
    assert replace(choice, scheme="8da8w").on_grid
