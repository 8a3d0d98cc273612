"""Methods of tasks' programs whose layers are repeated compute what those lowered whole compute,
exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from llm_export import api
from llm_export.pipeline.artifacts import Start
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.programs.export import export
from llm_export.stages.programs.load import load
from llm_export.stages.programs.lower import lower
from llm_export.stages.programs.quantize import quantize
from runtime_py.method_program import MethodProgram

LAYERS = ["model.config.num_layers=5", "model.config.num_decoder_layers=4"]
THREE_OF_FIVE = {"lowered": 3, "of": 5, "path": "repeated"}


def lowered(words: list[str], out: Path) -> tuple[MethodProgram, dict[str, Any]]:
    """The program of a recipe, and what lowering noted of layers."""
    resolved = resolve(api.compose_recipe(None, words).recipe)
    ctx = RunContext(out, Reporter(1, quiet=True), StageRecord("test"))
    quantized = quantize(load(Start(), resolved, ctx), resolved, ctx)
    made = lower(export(quantized, resolved, ctx), resolved, ctx)
    return MethodProgram(made.program_file), ctx.record.facts["layers"]


def results(program: MethodProgram) -> list[Tensor]:
    """Of the first methods on the same random inputs, and of the decoder after two sources."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 300, (2, 20), generator=draw)
    found: list[Tensor] = []

    def call(method: str, *inputs: Tensor) -> None:
        found.append(program.call(method, inputs)[0].clone())

    names = program.methods
    if "decoder" not in names:
        call("forward", ids, torch.ones_like(ids))
        return found
    for source in ids[:, None]:
        if "features" in names:
            (sizes,) = [m.sizes() for m in [program.load("features").metadata.input_tensor_meta(0)]]
            call("features", 0.1 * torch.randn(*sizes, generator=draw))
            call("encoder", found[-1])
        elif "get_eos_ids" in names:
            call("encoder", source, torch.ones_like(source))
        else:
            call("encoder", 0.1 * torch.randn(1, 384 * 9 - 128, generator=draw))
        for begin, end in ((0, 4), (4, 5), (5, 6), (6, 9)):
            call("decoder", source[:, begin:end], torch.tensor([begin]))
    return found


def same_both_ways(words: list[str], tmp_path: Path) -> dict[str, Any]:
    found = []
    for way in ("true", "false"):
        out = tmp_path / way
        out.mkdir()
        program, note = lowered([*words, f"backend.repeat_layers={way}", "backend=xnnpack"], out)
        found.append((results(program), note))
    (repeated, note), (whole, other) = found
    for method in note:
        assert other[method] == {"path": "whole", "why": "backend.repeat_layers=false"}
    for ours, theirs in zip(repeated, whole, strict=True):
        assert torch.equal(ours, theirs)
    return note


@pytest.mark.release
@pytest.mark.parametrize("quant", ["none", "8da8w"])
def test_an_encoder_and_its_decoder(quant: str, tmp_path: Path) -> None:
    """T5: the encoder fills caches of all of the decoder's layers, of which the decoder's graph has
    three. Lowering joins the last norm to the encoder's last layer.
    """
    note = same_both_ways(["model=tiny_t5", f"quant={quant}", *LAYERS], tmp_path)
    assert note == {
        "encoder": {"lowered": 4, "of": 5, "path": "repeated"},
        "decoder": {"lowered": 3, "of": 4, "path": "repeated"},
    }


@pytest.mark.release
@pytest.mark.parametrize("quant", ["none", "8da4w"])
def test_speech(quant: str, tmp_path: Path) -> None:
    layers = ["model.config.encoder_layers=5", "model.config.decoder_layers=5"]
    note = same_both_ways(["model=tiny_whisper", f"quant={quant}", *layers], tmp_path)
    assert note == dict.fromkeys(("encoder", "decoder"), THREE_OF_FIVE)


@pytest.mark.release
def test_speech_of_any_length(tmp_path: Path) -> None:
    layers = [f"model.config.{part}_num_hidden_layers=5" for part in ("encoder", "decoder")]
    note = same_both_ways(["model=tiny_moonshine", "quant=8da8w", *layers], tmp_path)
    assert note == dict.fromkeys(("encoder", "decoder"), THREE_OF_FIVE)


@pytest.mark.parametrize(
    ("lengths", "quant"),
    [
        pytest.param("[20]", "none", marks=pytest.mark.slow),
        *(pytest.param(each, "8da8w", marks=pytest.mark.release)
          for each in ("null", "[20]", "[16,20]")),
    ],
)  # fmt: skip
def test_embeddings(lengths: str, quant: str, tmp_path: Path) -> None:
    words = ["model=tiny_embed", f"quant={quant}", "model.config.num_hidden_layers=4"]
    more = [f"model.task_options.lengths={lengths}", "model.task_options.max_batch=2"]
    note = same_both_ways([*words, *more], tmp_path)
    for each in note.values():
        assert each == {"lowered": 3, "of": 4, "path": "repeated"}
