"""What makes lowering faster does not change a byte of the program."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stage_tools import exported_of

from llm_export import api
from llm_export.backends import BACKENDS, xnnpack_passes
from llm_export.backends.decompositions import decomposed_once
from llm_export.backends.xnnpack_passes import ANCHORS, reused
from llm_export.config.schema import Recipe
from llm_export.memory import memory_mapping
from llm_export.pipeline.artifacts import Lowered
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.program_artifacts import ProgramLowered
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.lower import lower


def program(recipe: Recipe, folder: Path) -> bytes:
    folder.mkdir()
    ctx = RunContext(folder, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        exported = exported_of(recipe, ctx)
    return lower(exported, resolve(recipe), ctx).program_file.read_bytes()


def recipe_of(*overrides: str) -> Recipe:
    words = ["model=tiny", "model.config.num_hidden_layers=1", "backend=xnnpack",
             "runtime.context_length=64"]  # fmt: skip
    return api.compose_recipe(None, [*words, *overrides]).recipe


WORDS = [
    ["quant=8da4w"],
    ["quant=8da8w", "runtime=static"],
    ["quant=none", "runtime.attention=plain"],
    ["quant=fp16"],
]


def lowered_in(
    context: Callable[[], AbstractContextManager[None]], words: list[str], folder: Path
) -> bytes:
    """The program, with this in place of what the backend lowers in."""
    backend = type(BACKENDS.get("xnnpack"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "lowering_context", lambda self, resolved: context())
        return program(recipe_of("backend.repeat_layers=false", *words), folder)


@pytest.mark.release  # each verified run compares the numbers of such a program
@pytest.mark.parametrize("words", WORDS)
def test_same_bytes_from_one_decomposition(words: list[str], tmp_path: Path) -> None:
    plain = lowered_in(nullcontext, words, tmp_path / "plain")
    once = lowered_in(lambda: decomposed_once(together=True), words, tmp_path / "once")
    assert once == plain


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ["model=tiny_embed", "model.config.num_hidden_layers=1"], marks=pytest.mark.slow
        ),
        pytest.param(["model=tiny", "quant=8da4w", "backend=xnnpack"], marks=pytest.mark.release),
    ],
)
def test_same_bytes_from_light_graphs(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words, "runtime.context_length=24", "verify=off", "benchmark=off"]

    def made(name: str) -> bytes:
        with api.run(None, words, until="lower", out=tmp_path / name, quiet=True) as run:
            assert isinstance(run.artifact, Lowered | ProgramLowered)
            return run.artifact.program_file.read_bytes()

    light = made("light")
    for stage in ("llm_export.stages.lower", "llm_export.stages.programs.lower"):
        monkeypatch.setattr(f"{stage}.light_graphs", nullcontext)
    monkeypatch.setattr("llm_export.backends.portable_lowering.decomposed_once", nothing)
    assert made("plain") == light


def nothing(*, together: bool) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.mark.release
@pytest.mark.parametrize("words", WORDS)
def test_same_bytes_without_idle_passes(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = lowered_in(reused, words, tmp_path / "fewer")
    monkeypatch.setattr(xnnpack_passes, "only_where_changed", lambda module: nullcontext())
    monkeypatch.setattr(xnnpack_passes, "matching", lambda manager, program: manager)
    assert lowered_in(reused, words, tmp_path / "all") == fewer


@pytest.mark.release
def test_same_bytes_from_paged_tensors(tmp_path: Path) -> None:
    recipe = recipe_of("quant=8da4w", "model.config.num_hidden_layers=5")
    plain = program(recipe, tmp_path / "plain")
    with memory_mapping(tmp_path, above=0, at_least=1):
        assert program(recipe, tmp_path / "paged") == plain


@pytest.mark.slow  # builds all patterns of the installed ExecuTorch
def test_a_pass_is_left_out_only_where_its_patterns_cannot_be() -> None:
    from executorch.backends.xnnpack import _passes
    from executorch.backends.xnnpack.partition.graphs import bilinear_2d, sdpa

    assert set(ANCHORS) <= set(vars(_passes)), "a pass has another name now"
    patterns = {
        "ConvertToSDPAPass": sdpa.get_graphs(),
        "ConvertToUpsampleBilinear2d": list(bilinear_2d.get_graphs_dict()),
    }
    for name, anchors in ANCHORS.items():
        for pattern in patterns[name]:
            targets = [str(n.target) for n in pattern.graph.nodes if n.op == "call_function"]
            for anchor in anchors:
                assert any(anchor in target for target in targets), (name, anchor, targets)


class Softplus(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.hardswish(x).add_(1)


def test_nothing_is_decomposed_twice_and_everything_once() -> None:
    captured = torch.export.export(Softplus(), (torch.randn(4),))
    table = torch.export.default_decompositions()
    whole = table[torch.ops.aten.hardswish.default]
    del table[torch.ops.aten.hardswish.default]
    with decomposed_once(together=False):
        first = captured.run_decompositions({})
        assert first is not captured, "it is not functional yet"
        kept = first.run_decompositions(table)
        assert kept.run_decompositions(table) is kept
        table[torch.ops.aten.hardswish.default] = whole
        apart = kept.run_decompositions(table)
    targets = {str(n.target) for n in apart.graph.nodes}
    assert "aten.hardswish.default" not in targets
    assert "aten.hardswish.default" in {str(n.target) for n in kept.graph.nodes}
    x = torch.randn(4)
    assert torch.equal(apart.module()(x), Softplus()(x))


def test_other_backends_find_a_functional_program() -> None:
    captured = torch.export.export(Softplus(), (torch.randn(4),))
    resolved = resolve(api.compose_recipe(None, ["model=tiny", "backend=xnnpack"]).recipe)
    alone = resolved.recipe.backend
    others = (replace(alone, fallbacks=["coreml"]), replace(alone, methods={"encode": "coreml"}))
    for chosen, as_captured in ((alone, True), *((other, False) for other in others)):
        made = replace(resolved, recipe=replace(resolved.recipe, backend=chosen))
        for name in ("xnnpack", "portable"):
            with BACKENDS.get(name).lowering_context(made):
                same = captured.run_decompositions({}) is captured
            assert same is as_captured, (name, chosen)


def test_another_rule_for_an_operator_is_applied() -> None:
    captured = torch.export.export(torch.nn.SiLU(), (torch.randn(4),))

    def keeps(x: torch.Tensor) -> torch.Tensor:
        return NotImplemented

    def written_out(x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)

    silu = torch.ops.aten.silu.default
    with decomposed_once(together=False):
        kept = captured.run_decompositions({silu: keeps})
        assert any(n.target is silu for n in kept.graph.nodes)
        apart = kept.run_decompositions({silu: written_out})
    assert not any(n.target is silu for n in apart.graph.nodes)
