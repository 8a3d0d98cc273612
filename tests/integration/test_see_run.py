"""A model that sees, from a recipe to a program of three methods."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from multimodal_runner import greedy
from tokenizers import Tokenizer

from llm_export import api
from llm_export.config.composed import Composed
from llm_export.models.load_model import load_model
from llm_export.models.vision.model import VisionLanguageModel
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import captured, further_programs
from llm_export.stages.lowering.model_schema import model_schema
from llm_export.stages.verification.seeing import (
    encoder_error,
    pictures,
    seen_by_model,
    seen_by_program,
    sight,
)
from runtime_py import LLM
from runtime_py.images import Tile
from runtime_py.vision.program import SeeingProgram

SMALL = ["model=tiny_see", "runtime.context_length=96", "benchmark=off", "verify.positions=50",
         "deploy.questions=[Hello?]"]  # fmt: skip
DEEP = ["model.config.text_config.num_hidden_layers=7",
        "model.config.vision_config.num_hidden_layers=7"]  # fmt: skip


def test_a_tiny_model_is_captured_as_three_methods(composed: Callable[..., Composed]) -> None:
    words = ["model=tiny_see", "runtime.context_length=96", "backend=portable",
             "model.config.text_config.num_hidden_layers=1",
             "model.config.vision_config.num_hidden_layers=1"]  # fmt: skip
    recipe = composed(*words).recipe
    resolved = resolve(recipe)
    model = load_model(recipe, attention="plain", context_length=96, all_logits=False).model
    with torch.no_grad():
        programs = {resolved.methods.main: captured(model, resolved, resolved.methods.main)}
        programs |= further_programs(model, resolved)[0]
    assert list(programs) == ["text_decoder", "token_embedding", "vision_encoder"]
    schema = json.loads(model_schema(programs))
    shapes = {
        name: [[dim.get("value") or dim["range"]["max"] for dim in each["shape"]]
               for side in ("inputs", "outputs") for each in method[side]]
        for name, method in schema.items()
    }  # fmt: skip
    assert shapes == {
        "text_decoder": [[1, 96, 64], [1], [1, 320]],
        "token_embedding": [[1, 96], [1, 96, 64]],
        "vision_encoder": [[1, 3, 32, 32], [1, 4, 64]],
    }
    encoder = programs["vision_encoder"].graph_signature
    assert not any("language" in name for name in encoder.parameters)


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    """Of seven layers each, most of which are clones."""
    words = [*SMALL, *DEEP, "backend=xnnpack"]

    def run(out: Path) -> None:
        api.run_recipe(api.compose_recipe(None, [*words, f"out={out}"]), quiet=True)

    return once(run, *words)


@pytest.mark.slow
def test_a_run_proves_what_the_program_sees(bundle: Path) -> None:
    body = json.loads((bundle / "manifest.json").read_text())
    assert body["task"]["name"] == "see"
    assert body["task"]["settings"]["tokens_per_image"] == 4
    assert body["program"]["steps"] == {"text_decoder": 96}
    assert body["proof"]["verified"]
    values = {each["name"]: each["value"] for each in body["proof"]["measures"]}
    assert values["encoder_error"] < 1e-5
    assert values["encoder_cosine"] == pytest.approx(1)
    assert (bundle / body["roles"]["processor"]).is_file()
    met = body["consumers"]
    assert met["et_cpp_multimodal@1.5"]["good"], met
    assert met["runtime_py@0.2"]["good"], met
    run = json.loads((bundle / "parity.json").read_text())
    assert {m["name"] for m in run["measures"]} == set(values)


@pytest.mark.slow
def test_a_damaged_tower_is_told_from_the_program(bundle: Path) -> None:
    recipe = api.compose_recipe(None, [*SMALL, *DEEP, "backend=xnnpack"]).recipe
    assert resolve(recipe).methods.main == "text_decoder"
    model = load_model(recipe, attention="plain", context_length=96, all_logits=False).model
    assert isinstance(model, VisionLanguageModel)
    shown = sight(model, list(range(20, 60)))
    damaged = copy.deepcopy(model)
    with torch.no_grad():
        damaged.get_parameter("tower.layers.6.feed_forward.down.weight").mul_(1.05)
    with LLM.load(bundle) as llm:
        program = llm.program
        assert isinstance(program, SeeingProgram)
        seen = seen_by_program(program, shown, model.config.tokens_per_image)
    assert encoder_error(seen, seen_by_model(model, shown)) < 1e-5
    assert encoder_error(seen, seen_by_model(damaged, shown)) > 2e-3


@pytest.mark.slow
def test_the_multimodal_runner_of_executorch_gives_the_same_tokens(
    bundle: Path, tmp_path: Path
) -> None:
    picture = pictures(32, 32)[1]
    before, after, count = [5, 6, 7, 8], [9, 10, 11], 16
    with LLM.load(bundle) as llm:
        program = llm.program
        assert isinstance(program, SeeingProgram)
        ids = program.images.add(Tile(picture.numpy(), 4))
        program.reset()
        logits, made = program.prefill([*before, *ids, *after]), list[int]()
        while len(made) < count:
            made.append(int(logits.argmax()))
            logits = program.step(made[-1:])[0, -1]
    names = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    expected = [names.id_to_token(each) for each in made]
    assert greedy(bundle, [before, picture[0], after], count, tmp_path) == expected
